"""Inner loops compiled with numba, which takes a moment to import: import this module where it is used."""

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from numba import njit, types
from numba.extending import intrinsic

if TYPE_CHECKING:
    from handbones.inference.masks import Samples

Floats = npt.NDArray[np.float32]


def _build_fma(typing_context: Any, a: Any, b: Any, c: Any) -> Any:
    """a * b + c in float32 with one rounding, which Python's arithmetic has not."""
    signature = types.float32(types.float32, types.float32, types.float32)
    return signature, lambda context, builder, signature, arguments: builder.fma(*arguments)


_fma: Any = intrinsic(_build_fma)


@njit(cache=True, nogil=True)
def enlarge(plane: Floats, rows: "Samples", columns: "Samples") -> Floats:
    """Bilinear interpolation of a plane (h, w) at `rows` and `columns`, with the roundings of torch.

    Along x first, then along y; torch's compiler fuses the first product with the sum, so that only the second one is
    rounded by itself.
    """
    height, width = len(rows.first), len(columns.first)
    start = rows.first[0]
    wide = np.empty((rows.second[-1] + 1 - start, width), np.float32)
    for y in range(len(wide)):
        line = plane[start + y]
        for x in range(width):
            rest = line[columns.second[x]] * columns.second_weight[x]
            wide[y, x] = _fma(line[columns.first[x]], columns.first_weight[x], rest)
    result = np.empty((height, width), np.float32)
    for y in range(height):
        first, second = wide[rows.first[y] - start], wide[rows.second[y] - start]
        first_weight, second_weight = rows.first_weight[y], rows.second_weight[y]
        for x in range(width):
            result[y, x] = _fma(first[x], first_weight, second[x] * second_weight)
    return result
