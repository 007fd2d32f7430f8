"""Labels that a model gives: how far it agrees with itself, what speaks against them, and a collection of the rest."""

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from handbones.anatomy import BONES
from handbones.collection import Case
from handbones.errors import UserError
from handbones.files import atomic_path, explain, make_folder, write_csv
from handbones.inference.segmentation import Segmentation
from handbones.inference.segmenter import Segmenter, read
from handbones.inference.writers import write_label_json
from handbones.labels import Labels
from handbones.metric import dice_from_counts, packed_counts
from handbones.raster import signed_area
from handbones.sides import side_from_labels, wrist_tilt

TABLE = "pseudo.csv"
_MOST_TILTED = 70
"""Degrees: no wrist bends further."""
_SPARE = 0.15
"""A second piece of a bone is strange from this share of the first one's area."""


@dataclass(frozen=True)
class Limits:
    """What a picture must reach, in each of its bones, for its labels to be kept."""

    agreement: float
    """Dice between what the model says of the picture and of its mirror image."""
    confidence: float
    """Mean probability of the bone's pixels."""


@dataclass(frozen=True)
class Judged:
    """A picture and whether its labels are kept."""

    case: Case
    reason: str
    """Why they are not; "" if they are."""
    confidence: float
    agreement: npt.NDArray[np.float64]
    """(29,)"""


@dataclass(frozen=True)
class Opinion:
    """What a model says of a picture, and how sure one may be of it."""

    case: Case
    segmentation: Segmentation
    agreement: npt.NDArray[np.float64]
    """(29,) Dice of each bone between the picture and its mirror image; 0 for one that is not found."""

    @property
    def confidence(self) -> float:
        """The lowest of all bones; 0 where one is missing."""
        bones = self.segmentation.bones
        return min((segment.confidence for segment in bones.values()), default=0.0) if len(bones) == len(BONES) else 0.0

    def judged(self, limits: Limits) -> Judged:
        """The same without its masks."""
        return Judged(self.case, self.objection(limits), self.confidence, self.agreement)

    def objection(self, limits: Limits) -> str:
        """Why these labels should not be learned from; "" where nothing speaks against them."""
        bones = self.segmentation.bones
        missing = [bone for bone in BONES if bone not in bones]
        if missing:
            return self.segmentation.reason or f"not found: {' '.join(missing)}"
        worst = int(self.agreement.argmin())
        if self.agreement[worst] < limits.agreement:
            return f"the mirror image disagrees: {BONES[worst]}"
        if self.confidence < limits.confidence:
            return f"unsure: {min(bones, key=lambda bone: bones[bone].confidence)}"
        return implausible(self.segmentation.labels(), self.case)


def implausible(labels: Labels, case: Case) -> str:
    """What cannot be true of a hand, whatever others are like; "" if nothing."""
    for label, polygons in labels.polygons.items():
        areas = sorted((abs(signed_area(polygon)) for polygon in polygons), reverse=True)
        if len(areas) > 1 and areas[1] > _SPARE * areas[0]:
            return f"in several pieces: {label}"
    side = side_from_labels(labels)
    if case.side is not None and side != case.side:
        return "the labels are of the other hand"
    tilt = wrist_tilt(labels, case.tall)
    if tilt is None or abs(tilt) > _MOST_TILTED:
        return "the wrist is bent further than any"
    return ""


def look(segmenter: Segmenter, case: Case) -> Opinion:
    """Segment a picture and its mirror image, which are compared without the flip. Raises `UserError`."""
    radiograph = read(case.image)
    mirror = replace(radiograph, pixels=np.ascontiguousarray(radiograph.to_uint8()[:, ::-1]))
    single = segmenter.unflipped()
    plain, mirrored = single.segment_many([(radiograph, case.known), (mirror, case.known.mirrored())])
    ours, theirs = plain.packed(), np.ascontiguousarray(mirrored.packed()[:, ::-1])
    counts = packed_counts(ours, theirs)
    agreement = np.where(counts[1] > 0, dice_from_counts(*counts), 0.0)
    best = plain if single is segmenter else segmenter.segment(radiograph, case.known)
    return Opinion(case, best, agreement)


def keep(out: Path, opinion: Opinion) -> Case:
    """Add a picture and its labels to the collection `out`; the picture as a hard link where that can be."""
    case = opinion.case
    image = out / "train" / "DCM" / case.person / case.name
    labels = out / "train" / "outputs_json" / case.person / f"{case.stem}.json"
    link(case.image, image)
    write_label_json(labels, opinion.segmentation, case.name)
    return Case(image, labels, case.person, "train", case.side, case.metadata)


def drop(case: Case) -> None:
    """Take a case out of its collection again."""
    for path in (case.image, case.labels):
        if path is not None:
            path.unlink(missing_ok=True)


def link(source: Path, target: Path) -> None:
    """Another name for a file, or a copy of it where the file system has no hard links. Raises `UserError`."""
    make_folder(target.parent)
    try:
        os.link(source.resolve(), target)
    except FileExistsError:
        raise UserError(f"{target}: is there already: choose another --out") from None
    except OSError:
        try:
            with atomic_path(target) as temporary:
                shutil.copyfile(source, temporary)
        except OSError as error:
            raise explain(error, source, "copy") from error


def write_table(path: Path, judged: Sequence[Judged]) -> None:
    """Write a row for each picture: whether it is kept or why not, confidence, agreement of each bone."""
    rows: list[tuple[object, ...]] = [("person", "image", "kept", "reason", "confidence", "agreement", *BONES)]
    for one in judged:
        numbers = [f"{value:.4f}" for value in (one.confidence, one.agreement.mean(), *one.agreement)]
        rows.append((one.case.person, one.case.name, int(not one.reason), one.reason, *numbers))
    write_csv(path, rows)
