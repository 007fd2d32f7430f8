"""Gray values of a picture across the outlines of its bones, along their normals."""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from handbones.anatomy import INDEX
from handbones.labels import Labels
from handbones.raster import Points, resample, signed_area

Gray = npt.NDArray[np.uint8]

_POINTS = 96
_REACH = 0.014
"""How far from an outline is looked, as a share of the picture's longest side (28 pixels of 2048)."""
STEPS = np.linspace(-1.0, 1.0, 29)
"""Distances from the outline, in reaches; positive is outside."""


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
    """(n, 96, 29) gray at `STEPS`."""
    reach: float
    """Pixels."""


def normals_of(pixels: Gray, labels: Labels) -> Normals | None:
    """Across the largest polygon of each bone of a picture (height, width); None where there is none."""
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
    at = points[:, :, None] + normals[:, :, None] * (reach * STEPS)[:, None]
    flat = at.reshape(-1, len(STEPS), 2).astype(np.float32)
    profiles = cv2.remap(smooth, flat[..., 0], flat[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    border = 0.2 * reach
    inside = np.all((points > border) & (points < np.array([width, height]) - 1 - border), axis=-1)
    shape = *points.shape[:2], len(STEPS)
    return Normals(np.array(list(outlines)), points, normals, inside, profiles.reshape(shape).astype(np.float32), reach)


def _clockwise(polygon: Points) -> Points:
    return polygon if signed_area(polygon) >= 0 else polygon[::-1]
