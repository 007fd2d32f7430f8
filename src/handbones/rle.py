"""Run lengths of masks, as the competition writes them.

Pixels are counted in row-major order (left to right, then down) from 1; a mask is `start length` pairs separated by
single spaces, and an empty mask is the empty string.

The speed comes from looking at the mask through 64-bit words first: a bone covers a few percent of a radiograph, so
only its bounding box is ever compared pixel by pixel.
"""

import math

import numpy as np
import numpy.typing as npt

from handbones.errors import UserError

Runs = npt.NDArray[np.int64]
"""(n, 2): start (0-based, in the flattened mask) and length, ascending, neither touching nor overlapping."""


def rle_encode(mask: npt.ArrayLike) -> str:
    """Encode a mask of shape (height, width), any dtype, non-zero inside.

    Raises `UserError` if the mask has not two axes.
    """
    return format_runs(runs_of(mask))


def rle_decode(rle: str | float | None, shape: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """Decode to a mask of shape (height, width), uint8, 0 or 1.

    An empty string, None and NaN (what pandas makes of an empty field) are the empty mask. Raises `UserError` if the
    text is not pairs of whole numbers or a run lies outside the mask.
    """
    height, width = shape
    mask = np.zeros(height * width, np.uint8)
    for start, length in parse_runs(rle, height * width).tolist():
        mask[start : start + length] = 1
    return mask.reshape(height, width)


def runs_of(mask: npt.ArrayLike) -> Runs:
    """Runs of a mask of shape (height, width), any dtype, non-zero inside. Raises `UserError` for another shape."""
    array = np.asarray(mask)
    if array.ndim != 2:
        raise UserError(f"a mask has the shape (height, width), this one has {array.shape}: pass one bone at a time")
    top, bottom, left, right = bounds_of(array)
    return runs_of_crop(array[top:bottom, left:right], top, left, array.shape[1])


def runs_of_crop(crop: npt.NDArray[np.generic], top: int, left: int, width: int) -> Runs:
    """Runs, in a picture `width` wide, of a mask that is empty outside `crop`, whose first pixel is (top, left)."""
    rows, columns = crop.shape
    if rows == 0 or columns == 0:
        return np.empty((0, 2), np.int64)
    framed = np.zeros((rows, columns + 2), bool)
    np.not_equal(crop, 0, out=framed[:, 1:-1])
    edges = np.flatnonzero(framed[:, 1:] != framed[:, :-1])
    # Every row has an even number of edges: its runs start at the even ones and end before the odd ones.
    row, column = np.divmod(edges, columns + 1)
    flat = (row + top) * width + (column + left)
    starts, ends = flat[0::2], flat[1::2]
    if columns == width and starts.size:  # a run may go on from the end of a row to the start of the next
        apart = starts[1:] != ends[:-1]
        starts, ends = starts[np.r_[True, apart]], ends[np.r_[apart, True]]
    return np.stack([starts, ends - starts], axis=1)


def format_runs(runs: Runs) -> str:
    """Write runs as text, starts counted from 1."""
    return " ".join(map(str, (runs + np.array([1, 0])).ravel().tolist()))


def parse_runs(rle: str | float | None, pixels: int) -> Runs:
    """Read runs from text, as they stand there (a foreign file may have them unsorted or touching).

    `pixels` is the size of the mask that they must fit in. Raises `UserError` as `rle_decode` does.
    """
    if rle is None or (isinstance(rle, float) and math.isnan(rle)):
        return np.empty((0, 2), np.int64)
    if not isinstance(rle, str):
        raise UserError(f"RLE must be text, not {rle!r}")
    try:
        if not rle.isascii():  # full-width digits are numbers to Python, and to nobody else
            raise ValueError
        numbers = np.array(rle.split(), np.int64)
    except (ValueError, OverflowError):
        raise UserError(f"RLE must be whole numbers separated by spaces, not {_shortened(rle)!r}") from None
    if numbers.size % 2:
        raise UserError(f"RLE must be pairs of start and length, but has {numbers.size} numbers: {_shortened(rle)!r}")
    runs: Runs = numbers.reshape(-1, 2)
    wrong = (runs < 1).any(axis=1) | (runs[:, 0] > pixels) | (runs[:, 1] > pixels - runs[:, 0] + 1)
    if wrong.any():
        start, length = runs[wrong.argmax()]
        raise UserError(f"RLE run '{start} {length}' lies outside a mask of {pixels} pixels: wrong picture size?")
    runs[:, 0] -= 1
    return runs


def bounds_of(mask: npt.NDArray[np.generic]) -> tuple[int, int, int, int]:
    """Top, bottom, left, right (the ends exclusive) of the non-zero pixels of a mask; zeros if there are none."""
    pixels = np.ascontiguousarray(mask if mask.dtype.itemsize == 1 else mask != 0).view(np.uint8)
    words = pixels.view(np.uint64) if pixels.shape[1] % 8 == 0 and pixels.size else pixels
    rows = np.flatnonzero(np.bitwise_or.reduce(words, axis=1))
    if rows.size == 0:
        return 0, 0, 0, 0
    top, bottom = int(rows[0]), int(rows[-1]) + 1
    columns = np.flatnonzero(np.bitwise_or.reduce(words[top:bottom], axis=0).view(np.uint8))
    return top, bottom, int(columns[0]), int(columns[-1]) + 1


def _shortened(text: str) -> str:
    return text if len(text) <= 40 else text[:37] + "..."
