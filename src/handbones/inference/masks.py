"""From logits at the network's size to masks and run lengths at the radiograph's, bone by bone.

The result is that of bilinear interpolation (half-pixel centres), sigmoid and `> threshold` on the whole picture, as
the competition's starting code does it with torch. But only the surroundings of what is above the threshold are
enlarged, with torch's own sequence of roundings, and the comparison is made in logits: with the smallest number whose
float32 sigmoid is above the threshold.
"""

import math
import sys
from collections.abc import Sequence
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from handbones.anatomy import BONES
from handbones.errors import UsageError, UserError
from handbones.rle import bounds_of, format_runs, runs_of_crop

Logits = npt.NDArray[np.float32]
"""(29, h, w)."""
Plane = npt.NDArray[np.float32]
"""(h, w), the logits of one bone."""
Mask = npt.NDArray[np.bool_]
Crop = tuple[int, int, Mask]
"""Top, left and the mask of what is there; outside of it the bone's mask is empty."""
Thresholds = float | Sequence[float]
"""Probability above which a pixel belongs to a bone: one for all, or one for each of the 29."""

_ROUNDING = 4 * float(np.finfo(np.float32).eps)
"""Relative error of an interpolation in float32, generously."""
_SMALL = 128
"""Up to this sum of height and width torch interpolates by another method, several bones at a time."""


def logits_to_rle(logits: Logits, height: int, width: int, threshold: Thresholds = 0.5) -> list[str]:
    """RLE strings at (height, width) of the 29 bones from logits (29, h, w) float32.

    Equal, string for string, to torch's bilinear interpolation on the CPU, sigmoid, `> threshold` and row-major
    1-based encoding; where torch is not loaded, pixels whose logit is within 1e-5 of the threshold's may differ.
    Raises `UserError` for other shapes, `UsageError` for a threshold outside 0 to 1.
    """
    crops = crop_masks(logits, height, width, threshold)
    return [format_runs(runs_of_crop(mask, top, left, width)) for top, left, mask in crops]


def crop_masks(logits: Logits, height: int, width: int, threshold: Thresholds = 0.5) -> list[Crop]:
    """Masks at (height, width) of the 29 bones, each cut to its surroundings; see `logits_to_rle`."""
    logits = np.ascontiguousarray(logits, np.float32)
    if logits.ndim != 3 or len(logits) != len(BONES) or not logits.size:
        raise UserError(f"logits must have the shape ({len(BONES)}, height, width), not {logits.shape}")
    if height < 1 or width < 1:
        raise UserError(f"masks must have at least one pixel, not {height} x {width}")
    picture = _Enlargement(logits, height, width)
    return [picture.crop_mask(bone, logit_cut(value)) for bone, value in enumerate(thresholds_of(threshold))]


def thresholds_of(threshold: Thresholds) -> list[float]:
    """The threshold of every bone. Raises `UsageError` if they are not 1 or 29 numbers from 0 to 1."""
    try:
        values: list[float] = np.ravel(np.asarray(threshold, np.float64)).tolist()
    except (TypeError, ValueError):
        values = []
    if len(values) not in (1, len(BONES)) or not all(0 <= value <= 1 for value in values):
        raise UsageError(f"--threshold {threshold}: must be one number from 0 to 1, or {len(BONES)} of them")
    return values * (len(BONES) // len(values))


class Samples(NamedTuple):
    """The two input pixels between which each output pixel lies along one axis, and their weights, as in torch."""

    first: npt.NDArray[np.intp]
    second: npt.NDArray[np.intp]
    first_weight: npt.NDArray[np.float32]
    second_weight: npt.NDArray[np.float32]

    def made_from(self, start: int, end: int) -> slice:
        """The output pixels that depend on the input pixels from `start` to before `end`."""
        return slice(int(np.searchsorted(self.second, start)), int(np.searchsorted(self.first, end)))

    def part(self, span: slice) -> "Samples":
        return Samples(self.first[span], self.second[span], self.first_weight[span], self.second_weight[span])


@lru_cache(maxsize=16)
def _samples(size: int, target: int) -> Samples:
    one, half = np.float32(1), np.float32(0.5)
    position = (np.arange(target, dtype=np.float32) + half) * (np.float32(size) / np.float32(target)) - half
    position = np.maximum(position, np.float32(0))
    first = np.minimum(position.astype(np.intp), size - 1)
    weight = np.clip(position - first.astype(np.float32), np.float32(0), one)
    return Samples(first, np.minimum(first + 1, size - 1), one - weight, weight)


def logit_cut(threshold: float) -> np.float32:
    """The smallest float32 whose float32 sigmoid is above the threshold; NaN, which nothing reaches, if none is."""
    return _logit_cut(float(np.float32(threshold)), "torch" in sys.modules)


@lru_cache(maxsize=64)
def _logit_cut(threshold: float, with_torch: bool) -> np.float32:
    below, above = _number_of(np.float32(-200)), _number_of(np.float32(200))
    if not _sigmoid(_float_of(above), with_torch) > threshold:
        return np.float32(math.nan)
    while above - below > 1:
        middle = (above + below) // 2
        if _sigmoid(_float_of(middle), with_torch) > threshold:
            above = middle
        else:
            below = middle
    return _float_of(above)


def _number_of(value: np.float32) -> int:
    """The place of a float32 among all of them in ascending order, 0 for zero."""
    number = int(np.abs(value).view(np.int32))
    return number if value >= 0 else -number


def _float_of(number: int) -> np.float32:
    value = np.int32(abs(number)).view(np.float32)
    return value if number >= 0 else -value


def _sigmoid(value: np.float32, with_torch: bool) -> float:
    """In float32, with torch's exponential or else with a correctly rounded one, which it nearly is."""
    if with_torch:
        torch: Any = sys.modules["torch"]
        # As many as it computes at a time: a single number goes through another function.
        return float(torch.sigmoid(torch.full((64,), float(value)))[0])
    with np.errstate(over="ignore"):
        return float(np.float32(1) / (np.float32(1) + np.float32(np.exp(-np.float64(value)))))


class _Enlargement:
    """The logits of one picture on their way to its size."""

    def __init__(self, logits: Logits, height: int, width: int) -> None:
        self.logits = logits
        self.rows, self.columns = _samples(logits.shape[1], height), _samples(logits.shape[2], width)
        self.target = height, width

    def crop_mask(self, bone: int, cut: np.float32) -> Crop:
        from handbones.kernels import enlarge  # noqa: PLC0415 slow to import

        plane = self.logits[bone]
        # An interpolated value is never above all that it is made from, but for rounding.
        slack = np.float32(_ROUNDING * _largest(plane))
        top, bottom, left, right = bounds_of(plane >= cut - slack)
        if top == bottom:
            return 0, 0, np.zeros((0, 0), bool)
        box = self.rows.made_from(top, bottom), self.columns.made_from(left, right)
        values = enlarge(plane, self.rows.part(box[0]), self.columns.part(box[1]))
        if (
            "torch" in sys.modules
            and not _rounds_like_torch(self.logits.shape, self.target)
            and (np.abs(values - cut) <= slack).any()
        ):
            values = self.by_torch[bone][box]
        return box[0].start, box[1].start, values >= cut

    @cached_property
    def by_torch(self) -> Logits:
        """All of it (29, height, width), as only torch can round it: not bone by bone."""
        return _enlarged_by_torch(self.logits, self.target)


def _largest(plane: Plane) -> float:
    """The largest finite magnitude."""
    largest = max(float(plane.max()), -float(plane.min()))
    return largest if math.isfinite(largest) else float(np.abs(plane[np.isfinite(plane)]).max(initial=0))


@lru_cache(maxsize=64)
def _rounds_like_torch(shape: tuple[int, ...], target: tuple[int, int]) -> bool:
    """Whether `enlarge` gives torch's bits here, which depends on the processor, torch's build and the sizes."""
    from handbones.kernels import enlarge  # noqa: PLC0415 slow to import

    if sum(target) <= _SMALL:
        return False
    noise = np.random.default_rng(0).normal(size=(1, *shape[1:])).astype(np.float32)
    ours = enlarge(noise[0], _samples(shape[1], target[0]), _samples(shape[2], target[1]))
    return np.array_equal(ours, _enlarged_by_torch(noise, target)[0])


def _enlarged_by_torch(logits: Logits, target: tuple[int, int]) -> Logits:
    torch: Any = sys.modules["torch"]
    with torch.no_grad():
        enlarged = torch.nn.functional.interpolate(torch.from_numpy(logits)[None], size=target, mode="bilinear")
    planes: Logits = enlarged[0].numpy()
    return planes
