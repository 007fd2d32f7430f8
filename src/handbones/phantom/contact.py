"""Carpals, metacarpal bases and forearm keep touching and never pass through each other (numba).

Every wrist bone carries a coarse signed distance grid and some points of its surface. A pair that forms a joint is
moved, in a few sweeps, until its smallest distance is the thickness of its cartilage; any other pair is only kept
from overlapping.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numba import njit
from numpy.typing import NDArray

from handbones.anatomy import ANATOMY, INDEX
from handbones.phantom.skeleton import WRIST, skeleton

Floats = NDArray[np.float64]

SAMPLES = 100
SWEEPS = 7

# How freely a bone gives way: the forearm carries the hand, the capitate is the keystone, the pisiform hangs loose.
_GIVE = {"Radius": 0.0, "Ulna": 0.0, "Capitate": 0.5, "Pisiform": 3.0}


@dataclass(frozen=True)
class WristModel:
    points: Floats
    """(w, SAMPLES, 3) points on each wrist bone, in its unscaled frame of the hand, relative to its pivot."""
    field: NDArray[np.float32]
    """(w, a, b, c) distance grids, padded with large values."""
    origin: Floats
    shape: NDArray[np.int64]
    step: Floats
    pairs: NDArray[np.int64]
    """(p, 2) rows of wrist bones."""
    jointed: NDArray[np.bool_]
    give: Floats
    rows: NDArray[np.int64]
    """(w,) official index of each wrist bone."""


@cache
def wrist_model() -> WristModel:
    s = skeleton()
    rng = np.random.default_rng(0)
    contacts = [s.contacts[label] for label in WRIST]
    largest = np.max([c.field.shape for c in contacts], axis=0)
    field = np.full((len(WRIST), *largest), 9.0, np.float32)
    points = np.empty((len(WRIST), SAMPLES, 3))
    for i, (label, c) in enumerate(zip(WRIST, contacts, strict=True)):
        a, b, d = c.field.shape
        field[i, :a, :b, :d] = c.field
        local = s[label].vertices @ s[label].frame
        inside = ((local >= c.origin) & (local <= c.origin + c.step * (np.array(c.field.shape) - 1))).all(1)
        chosen = rng.choice(np.flatnonzero(inside), SAMPLES, replace=inside.sum() < SAMPLES)
        points[i] = local[chosen]
    pairs, jointed = [], []
    for i, a in enumerate(WRIST):
        for j in range(i):
            b = WRIST[j]
            near = b in ANATOMY[INDEX[a]].neighbours
            if near or np.linalg.norm(s[a].pivot - s[b].pivot) < 22:
                pairs.append((i, j))
                jointed.append(near)
    return WristModel(
        points,
        field,
        np.stack([c.origin for c in contacts]),
        np.array([c.field.shape for c in contacts]),
        np.array([c.step for c in contacts]),
        np.array(pairs),
        np.array(jointed),
        np.array([_GIVE.get(label, 1.0) for label in WRIST]),
        np.array([INDEX[label] for label in WRIST]),
    )


def settle(scale: Floats, turn: Floats, at: Floats, gap: Floats) -> Floats:
    """Where the wrist bones come to rest.

    scale (29, 3) in the hand's axes, turn (29, 3, 3), at (29, 3) in mm; gap (29,) thickness of cartilage that each
    bone brings to a joint, mm. Returns the new (29, 3).
    """
    w = wrist_model()
    moved = at.copy()
    _settle(
        w.points, w.field, w.origin, w.shape, w.step, w.pairs, w.jointed, w.give, w.rows,
        scale, turn, moved, gap, SWEEPS,
    )  # fmt: skip
    return moved


@njit(cache=True, nogil=True)
def _lookup(field, shape, origin, step, q):  # type: ignore[no-untyped-def]
    """Trilinear distance at q and its gradient; far outside the grid: a large distance."""
    u, v, w = (q[0] - origin[0]) / step, (q[1] - origin[1]) / step, (q[2] - origin[2]) / step
    if min(u, v, w) < 0.0 or u >= shape[0] - 1 or v >= shape[1] - 1 or w >= shape[2] - 1:
        return 9.0, 0.0, 0.0, 0.0
    a, b, c = int(u), int(v), int(w)
    u, v, w = u - a, v - b, w - c
    c00 = field[a, b, c] * (1 - u) + field[a + 1, b, c] * u
    c10 = field[a, b + 1, c] * (1 - u) + field[a + 1, b + 1, c] * u
    c01 = field[a, b, c + 1] * (1 - u) + field[a + 1, b, c + 1] * u
    c11 = field[a, b + 1, c + 1] * (1 - u) + field[a + 1, b + 1, c + 1] * u
    d = (c00 * (1 - v) + c10 * v) * (1 - w) + (c01 * (1 - v) + c11 * v) * w
    dx = (
        ((field[a + 1, b, c] - field[a, b, c]) * (1 - v) + (field[a + 1, b + 1, c] - field[a, b + 1, c]) * v) * (1 - w)
        + ((field[a + 1, b, c + 1] - field[a, b, c + 1]) * (1 - v)
           + (field[a + 1, b + 1, c + 1] - field[a, b + 1, c + 1]) * v) * w
    )  # fmt: skip
    dy = (c10 - c00) * (1 - w) + (c11 - c01) * w
    dz = (c01 * (1 - v) + c11 * v) - (c00 * (1 - v) + c10 * v)
    return d, dx / step, dy / step, dz / step


@njit(cache=True, nogil=True)
def _closest(points, field, shape, origin, step, s1, r1, t1, s2, r2, t2, normal):  # type: ignore[no-untyped-def]
    """Smallest distance of the points of bone 1 to bone 2; `normal` becomes the direction from 2 to 1 there."""
    best = 9.0
    mean2 = (s2[0] + s2[1] + s2[2]) / 3.0
    m, c, q = np.empty((3, 3)), np.empty(3), np.empty(3)
    for k in range(3):
        c[k] = (r2[0, k] * (t1[0] - t2[0]) + r2[1, k] * (t1[1] - t2[1]) + r2[2, k] * (t1[2] - t2[2])) / s2[k]
        for j in range(3):
            m[k, j] = (r2[0, k] * r1[0, j] + r2[1, k] * r1[1, j] + r2[2, k] * r1[2, j]) * s1[j] / s2[k]
    for n in range(points.shape[0]):
        x, y, z = points[n, 0], points[n, 1], points[n, 2]
        for k in range(3):
            q[k] = m[k, 0] * x + m[k, 1] * y + m[k, 2] * z + c[k]
        d, gx, gy, gz = _lookup(field, shape, origin, step, q)
        d *= mean2
        if d < best:
            best = d
            gx, gy, gz = gx / s2[0], gy / s2[1], gz / s2[2]
            size = np.sqrt(gx * gx + gy * gy + gz * gz) + 1e-9
            for k in range(3):
                normal[k] = (r2[k, 0] * gx + r2[k, 1] * gy + r2[k, 2] * gz) / size
    return best


@njit(cache=True, nogil=True)
def _settle(  # type: ignore[no-untyped-def]
    points, field, origin, shape, step, pairs, jointed, give, rows, scale, turn, at, gap, sweeps
):
    n1, n2, n = np.empty(3), np.empty(3), np.empty(3)
    for _ in range(sweeps):
        for p in range(pairs.shape[0]):
            i, j = pairs[p, 0], pairs[p, 1]
            total = give[i] + give[j]
            if total == 0.0:
                continue
            a, b = rows[i], rows[j]
            d1 = _closest(points[i], field[j], shape[j], origin[j], step[j],
                          scale[a], turn[a], at[a], scale[b], turn[b], at[b], n1)  # fmt: skip
            d2 = _closest(points[j], field[i], shape[i], origin[i], step[i],
                          scale[b], turn[b], at[b], scale[a], turn[a], at[a], n2)  # fmt: skip
            if d1 >= 9.0 and d2 >= 9.0:
                continue
            d = min(d1, d2)
            for k in range(3):
                n[k] = n1[k] if d1 <= d2 else -n2[k]
            wanted = (gap[a] + gap[b]) / 2.0 if jointed[p] else 0.3
            move = wanted - d
            if move < 0.0:
                # Pull gently, and only bones of one joint.
                move = 0.3 * move if jointed[p] else 0.0
            for k in range(3):
                at[a, k] += n[k] * move * give[i] / total
                at[b, k] -= n[k] * move * give[j] / total
