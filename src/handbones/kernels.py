"""Inner loops compiled with numba, which takes a moment to import: import this module where it is used."""

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from numba import njit, types
from numba.extending import intrinsic

if TYPE_CHECKING:
    from handbones.inference.masks import Samples

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
Bits = npt.NDArray[np.uint16]
"""bfloat16 numbers, which numpy has not: the upper halves of float32."""


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


@njit(cache=True, nogil=True)
def _widen(bits: Bits, wide: npt.NDArray[np.uint32]) -> None:
    for i in range(len(bits)):
        wide[i] = np.uint32(bits[i]) << np.uint32(16)


@njit(cache=True, nogil=True, fastmath=True)
def depthwise_gradient(x: Bits, grad: Bits, stride: int, result: Floats) -> None:
    """Add to `result` (k, k, C) the gradient of a depthwise convolution's weights, k odd, padding k // 2.

    `x` is its input (N, H, W, C), `grad` the gradient of its output (N, h, w, C); both row by row in memory.
    """
    _, height, width, channels = x.shape
    taps = len(result)
    grad_bits, x_bits = np.empty(grad.shape[2] * channels, np.uint32), np.empty(width * channels, np.uint32)
    grad_row, x_row = grad_bits.view(np.float32), x_bits.view(np.float32)
    for n in range(len(grad)):
        for i in range(grad.shape[1]):
            _widen(grad[n, i].reshape(-1), grad_bits)
            for a in range(taps):
                y = i * stride + a - taps // 2
                if not 0 <= y < height:
                    continue
                _widen(x[n, y].reshape(-1), x_bits)
                for j in range(grad.shape[2]):
                    one = grad_row[j * channels : (j + 1) * channels]
                    for b in range(taps):
                        column = j * stride + b - taps // 2
                        if 0 <= column < width:
                            other = x_row[column * channels : (column + 1) * channels]
                            sums = result[a, b]
                            for c in range(channels):
                                sums[c] += one[c] * other[c]


@njit(cache=True, nogil=True)
def undo_filters(rows: Bytes, picture: Bytes) -> bool:
    """Fill a `picture` (H, W) from the filtered rows (H, 1 + 3 W) of an 8-bit RGB PNG whose channels are equal.

    False where they are not, or where there is no such filter. Filters are those of the PNG specification, section 9.
    """
    height, width = picture.shape
    above = np.zeros(width, np.uint8)
    for y in range(height):
        line, row = rows[y], picture[y]
        different = np.uint8(0)
        for x in range(width):
            row[x] = line[3 * x + 1]
            different |= (row[x] ^ line[3 * x + 2]) | (row[x] ^ line[3 * x + 3])
        if different or line[0] > 4:
            return False
        _undo_filter(line[0], row, above)
        above = row
    return True


@njit(cache=True, nogil=True)
def _undo_filter(kind: int, row: Bytes, above: Bytes) -> None:
    left = corner = 0
    if kind == 1:
        for x in range(len(row)):
            left = (row[x] + left) & 255
            row[x] = left
    elif kind == 2:
        for x in range(len(row)):
            row[x] += above[x]
    elif kind == 3:
        for x in range(len(row)):
            left = (row[x] + ((left + above[x]) >> 1)) & 255
            row[x] = left
    elif kind == 4:
        for x in range(len(row)):
            up = int(above[x])
            to_left, to_up, to_corner = abs(up - corner), abs(left - corner), abs(left + up - 2 * corner)
            nearest = up if to_up <= to_corner else corner
            nearest = left if to_left <= min(to_up, to_corner) else nearest
            left = (row[x] + nearest) & 255
            row[x] = left
            corner = up
