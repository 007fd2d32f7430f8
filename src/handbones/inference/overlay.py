"""A radiograph with its bones drawn on it: faint fills, anti-aliased outlines and, if wanted, names."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from handbones.anatomy import ANATOMY, INDEX
from handbones.inference.segmentation import Segmentation
from handbones.labels import Labels
from handbones.raster import Points

Picture = npt.NDArray[np.uint8]
"""(height, width, 3) RGB."""

_FILL = 0.22
_SMOOTH = 0.2
"""How far a line may be off the outline that it shows, in its own widths."""
_SHIFT = 4
"""OpenCV draws at sixteenths of a pixel."""
_GRAIN = 4
"""Whether a name covers bones is looked up on every so many pixels."""
_STRANGER = 0.5
"""What it costs a name to stand nearer to another bone than to its own, in widths of the text."""
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_BLACK = (0, 0, 0)

Box = tuple[int, int, int, int]
"""Left, top, right, bottom in pixels."""
Polygons = Mapping[str, Sequence[Points]]
"""Those of each bone of a hand."""


def draw_overlay(pixels: npt.NDArray[np.uint8], bones: Labels | Segmentation, *, names: bool = False) -> Picture:
    """Draw bones on a gray picture (height, width) uint8; returns (height, width, 3) uint8 RGB.

    Lines and letters grow with the picture. Names stand beside their bones, apart from each other; they want a
    picture of 1000 pixels or more.
    """
    hands = [hand.labels().polygons for hand in bones.hands] if isinstance(bones, Segmentation) else [bones.polygons]
    picture = np.asarray(cv2.cvtColor(stretched(pixels), cv2.COLOR_GRAY2RGB), np.uint8)
    polygons = [(label, polygon) for hand in hands for label, of_bone in hand.items() for polygon in of_bone]
    for label, polygon in polygons:
        _fill(picture, polygon, _colour(label))
    line = max(1, round(max(pixels.shape) / 800))
    curves = [(label, _fixed(_thinned(polygon, _SMOOTH * line))) for label, polygon in polygons]
    for width, rim in ((2 * line, True), (line, False)):  # a dark rim under each coloured line
        for label, curve in curves:
            cv2.polylines(picture, [curve], True, _BLACK if rim else _colour(label), width, cv2.LINE_AA, _SHIFT)
    if names:
        _write_names(picture, hands)
    return picture


def _colour(label: str) -> tuple[int, int, int]:
    return ANATOMY[INDEX[label]].colour


def stretched(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """The gray values spread so that all but the brightest few use the whole range."""
    bright = max(float(np.percentile(pixels[::4, ::4], 99.8)), 1.0)
    table = np.clip(np.arange(256) * (255 / bright), 0, 255).astype(np.uint8)
    return np.asarray(cv2.LUT(pixels, table), np.uint8)


def _fixed(polygon: Points) -> npt.NDArray[np.int32]:
    return np.rint(polygon * (1 << _SHIFT)).astype(np.int32)


def _thinned(polygon: Points, tolerance: float) -> Points:
    """A polygon of fewer points, which are drawn faster, no further off than `tolerance` pixels."""
    return np.asarray(cv2.approxPolyDP(polygon.astype(np.float32), tolerance, True)[:, 0], np.float64)


def _fill(picture: Picture, polygon: Points, colour: tuple[int, int, int]) -> None:
    """Tint the inside of a polygon."""
    height, width = picture.shape[:2]
    left, top = np.clip(np.floor(polygon.min(axis=0)), 0, (width, height)).astype(int)
    right, bottom = np.clip(np.ceil(polygon.max(axis=0)) + 1, 0, (width, height)).astype(int)
    if right <= left or bottom <= top:
        return
    window = picture[top:bottom, left:right]
    mask = np.zeros(window.shape[:2], np.uint8)
    cv2.fillPoly(mask, [_fixed(polygon - (left, top))], 1, cv2.LINE_8, _SHIFT)
    table = (1 - _FILL) * np.arange(256)[:, None] + _FILL * np.array(colour)
    cv2.copyTo(cv2.LUT(window, np.rint(table[None]).astype(np.uint8)), mask, window)


def _write_names(picture: Picture, hands: Sequence[Polygons]) -> None:
    scale, line = _letters(picture.shape)
    names = place_names(hands, picture.shape[0], picture.shape[1])
    for label, centre, box in names:
        nearest = np.clip(centre, box[:2], box[2:])
        if np.abs(nearest - centre).max() > 2 * (box[3] - box[1]):
            start, end = (np.rint(point).astype(int).tolist() for point in (centre, nearest))
            cv2.line(picture, start, end, _colour(label), line, cv2.LINE_AA)
    for label, _, (left, top, right, bottom) in names:
        _write(picture[top:bottom, left:right], label, scale, line)


class Name(NamedTuple):
    """Where to write a name."""

    label: str
    centre: Points
    """x and y of the middle of the bone."""
    box: Box


def place_names(hands: Sequence[Polygons], height: int, width: int) -> list[Name]:
    """A box for the name of each bone of each hand: near it, off the other names, and off bones where that can be."""
    scale, line = _letters((height, width))
    bones = [named for hand in hands for named in hand.items()]
    owners = np.zeros((height // _GRAIN + 1, width // _GRAIN + 1), np.int32)
    for number, (_, of_bone) in enumerate(bones, 1):
        cv2.fillPoly(owners, [np.rint(polygon / _GRAIN).astype(np.int32) for polygon in of_bone], number)
    covered = np.asarray(cv2.integral((owners > 0).astype(np.uint8)), np.int32)
    nearest = _nearest(owners)
    placed: list[Name] = []
    for number, (label, of_bone) in enumerate(bones, 1):
        text_width, text_height = cv2.getTextSize(label, _FONT, scale, line)[0]
        size = np.array([text_width + 4 * line, text_height + 6 * line])
        centre = _centre(of_bone)
        corners = _corners(centre, size, np.array([width, height]))
        costs = _costs(corners, size, centre, covered, [name.box for name in placed])
        across, down = ((corners + size / 2) // _GRAIN).astype(int).T
        costs += _STRANGER * (nearest[down, across] != number)
        left, top = corners[costs.argmin()].astype(int).tolist()
        placed.append(Name(label, centre, (left, top, left + int(size[0]), top + int(size[1]))))
    return placed


def _nearest(owners: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    """(h, w) number of the bone that is nearest to each pixel, where `owners` (h, w) has those of bones, else 0."""
    free = (owners == 0).astype(np.uint8)
    _, places = cv2.distanceTransformWithLabels(free, cv2.DIST_L2, 3, labelType=cv2.DIST_LABEL_PIXEL)
    table = np.zeros(int(places.max()) + 1, np.int32)
    table[places[free == 0]] = owners[free == 0]
    return np.asarray(table[places], np.int32)


def _letters(shape: tuple[int, ...]) -> tuple[float, int]:
    """Scale of the font and width of its strokes."""
    scale = max(shape[:2]) / 2400
    return scale, max(1, round(scale * 2))


def _centre(polygons: Sequence[Points]) -> Points:
    centre: Points = max(polygons, key=len).mean(axis=0)
    return centre


def _write(window: Picture, label: str, scale: float, line: int) -> None:
    """Write a name in a light shade of the bone's colour, with a dark rim."""
    letters = np.zeros(window.shape[:2], np.uint8)
    cv2.putText(letters, label, (2 * line, len(window) - 3 * line), _FONT, scale, 255, line, cv2.LINE_AA)
    rim = cv2.dilate(letters, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * line + 1, 2 * line + 1)))
    ink = letters[:, :, None] / 255
    light = 0.6 * np.array(_colour(label)) + 0.4 * 255
    window[:] = window * (1 - rim[:, :, None] / 255) * (1 - ink) + light * ink


def _corners(centre: Points, size: npt.NDArray[np.int64], picture: npt.NDArray[np.int64]) -> Points:
    """(n, 2) upper left corners to try, on ellipses around the middle of the bone, kept inside the picture."""
    corners: Points = np.clip(np.rint(centre - size / 2 + _ELLIPSES * size[0]), 0, np.maximum(picture - size, 0))
    return corners


_ELLIPSES = np.concatenate(
    [
        0.3 * ring * np.stack([np.cos(angles), 0.7 * np.sin(angles)], axis=1)
        for ring in range(14)
        for angles in [np.linspace(0, 2 * np.pi, 1 + 4 * ring, endpoint=False)]
    ]
)
"""(n, 2) offsets from the middle of a bone, in widths of the text, from near to far."""


def _costs(
    corners: Points,
    size: npt.NDArray[np.int64],
    centre: Points,
    covered: npt.NDArray[np.int32],
    placed: list[Box],
) -> npt.NDArray[np.float64]:
    """Distances from the bone in widths of the text; more where it covers bones, much more where it hits a name."""
    left, top = corners.astype(int).T
    right, bottom = left + size[0], top + size[1]
    above, below = np.minimum(np.array([top, bottom]) // _GRAIN, covered.shape[0] - 1)
    before, behind = np.minimum(np.array([left, right]) // _GRAIN, covered.shape[1] - 1)
    bones = covered[below, behind] - covered[above, behind] - covered[below, before] + covered[above, before]
    clash = np.zeros(len(corners), bool)
    for box in placed:
        clash |= (left < box[2]) & (right > box[0]) & (top < box[3]) & (bottom > box[1])
    distance = np.linalg.norm(corners + size / 2 - centre, axis=1) / size[0]
    costs: npt.NDArray[np.float64] = distance + 3 * bones * _GRAIN**2 / size.prod() + 1000 * clash
    return costs
