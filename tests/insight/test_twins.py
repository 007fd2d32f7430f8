"""Copies among many pictures, of which few are in memory at a time."""

from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from handbones.insight.audit import twins as module
from handbones.insight.audit.twins import copies


def test_copies_are_the_same_however_few_are_looked_at_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    pictures = [cv2.GaussianBlur(rng.integers(0, 256, (256, 200), np.uint8), (0, 0), 3) for _ in range(9)]
    pictures = [cv2.normalize(picture, None, 0, 255, cv2.NORM_MINMAX) for picture in pictures]
    pictures += [pictures[2], pictures[5][:, ::-1].copy(), pictures[2]]
    survey = survey_of(pictures)
    whole = copies(survey)
    assert [(one, two, mirrored) for one, two, _, mirrored in whole] == [
        (2, 9, False),
        (2, 11, False),
        (9, 11, False),
        (5, 10, True),
    ]
    monkeypatch.setattr(module, "_BLOCK", 5)
    monkeypatch.setattr(module, "_KEPT", 1)
    seen: list[int] = []
    assert copies(survey, seen=seen.append) == whole and seen == [5, 5, 2]


def test_each_of_many_copies_is_told() -> None:
    rng = np.random.default_rng(1)
    pictures = [cv2.GaussianBlur(rng.integers(0, 256, (256, 200), np.uint8), (0, 0), 3) for _ in range(6)]
    pictures = [cv2.normalize(picture, None, 0, 255, cv2.NORM_MINMAX) for picture in pictures]
    told = {two for _, two, _, _ in copies(survey_of([*pictures, *[pictures[3]] * 11]))}
    assert told == set(range(6, 17))


def survey_of(pictures: list[Any]) -> Any:
    facts = [
        SimpleNamespace(
            exposure=SimpleNamespace(
                fingerprint=cv2.resize(picture, (48, 48), interpolation=cv2.INTER_AREA),
                small_picture=lambda picture=picture: picture,
            )
        )
        for picture in pictures
    ]
    return SimpleNamespace(facts=facts)
