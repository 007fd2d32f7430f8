"""What a model says of one radiograph: a cropped mask for each bone that it found. Full-size arrays only on demand."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from handbones.anatomy import ANATOMY, BONES, Bone
from handbones.inference.masks import Logits, Mask, Plane, Thresholds, crop_masks, logit_cut, thresholds_of
from handbones.labels import Labels
from handbones.raster import Packed, Points, outlines
from handbones.rle import format_runs, runs_of_crop

_TOLERANCE = 0.3
"""Pixels by which an outline may be simplified."""


@dataclass(frozen=True)
class BoneSegment:
    """One bone of a segmentation."""

    bone: Bone
    top: int
    left: int
    mask: Mask
    """(h, w) bool, the part of the picture that begins at (top, left); the bone is nowhere else."""
    confidence: float
    """Mean probability of the model's pixels that belong to the bone, 0 to 1."""

    @cached_property
    def area(self) -> int:
        """Pixels."""
        return int(np.count_nonzero(self.mask))

    @cached_property
    def outlines(self) -> list[Points]:
        """Polygons in pixels of the picture, largest first, simplified by less than a third of a pixel."""
        return [polygon + np.array([self.left, self.top]) for polygon in outlines(self.mask, _TOLERANCE)]


@dataclass(frozen=True)
class Segmentation:
    """The bones found in a picture of `height` x `width` pixels, by label in the official order."""

    height: int
    width: int
    bones: dict[str, BoneSegment]

    @classmethod
    def from_logits(cls, logits: Logits, height: int, width: int, threshold: Thresholds = 0.5) -> "Segmentation":
        """From logits (29, h, w) float32 that cover the picture; raises as `masks.logits_to_rle` does."""
        found = {}
        crops = crop_masks(logits, height, width, threshold)
        cuts = [logit_cut(value) for value in thresholds_of(threshold)]
        for bone, plane, cut, (top, left, mask) in zip(ANATOMY, logits, cuts, crops, strict=True):
            if mask.any():
                found[bone.label] = BoneSegment(bone, top, left, mask, _confidence(plane, cut))
        return cls(height, width, found)

    def rle(self) -> list[str]:
        """Run lengths of the 29 bones, an empty string for one that was not found."""
        texts = dict.fromkeys(BONES, "")
        for label, segment in self.bones.items():
            texts[label] = format_runs(runs_of_crop(segment.mask, segment.top, segment.left, self.width))
        return list(texts.values())

    def masks(self) -> npt.NDArray[np.uint8]:
        """(29, height, width) uint8, 0 or 1."""
        masks = np.zeros((len(BONES), self.height, self.width), np.uint8)
        for segment in self.bones.values():
            masks[segment.bone.index][_window(segment)] = segment.mask
        return masks

    def packed(self) -> Packed:
        """(height, width) uint32, bit i for bone i."""
        words = np.zeros((self.height, self.width), np.uint32)
        for segment in self.bones.values():
            words[_window(segment)] |= segment.mask.astype(np.uint32) << np.uint32(segment.bone.index)
        return words

    def labels(self) -> Labels:
        """The outlines as labels, in pixels of the picture; holes are filled."""
        return Labels({label: segment.outlines for label, segment in self.bones.items()})


def _window(segment: BoneSegment) -> tuple[slice, slice]:
    height, width = segment.mask.shape
    return slice(segment.top, segment.top + height), slice(segment.left, segment.left + width)


def _confidence(plane: Plane, cut: np.float32) -> float:
    inside = plane[plane >= cut]
    if inside.size == 0:  # a mask that comes from rounding alone
        return float(1 / (1 + np.exp(-np.float64(cut))))
    return float(np.mean(1 / (1 + np.exp(-inside.astype(np.float64)))))
