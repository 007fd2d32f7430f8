"""Outlines against the picture: whether they lie on the edge of the bone, and what is bright beside it.

Edges of bone are bright inside and dark outside. Everything is measured along the normals of the outlines.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from handbones.anatomy import BONES
from handbones.insight.beside import beside
from handbones.insight.normals import STEPS, normals_of
from handbones.labels import Labels
from handbones.raster import Packed, Points

Floats = npt.NDArray[np.float64]
Gray = npt.NDArray[np.uint8]

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
    band: Floats
    """(29,) of proximal and middle phalanges: how much brighter than the rest the tissue is where it is brightest on
    both sides at once, as a ring makes it; 0 is soft tissue, 1 is bone."""
    tip: Floats
    """(29,) of distal phalanges: brightness of the tissue around the tip over that beside the base, on that scale."""


def edges_of(pixels: Gray, labels: Labels, packed: Packed) -> Edges:
    """Compare outlines with a picture (height, width); `packed` are masks at any size, to keep off other bones."""
    lines = normals_of(pixels, labels)
    count = len(BONES)
    follow = np.full(count, np.nan)
    shift = np.full((count, 2), np.nan)
    if lines is None:
        return Edges(follow, shift, np.full(count, np.nan), np.full(count, np.nan))
    for row, bone in enumerate(lines.bones):
        there = lines.inside[row]
        if there.mean() > 0.3:
            follow[bone], shift[bone] = _best_shift(lines.profiles[row][there], lines.normals[row][there], lines.reach)
    return Edges(follow, shift, *beside(lines, packed, pixels.shape))


_RADII = np.linspace(0.1, 0.9, 9)
_ANGLES = np.arange(16) * np.pi / 8
_SHIFTS = np.concatenate(
    [np.zeros((1, 2)), (_RADII[:, None, None] * np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], -1)).reshape(-1, 2)]
)
"""Small shifts to try, in reaches; the first is none."""


def _best_shift(profiles: npt.NDArray[np.float32], normals: Points, reach: float) -> tuple[float, Floats]:
    """Strength of the edge under the outline over the best after a shift of the whole outline; that shift, pixels."""
    edge = profiles[:, :-_SPAN] - profiles[:, _SPAN:]
    first, step = STEPS[0] + _SPAN * (STEPS[1] - STEPS[0]) / 2, STEPS[1] - STEPS[0]
    place = np.clip((normals @ _SHIFTS.T - first) / step, 0, edge.shape[1] - 1.001)  # (points, shifts)
    below = place.astype(int)
    share = place - below
    row = np.arange(len(edge))[:, None]
    strength = (edge[row, below] * (1 - share) + edge[row, below + 1] * share).mean(axis=0)
    best = int(strength.argmax())
    return float(strength[0] / max(strength[best], _LEAST_EDGE)), reach * _SHIFTS[best]
