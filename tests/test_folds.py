"""Folds: each case validated once, no person on both sides, the same every time."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.model_selection import GroupKFold

from handbones.collection import Case
from handbones.errors import UsageError, UserError
from handbones.folds import folds, refuse_shared_people


def cases(people: list[int]) -> list[Case]:
    """A case for each number of a person, left and right in turn."""
    return [
        Case(Path(f"ID{p:03}/{i}.png"), None, f"ID{p:03}", "train", "left" if i % 2 else "right")
        for i, p in enumerate(people)
    ]


@given(st.lists(st.integers(0, 9), min_size=20, max_size=60), st.integers(2, 4), st.sampled_from(["none", "side"]))
def test_every_case_is_validated_once_apart_from_its_person(people: list[int], k: int, stratify: str) -> None:
    people += list(range(5))
    hands = cases(people)
    split = folds(hands, k, stratify=stratify, seed=3)  # type: ignore[arg-type]
    assert sorted(np.concatenate([valid for _, valid in split])) == list(range(len(hands)))
    for train, valid in split:
        assert not {hands[i].person for i in train} & {hands[i].person for i in valid}
    again = folds(hands, k, stratify=stratify, seed=3)  # type: ignore[arg-type]
    assert all(np.array_equal(a[1], b[1]) for a, b in zip(split, again, strict=True))


def test_plain_folds_are_the_starting_code_s() -> None:
    hands = cases([p for p in range(40) for _ in range(2)])
    theirs = GroupKFold(n_splits=5).split(hands, [0] * len(hands), [str(case.image.parent) for case in hands])
    for (train, valid), (their_train, their_valid) in zip(folds(hands, 5), theirs, strict=True):
        np.testing.assert_array_equal(train, their_train)
        np.testing.assert_array_equal(valid, their_valid)


def test_sides_are_spread_evenly() -> None:
    hands = cases(list(range(40)))
    for _, valid in folds(hands, 4, stratify="side", seed=1):
        assert sum(hands[i].side == "left" for i in valid) == 5


def test_tilts_that_are_known_are_spread_evenly() -> None:
    hands = cases(list(range(40)))  # no labels tell
    tilts = [30.0 if i % 5 == 0 else 0.0 for i in range(40)]
    for _, valid in folds(hands, 4, stratify="tilt", tilts=tilts):
        assert sum(tilts[i] > 20 for i in valid) == 2


@pytest.mark.parametrize(
    ("k", "stratify", "kind", "message"),
    [
        (1, "none", UsageError, "at least 2, not 1"),
        (4, "none", UserError, "4 folds need at least 4 people, here are 3"),
        (3, "side", UserError, "too few cases to spread them by side over 3 folds"),
        (3, "colour", UsageError, "none, tilt or side, not by 'colour'"),
    ],
)
def test_folds_that_cannot_be(k: int, stratify: str, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        folds(cases([1, 2, 3]), k, stratify=stratify)  # type: ignore[arg-type]


def test_a_person_on_both_sides_is_refused() -> None:
    with pytest.raises(UserError, match=r"share people \(ID002\)"):
        refuse_shared_people(cases([1, 2]), cases([2, 3]))
    refuse_shared_people(cases([1, 2]), cases([3]))
