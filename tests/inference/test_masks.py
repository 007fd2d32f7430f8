"""From logits to RLE: string for string what the competition's starting code writes, at any size and threshold."""

import sys

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handbones.anatomy import BONES
from handbones.errors import UsageError, UserError
from handbones.inference.masks import Logits, crop_masks, logit_cut, logits_to_rle
from handbones.rle import rle_decode, rle_encode

THRESHOLDS = st.one_of(st.sampled_from([0.0, 1e-7, 0.3, 0.5, 0.7, 0.999, 0.9999999, 1.0]), st.floats(0.001, 0.999))


def smooth_logits(seed: int, height: int, width: int) -> Logits:
    """Random blobs for each bone, some of which touch the border."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(len(BONES), height, width)).astype(np.float32)
    blurred = [cv2.GaussianBlur(plane, (0, 0), rng.uniform(0.4, 4)) * rng.choice([1, 8, 100]) for plane in noise]
    return np.stack(blurred).astype(np.float32)


def document_probabilities(logits: Logits, height: int, width: int) -> npt.NDArray[np.float32]:
    torch = pytest.importorskip("torch")
    functional = pytest.importorskip("torch.nn.functional")
    outputs = functional.interpolate(torch.from_numpy(logits[None]), size=(height, width), mode="bilinear")
    probabilities: npt.NDArray[np.float32] = torch.sigmoid(outputs)[0].numpy()
    return probabilities


def document_rle(logits: Logits, height: int, width: int, threshold: float) -> list[str]:
    """The starting code's way: everything at full size, in torch."""
    return [rle_encode(p > np.float32(threshold)) for p in document_probabilities(logits, height, width)]


@pytest.mark.train
@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 10_000),
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.tuples(st.integers(1, 150), st.integers(1, 150)),
    THRESHOLDS,
)
def test_equals_torch_at_any_size_and_threshold(
    seed: int, size: tuple[int, int], target: tuple[int, int], threshold: float
) -> None:
    logits = smooth_logits(seed, *size)
    assert logits_to_rle(logits, *target, threshold) == document_rle(logits, *target, threshold)


@pytest.mark.train
@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([(160, 128), (192, 96), (32, 24)]), st.floats(0.05, 0.95))
def test_equals_torch_where_most_logits_are_within_rounding_of_the_threshold(
    seed: int, target: tuple[int, int], threshold: float
) -> None:
    # Sizes that torch cuts into whole vectors: it computes a rest by a function whose last bit may differ.
    rng = np.random.default_rng(seed)
    steps = np.round(smooth_logits(seed, 33, 29))
    near = (logit_cut(threshold) + steps * rng.choice([0, 1e-8, 1e-6, 1])).astype(np.float32)
    assert logits_to_rle(near, *target, threshold) == document_rle(near, *target, threshold)


@pytest.mark.train
@pytest.mark.parametrize("target", [(2048, 2048), (1883, 1256), (700, 300)])
def test_equals_torch_on_hard_planes(target: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    logits = smooth_logits(1, 512, 512)
    logits[0] = -5  # empty
    logits[1] = 5  # fills the picture
    logits[2] = 0  # exactly at the threshold
    logits[3] = logit_cut(0.5)  # just above it
    logits[4, :3] = logits[4, :, -3:] = 9  # along two borders
    logits[5] = rng.normal(scale=1e-7, size=(512, 512))
    logits[6] = np.round(logits[6])
    logits[7, 0, 0], logits[7, -1, -1], logits[7, 9, 9] = np.nan, np.inf, -np.inf
    logits[8] = -1
    logits[8, 511, 511] = 30  # a single corner
    logits[9] = 1e30 * np.sign(logits[9])
    assert logits_to_rle(logits, *target) == document_rle(logits, *target, 0.5)


@pytest.mark.train
def test_without_torch_only_values_at_the_threshold_may_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    logits = smooth_logits(3, 60, 70)
    logits[::2] = np.round(logits[::2])
    sizes = [(240, 280), (333, 222), (30, 35)]
    near = [np.abs(document_probabilities(logits, *size) - 0.5) < 1e-5 / 4 for size in sizes]
    theirs = [document_rle(logits, *size, 0.5) for size in sizes]
    monkeypatch.delitem(sys.modules, "torch")
    for size, close, expected in zip(sizes, near, theirs, strict=True):
        ours = logits_to_rle(logits, *size)
        for bone in range(len(BONES)):
            differs = rle_decode(ours[bone], size) != rle_decode(expected[bone], size)
            assert not (differs & ~close[bone]).any()


def test_crops_hold_the_whole_mask_and_little_more() -> None:
    logits = np.full((29, 64, 64), -4, np.float32)
    logits[4, 20:30, 40:44] = 4
    crops = crop_masks(logits, 256, 256)
    top, left, mask = crops[4]
    assert 72 <= top <= 80
    assert 152 <= left <= 160
    assert mask.shape[0] < 60
    assert mask.shape[1] < 36
    assert mask.sum() == pytest.approx(40 * 16, rel=0.15)
    assert all(crop[2].size == 0 for bone, crop in enumerate(crops) if bone != 4)


def test_a_threshold_for_each_bone() -> None:
    logits = smooth_logits(5, 32, 32)
    each = np.linspace(0.1, 0.9, 29).tolist()
    expected = [logits_to_rle(logits, 64, 96, value)[bone] for bone, value in enumerate(each)]
    assert logits_to_rle(logits, 64, 96, each) == expected


@pytest.mark.parametrize("threshold", [-0.1, 1.5, float("nan"), [0.5, 0.5]])
def test_a_threshold_that_cannot_be(threshold: float | list[float]) -> None:
    with pytest.raises(UsageError, match=r"--threshold .*: must be one number from 0 to 1, or 29 of them"):
        logits_to_rle(np.zeros((29, 4, 4), np.float32), 8, 8, threshold)


def test_logits_of_another_shape() -> None:
    with pytest.raises(UserError, match=r"shape \(29, height, width\), not \(1, 29, 4, 4\)"):
        logits_to_rle(np.zeros((1, 29, 4, 4), np.float32), 8, 8)
    with pytest.raises(UserError, match="at least one pixel, not 0 x 8"):
        logits_to_rle(np.zeros((29, 4, 4), np.float32), 0, 8)
