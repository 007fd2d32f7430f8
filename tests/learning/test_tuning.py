"""The search for better values: what may be varied, and that it goes on where it stopped."""

import re
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("optuna")

from drawn import write_collection
from handbones.bundle import load_bundle
from handbones.cli import run
from handbones.collection import Collection, open_collection
from handbones.errors import UsageError, UserError
from handbones.learning.ranges import Range, parse_range
from handbones.learning.tuning import START_DICE, trials_done, tune
from handbones.learning.watch import Watch
from handbones.recipe import Recipe, inherit, load_recipe

pytestmark = pytest.mark.train

_TINY = ("network.encoder=test_efficientnet.r160_in1k", "network.weights=none", "input.size=64", "training.workers=0")
_SHORT = ("training.minutes=null", "training.steps=2", "training.batch=2", "validation.minutes=null", "data.folds=3")


def test_ranges_are_read() -> None:
    assert parse_range("optimiser.lr=1e-4..1e-2") == Range("optimiser.lr", 1e-4, 1e-2)
    assert parse_range("training.batch=2..16") == Range("training.batch", 2, 16)
    assert parse_range("training.steps=1e3..2e3") == Range("training.steps", 1000, 2000)
    assert parse_range("input.grow_from=64..128") == Range("input.grow_from", 64, 128)
    whole = parse_range("loss.dice=0..2")
    assert (type(whole.low), type(whole.high)) == (float, float)  # a weight may be 0.7
    assert parse_range("input.size=[256, 320]") == Range("input.size", choices=(256, 320))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lr=1..2", "no such field; did you mean 'optimiser.lr'"),
        ("optimiser.lr", "write FIELD=LOW..HIGH"),
        ("optimiser.lr=2..1", "2 must be less than 1"),
        ("optimiser.lr=a..b", "a and b must be numbers"),
        ("optimiser.lr=1e-4..inf", "1e-4 to inf must be a finite range"),
        ("network.head_bias=-1e308..1e308", "must be a finite range"),
        ("input.size=[1]", "write FIELD=LOW..HIGH or"),
        ("network.weights=[2020-01-01, none]", "of numbers, words and lists"),
        ("loss.bones=[&a [*a], 1]", "of numbers, words and lists"),
        ("input.size=100..200", "100 and 200 must be multiples of 32"),
        ("patches.size=100..256", "multiples of 32"),
        ("training.batch=1.5..4", "1.5 and 4 must be whole numbers"),
        *((f"{field}=[1, 2]", "changes what is measured") for field in ("data.fold", "validation.minutes", "data")),
        ("phantoms.validation=8..64", "changes what is measured"),
        ("network.stride=1..8", "takes no numbers in between: write network.stride=[A, B, C]"),
    ],
)
def test_bad_ranges_are_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=rf"^--vary {re.escape(text)}: .*{re.escape(message)}"):
        parse_range(text)


def test_what_is_no_recipe_is_no_trial(drawn: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="did you mean"):
        parse_range("optimiser.l=1..2")
    with pytest.raises(UsageError, match="smal"):
        tune(
            "smal",
            _TINY,
            [Range("optimiser.lr", 1e-4, 1e-2)],
            tmp_path,
            open_collection(drawn),
            trials=1,
            watch=Watch(),
        )
    assert not list(tmp_path.iterdir())


def test_a_recipe_that_wants_a_model_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="give --init BUNDLE"):
        tune("wrist", [], [Range("optimiser.lr", 1e-4, 1e-2)], tmp_path / "s", None, trials=1, watch=Watch())
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("optimiser.lr=1..100", "optimiser.lr=100.0: recipe small: optimiser.lr: input should be less than"),
        ("optimiser=[adam, sgd]", 'optimiser="adam": recipe small: optimiser: input should be'),
        ("patches.size=[64, 96]", "patches.size=96: recipe small: patches.size 96 is more than"),
    ],
)
def test_a_value_that_makes_no_recipe_is_no_trial(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"^--vary {re.escape(message)}"):
        tune("small", _TINY, [parse_range(text)], tmp_path / "s", None, trials=1, watch=Watch())
    assert not (tmp_path / "s").exists()


def test_what_is_measured_stays_the_same(drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("handbones.learning.tuning._train", lambda *_: 0.5)
    wrist, seeds = parse_range("input.hand=[find, wrist]"), parse_range("training.seed=[1, 2]")
    presets = parse_range("phantoms.profile=[wild, realistic]")
    search = partial(tune, "small", [*_TINY, "phantoms.profile=wild"], trials=1, watch=Watch())
    for one, cases in ((wrist, open_collection(drawn)), (seeds, None), (presets, None)):
        with pytest.raises(UsageError, match="changes what is measured"):
            search([one], tmp_path / "s", cases)
    assert not (tmp_path / "s").exists()
    search([seeds], tmp_path / "s", open_collection(drawn))  # the cases that validate are the same whatever the seed


def test_a_value_may_need_another_that_is_varied(drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("handbones.learning.tuning._train", lambda *_: 0.5)
    ranges = [parse_range("network.decoder=[unet, fpn, manet]"), parse_range("network.deep_supervision=[2, 0, 1]")]
    study = tune("small", _TINY, ranges, tmp_path, open_collection(drawn), trials=1, watch=Watch())
    assert trials_done(study) == 1


def test_a_search_without_a_trial_that_is_done_may_begin_otherwise(
    drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full, cases = [UserError("memory is full")], open_collection(drawn)

    def train(*_: object) -> float:
        if full:
            raise full[0]
        return 0.5

    monkeypatch.setattr("handbones.learning.tuning._train", train)
    search = partial(tune, "small", out=tmp_path, collection=cases, trials=1, watch=Watch())
    with pytest.raises(UserError, match="memory is full"):
        search(_TINY, ranges=[Range("training.batch", choices=(512, 1024))])
    full.clear()
    smaller = [Range("training.batch", choices=(2, 4))]
    study = search([*_TINY, "input.grow_from=null"], ranges=smaller)
    assert len(study.trials) == 1
    with pytest.raises(UsageError, match=r"varied training\.batch otherwise before: give the same --vary, or another"):
        search([*_TINY, "input.grow_from=null"], ranges=[Range("training.batch", choices=(2, 8))])
    with pytest.raises(UsageError, match="of another recipe, bundle or collection"):
        search(_TINY, ranges=smaller)


def test_sizes_are_drawn_that_a_network_can_see(drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drew: list[int] = []
    monkeypatch.setattr("handbones.learning.tuning._train", lambda recipe, *_: drew.append(recipe.input.size) or 0.5)
    ranges = [Range("input.size", 64, 320)]
    tune("small", _TINY, ranges, tmp_path, open_collection(drawn), trials=4, watch=Watch())
    assert len(set(drew)) > 1 and not any(size % 32 for size in drew)


def test_a_trial_that_fails_is_left(drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[float] = []

    def train(recipe: Recipe, *_: object) -> float:
        tried.append(recipe.optimiser.lr)
        if len(tried) in (2, 3) or len(tried) > 5:
            raise UserError("memory is full")
        return 0.5

    monkeypatch.setattr("handbones.learning.tuning._train", train)
    search = partial(tune, "small", _TINY, [Range("optimiser.lr", 1e-4, 1e-2)], tmp_path, open_collection(drawn))
    study = search(trials=3, watch=Watch())
    assert len(set(tried)) == len(study.trials) == 5
    assert study.trials_dataframe()["user_attrs_error"].notna().sum() == 2
    with pytest.raises(UserError, match="memory is full"):
        search(trials=4, watch=Watch())
    assert len(tried) == 8


def test_a_search_belongs_to_its_collection_and_mends_what_a_cut_left_out(
    drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("handbones.learning.tuning._train", lambda *_: 0.5)
    ranges = [Range("optimiser.lr", 1e-4, 1e-2), Range("input.size", choices=(64, 96))]
    search = partial(tune, "small", _TINY, ranges, tmp_path / "search", trials=1, watch=Watch())
    study = search(open_collection(drawn))
    best = tmp_path / "search" / "best.yaml"
    whole = best.read_text()
    best.unlink()
    search(open_collection(drawn))
    assert best.read_text() == whole and load_recipe(best).optimiser.lr == study.best_params["optimiser.lr"]
    others = open_collection(write_collection(tmp_path / "others", people=5))
    with pytest.raises(UsageError, match="of another recipe, bundle or collection"):
        search(others)


def test_a_field_is_varied_once(capsys: pytest.CaptureFixture[str]) -> None:
    twice = ["--vary", "optimiser.lr=1e-4..1e-3", "--vary", "optimiser.lr=[0.1, 0.2]"]
    assert run(["tune", "nowhere", *twice]) == 2
    assert "--vary optimiser.lr: is given twice" in capsys.readouterr().err


def test_the_best_recipe_of_a_search_from_a_bundle_is_whole(
    bundle: Path, drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("handbones.learning.tuning._train", lambda *_: 0.5)
    ranges = [Range("optimiser.lr", 1e-4, 1e-2)]
    tune("finetune", (), ranges, tmp_path, open_collection(drawn), trials=1, watch=Watch(), init=bundle)
    best, origin = load_recipe(tmp_path / "best.yaml"), load_bundle(bundle).recipe
    assert (best.network, best.input.size) == (origin.network, origin.input.size)
    assert inherit(best, origin) == best


def test_cases_are_left_out_as_in_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root, listed = write_collection(tmp_path / "data"), tmp_path / "list.txt"
    next((root / "test").rglob("*.png")).write_bytes(b"")
    listed.write_text("ID002\n")
    learned: list[Collection] = []

    def search(*given: Any, **_: Any) -> SimpleNamespace:
        learned.append(given[4])
        given[3].mkdir(exist_ok=True)
        (given[3] / "best.yaml").write_text(load_recipe("small", ["training.steps=9"]).to_yaml())
        study = SimpleNamespace(best_value=0.5, best_params={}, user_attrs={START_DICE: 0.6})
        study.get_trials = lambda **_: [None] * 3  # more than were asked for: it was longer before
        return study

    monkeypatch.setattr("handbones.learning.tuning.tune", search)
    out = tmp_path / "search"
    code = run(["tune", str(root), "--skip-bad", "--exclude", str(listed), "--out", str(out), "--trials", "2"])
    assert code == 0
    assert learned[0].people == ["ID001", "ID003", "ID004"]
    said = capsys.readouterr().out
    assert "left out: 1 case with problems" in said and "left out: 2 cases that" in said
    assert f"handbones train {root} --skip-bad --exclude {listed} --recipe" in said
    assert said.endswith("--set training.minutes=60 validation.minutes=5 training.steps=null\n")
    assert "best of 3: Dice 0.5000" in said and "0.6000 by itself" in said


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
    with pytest.raises(UsageError, match="of another recipe, bundle or collection: give the same DATA"):
        tune("small", [*_TINY, *_SHORT, "loss.bce=2"], ranges, out, collection, trials=3, watch=Watch())
