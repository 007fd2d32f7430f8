"""Dice: the competition's formula, whatever holds the masks."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from handbones.errors import UserError
from handbones.metric import dice, dice_from_counts, packed_counts

pairs = st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(1, 9), st.integers(1, 9)).flatmap(
    lambda shape: st.tuples(*[arrays(np.uint8, shape, elements=st.integers(0, 1))] * 2)
)


def document_dice(true: npt.NDArray[np.uint8], pred: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """The formula of the competition's starting code."""
    t = true.reshape(*true.shape[:2], -1).astype(float)
    p = pred.reshape(*pred.shape[:2], -1).astype(float)
    return (2.0 * (t * p).sum(-1) + 1e-4) / (t.sum(-1) + p.sum(-1) + 1e-4)


@given(pairs)
def test_is_the_document_s_formula(pair: tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]) -> None:
    pred, truth = pair
    scores = dice(pred, truth)
    assert scores.shape == pred.shape[:2]
    assert scores.dtype == np.float64
    np.testing.assert_allclose(scores, document_dice(truth, pred), rtol=1e-12)
    np.testing.assert_array_equal(scores, dice(truth, pred))
    np.testing.assert_array_equal(dice(truth, truth), 1.0)


def test_both_empty_is_one_and_one_empty_is_nearly_nought() -> None:
    empty, full = np.zeros((1, 29, 8, 8)), np.ones((1, 29, 8, 8))
    np.testing.assert_array_equal(dice(empty, empty), np.ones((1, 29)))
    np.testing.assert_allclose(dice(empty, full), 1e-4 / (64 + 1e-4))


def test_counts_of_packed_masks_agree_with_dense_ones() -> None:
    rng = np.random.default_rng(1)
    pred, truth = rng.integers(0, 2, (2, 29, 13, 17), np.uint8)
    bits = np.arange(29, dtype=np.uint32)[:, None, None]
    packed = [np.bitwise_or.reduce(m.astype(np.uint32) << bits, axis=0) for m in (pred, truth)]
    np.testing.assert_allclose(dice_from_counts(*packed_counts(*packed)), dice(pred[None], truth[None])[0])


@pytest.mark.train
def test_takes_torch_tensors_and_agrees_with_torchmetrics() -> None:
    torch = pytest.importorskip("torch")
    segmentation = pytest.importorskip("torchmetrics.functional.segmentation")
    rng = np.random.default_rng(2)
    pred, truth = (torch.from_numpy(rng.integers(0, 2, (2, 29, 32, 32))) for _ in range(2))
    theirs = segmentation.dice_score(pred, truth, num_classes=29, average="none", input_format="one-hot")
    np.testing.assert_allclose(dice(pred, truth), theirs.numpy(), atol=1e-6)
    np.testing.assert_array_equal(dice(pred.float(), truth.bool()), dice(pred.numpy(), truth.numpy()))
    np.testing.assert_array_equal(dice(pred.int(), truth.int()), dice(pred, truth))
    with pytest.raises(UserError, match=r"\(2, 32, 32\) of 32 bits look packed"):
        dice(pred[:, 0].int(), truth[:, 0].int())


def test_shapes_that_differ_are_refused() -> None:
    with pytest.raises(UserError, match=r"\(1, 29, 4, 4\) and \(1, 29, 5, 4\)"):
        dice(np.zeros((1, 29, 4, 4)), np.zeros((1, 29, 5, 4)))
    with pytest.raises(UserError, match="packed masks of one size"):
        packed_counts(np.zeros((4, 4), np.uint32), np.zeros((5, 4), np.uint32))


def test_packed_masks_are_refused() -> None:
    words = np.ones((4, 5), np.uint32)
    for packed in (words, words.view(np.int32), words[None]):
        with pytest.raises(UserError, match=r"look packed: handbones\.raster\.unpack them first"):
            dice(packed, packed)
    with pytest.raises(UserError, match=r"\(4, 5\) of 32 bits"):
        dice(np.ones((29, 4, 5), np.uint8), words)
    assert dice(np.ones((29, 4, 5), np.int32), np.ones((29, 4, 5), np.int32)).shape == (29,)
