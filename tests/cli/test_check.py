"""`handbones check` counts what is there and names what is wrong."""

from dataclasses import replace
from importlib import import_module
from pathlib import Path
from weakref import ref

import cv2
import numpy as np
import pytest

from handbones.collection import open_collection
from handbones.commands.check import check
from handbones.errors import UserError
from handbones.labels import Labels, load_labels, save_labels
from handbones.metadata import Metadata, write_metadata
from shapes import random_labels


@pytest.fixture
def data(tmp_path: Path) -> Path:
    whole = random_labels(0, 64, 64)
    without = Labels({label: polygons for label, polygons in whole.polygons.items() if label != "Pisiform"})
    for person, labels in (("ID001", whole), ("ID002", without)):
        path = tmp_path / "train/DCM" / person / f"image{person}_R.png"
        path.parent.mkdir(parents=True)
        assert cv2.imwrite(str(path), np.zeros((64, 64), np.uint8))
        save_labels(labels, tmp_path / "train/outputs_json" / person / f"image{person}_R.json")
    write_metadata(tmp_path / "meta_data.xlsx", [(1, Metadata()), (2, Metadata(30))])
    return tmp_path


def test_a_sound_collection(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    check(data, deep=True)
    lines = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert lines["pictures"] == "2 of 2 people, 2 for training, 0 for testing"
    assert lines["labels"] == "of 2 pictures; missing: Pisiform in 1"
    assert lines["sides"] == "2 right, 0 left"
    assert lines["wrists"].endswith("of 2 bent by more than 20 degrees")
    assert lines["metadata"] == "of 1 of 2 people"


def test_labels_are_read_once_and_not_kept(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module, read, alive = import_module("handbones.commands.check"), [], []

    def load(path: Path) -> Labels:
        alive.append(sum(one() is not None for one in read))
        labels = load_labels(path)
        read.append(ref(labels))
        return labels

    monkeypatch.setattr(module, "load_labels", load)
    cases = [replace(case, side=None) for case in open_collection(data).cases * 3]
    held = module._look_at(cases, deep=False, seen=lambda *_: None)
    assert held.labelled == len(read) == 6 and held.missing == {"Pisiform": 3}
    assert max(alive) == 1


def test_problems_are_listed_and_fail(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (data / "train/outputs_json/ID001/imageID001_R.json").unlink()
    with pytest.raises(UserError, match="1 problem, listed above"):
        check(data)
    out = capsys.readouterr().out
    assert "imageID001_R.png: no labels: expected" in out
    assert "1 of 1 person" in out
