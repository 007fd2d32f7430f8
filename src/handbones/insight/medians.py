"""Medians of figures that are missing here and there, and spreads that a few odd ones do not widen."""

import warnings
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

SD_OF_MEDIAN = 1.4826
"""Standard deviations in a median distance from the middle, of a normal distribution: 1 over its quantile at 3/4."""


def nanmedian(values: npt.NDArray[Any], axis: int) -> Floats:
    """`np.nanmedian`, without its warning where there is nothing but NaN: a bone that nobody drew, an empty hand."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "All-NaN slice", RuntimeWarning)
        return np.asarray(np.nanmedian(values, axis=axis), np.float64)


def robust_sd(values: npt.NDArray[Any]) -> Floats:
    """Standard deviations of the columns of values (n, ...), by their medians; NaN for a column that is empty."""
    return np.asarray(SD_OF_MEDIAN * nanmedian(np.abs(values - nanmedian(values, axis=0)), axis=0), np.float64)
