"""Metadata as numbers for a network: each value on a fixed scale, and whether it is known at all."""

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from handbones.errors import UsageError
from handbones.metadata import Metadata

Input = Literal["age", "sex", "height", "weight", "side"]
"""What can be known of a hand before its picture is looked at."""
Target = Literal["age", "sex", "height", "weight", "side", "tilt"]

Values = npt.NDArray[np.float32]
"""(2 K,): K values, then for each 1 if it is known, else 0 and the value 0. All zeros: nothing is known."""

SCALES: dict[str, tuple[float, float, str]] = {
    "age": (45.0, 20.0, "years"),
    "height": (165.0, 10.0, "cm"),
    "weight": (65.0, 15.0, "kg"),
    "tilt": (20.0, 20.0, "degrees"),
}
"""What is subtracted, what divides after that, and the unit."""
CHOICES: dict[str, tuple[str, str]] = {"sex": ("F", "M"), "side": ("left", "right")}
"""What becomes -1 and what 1."""
_FARTHEST = 3.0
"""A height in metres, or a slip of the pen, shall not drown the picture."""


def encode(metadata: Metadata, names: Sequence[str]) -> Values:
    """The named fields as `Values`; see `SCALES` and `CHOICES`. Raises `UsageError` where a choice is none."""
    values = [_number(metadata, name) for name in names]
    known = [value is not None for value in values]
    return np.array([*(value or 0.0 for value in values), *known], np.float32)


def _number(metadata: Metadata, name: str) -> float | None:
    value = getattr(metadata, name)
    if value is None or (isinstance(value, float) and math.isnan(value)):  # as pandas says unknown
        return None
    if name in CHOICES:
        if value not in CHOICES[name]:
            raise UsageError(f"metadata: {name} {value!r}: must be {' or '.join(CHOICES[name])}")
        return 2.0 * CHOICES[name].index(value) - 1.0
    middle, scale, _ = SCALES[name]
    return float(np.clip((value - middle) / scale, -_FARTHEST, _FARTHEST))
