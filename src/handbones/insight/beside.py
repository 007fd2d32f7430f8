"""What is bright in the soft tissue of a finger: a ring crosses both its sides, nails sit around its tip."""

import cv2
import numpy as np
import numpy.typing as npt

from handbones.anatomy import ANATOMY, BONES
from handbones.insight.normals import STEPS, Normals
from handbones.raster import Packed, Points

Floats = npt.NDArray[np.float64]

_NEAR = (STEPS > 0.25) & (STEPS < 0.75)
_DEEP = (STEPS > -0.75) & (STEPS < -0.25)
_LEAST_CONTRAST = 15.0
"""Gray levels between bone and soft tissue."""
_STATIONS = 8
_SEGMENTS = [bone.segment for bone in ANATOMY]


def beside(lines: Normals, packed: Packed, shape: tuple[int, ...]) -> tuple[Floats, Floats]:
    """`Edges.band` and `Edges.tip`; `packed` are small masks of a picture of the given shape, to keep off bones."""
    band, tip = np.full(len(BONES), np.nan), np.full(len(BONES), np.nan)
    middle = lines.points + 0.5 * lines.reach * lines.normals
    free = lines.inside & ~_covered(middle, packed, shape)
    outside = np.where(free, lines.profiles[..., _NEAR].mean(axis=-1), np.nan)
    if not free.any():
        return band, tip
    soft = float(np.nanmedian(outside))
    bone = float(np.median(np.median(lines.profiles[..., _DEEP].mean(axis=-1), axis=1)))
    scaled = (outside - soft) / max(bone - soft, _LEAST_CONTRAST)
    for row, index in enumerate(lines.bones):
        if _SEGMENTS[index] in ("proximal", "middle"):
            band[index] = _band(scaled[row], *_frame(lines.points[row], lines.normals[row]))
        elif _SEGMENTS[index] == "distal":
            tip[index] = _tip(scaled[row], *_frame(lines.points[row], lines.normals[row]))
    return band, tip


def _frame(points: Points, normals: Points) -> tuple[Floats, Floats]:
    """How far along the bone each point lies, 0 (lower end) to 1, and how far its normal points aside."""
    from_middle = points - points.mean(axis=0)
    axis = np.linalg.eigh(from_middle.T @ from_middle)[1][:, 1]
    axis = -axis if axis[1] > 0 else axis
    along = from_middle @ axis
    return (along - along.min()) / max(float(np.ptp(along)), 1e-9), normals @ np.array([-axis[1], axis[0]])


def _band(bright: Floats, along: Floats, aside: Floats) -> float:
    sides = []
    for side in (1, -1):
        stations = np.full(_STATIONS, np.nan)
        on_side = (aside * side > 0.5) & (along > 0.1) & (along < 0.9) & ~np.isnan(bright)
        place = np.minimum((along * _STATIONS).astype(int), _STATIONS - 1)
        for station in np.unique(place[on_side]):
            stations[station] = bright[on_side & (place == station)].max()
        if np.isnan(stations).all():
            return np.nan
        sides.append(stations - np.nanmedian(stations))
    both = np.minimum(*sides)
    return np.nan if np.isnan(both).all() else float(np.nanmax(both))


def _tip(bright: Floats, along: Floats, aside: Floats) -> float:
    there = ~np.isnan(bright)
    tip = there & (along > 0.6)
    base = there & (along > 0.05) & (along < 0.45) & (np.abs(aside) > 0.5)
    if tip.sum() < 4 or base.sum() < 4:
        return np.nan
    return float(np.median(bright[tip]) - np.median(bright[base]))


def _covered(points: Points, packed: Packed, shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    """Whether points of the picture lie on a bone, or within a pixel of the small masks from one."""
    grown = cv2.dilate((packed != 0).astype(np.uint8), np.ones((3, 3), np.uint8))
    ratio = np.array(packed.shape[::-1]) / np.array(shape[1::-1])
    at = np.rint((points + 0.5) * ratio - 0.5).astype(int)
    column, row = (np.clip(at[..., k], 0, packed.shape[1 - k] - 1) for k in (0, 1))
    return np.asarray(grown[row, column] != 0)
