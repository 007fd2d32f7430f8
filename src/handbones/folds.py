"""Splits of a collection for cross-validation that never put one person on both sides."""

import math
import warnings
from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from handbones.collection import Case, side_of, tilt_of
from handbones.errors import UsageError, UserError
from handbones.sides import is_bent

Stratify = Literal["none", "tilt", "side"]
Indices = npt.NDArray[np.int64]

_SEED = 21


def folds(
    cases: Sequence[Case],
    k: int,
    *,
    stratify: Stratify = "none",
    seed: int = _SEED,
    tilts: Sequence[float] | None = None,
) -> list[tuple[Indices, Indices]]:
    """`k` pairs of indices into `cases`: training and validation, each case validated once.

    `none` is scikit-learn's GroupKFold by person, as in the competition's starting code, without chance. `tilt` and
    `side` also spread bent wrists or left hands evenly, in an order drawn from `seed`, which is no training's: models
    of several seeds hold out the same people. `tilts`: of the wrists, in degrees, NaN where not known; read from the
    labels unless given. Raises `UserError` with fewer people than folds or too few cases of every kind.
    """
    from sklearn.model_selection import GroupKFold, StratifiedGroupKFold  # noqa: PLC0415 slow to import

    people = np.array([case.person for case in cases])
    if k < 2:
        raise UsageError(f"the number of folds must be at least 2, not {k}")
    if len(np.unique(people)) < k:
        raise UserError(
            f"{k} folds need at least {k} people, here are {len(np.unique(people))}: use fewer (data.folds)"
        )
    strata = np.array(_strata(cases, stratify, tilts))
    if stratify != "none" and np.unique(strata, return_counts=True)[1].max() < k:
        raise UserError(f"too few cases to spread them by {stratify} over {k} folds: use fewer (data.folds)")
    chance = StratifiedGroupKFold(k, shuffle=True, random_state=seed)
    splitter = GroupKFold(k) if stratify == "none" else chance
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)  # a rare kind need not be in each
        pairs = list(splitter.split(people, strata, people))
    for train, valid in pairs:
        refuse_shared_people([cases[i] for i in train], [cases[i] for i in valid])
    return pairs


def refuse_shared_people(train: Sequence[Case], valid: Sequence[Case]) -> None:
    """Raise `UserError` if a person is in both: the validation would flatter."""
    shared = sorted({case.person for case in train} & {case.person for case in valid})
    if shared:
        names = ", ".join(shared[:5]) + (f" and {len(shared) - 5} more" if len(shared) > 5 else "")
        raise UserError(f"training and validation share people ({names}): split by person")


def bent(cases: Sequence[Case]) -> npt.NDArray[np.bool_]:
    """(n,) whether each wrist counts as bent by its labels; one whose tilt is not known counts as straight."""
    return is_bent(_tilts_of(cases))


def _tilts_of(cases: Sequence[Case]) -> list[float]:
    tilts = (tilt_of(case) for case in cases)
    return [math.nan if tilt is None else tilt for tilt in tilts]


def _strata(cases: Sequence[Case], stratify: Stratify, tilts: Sequence[float] | None) -> list[str]:
    if stratify == "side":
        return [side_of(case) or "unknown" for case in cases]
    if stratify == "tilt":
        return [_bend(tilt) for tilt in (_tilts_of(cases) if tilts is None else tilts)]
    if stratify != "none":
        raise UsageError(f"folds can be stratified by none, tilt or side, not by {stratify!r}")
    return [""] * len(cases)


def _bend(tilt: float) -> str:
    if math.isnan(tilt):
        return "unknown"
    return "bent" if is_bent(tilt) else "straight"
