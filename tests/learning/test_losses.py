"""Losses fall towards the truth, and soft targets are exact."""

import pytest

pytest.importorskip("torch")

import numpy as np
import torch

from handbones.learning.losses import SegmentationLoss, coverage
from handbones.recipe import LossSettings

pytestmark = pytest.mark.train

NAMES = sorted(LossSettings.model_fields)


@pytest.mark.parametrize("stride", [1, 2, 4])
def test_coverage_is_the_share_of_every_bone(stride: int) -> None:
    words = np.random.default_rng(0).integers(0, 2**29, (2, 8, 12)).astype(np.int32)
    shares = coverage(torch.from_numpy(words), stride)
    dense = ((words[:, None] >> np.arange(29)[None, :, None, None]) & 1).astype(np.float32)
    expected = dense.reshape(2, 29, 8 // stride, stride, 12 // stride, stride).mean(axis=(3, 5))
    assert np.array_equal(shares.numpy(), expected)
    assert shares.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("name", NAMES)
def test_loss_falls_along_its_gradient_and_is_least_at_the_truth(name: str) -> None:
    loss = SegmentationLoss(LossSettings(**{"bce": 0, name: 2.0}))
    masks = torch.zeros((2, 16, 16), dtype=torch.int32)
    masks[:, 4:12, 4:12] = 2**29 - 1
    truth = coverage(masks, 2)
    torch.manual_seed(0)
    logits = torch.randn((2, 29, 8, 8), requires_grad=True)
    total, parts = loss(logits, masks)
    assert list(parts) == [name]
    torch.testing.assert_close(total, 2 * parts[name])
    (gradient,) = torch.autograd.grad(total, logits)
    assert loss(logits - 0.1 * gradient / gradient.norm(), masks)[0] < total
    assert loss(20 * (2 * truth - 1), masks)[0] < 0.1 * total


def test_parts_are_summed_with_their_weights() -> None:
    masks, logits = torch.ones((1, 4, 4), dtype=torch.int32), torch.zeros((1, 29, 4, 4))
    total, parts = SegmentationLoss(LossSettings(bce=8, dice=0.5))(logits, masks)
    torch.testing.assert_close(total, 8 * parts["bce"] + 0.5 * parts["dice"])
    assert parts["bce"] == pytest.approx(np.log(2))
