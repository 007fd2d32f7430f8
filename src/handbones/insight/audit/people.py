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

LEAST_PAIRS = 30
"""People with two hands that are needed to learn from."""
_WHOLE = INDEX["Radius"]
"""The bones before it are whole in the picture."""
_FINGERS = INDEX["Trapezium"]
_SHRINK = 0.3
_DIRECTIONS = 30
_CUT_WITHIN, _CUT = 4.0, 30.0


def person_findings(survey: Survey, sound: npt.NDArray[np.bool_]) -> Iterator[Finding]:
    """Pairs of people that are one; only hands that are `sound`, without a gross finding, count."""
    chosen = survey.choose(sound.tolist())
    if not chosen.cases:
        return
    figures = bone_figures(chosen)
    whole = np.asarray(~np.isnan(figures).any(axis=1))
    chosen, figures = chosen.choose(whole), figures[whole]
    people = np.array([case.person for case in chosen.cases])
    likeness = fit_likeness(figures, people)
    if likeness is None:
        return
    ratios = likeness.ratios(figures)
    names = np.unique(people)
    # The odds that two people taken by chance are one; a little more, since hands are not quite normally distributed.
    limit = 1.25 * np.log(max(len(names) * (len(names) - 1) / 2, 2))
    member = people[:, None] == names
    for first in range(len(names)):
        own = np.flatnonzero(member[:, first])
        others = np.flatnonzero(people > names[first])
        if not others.size or ratios[np.ix_(own, others)].max() <= limit:
            continue
        for second in np.unique(people[others]):
            theirs = np.flatnonzero(people == second)
            evidence = float(np.median(ratios[np.ix_(own, theirs)]))
            if evidence > limit:
                one, two = chosen.cases[own[0]], chosen.cases[theirs[0]]
                reason = (
                    f"The bones of {two.person} are those of {one.person}{_same_metadata(chosen, own[0], theirs[0])}."
                )
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

    def ratios(self, figures: Floats) -> Floats:
        """(n, n) log likelihood ratio that two hands are of one person rather than of two."""
        z = np.clip((figures - self.middle) / self.scale, -_CUT, _CUT) @ self.directions
        one, both = 2 * self.between + 1, self.between + 1
        # Under one person the sum of two hands has variance 2 * one, their difference 2; under two, both 2 * both.
        alone, together = (1 / one + 1 - 2 / both) / 4, (1 / one - 1) / 2
        own = (z**2) @ alone
        return np.asarray(np.log(both).sum() - np.log(one).sum() / 2 - own[:, None] - own - (z * together) @ z.T)


def fit_likeness(figures: Floats, people: npt.NDArray[np.str_]) -> Likeness | None:
    """Learn from all people with two hands; None if they are too few."""
    pairs = np.array([hands[:2] for name in np.unique(people) if len(hands := np.flatnonzero(people == name)) >= 2])
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


def _same_metadata(survey: Survey, one: int, two: int) -> str:
    a, b = survey.cases[one].metadata, survey.cases[two].metadata
    same = a is not None and b is not None and (a.age, a.sex, a.height) == (b.age, b.sex, b.height) and a.height
    return ", and so are age, sex and height" if same else ""
