"""The scripts that the measuring stick compares with: they score cases, and go on after a cut."""

from pathlib import Path

import pytest

pytest.importorskip("torch")

import torch

from drawn import write_collection
from handbones.collection import open_collection
from handbones.insight.evaluation import evaluate

pytestmark = [pytest.mark.train, pytest.mark.slow]


def test_a_rival_trains_goes_on_and_is_scored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    import rivals

    cases = open_collection(write_collection(tmp_path / "data", people=2)).labelled
    first = rivals.PlainUnet("none", size=64, batch=2)
    assert first.train(cases, 0.05, 1, tmp_path / "last.pt", workers=0) > 0
    second = rivals.PlainUnet("none", size=64, batch=2)
    assert second.train(cases, 0.05, 1, tmp_path / "last.pt", workers=0) > 0
    own, other = (rival.network.state_dict() for rival in (first, second))
    assert all(torch.equal(own[name], other[name]) for name in own)
    assert evaluate(second, cases).dice.shape == (len(cases), 29)
