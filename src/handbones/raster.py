"""Polygons to masks and back: all 29 bones at once, in packed words of one bit a bone.

Pixel centres are at integer coordinates. A pixel belongs to a polygon when its centre does (left and top borders
included), for any float vertices, so nothing is lost by moving vertices before they are drawn.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import cv2
import numpy as np
import numpy.typing as npt

from handbones.anatomy import BONES
from handbones.errors import UserError
from handbones.rle import bounds_of

Points = npt.NDArray[np.float64]
"""(n, 2), columns x and y."""
Packed = npt.NDArray[np.uint32]
"""(height, width), bit i set where bone i is."""

_DIAMOND = np.array([(1.0, 0.0), (0.0, 1.0), (-1.0, 0.0), (0.0, -1.0)])


class Outlines(NamedTuple):
    """All polygons of a radiograph in three flat arrays."""

    points: Points
    """(n, 2), polygon after polygon."""
    sizes: npt.NDArray[np.int64]
    """Points of each polygon, at least 3."""
    bones: npt.NDArray[np.int64]
    """Number of each polygon's bone, ascending."""

    @classmethod
    def of(cls, polygons: Sequence[Sequence[Points]]) -> Self:
        """From a list of polygons for each bone, in the official order; those of fewer than 3 points are left out."""
        pairs = [(bone, polygon) for bone, of_bone in enumerate(polygons) for polygon in of_bone if len(polygon) > 2]
        points = np.concatenate([np.empty((0, 2)), *(polygon for _, polygon in pairs)])
        sizes = np.array([len(polygon) for _, polygon in pairs], np.int64)
        return cls(points, sizes, np.array([bone for bone, _ in pairs], np.int64))

    def following(self) -> npt.NDArray[np.int64]:
        """For each point the number of the next one round its polygon."""
        following = np.arange(1, len(self.points) + 1)
        ends = np.cumsum(self.sizes)
        following[ends - 1] = ends - self.sizes
        return following

    def subdivide(self, longest: float) -> "Outlines":
        """The same outlines, with points added so that no edge is longer than `longest`."""
        along = self.points[self.following()] - self.points
        pieces = np.maximum(1, np.ceil(np.hypot(*along.T) / longest)).astype(np.int64)
        edge = np.repeat(np.arange(len(along)), pieces)
        part = np.arange(len(edge)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
        points = self.points[edge] + along[edge] * (part / pieces[edge])[:, None]
        polygon = np.repeat(np.arange(len(self.sizes)), self.sizes)
        return Outlines(points, np.bincount(polygon[edge], minlength=len(self.sizes)), self.bones)


def rasterise(polygons: Sequence[Sequence[Points]] | Outlines, height: int, width: int) -> Packed:
    """Draw the polygons of every bone (a list of lists in the official order) into packed words.

    Polygons of one bone are united, whichever way round they go; inside is where the winding number is not nought.
    Parts outside the picture are cut off.
    """
    outlines = polygons if isinstance(polygons, Outlines) else Outlines.of(polygons)
    words = np.zeros((height, width), np.uint32)
    if not len(outlines.sizes) or not words.size:
        return words
    ends, column = np.divmod(_run_ends(_crossings(outlines, height, width)), width + 1)
    bone, row = np.divmod(ends, height)
    if bone.size == 0:
        return words
    # Flip the bone's bit where a run starts and where it has ended; the running xor along a row then fills the runs.
    inside = column < width
    flat = row[inside] * width + column[inside]
    np.bitwise_xor.at(words.reshape(-1), flat, np.uint32(1) << bone[inside].astype(np.uint32))
    box = words[row.min() : row.max() + 1, column.min() : column.max() + 1]
    np.bitwise_xor.accumulate(box, axis=1, out=box)
    return words


def _crossings(outlines: Outlines, height: int, width: int) -> npt.NDArray[np.int64]:
    """Where edges cross the rows of pixel centres, sorted, one number each.

    It holds, from the highest digit on: bone, row, first column at or after the crossing (0 to `width`), and 1 for
    a crossing downwards, in the sense of a polygon that goes round clockwise, or 0 for upwards.
    """
    sizes = outlines.sizes
    starts = np.cumsum(sizes) - sizes
    x0, y0 = outlines.points.T
    following = outlines.following()
    x1, y1 = x0[following], y0[following]
    clockwise = np.add.reduceat(x0 * y1 - x1 * y0, starts) >= 0

    first = np.clip(np.ceil(np.minimum(y0, y1)), 0, height).astype(np.int64)
    count = np.clip(np.ceil(np.maximum(y0, y1)), 0, height).astype(np.int64) - first
    edge = np.repeat(np.arange(len(x0)), count)
    row = np.arange(len(edge)) + np.repeat(first - (np.cumsum(count) - count), count)
    downwards = y1 > y0
    with np.errstate(divide="ignore", invalid="ignore"):  # level edges cross no row
        slope = (x1 - x0) / (y1 - y0)
    # Counted from the upper end, so that rounding is the same whichever way the edge is walked.
    top_x, top_y = np.where(downwards, x0, x1), np.where(downwards, y0, y1)
    x = top_x[edge] + (row - top_y[edge]) * slope[edge]
    polygon = np.repeat(np.arange(len(sizes)), sizes)[edge]
    bone = outlines.bones[polygon]
    down = downwards[edge] == clockwise[polygon]
    column = np.clip(np.ceil(x), 0, width).astype(np.int64)
    place = (bone * height + row) * (width + 1) + column
    return np.sort(place * 2 + down)


def _run_ends(crossings: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The crossings, less their last digit, at which the winding number leaves or comes back to nought."""
    # Crossings of a row sum up to nought, so one running sum over all rows of all bones is right for each of them.
    winding = np.cumsum(((crossings & 1) << 1) - 1)
    ends = winding == 0
    ends[1:] |= winding[:-1] == 0
    ends[:1] = True
    at_ends: npt.NDArray[np.int64] = crossings[ends] >> 1
    return at_ends


def fill(polygons: Sequence[Sequence[Points]], height: int, width: int) -> Packed:
    """The union of `cv2.fillPoly` of the rounded points, which is how the competition draws its labels.

    `fillPoly` also draws the outline, so these masks are half a pixel wider all round than those of `rasterise`;
    `grow` accounts for it.
    """
    words = np.zeros((height, width), np.uint32)
    for bone, of_bone in enumerate(polygons):
        for polygon in of_bone:
            points = np.rint(polygon).astype(np.int32)
            (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
            if left < 0 or top < 0 or right >= width or bottom >= height:  # let OpenCV do the clipping
                left, top, right, bottom = 0, 0, width - 1, height - 1
            mask = np.zeros((bottom - top + 1, right - left + 1), np.uint8)
            cv2.fillPoly(mask, [points - (left, top)], 1)
            words[top : bottom + 1, left : right + 1] |= mask.astype(np.uint32) << np.uint32(bone)
    return words


def grow(polygon: Points, by: float = 0.5) -> Points:
    """The outline of a polygon after the Minkowski sum with the diamond |x| + |y| <= `by`.

    The outline that `cv2.fillPoly` draws beside the filled interior reaches half a pixel along x or y from the
    edges. So `rasterise` of the grown polygon gives the mask of `fillPoly` (up to rounding of ties), and, after any
    map of the vertices, a mask at another size without half a pixel of bias. The result winds twice around a few
    spots at concave corners, which `rasterise` is made for.
    """
    distinct = polygon[np.any(polygon != _previous(polygon), axis=1)]
    if len(distinct) < 2:  # one point, perhaps several times
        return polygon[:1] + by * _DIAMOND
    polygon = distinct
    after = _next(polygon) - polygon  # the edge that leaves each vertex
    outward = 1 if signed_area(polygon) >= 0 else -1
    normal_x, normal_y = outward * after[:, 1], -outward * after[:, 0]
    # Each edge moves by the corner of the diamond that lies farthest along its normal, counted 0 to 3.
    corner = np.where(np.abs(normal_x) >= np.abs(normal_y), 2 * (normal_x < 0), 1 + 2 * (normal_y < 0))
    previous, before = _previous(corner), _previous(after)
    bend = outward * (before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0])
    step = (corner - previous) % 4
    # Half a turn of the diamond goes on as the outline goes round, at a concave corner the other way.
    step = np.where(step == 3, -1, np.where((step == 2) & ((bend < 0) != (outward < 0)), -2, step))
    # A vertex becomes one point for each corner passed between its two edges.
    count = 1 + np.abs(step)
    vertex = np.repeat(np.arange(len(polygon)), count)
    passed = np.arange(len(vertex)) - np.repeat(np.cumsum(count) - count, count)
    grown: Points = polygon[vertex] + by * _DIAMOND[(previous[vertex] + np.sign(step)[vertex] * passed) % 4]
    return grown


def signed_area(polygon: Points) -> float:
    """Area by the shoelace formula; positive where x, y turn clockwise on the screen."""
    x, y = polygon.T
    next_x, next_y = _next(polygon).T
    return float(np.sum(x * next_y - next_x * y) / 2)


def _next(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """What follows each of the values around an outline; `np.roll` takes several times as long."""
    return np.concatenate([values[1:], values[:1]])


def _previous(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return np.concatenate([values[-1:], values[:-1]])


def resample(polygon: Points, count: int) -> Points:
    """`count` points at equal distances along a closed outline."""
    closed = np.concatenate([polygon, polygon[:1]])
    travelled = np.concatenate([[0.0], np.hypot(*np.diff(closed, axis=0).T).cumsum()])
    at = np.linspace(0.0, travelled[-1], count, endpoint=False)
    return np.stack([np.interp(at, travelled, closed[:, k]) for k in (0, 1)], axis=1)


def outlines(mask: npt.NDArray[np.generic], tolerance: float = 0.0) -> list[Points]:
    """Polygons through the outermost pixel centres of a mask (height, width), largest first, holes left out.

    `cv2.fillPoly` of them is the mask again with its holes filled. With a `tolerance` in pixels they have fewer
    points (Douglas-Peucker). A speck of one or two pixels is given as three points, the fewest a label may have.
    """
    top, bottom, left, right = bounds_of(mask)
    crop = np.ascontiguousarray(mask[top:bottom, left:right] != 0).view(np.uint8)
    if crop.size == 0:
        return []
    contours, _ = cv2.findContours(crop, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE, offset=(left, top))
    if tolerance > 0:
        contours = [cv2.approxPolyDP(contour, tolerance, closed=True) for contour in contours]
    contours = sorted(contours, key=cv2.contourArea, reverse=True)
    return [_at_least_three(contour.reshape(-1, 2).astype(np.float64)) for contour in contours]


def _at_least_three(points: Points) -> Points:
    missing = 3 - len(points)
    return points if missing <= 0 else np.concatenate([points, np.repeat(points[-1:], missing, axis=0)])


def pack(masks: npt.NDArray[np.generic]) -> Packed:
    """Masks of shape (29, height, width), non-zero inside, to packed words (height, width) uint32."""
    if masks.ndim != 3 or len(masks) != len(BONES):
        raise UserError(f"masks must have the shape ({len(BONES)}, height, width), not {masks.shape}")
    words = np.zeros(masks.shape[1:], np.uint32)
    for bone, mask in enumerate(masks):
        top, bottom, left, right = bounds_of(mask)
        words[top:bottom, left:right] |= (mask[top:bottom, left:right] != 0).astype(np.uint32) << np.uint32(bone)
    return words


def unpack(packed: Packed) -> npt.NDArray[np.uint8]:
    """Packed words (height, width) to masks (29, height, width) uint8, 0 or 1."""
    masks = np.empty((len(BONES), *packed.shape), np.uint8)
    for bone, mask in enumerate(masks):
        np.not_equal(packed & np.uint32(1 << bone), 0, out=mask.view(bool))
    return masks
