"""Matrices (3, 3) that move homogeneous points (x, y, 1); pixel centres are at integers."""

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float64]
"""(3, 3)."""


def resizing(from_width: float, from_height: float, to_width: float, to_height: float) -> Matrix:
    """The map of a resize: borders onto borders."""
    x, y = to_width / from_width, to_height / from_height
    return np.array([[x, 0, 0.5 * x - 0.5], [0, y, 0.5 * y - 0.5], [0, 0, 1]])


def shift(x: float, y: float) -> Matrix:
    """A move by so many pixels."""
    return np.array([[1.0, 0, x], [0, 1.0, y], [0, 0, 1]])


def turn(degrees: float) -> Matrix:
    """A turn about the origin, clockwise; exact for quarters."""
    cosine, sine = np.round([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))], 12)
    return np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]])
