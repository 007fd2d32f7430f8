"""The demo: the whole job, here on few and small radiographs."""

import csv
import json
from pathlib import Path

import pytest

from handbones.cli import run

pytestmark = pytest.mark.train


@pytest.mark.slow
def test_demo_leaves_everything_and_clears_only_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torch")
    out = tmp_path / "demo"
    out.mkdir()
    for name in (".handbones-demo", "summary.json"):  # as an earlier demo leaves them
        (out / name).write_text("old")
    assert run(["demo", "--out", str(out), "--persons", "8", "--size", "256", "--minutes", "0.02"]) == 0
    said = capsys.readouterr().out
    assert "handbones synth" in said and "handbones predict" in said and str(out / "report.html") in said
    summary = json.loads((out / "summary.json").read_text())
    assert 0 <= summary["mean_dice"] <= 1 and len(summary["bones"]) == 29 and summary["images"] == 4
    with (out / "submission.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 4 * 29
    page = (out / "report.html").read_text()
    assert page.count("<svg") >= 1 and page.count("<img") == 6
    assert "http://" not in page.replace("http://www.w3.org", "") and "https://" not in page


def test_demo_spares_a_folder_of_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "data").mkdir()
    assert run(["demo", "--out", str(tmp_path)]) == 2
    assert "choose another folder" in capsys.readouterr().err
    assert (tmp_path / "data").is_dir()
