"""How good a bundle is on labelled radiographs: Dice by picture, bone and group, at the pictures' own size."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from handbones.anatomy import ANATOMY, BONES, GROUPS
from handbones.collection import Case, tilt_of
from handbones.errors import UserError
from handbones.files import write_csv, write_text
from handbones.inference.segmentation import Segmentation
from handbones.inference.segmenter import Segmenter
from handbones.labels import load_labels
from handbones.metric import dice_from_counts, packed_counts
from handbones.sides import is_bent

_FIRST_SEED = 2**49
_PHANTOM_SIZE = 512


@dataclass(frozen=True)
class Evaluation:
    """Dice of every picture and bone."""

    cases: Sequence[Case]
    dice: npt.NDArray[np.float64]
    """(pictures, 29)."""
    trained_on: int = 0
    """How many of the cases trained the model, which flatters it, as far as that is known."""
    left_out: int = 0
    """How many cases were not measured because they had."""

    @property
    def mean(self) -> float:
        """Mean over pictures, then over bones, as the competition scores."""
        return float(self.dice.mean(axis=0).mean())

    @property
    def by_bone(self) -> dict[str, float]:
        """Mean of each bone over the pictures."""
        return dict(zip(BONES, self.dice.mean(axis=0).tolist(), strict=True))

    @property
    def by_group(self) -> dict[str, float]:
        """Mean of fingers, carpals and forearm."""
        means = self.dice.mean(axis=0)
        return {group: float(means[[b.index for b in ANATOMY if b.group == group]].mean()) for group in GROUPS}

    @property
    def by_picture(self) -> dict[str, float]:
        """Mean of each picture over the bones, by its full name: `ID001/image1_R.png`."""
        return {case.full_name: float(row.mean()) for case, row in zip(self.cases, self.dice, strict=True)}

    @cached_property
    def tilt(self) -> npt.NDArray[np.float64]:
        """(pictures,) of the wrists, in degrees, by their labels; NaN where these do not tell."""
        tilts = [tilt_of(case) for case in self.cases]
        return np.array([np.nan if tilt is None else tilt for tilt in tilts], np.float64)

    @property
    def wrists(self) -> dict[str, npt.NDArray[np.bool_]]:
        """(pictures,) which of them are bent, and which straight; a kind that is not there is left out."""
        bent = is_bent(self.tilt)
        kinds = {"bent": bent, "straight": ~bent & ~np.isnan(self.tilt)}
        return {kind: own for kind, own in kinds.items() if own.any()}

    def summary(self) -> dict[str, Any]:
        """All means, rounded to a hundred-thousandth."""
        return {
            "mean_dice": round(self.mean, 5),
            "images": len(self.cases),
            "people": len({case.person for case in self.cases}),
            "trained_on": self.trained_on,
            "left_out": self.left_out,
            "groups": _rounded(self.by_group),
            "wrists": {
                kind: {"images": int(own.sum()), "mean_dice": round(float(self.dice[own].mean()), 5)}
                for kind, own in self.wrists.items()
            },
            "bones": _rounded(self.by_bone),
            "pictures": _rounded(self.by_picture),
        }

    def write(self, folder: Path) -> None:
        """Write dice.csv (person, image, bone, dice) and summary.json."""
        rows = [("person", "image", "bone", "dice")]
        for case, row in zip(self.cases, self.dice, strict=True):
            rows += [(case.person, case.name, bone, f"{value:.6f}") for bone, value in zip(BONES, row, strict=True)]
        write_csv(folder / "dice.csv", rows)
        write_text(folder / "summary.json", json.dumps(self.summary(), indent=2, ensure_ascii=False) + "\n")


def evaluate(
    segmenter: Segmenter,
    cases: Sequence[Case],
    *,
    seen: Callable[[Case, Segmentation, float], None] | None = None,
) -> Evaluation:
    """Segment labelled cases and compare; `seen` is told of each with its mean Dice. Raises `UserError`."""
    if not cases:
        raise UserError("nothing to evaluate on: none of the pictures has labels")
    rows = []
    for case, found in zip(cases, segmenter.segment_many(cases), strict=True):
        assert case.labels is not None
        truth = load_labels(case.labels).packed(found.height, found.width)
        rows.append(dice_from_counts(*packed_counts(found.packed(), truth)))
        if seen:
            seen(case, found, float(rows[-1].mean()))
    return Evaluation(cases, np.array(rows))


def dice_of_phantoms(segmenter: Segmenter, count: int, profile: str) -> npt.NDArray[np.float64]:
    """Dice (count, 29) of phantoms of seeds that no training run reaches, (512, 512) each."""
    from handbones.phantom.drawing import make  # noqa: PLC0415 slow to load

    rows = []
    for seed in range(_FIRST_SEED, _FIRST_SEED + count):
        radiograph, labels = make(seed, profile, _PHANTOM_SIZE)
        truth = labels.packed(_PHANTOM_SIZE, _PHANTOM_SIZE)
        rows.append(dice_from_counts(*packed_counts(segmenter.segment(radiograph).packed(), truth)))
    return np.array(rows)


def _rounded(values: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 5) for name, value in values.items()}
