"""Outlines against the picture: whether they lie on the edge of the bone, and what is bright beside it.

Edges of bone are bright inside and dark outside. Everything is measured along the normals of the outlines.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from handbones.anatomy import BONES, INDEX
from handbones.labels import Labels
from handbones.raster import Packed, Points, resample, signed_area

Floats = npt.NDArray[np.float64]
Gray = npt.NDArray[np.uint8]

_POINTS = 96
_REACH = 0.014
"""How far from an outline is looked, as a share of the picture's longest side (28 pixels of 2048)."""
_STEPS = np.linspace(-1.0, 1.0, 29)
"""Distances from the outline, in reaches; positive is outside."""
_SPAN = 3
"""Steps between the two gray values that an edge is the difference of."""
_LEAST_EDGE = 8.0
"""Gray levels; an edge that is weaker tells nothing."""


@dataclass(frozen=True)
class Edges:
    """A row for each bone in the official order, NaN for one that is not there or cut off."""

    follow: Floats
    """(29,) mean strength of the edge under the outline, as a share of its strength after the best small shift."""
    shift: Floats
    """(29, 2) that shift in pixels: from the outline to the edge in the picture."""
    bright: Floats
    """(29,) brightest stretch of soft tissue beside the bone: 0 is soft tissue, 1 is bone."""
    sides: Floats
    """(29,) median brightness of the soft tissue beside the upper half of the bone, on the same scale."""


@dataclass(frozen=True)
class Normals:
    """Points on the outlines of some bones, and gray values across them."""

    bones: npt.NDArray[np.intp]
    """(n,) positions in the official order."""
    points: Points
    """(n, 96, 2)"""
    normals: Points
    """(n, 96, 2), unit vectors that point outwards."""
    inside: npt.NDArray[np.bool_]
    """(n, 96) whether the profile lies in the picture."""
    profiles: npt.NDArray[np.float32]
    """(n, 96, 29) gray at `_STEPS`."""
    reach: float
    """Pixels."""


def edges_of(pixels: Gray, labels: Labels, packed: Packed) -> Edges:
    """Compare outlines with a picture (height, width); `packed` are masks at any size, to keep off other bones."""
    lines = _profiles(pixels, labels)
    count = len(BONES)
    follow, bright, sides = (np.full(count, np.nan) for _ in range(3))
    shift = np.full((count, 2), np.nan)
    if lines is None:
        return Edges(follow, shift, bright, sides)
    for row, bone in enumerate(lines.bones):
        there = lines.inside[row]
        if there.mean() > 0.3:
            follow[bone], shift[bone] = _best_shift(lines.profiles[row][there], lines.normals[row][there], lines.reach)
    beside = _beside(lines, packed, pixels.shape)
    bright[lines.bones], sides[lines.bones] = beside
    return Edges(follow, shift, bright, sides)


def _profiles(pixels: Gray, labels: Labels) -> Normals | None:
    height, width = pixels.shape
    largest = max(height, width)
    outlines = {
        INDEX[label]: max(of_bone, key=lambda polygon: abs(signed_area(polygon)))
        for label, of_bone in labels.polygons.items()
    }
    outlines = {bone: polygon for bone, polygon in outlines.items() if abs(signed_area(polygon)) > 1}
    if not outlines:
        return None
    points = np.array([_clockwise(resample(polygon, _POINTS)) for polygon in outlines.values()])
    tangents = np.roll(points, -2, axis=1) - np.roll(points, 2, axis=1)
    normals = np.stack([tangents[..., 1], -tangents[..., 0]], axis=-1)
    normals /= np.maximum(np.hypot(normals[..., 0], normals[..., 1]), 1e-9)[..., None]
    smooth = cv2.GaussianBlur(pixels, (0, 0), max(largest / 1500, 0.5))
    reach = _REACH * largest
    at = points[:, :, None] + normals[:, :, None] * (reach * _STEPS)[:, None]
    flat = at.reshape(-1, len(_STEPS), 2).astype(np.float32)
    profiles = cv2.remap(smooth, flat[..., 0], flat[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    border = 0.2 * reach
    inside = np.all((points > border) & (points < np.array([width, height]) - 1 - border), axis=-1)
    shape = *points.shape[:2], len(_STEPS)
    return Normals(np.array(list(outlines)), points, normals, inside, profiles.reshape(shape).astype(np.float32), reach)


def _clockwise(polygon: Points) -> Points:
    return polygon if signed_area(polygon) >= 0 else polygon[::-1]


_RADII = np.linspace(0.1, 0.9, 9)
_ANGLES = np.arange(16) * np.pi / 8
_SHIFTS = np.concatenate(
    [np.zeros((1, 2)), (_RADII[:, None, None] * np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], -1)).reshape(-1, 2)]
)
"""Small shifts to try, in reaches; the first is none."""


def _best_shift(profiles: npt.NDArray[np.float32], normals: Points, reach: float) -> tuple[float, Floats]:
    """Strength of the edge under the outline over the best after a shift of the whole outline; that shift, pixels."""
    edge = profiles[:, :-_SPAN] - profiles[:, _SPAN:]
    first, step = _STEPS[0] + _SPAN * (_STEPS[1] - _STEPS[0]) / 2, _STEPS[1] - _STEPS[0]
    place = np.clip((normals @ _SHIFTS.T - first) / step, 0, edge.shape[1] - 1.001)  # (points, shifts)
    below = place.astype(int)
    share = place - below
    row = np.arange(len(edge))[:, None]
    strength = (edge[row, below] * (1 - share) + edge[row, below + 1] * share).mean(axis=0)
    best = int(strength.argmax())
    return float(strength[0] / max(strength[best], _LEAST_EDGE)), reach * _SHIFTS[best]


def _beside(lines: Normals, packed: Packed, shape: tuple[int, ...]) -> tuple[Floats, Floats]:
    """Brightness of the soft tissue beside each bone: its brightest stretch, and the median along the upper half."""
    near = (_STEPS > 0.25) & (_STEPS < 0.75)
    deep = (_STEPS > -0.75) & (_STEPS < -0.25)
    middle = lines.points + 0.5 * lines.reach * lines.normals
    free = lines.inside & ~_covered(middle, packed, shape)
    outside = np.where(free, lines.profiles[..., near].mean(axis=-1), np.nan)
    within = np.median(lines.profiles[..., deep].mean(axis=-1), axis=1)
    soft = np.nanmedian(outside) if free.any() else np.nan
    scaled = (outside - soft) / np.maximum(within - soft, _LEAST_EDGE)[:, None]
    # Three points in a row, so that a grain or a corner does not count.
    stretch = np.minimum(np.minimum(scaled, np.roll(scaled, 1, axis=1)), np.roll(scaled, -1, axis=1))
    upper = lines.points[..., 1] < lines.points[..., 1].mean(axis=1, keepdims=True)
    return _quantile(stretch, 1.0), _quantile(np.where(upper, scaled, np.nan), 0.5)


def _quantile(values: Floats, share: float) -> Floats:
    """Quantile of each row without its NaNs; NaN for a row of nothing else."""
    found = np.full(len(values), np.nan)
    some = ~np.isnan(values).all(axis=1)
    if some.any():
        found[some] = np.nanquantile(values[some], share, axis=1)
    return found


def _covered(points: Points, packed: Packed, shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    """Whether points of the picture lie on a bone, or within a pixel of the small masks from one."""
    grown = cv2.dilate((packed != 0).astype(np.uint8), np.ones((3, 3), np.uint8))
    ratio = np.array(packed.shape[::-1]) / np.array(shape[1::-1])
    at = np.rint((points + 0.5) * ratio - 0.5).astype(int)
    column, row = (np.clip(at[..., k], 0, packed.shape[1 - k] - 1) for k in (0, 1))
    return np.asarray(grown[row, column] != 0)
