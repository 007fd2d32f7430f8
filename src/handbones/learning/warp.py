"""One map from a radiograph to the network's canvas, for pixels and outlines alike.

The map is a turn of the hand about the wrist, then a homography (flips, rotation, scale, shear, translation,
perspective), then a smooth bend; turn and bend need not be there. Pixels are looked up backwards, from the canvas in
the radiograph, once; outlines go forwards, through the exact inverses, and become masks only afterwards.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import cv2
import numpy as np
import numpy.typing as npt

from handbones.affine import Matrix, resizing
from handbones.learning.wrist import Turn
from handbones.raster import Outlines, Points

Gray = npt.NDArray[np.uint8]
"""(height, width) uint8."""
Floats = npt.NDArray[np.float64]

STEEPEST = 0.8
"""A bend may displace neighbouring points by at most this share of their distance differently, so it never folds."""
_STRIP = 2**16
"""Samples that are looked up at a time: few enough to stay in the processor's cache."""
_LONGEST_EDGE = 1 / 100
"""Edges are cut into pieces of this share of the canvas before they are bent."""
_LONGEST_TURNED = 1 / 8
"""And into pieces of this share of the wrist's unit of length before they are turned."""


@dataclass(frozen=True)
class Bend:
    """A smooth displacement over a canvas: a uniform cubic B-spline."""

    vectors: Floats
    """Control vectors (rows + 3, columns + 3, 2) for rows x columns cells, x and y in pixels of the canvas."""
    height: int
    width: int

    @classmethod
    def draw(cls, rng: np.random.Generator, largest: float, cells: int, size: int) -> "Bend":
        """Random vectors of up to `largest` pixels along x and y, over a canvas of size x size."""
        # A spline's slope is at most the largest step between control vectors over their distance.
        assert 4 * largest * cells / size <= STEEPEST + 1e-9, "such a bend might fold"
        return cls(rng.uniform(-largest, largest, (cells + 3, cells + 3, 2)), size, size)

    def undo(self, points: Points) -> Points:
        """The points (n, 2) that the bend displaces onto `points`, to a millionth of a pixel."""
        from handbones.learning.bending import undo  # noqa: PLC0415 loads numba

        unbent: Points = undo(np.ascontiguousarray(points), self.vectors, self.height, self.width)
        return unbent

    def basis(self, along: Floats, axis: int) -> Floats:
        """Weights (n, cells + 3) of the control vectors at canvas coordinates (n,) along y (axis 0) or x (axis 1)."""
        cells = self.vectors.shape[axis] - 3
        length = (self.height, self.width)[axis]
        place = np.clip((along + 0.5) / length, 0, 1) * cells
        distance = np.abs(place[:, None] + 1 - np.arange(cells + 3))
        near = 2 / 3 - distance**2 + distance**3 / 2
        return np.asarray(np.where(distance < 1, near, np.clip(2 - distance, 0, None) ** 3 / 6))


@dataclass(frozen=True)
class Warp:
    """A map from the pixels of a picture to those of a canvas."""

    matrix: Matrix
    """From the picture, after the turn, to the whole canvas, before the bend."""
    height: int
    """Rows of the canvas, or of the window of it that is wanted."""
    width: int
    bend: Bend | None = None
    """What is at a point of the canvas is, before the bend, at that point plus its displacement."""
    corner: tuple[int, int] = (0, 0)
    """Left and top of the window."""
    turn: Turn | None = None

    def window(self, left: int, top: int, height: int, width: int) -> "Warp":
        """The same map, of which only a part of the canvas is wanted."""
        return replace(self, corner=(left, top), height=height, width=width)

    @property
    def mirrors(self) -> bool:
        """Whether a left hand becomes a right one."""
        return bool(np.linalg.det(self.matrix) < 0)

    def points(self, points: Points) -> Points:
        """Points (n, 2) of the picture, in the window."""
        if self.turn is not None:
            points = self.turn.points(points)
        moved = points @ self.matrix[:2, :2].T + self.matrix[:2, 2]
        if not self._affine:
            moved = moved / (points @ self.matrix[2, :2] + self.matrix[2, 2])[:, None]
        if self.bend is not None:
            moved = self.bend.undo(moved)
        return np.asarray(moved - self.corner)

    def outlines(self, outlines: Outlines) -> Outlines:
        """Outlines of the picture, in the window; long edges become several where they curve."""
        if self.turn is not None:
            outlines = outlines.subdivide(_LONGEST_TURNED * self.turn.unit)
        if self.bend is not None:  # a homography keeps lines straight
            longest = _LONGEST_EDGE * max(self.bend.height, self.bend.width)
            outlines = outlines.subdivide(longest / self._magnification)
        return outlines._replace(points=self.points(outlines.points))

    def pixels(self, picture: Gray) -> Gray:
        """The window (height, width): averages of what each pixel covers, black where the picture does not reach."""
        height, width = picture.shape
        plain = self._plain_size(height, width)
        if plain is not None:
            resized = _resize(picture, *plain)[: self.height, : self.width]
            return np.pad(resized, ((0, self.height - resized.shape[0]), (0, self.width - resized.shape[1])))
        matrix, turn, shrink = self.matrix, self.turn, 1 / self._magnification
        # Whole boxes first, as in a pyramid of pictures; the rest by several samples a pixel, close to one another.
        box = 1 << max(0, int(np.log2(shrink / 1.5)))
        if box > 1:
            height, width = height // box * box, width // box * box
            picture = _resize(picture[:height, :width], height // box, width // box)
            matrix = matrix @ np.linalg.inv(resizing(width, height, width // box, height // box))
            turn = turn and turn.shrunk(box)
        return self._look_up(picture, np.asarray(np.linalg.inv(matrix)), turn, max(1, round(shrink / box)))

    def _look_up(self, picture: Gray, inverse: Matrix, turn: Turn | None, samples: int) -> Gray:
        """The mean of samples x samples points of each pixel of the window, bilinear in the picture."""
        left, top = self.corner
        x = left + (np.arange(self.width * samples) + 0.5) / samples - 0.5
        y = top + (np.arange(self.height * samples) + 0.5) / samples - 0.5
        # Each homogeneous coordinate in the picture is a sum of products of something of y and something of x.
        of_y = [y[:, None], np.ones((len(y), 1))]
        of_x = [np.tile(inverse[:, 1:2], (1, len(x)))[:, None], (inverse[:, :1] * x + inverse[:, 2:])[:, None]]
        if self.bend is not None:
            of_y.append(self.bend.basis(y, 0))
            moved = np.einsum("ck,ijk->cij", inverse[:, :2], self.bend.vectors)
            of_x.append(moved @ self.bend.basis(x, 1).T)
        rows = np.concatenate(of_y, axis=1).astype(np.float32)
        columns = np.concatenate(of_x, axis=1).astype(np.float32)

        canvas = np.empty((self.height, self.width), np.uint8)
        strip = max(1, _STRIP // (len(x) * samples))
        maps = np.empty((3, strip * samples, len(x)), np.float32)
        fine = np.empty(maps.shape[1:], np.uint8)
        for start in range(0, self.height, strip):
            part = canvas[start : start + strip]
            places = maps[:, : len(part) * samples]
            for axis in (0, 1) if self._affine else (0, 1, 2):
                np.matmul(rows[start * samples :][: places.shape[1]], columns[axis], out=places[axis])
            if not self._affine:
                places[:2] /= places[2]
            if turn is not None:
                turn.undo(places[0], places[1])
            target = part if samples == 1 else fine[: places.shape[1]]
            cv2.remap(picture, places[0], places[1], cv2.INTER_LINEAR, dst=target)
            if samples > 1:
                cv2.resize(target, (self.width, len(part)), dst=part, interpolation=cv2.INTER_AREA)
        return canvas

    @cached_property
    def _affine(self) -> bool:
        return bool(np.array_equal(self.matrix[2], (0, 0, 1)))

    @cached_property
    def _magnification(self) -> float:
        """Pixels of the canvas per pixel of the picture, along a side, in the middle of the window."""
        left, top = self.corner
        middle = np.array([left + self.width / 2, top + self.height / 2, 1])
        depth = float(np.linalg.inv(self.matrix)[2] @ middle)
        return float(np.sqrt(abs(np.linalg.det(self.matrix) * depth**3)))

    def _plain_size(self, height: int, width: int) -> tuple[int, int] | None:
        """The size of a picture (height, width) on the canvas, if it only becomes smaller or larger as it is."""
        factor = self.matrix[0, 0]
        rows, columns = round(height * factor), round(width * factor)
        if self.bend is not None or self.turn is not None or self.corner != (0, 0) or min(rows, columns) < 1:
            return None
        plain = np.allclose(self.matrix, resizing(width, height, columns, rows), rtol=0, atol=1e-9)
        return (rows, columns) if plain else None


def _resize(picture: Gray, height: int, width: int) -> Gray:
    if picture.shape == (height, width):
        return picture
    method = cv2.INTER_AREA if height * width < picture.size else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(picture, (width, height), interpolation=method), np.uint8)
