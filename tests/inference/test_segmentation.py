"""A segmentation says the same in every form: crops, run lengths, dense, packed and polygons."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from handbones.anatomy import ANATOMY, BONES
from handbones.inference.masks import logits_to_rle
from handbones.inference.segmentation import NO_HAND, Segmentation
from handbones.labels import rescale
from handbones.metric import dice
from handbones.radiograph import Radiograph
from handbones.raster import unpack
from handbones.rle import rle_encode
from shapes import random_labels


@pytest.fixture(scope="module")
def segmentation() -> Segmentation:
    """All bones but the pisiform, from logits of +-4 at a quarter of 240 x 200."""
    masks = rescale(random_labels(2, 240, 200), (240, 200), (60, 50)).masks(60, 50)
    logits = masks.astype(np.float32) * 8 - 4
    logits[BONES.index("Pisiform")] = -4
    return Segmentation.from_logits(logits, 240, 200)


def test_missing_bones_are_missing_and_the_others_in_order(segmentation: Segmentation) -> None:
    assert list(segmentation.bones) == [label for label in BONES if label != "Pisiform"]
    assert segmentation.rle()[BONES.index("Pisiform")] == ""
    assert len(segmentation.rle()) == 29


def test_all_forms_agree(segmentation: Segmentation) -> None:
    masks = segmentation.masks()
    assert masks.shape == (29, 240, 200)
    assert masks.dtype == np.uint8
    assert segmentation.rle() == [rle_encode(mask) for mask in masks]
    np.testing.assert_array_equal(unpack(segmentation.packed()), masks)
    for label, segment in segmentation.bones.items():
        assert segment.area == masks[BONES.index(label)].sum()
        assert segment.bone is ANATOMY[BONES.index(label)]


def test_labels_are_in_pixels_of_the_picture_and_true_to_the_masks(segmentation: Segmentation) -> None:
    drawn = segmentation.labels().masks(240, 200)
    assert dice(drawn[None], segmentation.masks()[None]).min() > 0.98


def test_from_logits_is_the_engine_s_result() -> None:
    logits = np.random.default_rng(0).normal(size=(29, 20, 30)).astype(np.float32)
    assert Segmentation.from_logits(logits, 80, 90, 0.6).rle() == logits_to_rle(logits, 80, 90, 0.6)


def test_confidence_is_the_mean_probability_inside() -> None:
    logits = np.full((29, 16, 16), -6, np.float32)
    logits[0, 4:8, 4:8] = 2
    logits[1, 4:8, 4:8] = 0.1
    found = Segmentation.from_logits(logits, 64, 64).bones
    assert found["finger-1"].confidence == pytest.approx(1 / (1 + np.exp(-2)))
    assert found["finger-2"].confidence == pytest.approx(0.525, abs=0.001)


def test_nothing_found() -> None:
    empty = Segmentation.from_logits(np.full((29, 8, 8), -9, np.float32), 32, 24)
    assert empty.bones == {}
    assert empty.rle() == [""] * 29
    assert not empty.packed().any()
    assert empty.labels().bones == []


def test_what_holds_arrays_is_shown_in_a_line_and_compared_by_identity(segmentation: Segmentation) -> None:
    radiograph = Radiograph(np.zeros((4, 5), np.uint8), (0.1, 0.2), Path("a.png"))
    things = [segmentation, segmentation.bones["Lunate"], segmentation.labels(), radiograph]
    assert [repr(thing) for thing in things] == [
        "Segmentation(240 x 200, 28 of 29 bones)",
        f"BoneSegment(Lunate, {segmentation.bones['Lunate'].area} pixels, confidence 0.982)",
        "Labels(28 of 29 bones)",
        "Radiograph(4 x 5 uint8, 0.1 x 0.2 mm, a.png)",
    ]
    assert repr(Segmentation(4, 5, {}, NO_HAND)) == "Segmentation(4 x 5, 0 of 29 bones, no hand was found)"
    assert len(set(things)) == len(things)
    assert all(thing != replace(thing) for thing in things)
