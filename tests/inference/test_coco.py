"""COCO's own reader understands what is written for it."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra.numpy import arrays

from handbones.inference.coco import CocoDocument, coco_counts
from handbones.inference.segmentation import Segmentation
from handbones.rle import runs_of
from shapes import random_labels

mask_utils = pytest.importorskip("pycocotools.mask")


@given(arrays(bool, (5, 7)))
def test_counts_are_coco_s(mask: np.ndarray) -> None:
    wanted = mask_utils.encode(np.asfortranarray(mask, np.uint8))["counts"].decode()
    assert coco_counts(runs_of(mask.T), mask.size) == wanted


def test_document_is_read_back_by_coco() -> None:
    packed = random_labels(2, 240, 200).masks(240, 200)
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
