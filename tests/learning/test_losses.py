"""Losses fall towards the truth, and soft targets are exact."""

import pytest

pytest.importorskip("torch")

from typing import Any

import numpy as np
import segmentation_models_pytorch.losses as smp
import torch
from scipy import ndimage

from handbones.anatomy import INDEX
from handbones.learning.losses import SegmentationLoss, coverage, last_bone
from handbones.learning.outlines import signed_distance, skeleton
from handbones.recipe.learning import LossSettings

pytestmark = pytest.mark.train

NAMES = sorted(LossSettings.model_fields.keys() - {"bones"})


def loss_of(name: str, **more: Any) -> SegmentationLoss:
    return SegmentationLoss(LossSettings(**{"bce": 0.0, name: 1.0, **more}))


def hands(seed: int, side: int = 16) -> torch.Tensor:
    """Packed masks (2, side, side): squares of all bones here and there, the last few bones nowhere."""
    rng = np.random.default_rng(seed)
    words = np.zeros((2, side, side), np.int32)
    for picture in words:
        for bone in range(26):
            y, x, size = rng.integers(2, side // 2, 3).tolist()
            picture[y : y + size, x : x + size] |= 1 << bone
    return torch.from_numpy(words)


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
    loss = loss_of(name, **{name: 2.0})
    masks = torch.zeros((2, 16, 16), dtype=torch.int32)
    masks[:, 4:12, 4:12] = 2**29 - 1
    truth = coverage(last_bone(masks) if name == "softmax" else masks, 2)
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


REFERENCES = {
    "bce": torch.nn.BCEWithLogitsLoss(),
    "focal": smp.FocalLoss("multilabel", gamma=2.0),
    "dice": smp.DiceLoss("multilabel"),
    "jaccard": smp.JaccardLoss("multilabel"),
    "tversky": smp.TverskyLoss("multilabel", alpha=0.3, beta=0.7),
}


@pytest.mark.parametrize("name", REFERENCES)
def test_agrees_with_the_library(name: str) -> None:
    logits, masks = torch.randn((2, 29, 8, 8)), hands(0)
    torch.testing.assert_close(loss_of(name)(logits, masks)[0], REFERENCES[name](logits, coverage(masks, 2)))


def test_lovasz_agrees_with_the_library_bone_by_bone() -> None:
    logits, masks = torch.randn((2, 29, 16, 16)), hands(0)
    apart = [tensor.reshape(-1, 1, 16, 16) for tensor in (logits, coverage(masks, 1))]
    torch.testing.assert_close(
        loss_of("lovasz")(logits, masks)[0], smp.LovaszLoss("multilabel", per_image=True)(*apart)
    )


def test_lovasz_counts_the_pixels_of_cells_that_a_bone_covers_in_part() -> None:
    masks = torch.ones((1, 8, 8), dtype=torch.int32)
    masks[:, 4:, ::2] = 0  # the lower cells are half covered
    logits, shares = torch.randn((1, 29, 4, 4)), coverage(masks, 2)
    whole = torch.nn.functional.interpolate(logits, scale_factor=2.0)
    assert shares[0, 0, 2:].eq(0.5).all()
    torch.testing.assert_close(loss_of("lovasz")(logits, masks)[0], loss_of("lovasz")(whole, masks)[0])


def test_focal_tversky_is_the_power_of_each_bones_tversky() -> None:
    logits, masks = torch.zeros((1, 29, 4, 4)), torch.ones((1, 4, 4), dtype=torch.int32)
    masks[:, :2] = 0  # finger-1 fills half, all is claimed with 1/2: 4 right, 4 invented, 4 missed
    one, others = (1 - 4 / (4 + 0.3 * 4 + 0.7 * 4)) ** 0.75, 1e-6**0.75
    assert loss_of("focal_tversky")(logits, masks)[0] == pytest.approx((one + 28 * others) / 29)


def test_softmax_is_the_cross_entropy_of_one_label_a_pixel() -> None:
    logits, masks = torch.randn((2, 29, 16, 16)), hands(0)
    label = torch.zeros_like(masks, dtype=torch.long)
    for bone in range(29):  # drawn one after the other into one map; 0 is the background
        label[(masks >> bone) & 1 == 1] = bone + 1
    with_background = torch.cat([torch.zeros((2, 1, 16, 16)), logits], 1)
    torch.testing.assert_close(
        loss_of("softmax")(logits, masks)[0], torch.nn.functional.cross_entropy(with_background, label)
    )


def test_distance_is_nearly_euclids() -> None:
    inside = ndimage.gaussian_filter(np.random.default_rng(0).random((40, 60)), 6) > 0.5
    exact = ndimage.distance_transform_edt(~inside) - ndimage.distance_transform_edt(inside)
    exact -= np.sign(exact) / 2
    ours = signed_distance(torch.from_numpy(np.stack([inside, ~inside])[None]))[0].numpy()
    assert np.array_equal(ours[0], -ours[1])
    assert np.abs(ours[0] - exact.clip(-14.5, 14.5)).max() < 1 + 15 / 9
    assert np.array_equal(ours[0] < 0, inside)


def test_boundary_is_what_is_wrong_times_its_distance() -> None:
    masks = torch.zeros((1, 1, 64), dtype=torch.int32)
    masks[..., :8] = 1  # the outline of finger-1 runs at 8
    logits = torch.full((1, 29, 1, 64), -30.0)
    logits[0, 0, 0, :10] = 30.0  # two cells too many, at distances 1/2 and 3/2
    assert loss_of("boundary")(logits, masks)[0] == pytest.approx((0.5 + 1.5) / 15 / 64 / 29)


def test_centre_line_of_a_bar_and_its_dice() -> None:
    bar = torch.zeros((1, 1, 11, 30))
    bar[..., 3:8, 4:26] = 1
    line = skeleton(bar, 5)
    assert line[0, 0, 5, 6:24].eq(1).all() and line[0, 0, 3:8, 10:20].sum() == 10
    masks = torch.zeros((1, 64, 64), dtype=torch.int32)
    masks[:, 20:31] = 1
    masks[:, 20:31, 30:34] = 0  # a fracture, of which the network knows nothing
    whole, loss = torch.full((1, 29, 64, 64), -30.0), loss_of("cldice")
    whole[0, 0, 20:31] = 30.0
    exact = 20 * (2 * coverage(masks, 1) - 1)
    assert loss(exact, masks)[0] == pytest.approx(0, abs=1e-5)
    assert 0.02 / 29 < loss(whole, masks)[0] < 0.06 / 29  # 4 of 64 cells of its line lie outside


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("word", [0, 2**29 - 1])
def test_gradient_is_finite_where_nothing_or_all_is_bone(name: str, word: int) -> None:
    masks = torch.full((1, 8, 8), word, dtype=torch.int32)
    for value in (-100.0, 0.0, 100.0):
        logits = torch.full((1, 29, 8, 8), value, requires_grad=True)
        total, _ = loss_of(name)(logits, masks)
        (gradient,) = torch.autograd.grad(total, logits)
        assert total.isfinite() and gradient.isfinite().all()


@pytest.mark.parametrize("name", NAMES)
def test_optimisation_finds_the_bones(name: str) -> None:
    more = {"bce": 1.0} if name in {"boundary", "cldice"} else {}
    loss, masks = loss_of(name, **more), hands(1)
    torch.manual_seed(0)
    logits = torch.randn((2, 29, 16, 16), requires_grad=True)
    optimiser = torch.optim.Adam([logits], lr=0.8)
    course = []
    for _ in range(40):
        total, _ = loss(logits, masks)
        optimiser.zero_grad()
        total.backward()
        optimiser.step()
        course.append(total.item())
    assert course[-1] < 0.2 * course[0]
    shown = coverage(last_bone(masks) if name == "softmax" else masks, 1)[:, :26].bool()
    assert ((logits[:, :26] > 0) & shown).sum() > 0.95 * shown.sum()


@pytest.mark.parametrize("name", NAMES)
def test_weights_of_bones(name: str) -> None:
    """A bone of weight 0 counts for nothing, and only ratios of the weights matter."""
    logits, masks = torch.randn((2, 29, 16, 16)), hands(0)
    other = logits.clone()
    other[:, INDEX["Lunate"]] += 1
    other.requires_grad_()
    (gradient,) = torch.autograd.grad(loss_of(name, bones={"Lunate": 0})(other, masks)[0], other)
    assert name == "softmax" or gradient[:, INDEX["Lunate"]].eq(0).all()
    even = loss_of(name)(logits, masks)[0]
    torch.testing.assert_close(
        loss_of(name, bones=dict.fromkeys(("fingers", "carpals", "forearm"), 3))(logits, masks)[0], even
    )
    assert loss_of(name, bones={"carpals": 3})(logits, masks)[0] != even


def test_coarser_maps_count_half_as_much_each() -> None:
    masks, loss = hands(0, 32), loss_of("bce", dice=0.5)
    maps = [torch.randn((2, 29, side, side)) for side in (16, 8, 4)]
    one, two, three = (loss(logits, masks)[0] for logits in maps)
    total, parts = loss(maps[0], masks, maps[1:])
    torch.testing.assert_close(total, (one + two / 2 + three / 4) / 1.75)
    torch.testing.assert_close(parts["bce"], loss(maps[0], masks)[1]["bce"])
