"""COCO's own reader understands what is written for it."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra.numpy import arrays

from handbones.inference.coco import CocoDocument, coco_counts
from handbones.inference.overlay import place_names
from handbones.inference.segmentation import Segmentation
from handbones.rle import runs_of
from shapes import random_labels

mask_utils = pytest.importorskip("pycocotools.mask")


@given(arrays(bool, (5, 7)))
def test_counts_are_coco_s(mask: np.ndarray) -> None:
    wanted = mask_utils.encode(np.asfortranarray(mask, np.uint8))["counts"].decode()
    assert coco_counts(runs_of(mask.T), mask.size) == wanted


def test_document_is_read_back_by_coco() -> None:
    packed = random_labels(2, 240, 200).packed(240, 200)
    planes = (packed[None] >> np.arange(29, dtype=np.uint32)[:, None, None]) & 1
    found = Segmentation.from_logits(planes.astype(np.float32) * 8 - 4, 240, 200)
    document = CocoDocument()
    document.add("a.png", found)
    document.add("empty.png", Segmentation(10, 20, {}))
    whole = json.loads(document.to_json())
    assert [image["file_name"] for image in whole["images"]] == ["a.png", "empty.png"]
    assert len(whole["categories"]) == 29 and len(whole["annotations"]) == 29
    masks = found.masks()
    for annotation in whole["annotations"]:
        rle = annotation["segmentation"]
        mask = masks[annotation["category_id"] - 1]
        np.testing.assert_array_equal(mask_utils.decode(rle), mask)
        assert annotation["area"] == mask_utils.area(rle) == mask.sum()
        np.testing.assert_array_equal(annotation["bbox"], mask_utils.toBbox(rle))
        assert annotation["image_id"] == 1


def test_hands_stay_apart() -> None:
    left, right = (np.full((29, 40, 90), -4, np.float32) for _ in range(2))
    left[0, 5:15, 5:15] = right[0, 5:15, 70:85] = right[3, 20:30, 70:80] = 4
    both = Segmentation.from_logits(left, 40, 90).united(Segmentation.from_logits(right, 40, 90))
    assert len(both.hands) == 2 and both.bones["finger-1"].area == 250
    document = CocoDocument()
    document.add("a.png", both)
    boxes = [(one["category_id"], one["bbox"]) for one in json.loads(document.to_json())["annotations"]]
    assert boxes == [(1, [5, 5, 10, 10]), (1, [70, 5, 15, 10]), (4, [70, 20, 10, 10])]
    names = place_names([hand.labels().polygons for hand in both.hands], 40, 90)
    assert [name.label for name in names] == ["finger-1", "finger-1", "finger-4"]
