"""Is the sesamoid at the head of the thumb's metacarpal drawn with `finger-3`, or left beside it?

The competition's labels count it as part of the bone in most pictures, and leave it out in a few.
"""

import cv2
import numpy as np
import numpy.typing as npt

from handbones.anatomy import INDEX
from handbones.insight.shapes import Shapes
from handbones.labels import Labels
from handbones.raster import Points, resample, signed_area

Floats = npt.NDArray[np.float64]
Gray = npt.NDArray[np.uint8]

_METACARPAL, _NEXT = INDEX["finger-3"], INDEX["finger-2"]
_POINTS = 160
_DISTANCES = np.arange(-16.0, 60.0, 2.0) / 2048
"""Along the normal, as shares of the picture's longest side; positive is outside."""


def sesamoid_evidence(pixels: Gray, labels: Labels, shapes: Shapes) -> tuple[float, float]:
    """What speaks for a sesamoid that is left out, and for one that is drawn.

    First: how bright the picture (height, width) is just outside the sides of the head, 0 for soft tissue and 1 for
    bone, less the same along the shaft. Second: the sharpest notch of the outline there, in degrees, which the round
    sesamoid makes where it joins the bone. NaN where the bones for it are missing.
    """
    if "finger-3" not in labels.polygons or np.isnan(shapes.area[_NEXT]):
        return np.nan, np.nan
    outline = max(labels.polygons["finger-3"], key=lambda polygon: abs(signed_area(polygon)))
    outline = resample(outline if signed_area(outline) >= 0 else outline[::-1], _POINTS)
    tangents = np.roll(outline, -4, axis=0) - np.roll(outline, 4, axis=0)
    normals = np.stack([tangents[:, 1], -tangents[:, 0]], axis=1)
    normals /= np.maximum(np.hypot(*normals.T), 1e-9)[:, None]
    ends = shapes.top[_METACARPAL], shapes.bottom[_METACARPAL]
    head, base = sorted(ends, key=lambda end: float(np.hypot(*(end - shapes.centre[_NEXT]))))
    axis = (head - base) / max(np.hypot(*(head - base)), 1e-9)
    along = (outline - base) @ axis / max(np.hypot(*(head - base)), 1e-9)
    lateral = normals @ np.array([-axis[1], axis[0]])
    return _beside(pixels, outline, normals, along, lateral), _notch(outline, along)


def _beside(pixels: Gray, outline: Points, normals: Points, along: Floats, lateral: Floats) -> float:
    largest = max(pixels.shape)
    smooth = cv2.GaussianBlur(pixels, (0, 0), 2 * largest / 2048)
    at = (outline[:, None] + normals[:, None] * (_DISTANCES * largest)[:, None]).astype(np.float32)
    profiles = cv2.remap(smooth, at[..., 0], at[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    steps = _DISTANCES * 2048
    near = profiles[:, (steps >= 5) & (steps <= 16)].mean(axis=1)
    far = profiles[:, (steps >= 26) & (steps <= 40)].mean(axis=1)
    contrast = np.median(profiles[:, :3]) - np.median(far[along > 0.3]) if (along > 0.3).any() else 0.0
    excess = _smoothed((near - far) / max(float(contrast), 5.0), 4)
    best = -np.inf
    for side in (1, -1):
        beside = lateral * side > 0.6
        of_head, of_shaft = beside & (along > 0.62) & (along < 0.97), beside & (along > 0.25) & (along < 0.52)
        if of_head.any() and of_shaft.any():
            best = max(best, float(excess[of_head].max() - np.median(excess[of_shaft])))
    return best if np.isfinite(best) else np.nan


def _smoothed(values: Floats, reach: int) -> Floats:
    """Running mean around a closed outline."""
    around = np.concatenate([values[-reach:], values, values[:reach]])
    return np.convolve(around, np.full(2 * reach + 1, 1 / (2 * reach + 1)), "valid")


def _notch(outline: Points, along: Floats) -> float:
    before, after = outline - np.roll(outline, 3, axis=0), np.roll(outline, -3, axis=0) - outline
    cross = before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0]
    turn = np.degrees(np.arctan2(cross, (before * after).sum(axis=1)))
    at_head = (along > 0.5) & (along < 1.02)
    return float(-turn[at_head].min()) if at_head.any() else np.nan
