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
_DISTANCES = np.arange(-24.0, 60.0, 2.0)
"""Along the normal, in pixels of a picture whose longest side has 2048; positive is outside."""
_INSIDE = (_DISTANCES >= -20) & (_DISTANCES <= -8)
_BESIDE = (_DISTANCES >= 4) & (_DISTANCES <= 10)
_SOFT = (_DISTANCES >= 20) & (_DISTANCES <= 40)
_FURTHER = (_DISTANCES >= 28) & (_DISTANCES <= 44)
_LEAST_CONTRAST = 8.0
"""Gray levels between bone and soft tissue."""


def sesamoid_evidence(pixels: Gray, labels: Labels, shapes: Shapes) -> tuple[float, float]:
    """What speaks for a sesamoid that is left out, and for one that is drawn.

    First: how bright the picture (height, width) is right outside a side of the head, all the way from the outline to
    10 pixels of 2048 from it, over the same beside the shaft; 0 for soft tissue and 1 for bone. A sesamoid that lies
    apart from the bone leaves a dark gap, and is not meant. Second: the sharpest notch of the outline there, in
    degrees, which the round sesamoid makes where it joins the bone. NaN where the bones for it are missing.
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
    at = (outline[:, None] + normals[:, None] * (_DISTANCES / 2048 * largest)[:, None]).astype(np.float32)
    profiles = cv2.remap(smooth, at[..., 0], at[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    middle = (along > 0.2) & (along < 0.95)
    bone = np.median(profiles[middle][:, _INSIDE]) if middle.any() else 0.0
    best = -np.inf
    for side in (1, -1):
        shaft = (lateral * side > 0.6) & (along > 0.3) & (along < 0.6)
        head = (lateral * side > 0.35) & (along > 0.6) & (along < 1.0)
        if not shaft.any() or not head.any():
            continue
        usual = np.median(profiles[shaft], axis=0)
        contrast = max(float(bone - np.median(profiles[shaft][:, _SOFT])), _LEAST_CONTRAST)
        over = (profiles - usual) / contrast
        # Bright right beside the bone, and dark again further out; three points in a row, so that no grain counts.
        excess = over[:, _BESIDE].min(axis=1) - np.maximum(over[:, _FURTHER].mean(axis=1), 0)
        stretch = np.minimum(np.minimum(excess, np.roll(excess, 1)), np.roll(excess, -1))
        best = max(best, float(stretch[head].max()))
    return best if np.isfinite(best) else np.nan


def _notch(outline: Points, along: Floats) -> float:
    before, after = outline - np.roll(outline, 3, axis=0), np.roll(outline, -3, axis=0) - outline
    cross = before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0]
    turn = np.degrees(np.arctan2(cross, (before * after).sum(axis=1)))
    at_head = (along > 0.5) & (along < 1.02)
    return float(-turn[at_head].min()) if at_head.any() else np.nan
