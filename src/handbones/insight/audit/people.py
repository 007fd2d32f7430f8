"""The same person under two IDs, told by the bones: lengths, areas and widths along them.

How alike two hands of one person are is learned from the left and the right hands of the collection's people; how
alike those of two people are, from all others. What comes out is the log of a likelihood ratio: one person, or two.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from handbones.anatomy import INDEX
from handbones.insight.audit.findings import Finding
from handbones.insight.medians import SD_OF_MEDIAN
from handbones.insight.survey import Survey

Floats = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.intp]

LEAST_PAIRS = 30
"""People with two hands that are needed to learn from."""
_WHOLE = INDEX["Radius"]
"""The bones before it are whole in the picture."""
_FINGERS = INDEX["Trapezium"]
_SHRINK = 0.3
_DIRECTIONS = 30
_CUT_WITHIN, _CUT = 4.0, 30.0
_BLOCK = 1024


def person_findings(survey: Survey, sound: npt.NDArray[np.bool_]) -> Iterator[Finding]:
    """Pairs of people that are one; only hands that are `sound`, without a gross finding, count."""
    chosen = survey.choose(sound.tolist())
    if not chosen.cases:
        return
    figures = bone_figures(chosen)
    whole = np.asarray(~np.isnan(figures).any(axis=1))
    chosen, figures = chosen.choose(whole), figures[whole]
    names, people = np.unique([case.person for case in chosen.cases], return_inverse=True)
    likeness = fit_likeness(figures, people)
    if likeness is None:
        return
    # The odds that two people taken by chance are one; a little more, since hands are not quite normally distributed.
    limit = 1.25 * float(np.log(max(len(names) * (len(names) - 1) / 2, 2)))
    hands = hands_of(people)
    for first, second, evidence in alike(likeness, figures, people, limit):
        own, theirs = hands[first][0], hands[second][0]
        one, two = chosen.cases[own], chosen.cases[theirs]
        reason = f"The bones of {two.person} are those of {one.person}{_same_metadata(chosen, own, theirs)}."
        yield Finding(two, "person", (), evidence / limit, reason, one)


def bone_figures(survey: Survey) -> Floats:
    """(n, 225) logs of lengths and areas of all bones but the forearm, and of the widths along those of the fingers."""
    length, area, profile = (survey.shape(name) for name in ("length", "area", "profile"))
    widths = np.maximum(profile[:, :_FINGERS].reshape(len(profile), -1), 1.0)
    sizes = np.array([max(facts.height, facts.width) for facts in survey.facts])[:, None]
    with np.errstate(invalid="ignore"):
        return np.concatenate(
            [
                np.log(length[:, :_WHOLE] / sizes),
                np.log(area[:, :_WHOLE] / sizes**2),
                np.log(widths / sizes),
            ],
            axis=1,
        )


@dataclass(frozen=True)
class Likeness:
    """Linear figures in which hands of one person differ by 1 (standard deviation), people by more."""

    middle: Floats
    scale: Floats
    directions: Floats
    between: Floats
    """(k,) variance of people over that of a person's hands."""

    def turned(self, figures: Floats) -> Floats:
        """(n, k) the linear figures of hands."""
        return np.asarray(np.clip((figures - self.middle) / self.scale, -_CUT, _CUT) @ self.directions)

    def ratios(self, rows: Floats, columns: Floats) -> Floats:
        """(n, m) log likelihood ratio that two hands, of `turned` figures, are of one person rather than of two."""
        one, both = 2 * self.between + 1, self.between + 1
        # Under one person the sum of two hands has variance 2 * one, their difference 2; under two, both 2 * both.
        alone, together = (1 / one + 1 - 2 / both) / 4, (1 / one - 1) / 2
        ratios = (rows * -together) @ columns.T
        ratios += np.log(both).sum() - np.log(one).sum() / 2
        ratios -= ((rows**2) @ alone)[:, None]
        ratios -= (columns**2) @ alone
        return np.asarray(ratios)


def alike(likeness: Likeness, figures: Floats, people: Numbers, limit: float) -> list[tuple[int, int, float]]:
    """Pairs of people, the lower number first, whose hands are those of one by a median ratio above the limit.

    `figures` (n, 225) are of hands of `people` (n,), numbered from 0. Of all ratios no more than `_BLOCK` rows are
    there at a time: for 20,000 hands they would take gigabytes.
    """
    z = likeness.turned(figures)
    hands = hands_of(people)
    order = np.concatenate(hands)
    near: set[tuple[int, int]] = set()
    for start in range(0, len(order), _BLOCK):
        rows, columns = order[start : start + _BLOCK], order[start:]
        one, two = np.nonzero(likeness.ratios(z[rows], z[columns]) > limit)
        first, second = people[rows[one]], people[columns[two]]
        near.update(zip(first[first < second].tolist(), second[first < second].tolist(), strict=True))
    medians = ((one, two, float(np.median(likeness.ratios(z[hands[one]], z[hands[two]])))) for one, two in sorted(near))
    return [(one, two, evidence) for one, two, evidence in medians if evidence > limit]


def hands_of(people: Numbers) -> list[Numbers]:
    """Positions of the hands of each person, people numbered from 0."""
    order = np.argsort(people, kind="stable")
    return np.split(order, np.cumsum(np.bincount(people))[:-1])


def fit_likeness(figures: Floats, people: Numbers) -> Likeness | None:
    """Learn from all people, numbered from 0, with two hands; None if they are too few."""
    pairs = np.array([hands[:2] for hands in hands_of(people) if len(hands) >= 2])
    if len(pairs) < LEAST_PAIRS:
        return None
    middle = np.median(figures, axis=0)
    apart = (figures[pairs[:, 0]] - figures[pairs[:, 1]]) / np.sqrt(2)
    scale = np.maximum(SD_OF_MEDIAN * np.median(np.abs(apart), axis=0), 1e-4)
    within_hands = np.clip(apart / scale, -_CUT_WITHIN, _CUT_WITHIN)
    within = within_hands.T @ within_hands / len(pairs)
    within = (1 - _SHRINK) * within + _SHRINK * np.diag(np.diag(within))
    total = np.cov(np.clip((figures - middle) / scale, -_CUT, _CUT).T)
    values, vectors = np.linalg.eigh(within)
    whiten = vectors / np.sqrt(np.maximum(values, 1e-6))
    between, turn = np.linalg.eigh(whiten.T @ (total - within) @ whiten)
    best = np.argsort(-between)[:_DIRECTIONS]
    best = best[between[best] > 1]
    return Likeness(middle, scale, whiten @ turn[:, best], between[best]) if best.size else None


def _same_metadata(survey: Survey, one: np.intp, two: np.intp) -> str:
    a, b = survey.cases[one].metadata, survey.cases[two].metadata
    same = a is not None and b is not None and (a.age, a.sex, a.height) == (b.age, b.sex, b.height) and a.height
    return ", and so are age, sex and height" if same else ""
