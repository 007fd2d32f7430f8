"""Segmentations as COCO annotations, whose run lengths go down the columns."""

import json
from typing import Any

import numpy as np

from handbones import __version__
from handbones.anatomy import ANATOMY
from handbones.inference.segmentation import BoneSegment, Segmentation
from handbones.rle import Runs, runs_of_crop

_BITS = 5
"""Bits of a number in each character of COCO's compressed counts."""


class CocoDocument:
    """A COCO document that grows picture by picture; categories are 1 to 29 in the official order."""

    def __init__(self) -> None:
        self._images: list[dict[str, Any]] = []
        self._annotations: list[dict[str, Any]] = []

    def add(self, image_name: str, segmentation: Segmentation) -> None:
        """Add a picture, by the name of its file, with an annotation for each bone of each hand."""
        size = {"height": segmentation.height, "width": segmentation.width}
        self._images.append({"id": len(self._images) + 1, "file_name": image_name, **size})
        for segment in (segment for hand in segmentation.hands for segment in hand.bones.values()):
            ids = {"id": len(self._annotations) + 1, "image_id": len(self._images)}
            self._annotations.append(ids | coco_annotation(segment, segmentation.height, segmentation.width))

    def to_json(self) -> str:
        """All of it as JSON."""
        categories = [{"id": bone.index + 1, "name": bone.label, "supercategory": bone.group} for bone in ANATOMY]
        info = {"description": f"bones of hand radiographs, found by handbones {__version__}"}
        whole = {
            "info": info,
            "licenses": [],
            "images": self._images,
            "annotations": self._annotations,
            "categories": categories,
        }
        return json.dumps(whole) + "\n"


def coco_annotation(segment: BoneSegment, height: int, width: int) -> dict[str, Any]:
    """What COCO wants of one bone in a picture: category, mask, area, box (left, top, width, height), score."""
    runs = runs_of_crop(segment.mask.T, segment.left, segment.top, height)
    rows, columns = (np.flatnonzero(segment.mask.any(axis=axis)) for axis in (1, 0))
    left, top = int(columns[0]), int(rows[0])
    return {
        "category_id": segment.bone.index + 1,
        "segmentation": {"size": [height, width], "counts": coco_counts(runs, height * width)},
        "area": segment.area,
        "bbox": [left + segment.left, top + segment.top, int(columns[-1]) - left + 1, int(rows[-1]) - top + 1],
        "iscrowd": 0,
        "score": round(segment.confidence, 4),
    }


def coco_counts(runs: Runs, pixels: int) -> str:
    """COCO's compressed counts: lengths of the gaps and runs in turn, as differences, five bits a character."""
    edges = np.concatenate([[0], np.stack([runs[:, 0], runs.sum(axis=1)], axis=1).ravel(), [pixels]])
    counts = np.diff(edges)
    if len(counts) > 1 and counts[-1] == 0:  # the mask goes on to the last pixel
        counts = counts[:-1]
    counts[3:] -= counts[1:-2].copy()
    return "".join(map(_written, counts.tolist()))


def _written(number: int) -> str:
    text = ""
    while True:
        low = number & (2**_BITS - 1)
        number >>= _BITS
        # Its highest bit is the sign, so it ends where all that is left is that sign.
        if number == (-1 if low & 2 ** (_BITS - 1) else 0):
            return text + chr(low + 48)
        text += chr((low | 2**_BITS) + 48)
