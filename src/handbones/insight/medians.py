"""Medians of figures that are missing here and there."""

import warnings
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def nanmedian(values: npt.NDArray[Any], axis: int) -> Floats:
    """`np.nanmedian`, without its warning where there is nothing but NaN: a bone that nobody drew, an empty hand."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "All-NaN slice", RuntimeWarning)
        return np.asarray(np.nanmedian(values, axis=axis), np.float64)
