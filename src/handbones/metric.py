"""The Dice coefficient exactly as the competition defines it: per image and bone, 1 where both masks are empty."""

from typing import Any

import numpy as np
import numpy.typing as npt

from handbones.anatomy import BONES
from handbones.errors import UserError

EPS = 1e-4
"""Added to numerator and denominator."""

Counts = npt.NDArray[np.int64]


def dice(pred: Any, truth: Any) -> npt.NDArray[np.float64]:
    """Dice of masks of shape (N, 29, height, width); returns (N, 29) float64.

    Any dtype, non-zero inside; numpy arrays or torch tensors on any device. Any other axes before height and width
    work alike, but 32-bit integers without an axis of 29 are taken for packed masks. Raises `UserError` for those, and
    if the shapes differ.
    """
    pred, truth = _as_array(pred), _as_array(truth)
    if pred.shape != truth.shape or pred.ndim < 2:
        raise UserError(
            f"Dice needs two stacks of masks of one shape (N, 29, H, W), got {pred.shape} and {truth.shape}"
        )
    lead = pred.shape[:-2]
    pred, truth = pred.reshape(-1, *pred.shape[-2:]), truth.reshape(-1, *truth.shape[-2:])
    counts = np.empty((3, len(pred)), np.int64)
    for i, (p, t) in enumerate(zip(pred, truth, strict=True)):
        p_inside, t_inside = p != 0, t != 0
        counts[:, i] = [np.count_nonzero(mask) for mask in (p_inside & t_inside, p_inside, t_inside)]
    return dice_from_counts(*counts).reshape(lead)


def dice_from_counts(
    intersection: npt.ArrayLike, pred: npt.ArrayLike, truth: npt.ArrayLike, eps: float = EPS
) -> npt.NDArray[np.float64]:
    """(2 I + eps) / (P + T + eps), element by element, float64, from counts of pixels."""
    intersection, pred, truth = (np.asarray(counts, np.float64) for counts in (intersection, pred, truth))
    return np.asarray((2 * intersection + eps) / (pred + truth + eps))


def packed_counts(pred: npt.NDArray[np.uint32], truth: npt.NDArray[np.uint32]) -> tuple[Counts, Counts, Counts]:
    """Pixels in both, in `pred` and in `truth`, each (29,) int64, of two packed masks (height, width) uint32."""
    if pred.shape != truth.shape:
        raise UserError(f"Dice needs two packed masks of one size, not {pred.shape} and {truth.shape}")
    return areas(pred & truth), areas(pred), areas(truth)


def areas(packed: npt.NDArray[np.uint32]) -> Counts:
    """(29,) int64 pixels of each bone in packed masks of any shape, uint32."""
    words = packed[packed != 0]
    return np.array([np.count_nonzero(words & np.uint32(1 << bit)) for bit in range(len(BONES))], np.int64)


def _as_array(masks: Any) -> npt.NDArray[Any]:
    """Refuses packed masks, whose Dice would be that of all bones at once."""
    shape = getattr(masks, "shape", ())
    if str(getattr(masks, "dtype", "")).endswith("int32") and shape[-3:-2] != (len(BONES),):
        raise UserError(
            f"Dice needs masks (N, 29, H, W), and {tuple(shape)} of 32 bits look packed: handbones.raster.unpack them "
            "first, or give uint8"
        )
    if hasattr(masks, "detach"):  # a torch tensor, told without importing torch
        masks = (masks.detach() != 0).cpu().numpy()
    return np.asarray(masks)
