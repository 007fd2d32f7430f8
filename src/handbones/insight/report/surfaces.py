"""Distances between the borders of two masks: Hausdorff at the 95th percentile, and the average.

The border of a mask is its pixels with a neighbour (of four) outside. Directed distances go from each border pixel of
one mask to the nearest of the other (scipy's k-d tree). HD95 is the larger of the two 95th percentiles, as in MONAI and
in A. A. Taha and A. Hanbury, "Metrics for evaluating 3D medical image segmentation", BMC Medical Imaging 15:29 (2015);
the average symmetric surface distance is the mean of all directed distances of both ways.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def surface_distances(
    one: npt.NDArray[Any], two: npt.NDArray[Any], spacing: tuple[float, float] = (1.0, 1.0)
) -> tuple[float, float]:
    """HD95 and average distance of two masks (h, w), bool or 0 and not 0, in units of `spacing` (a row, a column).

    0 where both are empty, NaN where one is.
    """
    borders = [border(np.asarray(mask != 0)) * np.array(spacing) for mask in (one, two)]
    if not borders[0].size or not borders[1].size:
        return (0.0, 0.0) if borders[0].size == borders[1].size else (np.nan, np.nan)
    from scipy.spatial import cKDTree  # noqa: PLC0415 slow to load

    there = cKDTree(borders[1]).query(borders[0])[0]
    back = cKDTree(borders[0]).query(borders[1])[0]
    hd95 = max(float(np.percentile(there, 95)), float(np.percentile(back, 95)))
    return hd95, float((there.sum() + back.sum()) / (len(there) + len(back)))


def border(mask: npt.NDArray[np.bool_]) -> Floats:
    """(n, 2) rows and columns of the border pixels of a mask."""
    padded = np.pad(mask, 1)
    inner = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return np.argwhere(mask & ~inner).astype(np.float64)
