"""Prediction and what follows it, from the command line."""

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from drawn import write_collection
from handbones.anatomy import BONES
from handbones.cli import run
from handbones.collection import open_collection
from handbones.commands.options import look_at
from handbones.inference.submission import SubmissionWriter

pytestmark = pytest.mark.train


def folder_of(drawn: Path) -> Path:
    """Four pictures of the training part, which are all predicted if they are given by themselves."""
    return drawn / "train" / "DCM"


def test_more_formats_resume_vote_and_check(
    bundle: Path, drawn: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pictures, out = str(folder_of(drawn)), tmp_path / "out"
    predict = ["predict", pictures, "--bundle", str(bundle), "--out", str(out), "--no-overlays"]
    assert run([*predict, "--also", "indexed,masks,coco", "--flip", "--clean", "largest"]) == 0
    assert len(list((out / "indexed").iterdir())) == len(list((out / "masks").iterdir())) == 6
    assert len(json.loads((out / "coco.json").read_text())["images"]) == 6
    assert not (out / "overlays").exists()

    whole = (out / "submission.csv").read_bytes()
    part = out / "submission.csv.part"
    part.write_bytes(whole[: len(whole) // 2])
    part.with_name("submission.csv.notes").write_text('\n["image1000_L.png", "image1000_L.png: no hand"]')
    same = [*predict, "--flip", "--clean", "largest", "--resume"]
    capsys.readouterr()
    assert run(same) == 0
    said = capsys.readouterr().out
    assert "pictures kept from the earlier run" in said and "image1000_L.png: no hand\n" in said
    assert (out / "submission.csv").read_bytes() == whole and not part.exists()
    with SubmissionWriter(tmp_path / "x.csv", keep=True) as other:
        other.write("foreign.png", [""] * 29)
    (tmp_path / "x.csv").rename(part)
    assert run(same) == 1
    assert "is of other pictures" in capsys.readouterr().err

    csv = str(out / "submission.csv")
    assert run(["ensemble", csv, csv, csv, "--size", "64x64", "--out", str(tmp_path / "vote.csv")]) == 0
    assert (tmp_path / "vote.csv").read_bytes() == whole
    assert run(["ensemble", csv, csv, "--size", "64x64", "--out", csv]) == 2
    assert "is one of the submissions" in capsys.readouterr().err
    assert run(["submission", "check", csv, "--size", "64x64"]) == 0
    assert "all is well" in capsys.readouterr().out
    assert run(["submission", "check", csv, "--size", "64x64", "--data", str(drawn)]) == 1
    assert "image1003_L.png: missing" in capsys.readouterr().out

    predict[1] = str(next(folder_of(drawn).rglob("*.png")))
    assert run(predict) == 0
    assert f"{out / 'labels'}: has 5 files of earlier runs, too" in capsys.readouterr().out


def test_resume_keeps_nothing_of_another_model(
    bundle: Path, drawn: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, other = tmp_path / "out", tmp_path / "other"
    predict = ["predict", str(drawn), "--out", str(out), "--no-overlays", "--hand", "whole"]
    assert run([*predict, "--bundle", str(bundle)]) == 0
    shutil.copytree(bundle, other)
    assert run([*predict, "--bundle", str(other), "--resume", "--batch", "2"]) == 0  # a copy is the same model
    made_with = out / "made_with.json"
    with (other / "model.safetensors").open("ab") as file:
        file.write(b" ")
    for changed, flag in ((str(other), "--bundle"), (str(bundle), "--scales")):
        assert run([*predict, "--bundle", changed, "--scales", "1,0.8", "--resume"]) == 1
        assert f"{made_with}: the earlier run had another {flag}: give that" in capsys.readouterr().err
    made_with.write_text("{")
    assert run([*predict, "--bundle", str(bundle), "--resume"]) == 1
    assert f"{made_with}: damaged" in capsys.readouterr().err
    made_with.unlink()
    assert run([*predict, "--bundle", str(bundle), "--resume"]) == 1
    assert f"{made_with}: not there" in capsys.readouterr().err
    assert run([*predict, "--bundle", str(bundle)]) == 0 and made_with.exists()


def test_resume_promises_nothing_that_the_earlier_run_did_not_write(
    bundle: Path, drawn: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    predict = ["predict", str(drawn), "--bundle", str(bundle), "--out", str(tmp_path), "--resume"]
    assert run([*predict[:-1], "--also", "masks"]) == 0
    assert run([*predict, "--also", "masks"]) == run(predict) == 0
    assert run([*predict, "--also", "masks"]) == 1  # the last one might have written some pictures without
    assert "made_with.json: the earlier run wrote no masks: leave that out" in capsys.readouterr().err


def test_two_processes_write_what_one_writes(bundle: Path, drawn: Path, tmp_path: Path) -> None:
    arguments = ["predict", str(folder_of(drawn)), "--bundle", str(bundle), "--no-overlays", "--out"]
    assert run([*arguments, str(tmp_path / "one")]) == 0
    command = [sys.executable, "-m", "handbones", *arguments, str(tmp_path / "two")]
    ranks = [
        subprocess.Popen(
            command,
            env={**os.environ, "TORCHELASTIC_RUN_ID": "1", "RANK": str(rank), "WORLD_SIZE": "2"},
            stdout=subprocess.DEVNULL,
        )
        for rank in range(2)
    ]
    assert [process.wait(timeout=120) for process in ranks] == [0, 0]
    files = [sorted(path for path in (tmp_path / name).rglob("*") if path.is_file()) for name in ("one", "two")]
    assert [path.name for path in files[0]] == [path.name for path in files[1]]
    for one, two in zip(*files, strict=True):
        assert one.read_bytes() == two.read_bytes(), one.name


def test_bad_pictures_of_the_test_part_are_named_and_those_of_training_do_not_matter(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, out = write_collection(tmp_path / "data"), tmp_path / "out"
    predict = ["predict", str(root), "--bundle", str(bundle), "--out", str(out), "--no-overlays"]
    labels, (first, second) = next(root.rglob("*.json")), sorted((root / "test").rglob("*.png"))
    labels.write_text("{")
    assert run(predict) == 0
    assert "left out" not in capsys.readouterr().out
    first.write_bytes(b"")
    assert run(predict) == 1
    assert run([*predict, "--skip-bad"]) == 0
    said = capsys.readouterr().out
    assert f"left out: 1 case with problems (handbones check --deep {root} lists them): {first}\n" in said
    assert "1 picture: " in said
    check = ["submission", "check", str(out / "submission.csv"), "--data", str(root)]
    assert run(check) == 1
    assert capsys.readouterr().out == f"{first.name}: missing\n"
    content = bytearray(second.read_bytes())
    content[len(content) // 2] ^= 255  # which only decoding tells
    second.write_bytes(content)
    assert run([*predict, "--skip-bad"]) == 1
    assert "every picture has problems" in capsys.readouterr().err


def test_all_that_is_damaged_inside_is_named_before_a_model_looks(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = write_collection(tmp_path / "data")
    damaged = [*sorted((root / "train").rglob("*.png"))[-2:], *sorted((root / "test").rglob("*.png"))]
    for path in damaged:
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 255  # which only decoding tells
        path.write_bytes(content)
    out = ["--out", str(tmp_path / "out")]
    for command, named in (
        (["measure", str(root)], damaged[:2]),
        (["measure", str(root), "--bundle", str(bundle)], damaged),
        (["evaluate", str(bundle), str(root)], damaged[:2]),
        (["pseudo", str(bundle), str(root)], damaged[2:]),
    ):
        assert run([*command, *out]) == 1
        error = capsys.readouterr().err
        assert [path for path in damaged if str(path) in error] == named and " pictures\n" not in error, command
    assert not (tmp_path / "out").exists()


def test_pictures_of_one_name_in_several_folders(bundle: Path, drawn: Path, tmp_path: Path) -> None:
    picture = open_collection(drawn).cases[0].image
    for series in ("1.2.840.1", "1.2.840.2"):
        (tmp_path / "data" / series).mkdir(parents=True)
        shutil.copy(picture, tmp_path / "data" / series / "IM1.png")
    out, words = tmp_path / "out", [str(tmp_path / "data"), "--bundle", str(bundle)]
    assert run(["predict", *words, "--hand", "whole", "--no-overlays", "--out", str(out)]) == 0
    assert sorted(path.stem for path in (out / "labels").iterdir()) == ["1.2.840.1_IM1", "1.2.840.2_IM1"]
    assert run(["submission", "check", str(out / "submission.csv"), "--data", words[0]]) == 0
    assert run(["measure", *words, "--hand", "whole", "--out", str(out / "measures")]) == 0
    rows = list(csv.DictReader((out / "measures" / "ratios.csv").open()))
    assert [row["image"] for row in rows] == ["1.2.840.1_IM1.png", "1.2.840.2_IM1.png"]


@pytest.mark.parametrize("labelled", [True, False])
def test_labels_are_not_written_over(
    bundle: Path, drawn: Path, tmp_path: Path, labelled: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    case = open_collection(drawn).labelled[0]
    assert case.labels is not None
    for folder, path in (("images", case.image), ("labels", case.labels))[: 1 + labelled]:
        (tmp_path / folder).mkdir()
        shutil.copy(path, tmp_path / folder)
    assert run(["predict", str(tmp_path), "--bundle", str(bundle), "--out", str(tmp_path)]) == 1
    assert "would take the place of labels" in capsys.readouterr().err
    assert labelled == (tmp_path / "labels").exists() and not (tmp_path / "made_with.json").exists()
    assert not labelled or (tmp_path / "labels" / case.labels.name).read_bytes() == case.labels.read_bytes()


def test_others_say_what_they_leave_out(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root, out = write_collection(tmp_path / "data"), ["--out", str(tmp_path / "out"), "--skip-bad"]
    for path in sorted(root.rglob("*.json"))[:4]:
        path.write_text("{")
    for path in ("test/DCM/a.png", "meta_data.xlsx"):
        (root / path).write_text("")
    expected = "left out: 5 cases and 1 other file with problems"
    for command in (["evaluate", str(bundle), str(root)], ["measure", str(root)], ["pseudo", str(bundle), str(root)]):
        assert run([*command, *out]) == 0
        said = capsys.readouterr().out
        assert expected in said and "image1001_L.png and 3 more\n" in said
    file = tmp_path / "z.onnx"
    export = ["export", str(bundle), "--precision", "int8", "--data", str(root), "--out", str(file)]
    assert run(export) == 1 and not file.exists()
    assert run([*export, "--skip-bad"]) == 0
    assert expected in capsys.readouterr().out
    look_at(root, cache=None, no_cache=True, workers=1, skip_bad=True)
    assert expected in capsys.readouterr().out


@pytest.mark.parametrize("value", ["true", '"0.5"', "1.5", "NaN", "1" + "0" * 400])
def test_thresholds_of_a_file_are_numbers(value: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "cut.json"
    path.write_text(json.dumps(dict.fromkeys(BONES, "VALUE")).replace('"VALUE"', value))
    assert run(["predict", "x.png", "--threshold", str(path)]) == 2
    assert "nor a JSON file with one from 0 to 1 for each of the 29 labels" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["predict", "x.png", "--also", "gif"], "--also gif: must be of indexed, masks, coco"),
        (["predict", "x.png", "--scales", "big"], "--scales big: write numbers"),
        (["predict", "x.png", "--weights", "nan"], "--weights nan: write numbers"),
        (["predict", "x.png", "--threshold", "nothing.json"], "nothing.json: neither a number nor a JSON file"),
        (["predict", "x.png", "--threshold", '{"Radius": 0.5' + " " * 300], "JSON file that can be read"),
        (["measure", "x", "--flip"], "--flip: tells a model how to look: give --bundle"),
        (["show", "x.png"], "x.png: cannot read: no such file"),
        (["predict", "x.png", "--size", "20000"], "--size 20000: must be from 32 to 8192"),
        (["show", "x.png", "--hand", "find"], "--hand: tells a model how to look: give --bundle"),
        (["ensemble", "a.csv", "b.csv", "--weights", "1,2"], "--weights: counts with --vote weighted alone"),
        (["ensemble", "a.csv"], "name at least two submissions"),
        (["ensemble", "a.csv", "b.csv", "--size", "big"], "--size big: write height and width"),
        (["export", "default", "--precision", "fp16", "--phantoms", "-3"], "Invalid value for '--phantoms'"),
        (["submission", "mend", "a.csv"], "submission mend: there is only"),
        (["submission", "check", "/nowhere.csv"], "/nowhere.csv: cannot read the submission"),
    ],
)
def test_mistakes(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) in (1, 2)
    error = capsys.readouterr().err
    assert error.startswith("handbones: ") and message in error and error.count("\n") == 1
