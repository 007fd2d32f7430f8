"""The search for better values: what may be varied, and that it goes on where it stopped."""

from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("optuna")

from handbones.collection import open_collection
from handbones.errors import UsageError
from handbones.learning.tuning import Range, parse_range, tune
from handbones.learning.watch import Watch
from handbones.recipe import load_recipe

pytestmark = pytest.mark.train

_TINY = ("network.encoder=test_efficientnet.r160_in1k", "network.weights=none", "input.size=64", "training.workers=0")
_SHORT = ("training.minutes=null", "training.steps=2", "training.batch=2", "validation.minutes=null", "data.folds=3")


def test_ranges_are_read() -> None:
    assert parse_range("optimiser.lr=1e-4..1e-2") == Range("optimiser.lr", 1e-4, 1e-2)
    assert parse_range("training.batch=2..16") == Range("training.batch", 2, 16)
    assert parse_range("input.size=[256, 320]") == Range("input.size", choices=(256, 320))


@pytest.mark.parametrize(
    "text", ["lr=1..2", "optimiser.lr", "optimiser.lr=2..1", "optimiser.lr=a..b", "input.size=[1]"]
)
def test_bad_ranges_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"--vary"):
        parse_range(text)


@pytest.mark.slow
def test_search_goes_on_and_leaves_the_best_recipe(drawn: Path, tmp_path: Path) -> None:
    collection = open_collection(drawn)
    ranges = [Range("optimiser.lr", 1e-4, 1e-2), Range("input.size", choices=(64, 96))]
    out = tmp_path / "search"
    first = tune("small", [*_TINY, *_SHORT], ranges, out, collection, trials=1, watch=Watch())
    assert len(first.trials) == 1
    study = tune("small", [*_TINY, *_SHORT], ranges, out, collection, trials=2, watch=Watch())
    assert len(study.trials) == 2 and study.trials[0].params != study.trials[1].params
    best = load_recipe(out / "best.yaml")
    assert best.optimiser.lr == study.best_params["optimiser.lr"]
    assert not (out / "trial").exists()
    assert len((out / "trials.csv").read_text().splitlines()) == 3
    with pytest.raises(UsageError, match=r"varied optimiser\.lr otherwise before"):
        tune("small", [*_TINY, *_SHORT], ranges[1:], out, collection, trials=3, watch=Watch())
