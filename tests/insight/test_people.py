"""People who are one, among so many that not all pairs fit in memory."""

from itertools import combinations

import numpy as np
import pytest

from handbones.insight.audit import people as module
from handbones.insight.audit.people import alike, fit_likeness


def test_pairs_are_the_same_however_few_are_looked_at_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    traits = rng.normal(size=(60, 12))
    traits[[7, 31]] = traits[[2, 50]]
    people = rng.permutation(np.repeat(np.arange(60), rng.integers(1, 4, 60)))
    figures = traits[people] + rng.normal(scale=0.02, size=(len(people), 12))
    likeness = fit_likeness(figures, people)
    assert likeness is not None
    z = likeness.turned(figures)
    whole = likeness.ratios(z, z)
    medians = {(a, b): np.median(whole[np.ix_(people == a, people == b)]) for a, b in combinations(range(60), 2)}
    limit = 0.5 * min(medians[2, 7], medians[31, 50])
    expected = [pair for pair, median in medians.items() if median > limit]
    assert {(2, 7), (31, 50)} <= set(expected)

    largest = 0
    whole_ratios = module.Likeness.ratios

    def ratios(self: module.Likeness, rows: module.Floats, columns: module.Floats) -> module.Floats:
        nonlocal largest
        largest = max(largest, len(rows))
        return whole_ratios(self, rows, columns)

    monkeypatch.setattr(module, "_BLOCK", 7)
    monkeypatch.setattr(module.Likeness, "ratios", ratios)
    found = alike(likeness, figures, people, limit)
    assert [pair[:2] for pair in found] == expected and largest == 7
    assert [pair[2] for pair in found] == pytest.approx([medians[pair] for pair in expected])
