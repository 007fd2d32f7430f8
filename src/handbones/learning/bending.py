"""The inverse of a bend, compiled with numba, which takes a moment to import: import this module where it is used."""

import numpy as np
import numpy.typing as npt
from numba import njit

Floats = npt.NDArray[np.float64]

_ROUNDS = 200
_TOLERANCE = 1e-6
"""Pixels."""


@njit(cache=True, nogil=True)
def _weights(t: float) -> tuple[float, float, float, float]:
    """Of the four neighbours in a uniform cubic B-spline, at the share `t` of the way between the middle two."""
    s = 1.0 - t
    return s**3 / 6, 2 / 3 - t * t + t**3 / 2, 2 / 3 - s * s + s**3 / 2, t**3 / 6


@njit(cache=True, nogil=True)
def _displacement(x: float, y: float, vectors: Floats, height: int, width: int) -> tuple[float, float]:
    rows, columns = vectors.shape[0] - 3, vectors.shape[1] - 3
    row = min(max((y + 0.5) / height, 0.0), 1.0) * rows
    column = min(max((x + 0.5) / width, 0.0), 1.0) * columns
    i, j = min(int(row), rows - 1), min(int(column), columns - 1)
    down, across = _weights(row - i), _weights(column - j)
    dx = dy = 0.0
    for a in range(4):
        for b in range(4):
            weight = down[a] * across[b]
            dx += weight * vectors[i + a, j + b, 0]
            dy += weight * vectors[i + a, j + b, 1]
    return dx, dy


@njit(cache=True, nogil=True)
def undo(points: Floats, vectors: Floats, height: int, width: int) -> Floats:
    """For each of the points (n, 2) the one that the spline of `vectors` over the canvas displaces onto it.

    By repetition, which closes in because neighbours are displaced nearly alike (`warp.STEEPEST`).
    """
    result = np.empty_like(points)
    for n in range(len(points)):
        x, y = points[n, 0], points[n, 1]
        for _ in range(_ROUNDS):
            dx, dy = _displacement(x, y, vectors, height, width)
            moved = abs(points[n, 0] - dx - x) + abs(points[n, 1] - dy - y)
            x, y = points[n, 0] - dx, points[n, 1] - dy
            if moved < _TOLERANCE:
                break
        result[n, 0], result[n, 1] = x, y
    return result
