"""Evaluation says of each picture and bone what Dice of dense masks says."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from handbones.anatomy import BONES
from handbones.collection import open_collection
from handbones.errors import UserError
from handbones.inference.segmenter import Segmenter
from handbones.insight.evaluation import Evaluation, evaluate
from handbones.labels import unpack
from handbones.metric import dice
from hands import write_hands

pytestmark = pytest.mark.train


def test_scores_and_files(bundle: Path, drawn: Path, tmp_path: Path) -> None:
    segmenter, collection = Segmenter(bundle), open_collection(drawn)
    evaluation = evaluate(segmenter, collection.labelled)
    for case, row in zip(collection.labelled, evaluation.dice, strict=True):
        _, labels = case.load()
        assert labels is not None
        expected = dice(segmenter.segment(case.image).masks(), unpack(labels.masks(64, 64)))
        np.testing.assert_allclose(row, expected, atol=1e-12)
    evaluation.write(tmp_path)
    rows = list(csv.DictReader((tmp_path / "dice.csv").open()))
    assert list(rows[0]) == ["image", "bone", "dice"] and len(rows) == 6 * 29
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


def test_nothing_labelled(bundle: Path) -> None:
    with pytest.raises(UserError, match="none of the pictures has labels"):
        evaluate(Segmenter(bundle), [])
