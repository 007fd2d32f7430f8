"""Evaluation says of each picture and bone what Dice of dense masks says."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from handbones.anatomy import BONES
from handbones.bundle import RECIPE
from handbones.cli import run
from handbones.collection import open_collection
from handbones.errors import UserError
from handbones.inference.segmenter import Segmenter
from handbones.insight.evaluation import Evaluation, evaluate
from handbones.metric import dice
from hands import write_hands

pytestmark = pytest.mark.train


def test_scores_and_files(bundle: Path, drawn: Path, tmp_path: Path) -> None:
    segmenter, collection = Segmenter(bundle), open_collection(drawn)
    evaluation = evaluate(segmenter, collection.labelled)
    for case, row in zip(collection.labelled, evaluation.dice, strict=True):
        _, labels = case.load()
        assert labels is not None
        expected = dice(segmenter.segment(case.image).masks(), labels.masks(64, 64))
        np.testing.assert_allclose(row, expected, atol=1e-12)
    evaluation.write(tmp_path)
    rows = list(csv.DictReader((tmp_path / "dice.csv").open()))
    assert list(rows[0]) == ["person", "image", "bone", "dice"] and len(rows) == 6 * 29
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["mean_dice"] == pytest.approx(np.mean([float(row["dice"]) for row in rows]), abs=1e-5)
    assert list(summary["bones"]) == list(BONES)
    assert (summary["images"], summary["people"]) == (6, 3)
    assert list(summary["groups"]) == ["fingers", "carpals", "forearm"]


def test_bent_and_straight_wrists_make_up_the_mean(tmp_path: Path) -> None:
    cases = open_collection(write_hands(tmp_path, people=3)).labelled
    evaluation = Evaluation(cases, np.random.default_rng(0).random((len(cases), 29)))
    wrists = evaluation.summary()["wrists"]
    assert sum(part["images"] for part in wrists.values()) == len(cases)
    whole = sum(part["images"] * part["mean_dice"] for part in wrists.values())
    assert whole / len(cases) == pytest.approx(evaluation.mean, abs=1e-4)


def test_cases_that_trained_are_left_out(
    bundle: Path, drawn: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [case.key for case in open_collection(drawn).labelled]
    runs = [tmp_path / "one", tmp_path / "two"]
    for folder, trained in zip(runs, (names[:2], names[2:3]), strict=True):
        shutil.copytree(bundle, folder / "bundle")
        (folder / "cases.json").write_text(json.dumps({"train": trained, "validation": names[3:]}))

    def measured(*arguments: Path | str) -> tuple[int, int, int, str]:
        assert run(["evaluate", *map(str, arguments), str(drawn), "--hand", "whole", "--out", str(tmp_path)]) == 0
        summary = json.loads((tmp_path / "summary.json").read_text())
        return summary["images"], summary["trained_on"], summary["left_out"], capsys.readouterr().out

    *numbers, said = measured(runs[0])
    assert numbers == [4, 0, 2] and "2 of 6 pictures trained the model and are left out" in said
    assert measured(runs[0] / "bundle", runs[1])[:3] == (3, 0, 3)
    recipe = runs[1] / "bundle" / RECIPE
    recipe.write_text(recipe.read_text().replace("hand: whole", "hand: wrist").replace("hand: auto", "hand: wrist"))
    assert measured(runs[0], "--wrist-bundle", runs[1])[:3] == (3, 0, 3)
    assert measured(runs[0], "--all")[:3] == (6, 2, 0)
    *numbers, said = measured(bundle)
    assert numbers == [6, 0, 0] and "trained the model" not in said
    (runs[0] / "cases.json").write_text(json.dumps({"train": names}))
    *numbers, said = measured(runs[0])
    assert numbers == [6, 6, 0] and "6 of 6 pictures trained the model, which flatters it" in said


def test_people_held_out_and_a_labelled_test_are_told_apart(
    bundle: Path, drawn: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trained = [case.key for case in open_collection(drawn).labelled][:4]
    shutil.copytree(bundle, tmp_path / "run/bundle")
    (tmp_path / "run/cases.json").write_text(json.dumps({"train": trained}))
    shutil.copytree(drawn / "train", tmp_path / "both/train")
    shutil.copytree(drawn / "train", tmp_path / "both/test")
    for place in ("DCM", "outputs_json"):
        for person in ("ID001", "ID002", "ID003"):
            (tmp_path / "both/test" / place / person).rename(tmp_path / "both/test" / place / f"{person}0")
    words = ["evaluate", str(tmp_path / "run"), "--hand", "whole", "--out", str(tmp_path / "scores")]
    assert run([*words, str(tmp_path / "both")]) == 0
    assert "6 of the 8 left are of the test part: give its folder" in capsys.readouterr().out
    assert run([*words, str(tmp_path / "both/test")]) == 0
    assert "test part" not in capsys.readouterr().out


def test_a_folder_without_labels_of_a_collection(
    bundle: Path, drawn: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert run(["evaluate", str(bundle), str(drawn / "train/DCM/ID001"), "--out", str(tmp_path)]) == 1
    assert "DCM/ID001: none of the pictures has labels: give the root" in capsys.readouterr().err


def test_nothing_labelled(bundle: Path) -> None:
    with pytest.raises(UserError, match="none of the pictures has labels"):
        evaluate(Segmenter(bundle), [])
