"""Shapes of bones, what is kept of them, and the measures that follow."""

import math
from pathlib import Path

import numpy as np
import pytest

from handbones.anatomy import BONES, INDEX
from handbones.collection import open_collection
from handbones.errors import UsageError
from handbones.inference.segmentation import Segmentation
from handbones.insight import survey as surveys
from handbones.insight.measure import Tables, measure
from handbones.insight.shapes import SEVERAL, in_two_places, shapes_of
from handbones.labels import Labels
from handbones.radiograph import Radiograph
from hands import write_hands

PIXELS = np.zeros((100, 100), np.uint8)


def box(left: float, top: float, right: float, bottom: float) -> np.ndarray:
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom]], np.float64)


def test_a_box_has_its_size() -> None:
    shapes = shapes_of(Labels({"finger-7": [box(10, 20, 29, 79)]}))
    bone = INDEX["finger-7"]
    assert shapes.area[bone] == pytest.approx(20 * 60, rel=0.002)  # pixels of its mask
    assert shapes.length[bone] == pytest.approx(60, abs=0.1)
    assert shapes.width[bone] == pytest.approx(20, abs=0.1)
    np.testing.assert_allclose(shapes.centre[bone], (19.5, 49.5), atol=0.01)
    np.testing.assert_allclose(shapes.axis[bone], (0, -1), atol=1e-6)
    assert np.isnan(shapes.area[INDEX["Ulna"]]) and shapes.parts[INDEX["Ulna"]] == 0


TWICE_ROUND = np.concatenate([box(100, 100, 200, 200)] * 2)
CROSSING = np.array([[100, 100], [200, 200], [200, 100], [100, 200]], np.float64)
AT_A_CORNER = np.array([[100, 100], [150, 150], [200, 200], [200, 100], [150, 150], [100, 200]], np.float64)
LOOP_INSIDE = np.concatenate([box(100, 100, 200, 200), box(110, 110, 150, 160) + 0.5])


def test_loops_are_measured() -> None:
    loop = shapes_of(Labels({"Lunate": [box(0, 0, 10, 10)], "Hamate": [CROSSING]})).loop
    assert loop[INDEX["Lunate"]] == 0
    assert loop[INDEX["Hamate"]] == pytest.approx(1 / (2 + 2 * math.sqrt(2)))  # whole edges between the two that cross


@pytest.mark.parametrize("polygon", [TWICE_ROUND, CROSSING, AT_A_CORNER, LOOP_INSIDE])
def test_outlines_that_meet_themselves_have_the_area_of_their_mask(polygon: np.ndarray) -> None:
    for polygons in ([polygon], [polygon, box(120, 150, 260, 300)]):
        labels = Labels({"Lunate": polygons})
        rows, columns = np.nonzero(labels.packed(400, 400))
        assert measure(labels, 400, 400).bones[0].area == len(rows)
        np.testing.assert_allclose(shapes_of(labels).centre[INDEX["Lunate"]], (columns.mean(), rows.mean()))


def test_millimetres_only_with_a_spacing() -> None:
    labels = Labels({"finger-7": [box(10, 20, 29, 79)], "Radius": [box(30, 60, 50, 99)]})
    pixels = measure(labels, 100, 100)
    assert pixels.unit == "px"
    assert [bone.label for bone in pixels.bones] == ["finger-7", "Radius"]
    assert [bone.whole for bone in pixels.bones] == [True, False]
    square = measure(labels, 100, 100, (0.2, 0.2)).bones[0]
    assert square.length == pytest.approx(0.2 * pixels.bones[0].length)
    assert square.area == pytest.approx(0.04 * pixels.bones[0].area)
    uneven = measure(labels, 100, 100, (0.1, 0.2))
    assert uneven.unit == "mm"
    assert uneven.bones[0].length == pytest.approx(6.0, rel=1e-6)
    assert uneven.bones[0].width == pytest.approx(4.0, rel=1e-6)
    for polygons in labels.polygons["finger-7"], [box(10, 20, 29, 79), box(15, 70, 29, 84)]:  # the second by its mask
        one = Labels({"finger-7": polygons})
        pixels, uneven = measure(one, 100, 100), measure(one, 100, 100, (0.1, 0.2))
        assert uneven.bones[0].area == pytest.approx(0.02 * pixels.bones[0].area)
    for wrong in (0, 0), (0.1,):
        with pytest.raises(UsageError, match=r"spacing .*: needs millimetres"):
            measure(labels, 100, 100, wrong)  # type: ignore[arg-type]


def test_a_forearm_is_never_whole_and_pieces_are_told() -> None:
    labels = Labels({"finger-7": [box(10, 20, 29, 79), box(50, 20, 55, 25)], "Ulna": [box(30, 60, 50, 90)]})
    told = [(bone.label, bone.whole, bone.pieces) for bone in measure(labels, 100, 100).bones]
    assert told == [("finger-7", True, 2), ("Ulna", False, 1)]


def test_labels_of_two_hands_are_known() -> None:
    hand, broken = [box(10, 20, 29, 79), box(160, 20, 179, 75)], [box(10, 20, 29, 49), box(10, 50, 29, 79)]
    few = {"finger-7": hand, "finger-6": hand, "Radius": hand}
    others = dict.fromkeys(BONES[7:], hand[:1])
    assert len(in_two_places(Labels(few))) == len(in_two_places(Labels(others | few))) >= SEVERAL
    assert not in_two_places(Labels(dict.fromkeys(few, broken)))
    assert in_two_places(Labels({"finger-7": hand, "finger-6": hand[:1], "Ulna": broken})) == ["finger-7"]


def test_angles_of_the_table_are_those_of_square_pixels() -> None:
    tables = Tables()
    leaning = np.array([(10.0, 10), (12, 10), (52, 30), (50, 30)])
    tables.add("1", "a.dcm", "labels", 1, Labels({"finger-7": [leaning]}), Radiograph(PIXELS, (0.4, 0.2)))
    header, row = tables.bones
    assert float(row[header.index("degrees")]) == pytest.approx(-45, abs=2)


def test_ratios_and_carpal_height() -> None:
    bones = {
        "finger-10": [box(40, 10, 49, 59)],
        "finger-11": [box(40, 70, 49, 169)],
        "Radius": [box(20, 220, 70, 290)],
    }
    measures = measure(Labels(bones), 300, 100)
    assert measures.ratios["proximal_phalanx_to_metacarpal_3"] == pytest.approx(0.5, rel=0.01)
    assert measures.carpal_height == pytest.approx(50, abs=1)
    assert measures.ratios["carpal_height_to_metacarpal_3"] == pytest.approx(0.5, rel=0.02)
    assert math.isnan(measures.ratios["metacarpal_2_to_metacarpal_3"])
    assert math.isnan(measure(Labels({"Radius": bones["Radius"]}), 300, 100).carpal_height)


def test_what_was_found_is_measured_as_labels_are() -> None:
    logits = 20.0 * Labels({"finger-7": [box(10, 20, 29, 79)]}).masks(100, 100) - 10
    (bone,) = measure(Segmentation.from_logits(logits, 100, 100), 100, 100).bones
    assert bone.label == "finger-7" and bone.length == pytest.approx(60, abs=0.1)
    with pytest.raises(UsageError, match="must be Labels or a Segmentation, not dict"):
        measure({}, 100, 100)


def test_orientation_has_a_sign() -> None:
    leaning = np.array([[10, 80], [20, 80], [60, 20], [50, 20]], np.float64)
    (bone,) = measure(Labels({"finger-4": [leaning]}), 100, 100).bones
    assert 30 < bone.degrees < 40


def test_facts_are_kept_and_looked_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cases = open_collection(write_hands(tmp_path / "data", people=2, test_people=0)).cases
    first = surveys.survey(cases, workers=1, cache=tmp_path / "cache")
    again_only_for = []
    look = surveys.look
    monkeypatch.setattr(surveys, "look", lambda case: again_only_for.append(case) or look(case))
    second = surveys.survey(cases, workers=1, cache=tmp_path / "cache")
    assert not again_only_for
    told: list[int] = []
    told_before = []
    recall = surveys.kept.recall
    monkeypatch.setattr(surveys.kept, "recall", lambda *of: told_before.append(sum(told)) or recall(*of))
    surveys.survey(cases, workers=1, cache=tmp_path / "cache", seen=told.append)
    assert told == [1, 1, 1, 1] and told_before == [0, 1, 2, 3]  # one after the other, not all in the end
    for one, two in zip(first.facts, second.facts, strict=True):
        assert one.side_labels == two.side_labels and one.tilt == two.tilt
        np.testing.assert_array_equal(one.shapes.area, two.shapes.area)
        np.testing.assert_array_equal(one.edges.follow, two.edges.follow)
    path = cases[0].labels
    assert path is not None
    path.write_text(path.read_text() + "\n")
    surveys.survey(cases, workers=1, cache=tmp_path / "cache")
    assert [case.name for case in again_only_for] == [cases[0].name]
    for entry in (tmp_path / "cache" / "facts").iterdir():
        entry.write_bytes(b"")  # as a power cut may leave it
    surveys.survey(cases, workers=1, cache=tmp_path / "cache")
    assert len(again_only_for) == 1 + len(cases)
