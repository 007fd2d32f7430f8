"""Windows of a radiograph for a page: enlarged or shrunk first, outlines drawn after, so that lines stay crisp."""

from collections.abc import Collection, Sequence

import cv2
import numpy as np
import numpy.typing as npt

from handbones.anatomy import ANATOMY, INDEX
from handbones.labels import Labels
from handbones.raster import Points

Gray = npt.NDArray[np.uint8]
Picture = npt.NDArray[np.uint8]
"""(height, width, 3) RGB."""
Box = tuple[float, float, float, float]
"""Left, top, right, bottom in pixels of the radiograph."""

_SHIFT = 4
"""OpenCV draws at sixteenths of a pixel."""
_FAINT = (225, 230, 240)
_MARK = (255, 255, 255)
_FONT = cv2.FONT_HERSHEY_SIMPLEX


class View:
    """A window of a radiograph, `size` pixels on its longest side, to draw on."""

    def __init__(self, pixels: Gray, size: int, box: Box | None = None) -> None:
        """`pixels` (height, width); without a `box`, all of it."""
        height, width = pixels.shape
        left, top, right, bottom = box or (-0.5, -0.5, width - 0.5, height - 0.5)
        self.scale = size / max(right - left, bottom - top)
        self.origin = np.array([left, top])
        shape = [max(1, round(side * self.scale)) for side in (right - left, bottom - top)]
        self.picture = _tones(_cut(pixels, self.scale, self.origin, shape))

    def outlines(self, labels: Labels, bones: Collection[str] = ()) -> None:
        """Outlines of `bones` in their colours, of all others thin and pale."""
        for label, polygons in labels.polygons.items():
            if label in bones:
                self.curve(polygons, (0, 0, 0), 3)
                self.curve(polygons, ANATOMY[INDEX[label]].colour, 2)
            else:
                self.curve(polygons, _FAINT, 1, 0.4)

    def curve(self, polygons: Sequence[Points], colour: tuple[int, int, int], width: int, share: float = 1.0) -> None:
        """Closed curves through points of the radiograph."""
        fixed = [np.rint(self._at(polygon) * (1 << _SHIFT)).astype(np.int32) for polygon in polygons]
        drawn = self.picture if share == 1 else self.picture.copy()
        cv2.polylines(drawn, fixed, True, colour, width, cv2.LINE_AA, _SHIFT)
        if share < 1:
            self.picture = np.asarray(cv2.addWeighted(drawn, share, self.picture, 1 - share, 0), np.uint8)

    def names(self, labels: Labels, bones: Sequence[str]) -> None:
        """Names beside the bones, as far as they do not cover each other."""
        taken: list[tuple[int, int, int, int]] = []
        for label in bones:
            if label not in labels.polygons:
                continue
            (width, height), _ = cv2.getTextSize(label, _FONT, 0.5, 1)
            points = self._at(np.concatenate(labels.polygons[label]))
            low, high = points.min(axis=0), points.max(axis=0)
            right = high[0] + 6 + width < self.picture.shape[1]
            sides = np.array([high[0] + 6, low[0] - 6 - width][:: 1 if right else -1])
            base = int(np.clip((low[1] + high[1] + height) / 2, height + 2, self.picture.shape[0] - 4))
            lefts = np.clip(sides, 2, max(2, self.picture.shape[1] - width - 2)).astype(int).tolist()
            boxes = [(left, base - height, left + width, base) for left in lefts]
            free = [box for box in boxes if not any(_meet(box, other) for other in taken)]
            if not free:
                continue
            taken.append(free[0])
            self._write(label, free[0][0], base)

    def _write(self, text: str, left: int, base: int) -> None:
        """White letters with a dark rim."""
        letters = np.zeros(self.picture.shape[:2], np.uint8)
        cv2.putText(letters, text, (left, base), _FONT, 0.5, 255, 1, cv2.LINE_AA)
        rim = cv2.dilate(letters, np.ones((3, 3), np.uint8))
        dark = self.picture * (1 - rim[:, :, None] / 255)
        self.picture = np.maximum(dark, letters[:, :, None]).astype(np.uint8)

    def circle(self, x: float, y: float, radius: float, name: str = "") -> None:
        """A dashed circle, with a name below it."""
        centre = np.rint(self._at(np.array([[x, y]]))[0]).astype(int).tolist()
        length = max(3, round(radius * self.scale))
        for start in range(0, 360, 30):
            for colour, thick in (((0, 0, 0), 4), (_MARK, 2)):
                cv2.ellipse(
                    self.picture, centre, (length, length), 0, start, start + 18, colour, thick, lineType=cv2.LINE_AA
                )
        if name:
            (width, height), _ = cv2.getTextSize(name, _FONT, 0.5, 1)
            self._write(name, centre[0] - width // 2, centre[1] + length + height + 6)

    def frame(self, box: Box) -> None:
        """A rectangle."""
        left, top, right, bottom = box
        corners = np.array([[left, top], [right, top], [right, bottom], [left, bottom]])
        self.curve([corners], _MARK, 1)

    def _at(self, points: Points) -> Points:
        at: Points = (points - self.origin) * self.scale - 0.5
        return at


def box_around(points: Points, margin: float, least: float, height: int, width: int) -> Box:
    """A square around points with a margin (share of its side), at least `least` pixels wide, in the picture."""
    low, high = points.min(axis=0), points.max(axis=0)
    side = min(max(float((high - low).max()) * (1 + 2 * margin), least), height, width)
    left, top = np.clip((low + high) / 2 - side / 2, -0.5, np.array([width, height]) - 0.5 - side).tolist()
    return left, top, left + side, top + side


def rectangle_around(points: Points, margin: float, height: int, width: int) -> Box:
    """A rectangle around points with a margin (share of its longer side), cut off at the edges of the picture."""
    low, high = points.min(axis=0), points.max(axis=0)
    room = margin * float((high - low).max()) + 0.5  # a point is the centre of a pixel, which belongs to the box
    left, top = np.maximum(low - room, -0.5).tolist()
    right, bottom = np.minimum(high + room, np.array([width, height]) - 0.5).tolist()
    return left, top, right, bottom


def _cut(pixels: Gray, scale: float, origin: Points, shape: Sequence[int]) -> Gray:
    """The window at its scale: shrunk without aliasing, or enlarged smoothly."""
    left, top = np.floor(np.maximum(origin + 0.5, 0)).astype(int).tolist()
    right, bottom = np.ceil(origin + 0.5 + np.array(shape) / scale).astype(int).tolist()
    part = pixels[top : max(bottom, top + 1), left : max(right, left + 1)]
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(part, (shape[0], shape[1]), interpolation=how), np.uint8)


def _tones(window: Gray) -> Picture:
    """Gray values spread to the whole range, as RGB."""
    low, high = (float(value) for value in np.percentile(window, (1, 99.7)))
    table = np.clip((np.arange(256) - low) * (255 / max(high - low, 1)), 0, 255).astype(np.uint8)
    return np.repeat(table[window][:, :, None], 3, axis=2)


def _meet(one: tuple[int, int, int, int], other: tuple[int, int, int, int]) -> bool:
    """Whether two boxes (left, top, right, bottom) have pixels in common."""
    return one[0] < other[2] and one[2] > other[0] and one[1] < other[3] and one[3] > other[1]
