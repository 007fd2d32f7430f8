"""The report of an evaluation: distances, intervals, and figures that agree with the Dice alone."""

import csv
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from handbones.cli import run
from handbones.collection import Case, open_collection
from handbones.commands.evaluate import _models, model_name
from handbones.commands.options import open_segmenter
from handbones.inference.segmentation import Segmentation
from handbones.inference.segmenter import Segmenter
from handbones.insight.closeup import rectangle_around
from handbones.insight.evaluation import evaluate
from handbones.insight.report import examine, write_report
from handbones.insight.report.cases import error_map
from handbones.insight.report.comparison import paired_bootstrap
from handbones.insight.report.surfaces import border, surface_distances
from handbones.labels import Labels, load_labels, save_labels
from handbones.radiograph import Radiograph
from hands import write_hands


def test_a_model_is_called_by_its_run_wherever_one_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lr0.003").mkdir()
    monkeypatch.chdir(tmp_path / "lr0.003")
    for path in (".", "bundle", "../lr0.003", "../lr0.003/bundle", "lr0.003.onnx"):
        assert model_name([Path(path)]) == "lr0.003"


def square(left: int, top: int, side: int) -> np.ndarray:
    mask = np.zeros((40, 60), bool)
    mask[top : top + side, left : left + side] = True
    return mask


def test_distances_of_squares() -> None:
    assert surface_distances(square(5, 5, 20), square(5, 5, 20)) == (0, 0)
    hd95, average = surface_distances(square(5, 5, 20), square(8, 5, 20))
    assert hd95 == pytest.approx(3)
    assert 0.5 < average < 3
    assert surface_distances(square(5, 5, 1), square(8, 9, 1)) == (5, 5)
    assert surface_distances(square(5, 5, 1), square(8, 9, 1), (0.5, 0.5)) == (2.5, 2.5)
    assert surface_distances(square(0, 0, 0), square(0, 0, 0)) == (0, 0)
    assert np.isnan(surface_distances(square(0, 0, 0), square(5, 5, 3))).all()
    assert len(border(square(5, 5, 20))) == 4 * 19


def test_distances_agree_with_a_distance_map() -> None:
    from scipy.ndimage import distance_transform_edt

    rng = np.random.default_rng(0)
    one, two = (rng.random((30, 30)) > 0.6 for _ in range(2))
    edges = []
    for mask in (one, two):
        edge = np.zeros_like(mask)
        edge[tuple(border(mask).astype(int).T)] = True
        edges.append(edge)
    there, back = (distance_transform_edt(~b)[a] for a, b in (edges, edges[::-1]))
    expected = max(np.percentile(there, 95), np.percentile(back, 95)), np.concatenate([there, back]).mean()
    assert surface_distances(one, two) == pytest.approx(expected)


def test_bootstrap_draws_people() -> None:
    people = np.repeat([f"ID{i}" for i in range(50)], 2)
    rng = np.random.default_rng(0)
    of_person = np.repeat(rng.normal(0.01, 0.02, 50), 2)
    low, high = paired_bootstrap(np.column_stack([of_person, np.full(100, 0.5)]), people)
    assert low[0] < of_person.mean() < high[0]
    assert high[0] - low[0] == pytest.approx(2 * 1.96 * 0.02 / np.sqrt(50), rel=0.35)  # as 50 people, not 100 pictures
    assert (low[1], high[1]) == pytest.approx((0.5, 0.5))


@pytest.mark.slow
@pytest.mark.train
def test_report_agrees_with_evaluation(bundle: Path, drawn: Path, tmp_path: Path) -> None:
    arguments = ["evaluate", str(bundle), str(drawn), "--out", str(tmp_path), "--report", "--hand", "whole"]
    assert run([*arguments, "--against", str(bundle)]) == 0
    expected = evaluate(Segmenter(bundle, hand="whole"), open_collection(drawn).labelled)
    rows = list(csv.DictReader((tmp_path / "surfaces.csv").open(encoding="utf-8")))
    np.testing.assert_allclose([float(row["dice"]) for row in rows], expected.dice.ravel(), atol=1e-5)
    compared = list(csv.DictReader((tmp_path / "comparison.csv").open(encoding="utf-8")))
    assert {(row["difference"], row["low"], row["high"]) for row in compared} == {("0", "", "")}  # of three people
    thresholds = list(csv.DictReader((tmp_path / "thresholds.csv").open(encoding="utf-8")))
    half = next(row for row in thresholds if row["threshold"] == "0.5")
    assert float(half["mean_dice"]) == pytest.approx(expected.mean, rel=0.2)  # on cells, which are not the pixels
    code = (tmp_path / "report.html").read_text(encoding="utf-8")
    titles = ("Overview", "Against another model", "Bones", "Best and worst", "Confusion", "Probabilities")
    assert all(f"<h2>{title}</h2>" in code for title in titles)
    assert "Fewer than 5 people: too few to tell" in code


@pytest.mark.train
def test_two_models_are_compared_with_the_same_looks(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    models = _models(partial(open_segmenter, wrist_bundle=None), [bundle], [Path("default")])
    assert [model and model.settings()["wrist_bundle"] for model in models] == [None, None]
    assert "both without a second look at the wrist" in capsys.readouterr().out
    (alone, nobody) = _models(partial(open_segmenter, wrist_bundle=None), [Path("default")], None)
    assert alone.settings()["wrist_bundle"] and nobody is None


def test_few_people_give_no_interval() -> None:
    low, high = paired_bootstrap(np.array([[0.01], [-0.002]]), np.array(["a", "a"]))
    assert np.isnan([low, high]).all()


class Blind:
    """Finds no hand."""

    def answer_many(self, cases: list[Case]) -> Iterator[tuple[Radiograph, list[Any]]]:
        return ((case.load()[0], []) for case in cases)

    def conclude(self, radiograph: Radiograph, _: list[Any]) -> Segmentation:
        return Segmentation(radiograph.height, radiograph.width, {}, "no hand was found")


def test_error_maps_show_the_whole_hand_of_a_portrait(tmp_path: Path) -> None:
    case = open_collection(write_hands(tmp_path / "data", people=1, test_people=0)).labelled[0]
    assert case.labels is not None
    labels = load_labels(case.labels)
    points = np.concatenate([polygon for polygons in labels.polygons.values() for polygon in polygons])
    left, right = int(points[:, 0].min()) - 1, int(points[:, 0].max()) + 2
    cv2.imwrite(str(case.image), cv2.imread(str(case.image), cv2.IMREAD_GRAYSCALE)[:, left : right + 1])
    save_labels(labels.map(lambda of_bone: of_bone - [left, 0]), case.labels)
    (verdict,) = examine(Blind(), [case]).verdicts  # type: ignore[arg-type]
    height, width = error_map(verdict, 560).shape[:2]
    extent = np.ptp(points, axis=0) + 1
    assert height == 560
    assert width == pytest.approx(560 * extent[0] / extent[1], rel=0.05)
    low, high = points.min(axis=0) - [left, 0], points.max(axis=0) - [left, 0]
    box = rectangle_around(points - [left, 0], 0.02, 256, right + 1 - left)
    assert (box[:2] <= low).all() and (box[2:] >= high).all()


def test_report_of_nothing_found_against_another_and_of_labels_without_bones(tmp_path: Path) -> None:
    data = write_hands(tmp_path / "data", people=2)
    cases = open_collection(data).labelled
    save_labels(Labels({}), str(cases[0].labels))
    examined = examine(Blind(), cases)  # type: ignore[arg-type]
    write_report(tmp_path, examined, "blind", against=examined, other="as blind")
    compared = list(csv.DictReader((tmp_path / "comparison.csv").open(encoding="utf-8")))
    assert [row["bones"] for row in compared[:5]] == ["all bones", "fingers", "carpals", "forearm", "straight wrists"]
    assert "Dice against wrist tilt, of both" in (tmp_path / "report.html").read_text(encoding="utf-8")
    thresholds = list(csv.DictReader((tmp_path / "thresholds.csv").open(encoding="utf-8")))
    # Nothing is right but where there is nothing.
    assert float(thresholds[0]["mean_dice"]) == pytest.approx(1 / len(cases), rel=1e-4)
    assert run(["eda", str(data), "--out", str(tmp_path)]) == 0


def test_bones_that_neither_has_are_not_compared(bundle: Path, tmp_path: Path) -> None:
    root = write_hands(tmp_path / "data", people=1, test_people=0)
    for path in root.rglob("*.json"):
        polygons = load_labels(path).polygons
        save_labels(Labels({"Lunate": polygons["Lunate"]}), path)
    examined = examine(Segmenter(bundle, threshold=0.999999), open_collection(root).labelled)
    assert np.isnan(examined.stack("hd95")).all()
    write_report(tmp_path / "report", examined, "faint")
    assert "none compared" in next((tmp_path / "report").glob("*.html")).read_text(encoding="utf-8")
