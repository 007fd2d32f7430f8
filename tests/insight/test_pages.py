"""EDA and pictures of single cases."""

import csv
import io
import re
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from handbones.cli import run
from handbones.errors import UsageError
from handbones.inference.segmentation import Segmentation
from handbones.insight.eda.bones import _apart
from handbones.insight.eda.people import _edges, _growth_figure
from handbones.insight.portrait import show
from handbones.labels import Labels, save_labels
from hands import hand, picture_of, write_hands


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_hands(tmp_path_factory.mktemp("hands"), people=6, test_people=1)


def test_eda_is_one_page_and_tables(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["eda", str(root), "--out", str(tmp_path), "--no-cache", "--workers", "1"]) == 0
    assert "14 pictures of 7 people" in capsys.readouterr().out
    code = (tmp_path / "eda.html").read_text(encoding="utf-8")
    titles = ("Overview", "Bones", "Overlaps", "Wrist tilt", "People", "Brightness and contrast", "Contact sheet")
    assert all(f"<h2>{title}</h2>" in code for title in titles)
    assert "네일있음" in code and code.count("<svg") >= 7
    assert not re.search(r"""<script|<link|src=(?!["']?data:)|url\((?!#)|@import""", code)
    rows = list(csv.DictReader((tmp_path / "cases.csv").open(encoding="utf-8")))
    assert len(rows) == 14 and rows[0]["bones"] == "29" and rows[0]["remark"] == "네일있음"
    assert {row["side"] for row in rows} == {"left", "right"}
    bones = list(csv.DictReader((tmp_path / "bones_by_case.csv").open(encoding="utf-8")))
    assert len(bones) == 14 * 29 and float(bones[0]["area_px"]) > 10


def test_eda_without_a_table_that_cannot_be_read(root: Path, tmp_path: Path) -> None:
    data, out = tmp_path / "data", tmp_path / "out"
    shutil.copytree(root, data)
    (data / "meta_data.xlsx").write_bytes(b"no table")
    command = ["eda", str(data), "--out", str(out), "--no-cache", "--workers", "1"]
    assert run(command) == 1
    assert run([*command, "--skip-bad"]) == 0
    code = (out / "eda.html").read_text(encoding="utf-8")
    assert "<h2>People</h2>" not in code and "<h2>Bones</h2>" in code


def test_eda_of_pictures_alone(root: Path, tmp_path: Path) -> None:
    picture = next((root / "test" / "DCM").rglob("*.png"))
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "x.png").write_bytes(picture.read_bytes())
    assert run(["eda", str(tmp_path / "data"), "--out", str(tmp_path / "out"), "--no-cache"]) == 0
    code = (tmp_path / "out" / "eda.html").read_text(encoding="utf-8")
    assert "<h2>Bones</h2>" not in code and "<h2>Contact sheet</h2>" in code


def test_show_draws_labels_and_prediction(tmp_path: Path) -> None:
    labels = hand(1)
    picture = picture_of(labels, 1)
    other = Labels({label: polygons for label, polygons in labels.polygons.items() if label != "Lunate"})
    figure = show(picture, labels, other, names=True, title="a $1_$2^.png")  # no formula
    texts = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert "mean Dice 0.966" in texts and texts.count("finger-7") == 2  # legend and name
    assert len(figure.axes[0].patches) == 2 * 29 + 28
    figure.savefig(tmp_path / "a.pdf")
    assert (tmp_path / "a.pdf").read_bytes().startswith(b"%PDF")
    bare = show(picture, labels, way="outlines", legend=False)
    assert bare._repr_png_().startswith(b"\x89PNG")  # for a notebook, with or without pyplot
    assert len(bare.axes) == 1 and len(bare.axes[0].patches) == 29
    found = Segmentation.from_logits(20.0 * labels.masks(256, 256) - 10, 256, 256)
    assert len(show(picture, found, way="outlines").axes[0].patches) == 29
    assert "labels" in [text.get_text() for text in show(picture, found, other).axes[1].texts]
    with pytest.raises(UsageError, match="must be Labels or a Segmentation, not str: load_labels reads a file"):
        show(picture, "hand.json")
    with pytest.raises(UsageError, match="--way dots: must be one of outlines, fills, both"):
        show(picture, labels, way="dots")


def test_show_verb_finds_the_labels(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = sorted((root / "train" / "DCM").rglob("*.png"))[0]
    assert run(["show", str(picture), "--out", str(tmp_path / "a.png"), "--dpi", "100"]) == 0
    drawn = cv2.imread(str(tmp_path / "a.png"))
    assert drawn.shape[0] >= 750 and np.ptp(drawn.astype(int), axis=2).max() > 60  # in colour
    (tmp_path / "b.png").write_bytes(picture.read_bytes())
    assert run(["show", str(tmp_path / "b.png")]) == 1
    assert "no labels found: give --labels FILE" in capsys.readouterr().err
    (tmp_path / "b.json").write_text('{"Modality": "CR"}')  # beside a picture may lie any kind of JSON
    assert run(["show", str(tmp_path / "b.png")]) == 1
    assert "no labels found: give --labels FILE" in capsys.readouterr().err
    (tmp_path / "b.json").unlink()
    save_labels(hand(0), tmp_path / "b.JSON")
    assert run(["show", str(tmp_path / "b.png"), "--out", str(tmp_path / "c.png"), "--dpi", "50"]) == 0
    assert run(["show", str(picture), "--out", "a.bmp"]) == 2


def test_show_spares_what_it_draws(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture, labels = tmp_path / "a.png", tmp_path / "labels.png"  # --labels takes any name
    picture.write_bytes(next((root / "train" / "DCM").rglob("*.png")).read_bytes())
    save_labels(hand(0), tmp_path / "a.json")
    shutil.copy(tmp_path / "a.json", labels)
    (tmp_path / "linked.png").hardlink_to(picture)
    before = picture.read_bytes(), labels.read_bytes()
    given = [str(picture), "--labels", str(labels), "--out"]
    for out, what in (("a.png", "the radiograph"), ("linked.png", "the radiograph"), ("labels.png", "the label file")):
        assert run(["show", *given, str(tmp_path / out)]) == 2
        told = f"handbones: --out {tmp_path / out}: is {what} itself, which would be gone: give another\n"
        assert capsys.readouterr().err == told
    assert (picture.read_bytes(), labels.read_bytes()) == before
    assert run(["show", str(picture), "--out", str(tmp_path / "a-bones.png"), "--dpi", "50"]) == 0


def test_measure_verb(root: Path, tmp_path: Path) -> None:
    assert run(["measure", str(root), "--out", str(tmp_path)]) == 0
    rows = list(csv.DictReader((tmp_path / "bones.csv").open(encoding="utf-8")))
    assert len(rows) == 14 * 29 and rows[0]["length_mm"] == ""
    assert {row["bone"] for row in rows if row["whole"] == "0"} == {"Radius", "Ulna"}
    ratios = list(csv.DictReader((tmp_path / "ratios.csv").open(encoding="utf-8")))
    assert all(0.3 < float(row["proximal_phalanx_to_metacarpal_3"]) < 1.2 for row in ratios)


def test_where_no_hand_was_found_none_is_counted(bundle: Path, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((64, 64), np.uint8))
    looks = ["--hand", "whole", "--threshold", "0.999999"]
    assert run(["measure", str(tmp_path / "a.png"), "--bundle", str(bundle), *looks, "--out", str(tmp_path)]) == 0
    [row] = csv.DictReader((tmp_path / "ratios.csv").open(encoding="utf-8"))
    assert row["hand"] == "0"


def test_a_bone_that_nobody_drew_moves_no_label() -> None:
    places = np.array([[0.5, 0.5], [0.5, 0.51], [np.nan, np.nan]])
    moved = _apart(places)
    assert np.isfinite(moved[:2]).all() and abs(moved[1, 1] - moved[0, 1]) > 0.02


@pytest.mark.parametrize("values", [[30], [20, 37], [20, 38], [20, 65], [148, 191], [2.5, 119.5]])
def test_bins_hold_equally_many_whole_numbers(values: list[float]) -> None:
    edges = _edges(np.array(values))
    assert edges[0] <= values[0] and values[-1] <= edges[-1] and 2 <= len(edges) <= 19
    widths = set(np.diff(edges))
    assert len(widths) == 1 and widths.pop() % 1 == 0 and edges[0] % 1 == 0.5
    even = np.arange(np.ceil(values[0]), values[-1] + 1)
    assert len(set(np.histogram(even, edges)[0][1:-1])) <= 1


def test_of_many_people_a_figure_keeps_no_point_each_and_its_legend_covers_none() -> None:
    rng = np.random.default_rng(0)
    rows = [("a", "FM"[i % 2], 150 + i % 40, rng.normal(14, 0.6)) for i in range(5000)]
    figure = _growth_figure(rows, *(np.array([row[column] for row in rows]) for column in (2, 3)))
    picture = io.StringIO()
    figure.savefig(picture, format="svg")
    assert len(picture.getvalue()) < 200_000
    [axes], [legend] = figure.axes, figure.legends
    assert legend.get_window_extent().y0 >= axes.get_window_extent().y1
