"""What `measure` says of a picture's bones, and what it leaves empty."""

import csv
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dicoms import dicom
from handbones.anatomy import ANATOMY, BONES
from handbones.cli import run
from handbones.collection import metadata_from_labels, open_collection, tilt_of
from handbones.commands.check import check
from handbones.errors import UsageError
from handbones.inference.segmentation import Segmentation
from handbones.insight.eda.tables import bones_by_case
from handbones.insight.measure import Tables, measure
from handbones.insight.survey import look, survey
from handbones.labels import Labels, load_labels, masks_to_labels, save_labels
from handbones.radiograph import Radiograph
from handbones.sides import wrist_tilt
from hands import SIZE, hand, write_hands


def box(left: float, top: float, right: float, bottom: float) -> np.ndarray:
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom]], np.float64)


def found(labels: Labels, height: int, width: int) -> Segmentation:
    """What a model would find that is sure of the labels."""
    return Segmentation.from_logits(20.0 * labels.masks(height, width) - 10, height, width)


def cut_above(labels: Labels, row: int, *, short: int = 0) -> Labels:
    """The labels in a picture that begins at a row; what the edge cuts ends `short` rows below it."""
    masks = labels.masks(SIZE, SIZE)[:, row:]
    masks[:, :short] = 0
    return masks_to_labels(masks)


def test_a_model_ends_a_cut_bone_before_the_edge() -> None:
    top = int(hand(0).polygons["finger-8"][0][:, 1].mean())
    for short, of_labels in ((0, False), (2, True)):
        labels = cut_above(hand(0), top, short=short)
        whole = {bone.label: bone.whole for bone in measure(labels, SIZE - top, SIZE).bones}
        assert whole["finger-8"] is of_labels and whole["finger-9"]
        measures = measure(found(labels, SIZE - top, SIZE), SIZE - top, SIZE)
        assert not next(bone.whole for bone in measures.bones if bone.label == "finger-8")
        assert math.isnan(measures.ratios["distal_to_middle_phalanx_3"])


def test_a_sliver_is_not_whole_wherever_it_ends() -> None:
    labels = hand(0)
    middle = labels.polygons["finger-8"][0].mean(axis=0)
    sliver = (labels.polygons["finger-8"][0] - middle) * (1, 0.1) + middle
    measures = measure(Labels({**labels.polygons, "finger-8": [sliver]}), SIZE, SIZE)
    assert [bone.label for bone in measures.bones if not bone.whole] == ["finger-8", "Radius", "Ulna"]
    assert math.isnan(measures.ratios["distal_to_middle_phalanx_3"])
    small = labels.map(lambda points: 0.3 * points)
    assert np.isfinite(measure(small, SIZE, SIZE).ratios["distal_to_middle_phalanx_3"])


def bent() -> Labels:
    """A hand whose wrist is bent by 30 degrees."""
    labels = hand(0)
    wrist = labels.polygons["Lunate"][0].mean(axis=0)
    turn = np.array([[np.cos(0.52), np.sin(0.52)], [-np.sin(0.52), np.cos(0.52)]])
    forearm = {label: labels.polygons[label] for label in ("Radius", "Ulna")}
    moved = labels.map(lambda points: (points - wrist) @ turn + wrist)
    return Labels(moved.polygons | forearm)


def squeezed(root: Path, **fields: list[float]) -> Path:
    """A collection of one DICOM with half of the rows that square pixels would have."""
    root.mkdir()
    dicom(root / "a_R.dcm", np.zeros((SIZE // 2, SIZE), np.uint8), **fields)
    save_labels(bent().map(lambda points: (points + 0.5) * (1, 0.5) - 0.5), root / "a_R.json")
    return root


def test_angles_are_those_of_square_pixels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    [case] = open_collection(squeezed(tmp_path / "a", PixelSpacing=[0.4, 0.2])).cases
    tilt = wrist_tilt(bent())
    assert tilt is not None and abs(tilt) > 20
    assert tilt_of(case) == metadata_from_labels(case).tilt == pytest.approx(tilt, abs=0.5)
    assert look(case).tilt == pytest.approx(tilt, abs=0.5)
    [shaped] = open_collection(squeezed(tmp_path / "c", PixelAspectRatio=[2, 1])).cases
    assert tilt_of(shaped) == tilt_of(case)
    [unknown] = open_collection(squeezed(tmp_path / "b")).cases
    assert tilt_of(unknown) == pytest.approx(wrist_tilt(load_labels(unknown.labels)))
    wanted = {bone.label: bone.degrees for bone in measure(bent(), SIZE, SIZE).bones}
    rows = bones_by_case(survey([case])).rows
    told = {row[2]: row[-1] for row in rows}  # of round bones half a pixel decides
    assert {bone.label: told[bone.label] for bone in ANATOMY[:19]} == pytest.approx(
        {bone.label: wanted[bone.label] for bone in ANATOMY[:19]}, abs=3
    )
    check(tmp_path / "a")
    assert "1 of 1 bent" in capsys.readouterr().out


@pytest.mark.parametrize("fields", [{"PixelSpacing": [0.4, 0.2]}, {"PixelAspectRatio": [2, 1]}])
def test_tables_are_of_square_pixels(tmp_path: Path, fields: dict[str, list[float]]) -> None:
    [case] = open_collection(squeezed(tmp_path / "a", **fields)).cases
    radiograph, labels = case.load()
    assert labels is not None
    tables = Tables()
    tables.add("1", "a", "labels", 1, labels, radiograph)
    [squares] = [row for row in tables.bones if row[4] == "finger-11"]
    [bone] = [bone for bone in measure(bent(), SIZE, SIZE).bones if bone.label == "finger-11"]
    row = dict(zip(tables.bones[0], squares, strict=True))
    assert float(row["length_px"]) == pytest.approx(bone.length, abs=1.5)
    assert float(row["width_px"]) == pytest.approx(bone.width, abs=1.5)
    assert float(row["degrees"]) == pytest.approx(bone.degrees, abs=2)
    if "PixelSpacing" in fields:
        assert float(row["length_mm"]) == pytest.approx(0.2 * float(row["length_px"]), rel=1e-4)
    else:
        assert row["length_mm"] == ""
    ratio = tables.hands[1][tables.hands[0].index("proximal_phalanx_to_metacarpal_3")]
    wanted = measure(bent(), SIZE, SIZE).ratios["proximal_phalanx_to_metacarpal_3"]
    assert float(ratio) == pytest.approx(wanted, abs=0.02)


def test_what_is_of_two_hands_gives_no_ratio() -> None:
    beside = hand(1).map(lambda points: points + np.array([SIZE, 0]))
    here = hand(0).polygons
    one = Labels({**here, "finger-8": here["finger-8"] + beside.polygons["finger-8"]})
    alone, ratios = measure(hand(0), SIZE, 2 * SIZE).ratios, measure(one, SIZE, 2 * SIZE).ratios
    assert math.isnan(ratios.pop("distal_to_middle_phalanx_3"))
    assert ratios == pytest.approx({name: alone[name] for name in ratios}, nan_ok=True)
    partial = Labels(here | {label: here[label] + beside.polygons[label] for label in BONES[:8]})
    assert all(math.isnan(value) for value in measure(partial, SIZE, 2 * SIZE).ratios.values())
    both = found(hand(0), SIZE, 2 * SIZE).united(found(beside, SIZE, 2 * SIZE))
    with pytest.raises(UsageError, match=r"of 2 hands: measure each of segmentation\.hands"):
        measure(both, SIZE, 2 * SIZE)
    assert len(measure(both.hands[1], SIZE, 2 * SIZE).bones) == len(BONES)


def test_there_is_no_carpal_height_of_a_cut_metacarpal() -> None:
    bones = {"finger-11": [box(40, 0, 49, 169)], "Radius": [box(20, 220, 70, 290)]}
    assert math.isnan(measure(Labels(bones), 300, 100).carpal_height)
    assert measure(Labels(bones).map(lambda points: points + np.array([0, 9])), 310, 100).carpal_height > 40


def test_the_carpal_height_is_between_outlines_of_masks() -> None:
    bones = {"finger-11": [box(40, 10, 49, 169)], "Radius": [box(20, 220, 70, 290)]}
    assert measure(Labels(bones), 300, 100).carpal_height == pytest.approx(50)  # rows 170 to 219
    assert measure(Labels(bones), 300, 100, (0.4, 0.2)).carpal_height == pytest.approx(20)


def test_a_stub_of_the_forearm_has_no_axis() -> None:
    bones = {"finger-11": [box(40, 10, 49, 169)], "Radius": [box(20, 220, 70, 245)], "Ulna": [box(80, 220, 95, 290)]}
    measures = {bone.label: bone for bone in measure(Labels(bones), 300, 100).bones}
    assert math.isnan(measures["Radius"].length) and math.isnan(measures["Radius"].width)
    assert math.isnan(measures["Radius"].degrees) and measures["Radius"].area == pytest.approx(51 * 26, rel=0.001)
    assert measures["Ulna"].length == pytest.approx(71) and measures["Ulna"].degrees == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"spacing": 0.1}, "spacing 0.1: needs millimetres"),
        ({"spacing": "ab"}, "spacing 'ab': needs millimetres"),
        ({"spacing": ("0.1", "0.1")}, "needs millimetres"),
        ({"spacing": np.zeros((2, 3))}, "needs millimetres"),
        ({"spacing": {0.1, 0.2}}, "needs millimetres"),
        ({"height": "x"}, "height 'x': needs the pixels"),
        ({"height": 0}, "height 0: needs the pixels"),
        ({"width": -5}, "width -5: needs the pixels"),
        ({"aspect": 0}, "aspect 0: needs how many times"),
    ],
)
def test_sizes_that_are_none_are_one_line(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message) as raised:
        measure(hand(0), **{"height": SIZE, "width": SIZE, **wrong})
    assert "\n" not in str(raised.value)
    measures = measure(hand(0), np.int64(SIZE), SIZE, np.array([0.1, 0.1]))  # type: ignore[arg-type]
    assert measures.unit == "mm"


def test_numbers_of_tables_are_plain() -> None:
    tables = Tables()
    wide = np.zeros((1500, 1500), np.uint8)
    tables.add("1", "a", "labels", 1, Labels({"finger-11": [box(100, 50, 1199, 1249)]}), Radiograph(wide, (0.1, 0.1)))
    [row] = tables.bones[1:]
    told = dict(zip(tables.bones[0], row, strict=True))
    assert (told["degrees"], told["length_px"], told["area_px"], told["length_mm"]) == ("0", "1200", "1319999.5", "120")


def test_spacings_may_be_given_where_files_tell_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_hands(tmp_path / "data", people=1, test_people=0)
    arguments = ["measure", str(tmp_path / "data"), "--out", str(tmp_path / "out"), "--spacing"]
    assert run([*arguments, "0.2,0.1"]) == 0
    rows = list(csv.DictReader((tmp_path / "out" / "bones.csv").open(encoding="utf-8")))
    assert all(float(row["area_mm2"]) == pytest.approx(0.01 * float(row["area_px"]), abs=1e-4) for row in rows)
    assert {row["confidence"] for row in rows} == {""}
    ratios = list(csv.DictReader((tmp_path / "out" / "ratios.csv").open(encoding="utf-8")))
    assert sorted(row["side"] for row in ratios) == ["left", "right"]
    case = open_collection(tmp_path / "data").cases[0]
    assert case.labels is not None
    assert float(ratios[0]["wrist_tilt_degrees"]) == pytest.approx(wrist_tilt(load_labels(case.labels), 2), abs=1e-4)
    assert (ratios[0]["mm_per_row"], ratios[0]["mm_per_column"]) == ("0.2", "0.1")
    for wrong in "0", "0.1,0.1,0.1", "":
        assert run([*arguments, wrong]) == 2
        assert "--spacing" in capsys.readouterr().err
    for name, fields, told in (
        ("a", {"PixelSpacing": [0.4, 0.2]}, "0.4 x 0.2 mm"),
        ("b", {"PixelAspectRatio": [2, 1]}, "2 times as high as wide"),
    ):
        root = squeezed(tmp_path / name, **fields)
        assert run(["measure", str(root), "--out", str(tmp_path / "out"), "--spacing", "0.2"]) == 2
        assert told in capsys.readouterr().err
    assert run(["measure", str(root), "--out", str(tmp_path / "out"), "--spacing", "0.4,0.2"]) == 0


def test_tables_of_a_model_tell_how_sure_it_is() -> None:
    tables = Tables()
    tables.add("1", "a", "model", 1, found(hand(0), SIZE, SIZE), Radiograph(np.zeros((SIZE, SIZE), np.uint8)))
    column = tables.bones[0].index("confidence")
    assert all(0.9 < float(row[column]) <= 1 for row in tables.bones[1:])
