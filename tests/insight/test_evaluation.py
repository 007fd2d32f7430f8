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
from handbones.insight.evaluation import evaluate
from handbones.labels import load_labels, unpack
from handbones.metric import dice
from handbones.sides import wrist_tilt

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
    wrists = summary["wrists"]
    told = [wrist_tilt(load_labels(str(case.labels))) is not None for case in collection.labelled]
    assert sum(part["images"] for part in wrists.values()) == sum(told) > 0
    whole = sum(part["images"] * part["mean_dice"] for part in wrists.values())
    assert whole / sum(told) == pytest.approx(evaluation.dice[told].mean(), abs=1e-4)
    assert list(summary["groups"]) == ["fingers", "carpals", "forearm"]


def test_nothing_labelled(bundle: Path) -> None:
    with pytest.raises(UserError, match="none of the pictures has labels"):
        evaluate(Segmenter(bundle), [])
