"""The same picture twice, under two names."""

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from handbones.insight.audit.findings import Finding
from handbones.insight.exposure import shrink
from handbones.insight.survey import Survey

Floats = npt.NDArray[np.float64]
Gray = npt.NDArray[np.uint8]

ALIKE = 0.85
"""Correlation of the fine structure of two pictures, after they were laid on each other, from which they are one."""
_LIKELY = 0.7
"""Correlation of fingerprints from which two pictures are compared closely."""
_NEIGHBOURS = 3
"""Pictures that each one is compared with closely."""
_CLOSE_UP = 192
_BLOCK = 1024
_KEPT = 2048
"""Small pictures in memory."""


def picture_findings(survey: Survey, *, seen: Callable[[int], None] | None = None) -> Iterator[Finding]:
    """Pictures that are copies of each other, mirrored ones too, even if scaled, moved or toned a little.

    `seen` is told how many more were compared with all.
    """
    for first, second, correlation, mirrored in copies(survey, seen=seen):
        one, two = survey.cases[first], survey.cases[second]
        told, other = (one, two) if (one.split == "train", two.split == "test") == (True, True) else (two, one)
        leak = one.split != two.split
        how = "the mirror image of" if mirrored else "the same picture as"
        named = other.full_name + (" of the test" if leak else "")
        reason = f"It is {how} {named} (fine structure alike by {correlation:.2f})."
        yield Finding(told, "leak" if leak else "duplicate", (), correlation / ALIKE, reason, other)


def copies(survey: Survey, *, seen: Callable[[int], None] | None = None) -> list[tuple[int, int, float, bool]]:
    """Pairs of pictures that are one: positions, the earlier first, correlation, whether mirrored.

    `seen` is told how many more pictures were compared with all.
    """
    prints = np.array([facts.exposure.fingerprint for facts in survey.facts])
    if len(prints) < 2:
        return []

    @lru_cache(maxsize=_KEPT)
    def picture(index: int) -> Gray:
        return shrink(survey.facts[index].exposure.small_picture(), _CLOSE_UP)

    found = []
    for mirrored, one, two in _likely(prints, seen):
        second = picture(two)[:, ::-1] if mirrored else picture(two)
        correlation = likeness(picture(one), second)
        if correlation > ALIKE:
            found.append((one, two, correlation, mirrored))
    return found


def _likely(prints: Gray, seen: Callable[[int], None] | None) -> list[tuple[bool, int, int]]:
    """Pairs worth a closer look, after whether the second is mirrored: the nearest few of each, if they are near."""
    rows, turned = _fine_prints(prints), _fine_prints(prints[:, :, ::-1])
    pairs: set[tuple[bool, int, int]] = set()
    for start in range(0, len(rows), _BLOCK):
        block = rows[start : start + _BLOCK]
        for mirrored, columns in ((False, rows), (True, turned)):
            pairs |= {(mirrored, min(pair), max(pair)) for pair in _nearest(block @ columns.T, start)}
        if seen:
            seen(len(block))
    return sorted(pairs)


def _nearest(likeness_of: npt.NDArray[np.float32], start: int) -> Iterator[tuple[int, int]]:
    """The nearest few before each of some pictures, if they are near, by the correlation (block, n) with all.

    Only those before: where there are many copies, each but the first has to be told as one.
    """
    block = np.arange(len(likeness_of))
    likeness_of[np.arange(likeness_of.shape[1]) >= (start + block)[:, None]] = -1
    few = min(_NEIGHBOURS, likeness_of.shape[1])
    nearest = np.argpartition(likeness_of, -few, axis=1)[:, -few:]
    near = likeness_of[block[:, None], nearest] > _LIKELY
    yield from zip((start + np.nonzero(near)[0]).tolist(), nearest[near].tolist(), strict=True)


def _fine_prints(prints: Gray) -> npt.NDArray[np.float32]:
    """Fingerprints (n, 48, 48) without their slow changes, as unit vectors."""
    rows = []
    for one in prints.astype(np.float32):
        fine = cv2.GaussianBlur(one, (0, 0), 0.8) - cv2.GaussianBlur(one, (0, 0), 3)
        fine -= fine.mean()
        rows.append(fine.ravel() / max(float(np.linalg.norm(fine)), 1e-6))
    return np.array(rows, np.float32)


def likeness(one: Gray, two: Gray) -> float:
    """Correlation of the fine structure of two small pictures after the second was laid on the first."""
    if one.shape != two.shape:
        two = np.asarray(cv2.resize(two, one.shape[::-1], interpolation=cv2.INTER_AREA), np.uint8)
    a, b = (_fine(picture.astype(np.float32)) for picture in (one, two))
    window = cv2.createHanningWindow(a.shape[::-1], cv2.CV_32F)
    (x, y), _ = cv2.phaseCorrelate(a, b, window)
    b = cv2.warpAffine(
        b, np.array([[1, 0, x], [0, 1, y]]), a.shape[::-1], flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    )
    margin = max(a.shape) // 24
    a, b = (_without_peaks(picture[margin:-margin, margin:-margin]) for picture in (a, b))
    return float((a * b).sum() / max(float(np.sqrt((a * a).sum() * (b * b).sum())), 1e-9))


def _fine(picture: npt.NDArray[np.float32]) -> npt.NDArray[Any]:
    return picture - cv2.GaussianBlur(picture, (0, 0), 2.5)


def _without_peaks(fine: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Markers and frames are the same in many pictures and bright: they must not decide."""
    top = float(np.quantile(np.abs(fine), 0.995))
    cut = np.clip(fine, -top, top)
    return np.asarray(cut - cut.mean(), np.float32)
