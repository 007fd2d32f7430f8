"""Labels against what a model says: best one that was not trained on these labels."""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from handbones.anatomy import BONES
from handbones.bundle import trained_on
from handbones.collection import Case
from handbones.errors import UserError
from handbones.inference.segmenter import Segmenter
from handbones.insight.audit.findings import Finding
from handbones.insight.medians import SD_OF_MEDIAN
from handbones.labels import load_labels
from handbones.metric import dice_from_counts, packed_counts

Floats = npt.NDArray[np.float64]

logger = logging.getLogger(__name__)

FAR = 8.0
"""Standard deviations of the log of 1 - Dice from what is usual for the bone."""
_LEAST_APART = 0.02
"""Of 1 - Dice: what a model finds that well is not told apart."""
_LEAST_SPREAD = 0.2


@dataclass(frozen=True)
class Judge:
    """A model and the cases that it was trained on."""

    segmenter: Segmenter
    trained_on: frozenset[str]
    """The `key` of each; empty where that is not known."""


def open_judge(path: Path, device: str = "auto", backend: str = "auto") -> Judge:
    """A bundle, and what the run around it says of its training. Raises `UserError`."""
    return Judge(Segmenter(path, device, backend), trained_on(path))


def agreement(cases: Sequence[Case], judges: Sequence[Judge], *, seen: Callable[[int], None] | None = None) -> Floats:
    """(n, 29) Dice of labels against the first model that did not learn from the case; NaN where there is none."""
    dice = np.full((len(cases), len(BONES)), np.nan)
    left = list(range(len(cases)))
    for judge in judges:
        own = [index for index in left if cases[index].key not in judge.trained_on]
        left = [index for index in left if index not in set(own)]
        found_in = judge.segmenter.segment_many(cases[index] for index in own)
        for index, found in zip(own, found_in, strict=True):
            path = cases[index].labels
            assert path is not None
            truth = load_labels(path).packed(found.height, found.width)
            dice[index] = dice_from_counts(*packed_counts(found.packed(), truth))
            if seen:
                seen(1)
    if len(left) == len(cases) and cases:
        raise UserError("the model was trained on every one of these cases: give --bundle the runs of other folds")
    if left:
        logger.warning("%d cases are not compared: every model was trained on them", len(left))
    return dice


def disagreements(cases: Sequence[Case], dice: Floats) -> Iterator[Finding]:
    """Bones whose label and prediction share much less than is usual for the bone; pictures that do so as a whole."""
    judged = np.flatnonzero(~np.isnan(dice).any(axis=1))
    if not judged.size:
        return
    usual = np.median(dice[judged], axis=0)
    apart = np.log(np.maximum(1 - dice[judged], _LEAST_APART)) - np.log(np.maximum(1 - usual, _LEAST_APART))
    score = apart / np.maximum(SD_OF_MEDIAN * np.median(np.abs(apart), axis=0), _LEAST_SPREAD) / FAR
    for hand, of_bones, shared in zip(judged.tolist(), score, dice[judged], strict=True):
        case, whole = cases[hand], float(np.median(of_bones))
        if 2 * whole > 1:  # half of the bones are off: a model that is lost says nothing of single ones
            reason = f"Model and labels share a mean Dice of {shared.mean():.2f}; usual is {usual.mean():.2f}."
            yield Finding(case, "disagreement", (), 2 * whole, reason)
            continue
        for bone in np.flatnonzero(of_bones > 1):
            reason = f"Model and label of {BONES[bone]} share a Dice of {shared[bone]:.2f}; usual is {usual[bone]:.2f}."
            yield Finding(case, "disagreement", (BONES[bone],), float(of_bones[bone]), reason)
