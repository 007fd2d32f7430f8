"""Several submissions into one, run by run: no mask is ever decoded."""

import os
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from handbones.anatomy import BONES
from handbones.errors import UsageError, UserError
from handbones.inference.submission import Row, read_rows
from handbones.rle import Runs, format_runs, parse_runs

Vote = Literal["hard", "weighted", "per-bone"]
Weights = Mapping[str, Sequence[float]]
"""By label of a bone, the weight of each submission."""


def vote(paths: Sequence[str | os.PathLike[str]], weights: Weights, pixels: int) -> Iterator[Row]:
    """The rows of the submission in which a pixel is bone where more than half of all weight says so.

    The submissions are read side by side and must hold the same rows in the same order, for pictures of `pixels`.
    Raises `UserError` where they do not.
    """
    for rows in zip_longest(*(read_rows(path) for path in paths)):
        first = next(row for row in rows if row is not None)
        for path, row in zip(paths, rows, strict=True):
            if row is None:
                raise UserError(f"{path}: ends before {first.image_name}, {first.bone}, which another submission has")
            if row[:2] != first[:2]:
                raise UserError(
                    f"{path}: has {row.image_name}, {row.bone} where {paths[0]} has {first.image_name}, {first.bone}: "
                    "submissions must be of the same pictures in the same order"
                )
        if first.bone not in weights:
            raise UserError(f"{paths[0]}: {first.image_name}: unknown bone {first.bone!r}")
        runs = [_runs(path, row, pixels) for path, row in zip(paths, rows, strict=True)]
        yield Row(first.image_name, first.bone, format_runs(majority(runs, weights[first.bone])))


def majority(masks: Sequence[Runs], weights: Sequence[float]) -> Runs:
    """Runs of the pixels that masks with more than half of all weight cover."""
    starts = np.concatenate([runs[:, 0] for runs in masks])
    ends = np.concatenate([runs.sum(axis=1) for runs in masks])
    weight = np.repeat(weights, [len(runs) for runs in masks])
    at = np.concatenate([starts, ends])
    order = np.argsort(at, kind="stable")
    places, first = np.unique(at[order], return_index=True)
    if places.size == 0:
        return np.empty((0, 2), np.int64)
    changes = np.add.reduceat(np.concatenate([weight, -weight])[order], first)
    # Half exactly, but for rounding, is not more than half.
    inside = np.cumsum(changes) > np.sum(weights) / 2 * (1 + 1e-9)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], inside])))
    runs: Runs = places[edges].reshape(-1, 2)
    runs[:, 1] -= runs[:, 0]
    return runs


def weights_of(
    kind: str, count: int, numbers: Sequence[float] = (), scores: Sequence[Mapping[str, float]] = ()
) -> Weights:
    """Weights of `count` submissions for each bone: equal, the same numbers for all bones, or from Dice.

    `scores` holds the Dice of every bone of each submission's model; there a weight is how rarely that model errs,
    1 / (1 - Dice). Raises `UsageError` where something is missing.
    """
    for flag, given, needed in (("--weights", numbers, "weighted"), ("--scores", scores, "per-bone")):
        if given and kind in get_args(Vote) and kind != needed:
            raise UsageError(f"{flag}: counts with --vote {needed} alone")
    if kind == "hard":
        return {bone: [1.0] * count for bone in BONES}
    if kind == "weighted":
        if len(numbers) != count or min(numbers, default=0) <= 0:
            raise UsageError(f"--weights: needs a number above 0 for each of the {count} submissions")
        largest = max(numbers)  # without it, the sum of large ones would be infinite
        return {bone: [number / largest for number in numbers] for bone in BONES}
    if kind == "per-bone":
        if len(scores) != count:
            raise UsageError(f"--scores: needs the summary.json of handbones evaluate for each of the {count} models")
        return {bone: [1 / max(1 - one[bone], 1e-3) for one in scores] for bone in BONES}
    raise UsageError(f"--vote {kind}: must be hard, weighted or per-bone")


def _runs(path: str | os.PathLike[str], row: Row | None, pixels: int) -> npt.NDArray[np.int64]:
    assert row is not None
    try:
        runs = parse_runs(row.rle, pixels)
    except UserError as error:
        raise UserError(f"{Path(path)}: {row.image_name}, {row.bone}: {error}") from None
    if (runs[:-1].sum(axis=1) > runs[1:, 0]).any():
        raise UserError(f"{Path(path)}: {row.image_name}, {row.bone}: runs overlap or are not sorted")
    return runs
