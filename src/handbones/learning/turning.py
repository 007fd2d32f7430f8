"""The turn of a hand about the wrist, point by point, compiled with numba: import this module where it is used."""

import math

import numpy as np
import numpy.typing as npt
from numba import njit

from handbones.learning.bending import Floats

_FOREARM, _HAND = math.radians(25), math.radians(45)
"""So far to either side of its axis the forearm is stiff, and so far the hand, whose fingers spread."""
_SOFT_ENDS = 0.2
"""Share of a ramp in which it bends up to its full slope, at each end."""
_MIDCARPAL, _RADIOCARPAL = (0.10, 0.55), (0.75, 1.25)
"""Where the two joints of the wrist give way: from and to, in units from the centre of the turn."""
_HALVINGS = 45


@njit(cache=True, nogil=True)
def _step(x: float) -> float:
    x = min(max(x, 0.0), 1.0)
    return x * x * (3.0 - 2.0 * x)


@njit(cache=True, nogil=True)
def _ramp(x: float) -> float:
    """From 0 at 0 to 1 at 1, straight but for its ends."""
    x = min(max(x, 0.0), 1.0)
    if x > 0.5:
        return 1.0 - _ramp(1.0 - x)
    slope = 1.0 / (1.0 - _SOFT_ENDS)
    return slope * x * x / (2.0 * _SOFT_ENDS) if x < _SOFT_ENDS else slope * (x - _SOFT_ENDS / 2.0)


@njit(cache=True, nogil=True)
def _share(angle: float, reach: float, tilt: float) -> float:
    """The part of the turn that a point takes which lies, after it, at an angle from the forearm's axis.

    `reach` is the distance from the centre, in units, `tilt` the angle that the hand then has.
    """
    # From the forearm to either side as far as the hand's axis, around which nothing changes.
    angle -= 2.0 * math.pi * math.floor((angle - tilt) / (2.0 * math.pi) + 0.5)
    end = math.pi - _HAND + (tilt if angle > 0 else -tilt)
    along = _ramp((abs(angle) - _FOREARM) / (end - _FOREARM))
    midcarpal = _step((reach - _MIDCARPAL[0]) / (_MIDCARPAL[1] - _MIDCARPAL[0]))
    radiocarpal = _step((reach - _RADIOCARPAL[0]) / (_RADIOCARPAL[1] - _RADIOCARPAL[0]))
    return 1.0 - (1.0 - along) * (midcarpal + radiocarpal) / 2.0


@njit(cache=True, nogil=True)
def turn(points: Floats, centre: Floats, axis: float, unit: float, by: float, tilt: float) -> Floats:
    """Where points (n, 2) lie after the turn; see `wrist.Turn` for the other arguments, angles in radians.

    A point keeps its distance from the centre, so its new angle is the one that `undo` leads back to the old: found by
    halving, as the old angle grows with the new one.
    """
    result = np.empty_like(points)
    for n in range(len(points)):
        x, y = points[n, 0] - centre[0], points[n, 1] - centre[1]
        distance, old = math.hypot(x, y), math.atan2(y, x) - axis
        low, high = min(old, old + by), max(old, old + by)
        for _ in range(_HALVINGS):
            middle = (low + high) / 2.0
            if middle - by * _share(middle, distance / unit, tilt) < old:
                low = middle
            else:
                high = middle
        new = axis + (low + high) / 2.0
        result[n, 0], result[n, 1] = centre[0] + distance * math.cos(new), centre[1] + distance * math.sin(new)
    return result


@njit(cache=True, nogil=True)
def undo(
    xs: npt.NDArray[np.float32],
    ys: npt.NDArray[np.float32],
    centre: Floats,
    axis: float,
    unit: float,
    by: float,
    tilt: float,
) -> None:
    """Overwrite places (rows, columns) with those that the turn brings there."""
    cos_axis, sin_axis = math.cos(axis), math.sin(axis)
    cos_hand, sin_hand = math.cos(axis + math.pi + tilt), math.sin(axis + math.pi + tilt)
    cos_by, sin_by = math.cos(by), math.sin(by)
    forearm_slope, hand_slope = math.tan(_FOREARM), math.tan(_HAND)
    far = (_RADIOCARPAL[1] * unit) ** 2
    for i in range(xs.shape[0]):
        for j in range(xs.shape[1]):
            x, y = xs[i, j] - centre[0], ys[i, j] - centre[1]
            along, across = x * cos_axis + y * sin_axis, y * cos_axis - x * sin_axis
            square = x * x + y * y
            # What is stiff is most of the picture, and needs no angles.
            if square > far and abs(across) < forearm_slope * along:
                continue
            if square > far and abs(y * cos_hand - x * sin_hand) < hand_slope * (x * cos_hand + y * sin_hand):
                cosine, sine = cos_by, sin_by
            else:
                back = by * _share(math.atan2(across, along), math.sqrt(square) / unit, tilt)
                cosine, sine = math.cos(back), math.sin(back)
            xs[i, j], ys[i, j] = centre[0] + x * cosine + y * sine, centre[1] + y * cosine - x * sine
