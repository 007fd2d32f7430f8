"""The command line: quick help, one clear line for a mistake, the right exit code."""

import json
import pkgutil
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from handbones import commands
from handbones.cli import VERBS, expand_homes, run, spread_settings
from handbones.commands import console
from handbones.commands.console import counting, counting_if_long, opened, quoted
from handbones.commands.train import first_model, say_what_next
from handbones.recipe import load_recipe

HEAVY = ("torch", "matplotlib", "pandas", "sklearn", "lightning", "numba")


def run_python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_help_is_quick_and_names_every_verb() -> None:
    started = time.monotonic()
    text = run_python("from handbones.cli import run; run(['--help'])")
    assert time.monotonic() - started < 2  # 0.2 on a quiet machine
    assert all(verb in text for verb, _ in VERBS)
    loaded = run_python(
        f"import sys\nfrom handbones.cli import run\nrun(['-h'])\nprint([m for m in {HEAVY} if m in sys.modules])"
    )
    assert loaded.endswith("[]")


def test_commands_load_nothing_heavy() -> None:
    names = [module.name for module in pkgutil.iter_modules(commands.__path__, "handbones.commands.")]
    imports = "\n".join(f"import {name}" for name in names)
    assert run_python(f"import sys\n{imports}\nprint([m for m in {HEAVY} if m in sys.modules])") == "[]"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["segmnt"], 2, "No such command"),
        (["train", "--fast"], 2, "No such option"),
        (["predict"], 2, "Missing argument"),
        (["train"], 2, "nothing to learn from"),
        (["train", "--resume", "--out", "run", "--init", "default"], 2, "--init: a run that goes on has its weights"),
        (["train", "--resume"], 2, "say which run with --out"),
        (["train", "--hours", "1", "--minutes", "5"], 2, "give one of them"),
        (["train", "--phantoms", "realistic", "--exclude", "x.txt"], 2, "no cases to leave out: give DATA"),
        (["train", "--phantoms", "realistic", "--pseudo", "x"], 2, "go beside true ones: give DATA"),
        (["train", "DATA", "--recipe", "smal"], 2, "did you mean 'small'"),
        (["train", "DATA", "--set", "training.bacth=4"], 2, "did you mean 'training.batch'"),
        (["train", "/nowhere", "--recipe", "small"], 1, "/nowhere: cannot read"),
        (["train", "--resume", "--out", "/nowhere"], 1, "/nowhere: nothing to resume"),
        (["evaluate", "/nowhere", "DATA"], 1, "/nowhere: no such bundle"),
        (["predict", "hand.png", "--bundle", "/nowhere"], 1, "/nowhere: no such bundle"),
        (["predict", "hand.png", "--size", "many"], 2, "Invalid value for '--size'"),
        (["export", "/nowhere"], 1, "/nowhere: no such bundle"),
    ],
)
def test_mistakes(arguments: list[str], code: int, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) == code
    error = capsys.readouterr().err
    assert message in error and error.startswith("handbones: ")
    assert error.count("\n") == 1


def test_version_and_no_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert run([]) == 0
    assert "Commands:" in capsys.readouterr().out


def test_several_settings_after_one_flag() -> None:
    given = ["train", "DATA", "--set", "a.b=1", "c.d=[2, 3]", "--out", "x.y=z", "--set", "e.f=4"]
    assert spread_settings(given) == [
        *("train", "DATA", "--set", "a.b=1", "--set", "c.d=[2, 3]", "--out", "x.y=z", "--set", "e.f=4")
    ]


@pytest.mark.slow
@pytest.mark.train
def test_train_evaluate_predict_export(drawn: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torch")
    out = tmp_path / "run"
    tiny = ["network.encoder=test_efficientnet.r160_in1k", "network.weights=none", "input.size=64"]
    budget = ["training.minutes=null", "training.steps=2", "training.batch=2", "training.workers=0"]
    train = ["train", str(drawn), "--recipe", "small", "--out", str(out), "--fold", "1"]
    assert run([*train, "--set", *tiny, *budget, "data.folds=3"]) == 0
    assert "Dice" in capsys.readouterr().out
    assert run([*train, "--set", *tiny, *budget, "data.folds=3"]) == 1
    assert "add --resume" in capsys.readouterr().err
    assert run(["train", str(drawn), "--out", str(out), "--resume", "--set", "training.steps=3"]) == 0

    assert run(["evaluate", str(out), str(drawn), "--out", str(tmp_path / "evaluation")]) == 0
    assert "mean_dice" in json.loads((tmp_path / "evaluation" / "summary.json").read_text())
    assert (tmp_path / "evaluation" / "dice.csv").exists()

    prediction = tmp_path / "prediction"
    assert run(["predict", "--bundle", str(out / "bundle"), str(drawn), "--out", str(prediction)]) == 0
    rows = (prediction / "submission.csv").read_text().splitlines()
    assert rows[0] == "image_name,class,rle" and len(rows) == 1 + 2 * 29
    assert rows[1].startswith("image1003_L.png,finger-1,") and rows[58].startswith("image1003_R.png,Ulna,")
    for folder, suffix in (("labels", "json"), ("overlays", "png")):
        assert sorted(path.name for path in (prediction / folder).iterdir()) == [
            f"image1003_{side}.{suffix}" for side in "LR"
        ]

    half = tmp_path / "half.onnx"
    assert run(["export", str(out), "--out", str(half), "--precision", "fp16", "--phantoms", "0"]) == 0
    assert half.stat().st_size < 0.6 * (out / "bundle" / "model.onnx").stat().st_size
    assert run(["evaluate", str(half), str(drawn), "--out", str(tmp_path / "again")]) == 0


@pytest.mark.train
def test_two_inputs_of_one_name(bundle: Path, drawn: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = next((drawn / "test").rglob("*.png"))
    other = tmp_path / picture.name.upper()  # one file with the first where capitals make no difference
    other.write_bytes(picture.read_bytes())
    out = tmp_path / "out"
    assert run(["predict", str(picture), str(other), "--bundle", str(bundle), "--out", str(out)]) == 1
    assert "has the same name as" in capsys.readouterr().err
    assert not out.exists()


def test_commands_to_copy_are_quoted(capsys: pytest.CaptureFixture[str]) -> None:
    say_what_next(Path("my run"), Path("my run/bundle"), interrupted=True, beside=None)
    said = capsys.readouterr().out
    assert "--out 'my run' --resume" in said and "evaluate 'my run/bundle' DATA --out 'my run/evaluation'" in said


def test_commands_to_copy_are_quoted_for_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("handbones.commands.console.os", SimpleNamespace(name="nt"))
    assert quoted(r"runs\small") == r"runs\small" and quoted(r"my runs\small") == r'"my runs\small"'


def test_nothing_to_count_is_no_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    with counting("pictures", 0) as progress:
        progress(0)
    assert capsys.readouterr().err == ""


def test_only_what_takes_long_is_counted(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(console, "time", SimpleNamespace(monotonic=lambda: now))

    def told(total: int, seconds: float, first: float = 0.0) -> list[str]:
        nonlocal now
        now += first
        with counting_if_long("cases") as seen:
            for done in range(1, total + 1):
                now += seconds
                seen(done, total)
        return capsys.readouterr().err.splitlines()

    assert told(0, 1) == told(100, 0.01) == []
    assert told(100, 0.03) == []  # over before one has seen it
    assert told(10, 0.01, first=9) == []  # what is compiled for the first
    assert told(100, 0.15) == [f"{done} of 100 cases" for done in (15, *range(20, 101, 10))]


def test_opening_is_told_of_once_where_it_takes_long(
    competition: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened(competition)
    assert run(["check", str(competition)]) == 0
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(console, "_MOMENT_S", -1)
    opened(competition)
    assert capsys.readouterr().err.splitlines() == [f"{done} of 7 cases checked" for done in range(1, 8)]
    monkeypatch.setenv("RANK", "1")
    opened(competition)
    assert capsys.readouterr().err == ""


def test_what_a_look_at_the_wrist_goes_with() -> None:
    assert first_model(Path("default")) == Path("default")
    assert first_model(Path("default-wrist")) == "default"
    assert first_model(None) == "FIRST"


def test_a_run_that_took_the_place_of_its_first_model_ends(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("handbones.commands.train.load_bundle", lambda _: SimpleNamespace(recipe=load_recipe("wrist")))
    for name, first in (("a", "b"), ("b", "a")):
        shutil.copytree(bundle, tmp_path / name / "bundle")
        cases = {"train": [], "init": {"bundle": str(tmp_path / first)}}
        (tmp_path / name / "cases.json").write_text(json.dumps(cases))
    assert first_model(tmp_path / "a") == "FIRST"


def test_a_look_at_the_wrist_is_used_beside_the_first_model(capsys: pytest.CaptureFixture[str]) -> None:
    say_what_next(Path("w"), Path("w/bundle"), interrupted=False, beside=Path("run"))
    said = capsys.readouterr().out
    assert "evaluate run DATA --wrist-bundle w/bundle" in said
    assert "--bundle run --wrist-bundle w/bundle" in said


def test_homes_that_a_shell_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("USERPROFILE", "/home/me")
    given = ["check", "~/data", "--out=~/x", "a~b", "--set", "data.folds=3", "--out", "~"]
    expected = ["check", "/home/me/data", "--out=/home/me/x", "a~b", "--set", "data.folds=3", "--out", "/home/me"]
    assert expand_homes(given) == expected
