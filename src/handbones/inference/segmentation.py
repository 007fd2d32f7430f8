"""What a model says of one radiograph: a cropped mask for each bone that it found. Full-size arrays only on demand."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from handbones.anatomy import ANATOMY, BONES, Bone
from handbones.errors import UsageError
from handbones.inference.masks import Logits, Mask, Plane, Thresholds, crop_masks, logit_cut, thresholds_of
from handbones.inference.view import Window
from handbones.labels import Labels
from handbones.raster import Packed, Points, outlines
from handbones.rle import format_runs, runs_of_crop

_TOLERANCE = 0.3
"""Pixels by which an outline may be simplified."""
NO_HAND = "no hand was found"


@dataclass(frozen=True, eq=False)
class BoneSegment:
    """One bone of a segmentation."""

    bone: Bone
    top: int
    left: int
    mask: Mask
    """(h, w) bool, the part of the picture that begins at (top, left); the bone is nowhere else."""
    confidence: float
    """Mean probability of the model's pixels that belong to the bone, 0 to 1."""

    def __repr__(self) -> str:
        return f"BoneSegment({self.bone.label}, {self.area} pixels, confidence {self.confidence:.3g})"

    @cached_property
    def area(self) -> int:
        """Pixels."""
        return int(np.count_nonzero(self.mask))

    @cached_property
    def outlines(self) -> list[Points]:
        """Polygons in pixels of the picture, largest first, simplified by less than a third of a pixel."""
        return [polygon + np.array([self.left, self.top]) for polygon in outlines(self.mask, _TOLERANCE)]


@dataclass(frozen=True, eq=False)
class Segmentation:
    """The bones found in a picture of `height` x `width` pixels, by label in the official order."""

    height: int
    width: int
    bones: dict[str, BoneSegment]
    reason: str = ""
    """Why no bone was found, where that is known."""
    parts: tuple["Segmentation", ...] = ()
    """Of several hands, what was found of each."""

    def __repr__(self) -> str:
        more = [f"{len(self.parts)} hands"] * bool(self.parts) + [self.reason] * bool(self.reason)
        found = f"{self.height} x {self.width}", f"{len(self.bones)} of {len(BONES)} bones"
        return f"Segmentation({', '.join([*found, *more])})"

    @classmethod
    def from_logits(
        cls,
        logits: Logits,
        height: int,
        width: int,
        threshold: Thresholds = 0.5,
        window: Window | None = None,
    ) -> "Segmentation":
        """From logits (29, h, w) float32 that cover a window of the picture, or all of it.

        Raises as `masks.logits_to_rle` does.
        """
        window = window or Window(0, 0, height, width)
        found = {}
        crops = crop_masks(logits, window.height, window.width, threshold)
        cuts = [logit_cut(value) for value in thresholds_of(threshold)]
        for bone, plane, cut, (top, left, mask) in zip(ANATOMY, logits, cuts, crops, strict=True):
            if mask.any():
                place = window.top + top, window.left + left
                found[bone.label] = BoneSegment(bone, *place, mask, _confidence(plane, cut))
        return cls(height, width, found)

    @property
    def found(self) -> bool:
        """Whether there is any bone."""
        return bool(self.bones)

    @property
    def hands(self) -> tuple["Segmentation", ...]:
        """One for each hand that was found."""
        return self.parts or ((self,) if self.found else ())

    def united(self, *others: "Segmentation") -> "Segmentation":
        """This and what others say of further parts of the same picture, bone by bone."""
        parts = [part for part in (self, *others) if part.found]
        if len(parts) < 2:
            return parts[0] if parts else self
        pieces = {label: [p.bones[label] for p in parts if label in p.bones] for label in BONES}
        bones = {label: _unite(of_bone) for label, of_bone in pieces.items() if of_bone}
        return Segmentation(self.height, self.width, bones, parts=tuple(parts))

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


def labels_of(bones: Labels | Segmentation) -> Labels:
    """The labels of a segmentation, or labels as they are. Raises `UsageError` for anything else."""
    if isinstance(bones, Segmentation):
        return bones.labels()
    if not isinstance(bones, Labels):
        raise UsageError(
            f"bones must be Labels or a Segmentation, not {type(bones).__name__}: load_labels reads a file"
        )
    return bones


def _unite(pieces: list[BoneSegment]) -> BoneSegment:
    """One segment of several of the same bone; its confidence is their mean, by area."""
    if len(pieces) == 1:
        return pieces[0]
    top, left = min(p.top for p in pieces), min(p.left for p in pieces)
    bottom, right = max(p.top + p.mask.shape[0] for p in pieces), max(p.left + p.mask.shape[1] for p in pieces)
    mask = np.zeros((bottom - top, right - left), bool)
    for piece in pieces:
        rows, columns = _window(piece)
        mask[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left] |= piece.mask
    confidence = np.average([p.confidence for p in pieces], weights=[p.area for p in pieces])
    return BoneSegment(pieces[0].bone, top, left, mask, float(confidence))


def _window(segment: BoneSegment) -> tuple[slice, slice]:
    height, width = segment.mask.shape
    return slice(segment.top, segment.top + height), slice(segment.left, segment.left + width)


def _confidence(plane: Plane, cut: np.float32) -> float:
    inside = plane[plane >= cut]
    if inside.size == 0:  # a mask that comes from rounding alone
        return float(1 / (1 + np.exp(-np.float64(cut))))
    return float(np.mean(1 / (1 + np.exp(-inside.astype(np.float64)))))
