"""Label files: read as they are, written without losing a field, every fault named."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from handbones.anatomy import BONES
from handbones.errors import UserError
from handbones.labels import Labels, load_labels, masks_to_labels, rescale, save_labels
from handbones.raster import pack, unpack
from shapes import random_labels

GOLDEN = Path(__file__).parent / "golden" / "labels.json"
SQUARE = [[1, 1], [6, 1], [6, 6], [1, 6]]


def write(path: Path, *annotations: Any, **fields: Any) -> Path:
    path.write_text(json.dumps({"annotations": list(annotations), **fields}), encoding="utf-8")
    return path


def test_golden_file_is_read_in_the_official_order_with_all_polygons() -> None:
    labels = load_labels(GOLDEN)
    assert labels.bones == ["finger-1", "Ulna"]
    assert [len(polygon) for polygon in labels.polygons["Ulna"]] == [4, 3]
    np.testing.assert_array_equal(labels.polygons["finger-1"][0], [[1, 1], [5.25, 1], [5.25, 5.5]])
    assert labels.by_bone()[BONES.index("Ulna")] is labels.polygons["Ulna"]


def test_golden_file_survives_the_round_trip_byte_for_byte(tmp_path: Path) -> None:
    save_labels(load_labels(GOLDEN), tmp_path / "again.json")
    assert (tmp_path / "again.json").read_text(encoding="utf-8") == GOLDEN.read_text(encoding="utf-8")


def test_changed_added_and_removed_polygons_keep_the_other_fields(tmp_path: Path) -> None:
    labels = load_labels(GOLDEN)
    moved = labels.polygons["Ulna"][0] + 1
    edited = Labels({"Ulna": [moved], "Radius": [np.array(SQUARE, float)]}, labels.document)
    save_labels(edited, tmp_path / "edited.json", filename="new.png")
    document = json.loads((tmp_path / "edited.json").read_text())
    assert document["filename"] == "new.png"
    assert document["file_id"] == "6361f1"
    assert [(a["id"], a["label"]) for a in document["annotations"]] == [("a9", "Ulna"), ("Radius-1", "Radius")]
    assert document["annotations"][0]["attributes"] == {"checked": True}
    assert document["annotations"][0]["points"] == moved.tolist()


def test_labels_from_nowhere_get_the_competition_s_fields(tmp_path: Path) -> None:
    save_labels(random_labels(0, 100, 100), tmp_path / "new.json", filename="new.png")
    document = json.loads((tmp_path / "new.json").read_text())
    assert list(document) == [
        *("annotations", "attributes", "file_id", "filename", "parent_path", "last_modifier_id", "metadata"),
        "last_workers",
    ]
    assert [a["label"] for a in document["annotations"]] == list(BONES)
    assert all(isinstance(v, int) for a in document["annotations"] for point in a["points"] for v in point)


def test_masks_unite_polygons_and_keep_overlap() -> None:
    other = [[4.0, 4.0], [9.0, 4.0], [9.0, 9.0]]
    labels = Labels({"Triquetrum": [np.array(SQUARE, float), np.array(other)], "Pisiform": [np.array(SQUARE, float)]})
    masks = labels.masks(12, 12)
    np.testing.assert_array_equal(masks, unpack(labels.packed(12, 12)))
    triquetrum, pisiform = masks[BONES.index("Triquetrum")], masks[BONES.index("Pisiform")]
    assert triquetrum[1:7, 1:7].all()
    assert triquetrum[8, 9]
    assert pisiform.sum() == 36


def test_masks_to_labels_and_back_dense_and_packed() -> None:
    packed = random_labels(5, 160, 120).packed(160, 120)
    for masks in (packed, unpack(packed)):
        np.testing.assert_array_equal(masks_to_labels(masks).packed(160, 120), packed)
    np.testing.assert_array_equal(pack(unpack(packed)), packed)
    with pytest.raises(UserError, match=r"not \(3, 8, 8\)"):
        masks_to_labels(np.zeros((3, 8, 8)))
    np.testing.assert_array_equal(masks_to_labels(packed.view(np.int32)).packed(160, 120), packed)
    with pytest.raises(UserError, match="packed masks must be uint32 or int32, not float64"):
        masks_to_labels(np.zeros((8, 8)))


def test_rescale_maps_pixel_borders_onto_pixel_borders() -> None:
    corners = np.array([[-0.5, -0.5], [63.5, -0.5], [63.5, 31.5]])
    scaled = rescale(Labels({"Ulna": [corners]}), (32, 64), (48, 16)).polygons["Ulna"][0]
    np.testing.assert_allclose(scaled, [[-0.5, -0.5], [15.5, -0.5], [15.5, 47.5]])


def test_labels_are_sorted_and_hold_arrays() -> None:
    labels = Labels({"Ulna": [SQUARE], "Radius": [], "finger-1": (np.array(SQUARE, np.int32), SQUARE)})
    assert labels.bones == ["finger-1", "Ulna"]
    assert {polygon.dtype for polygons in labels.polygons.values() for polygon in polygons} == {np.dtype(np.float64)}
    assert labels.map(lambda points: points + 1).bones == labels.bones


@pytest.mark.parametrize(
    ("polygons", "message"),
    [
        ({"lunate": [SQUARE]}, "unknown label 'lunate': is Lunate meant"),
        ({"Lunate": [SQUARE[:2]]}, "Lunate: a polygon needs at least 3 points, this one has 2"),
        ({"Lunate": [np.full((4, 2), np.nan)]}, r"Lunate: points must be a list of \[x, y\] numbers"),
        ({"Lunate": SQUARE}, "Lunate: a polygon needs at least 3 points"),
        ({"Lunate": np.array(SQUARE)}, "Lunate: a polygon needs at least 3 points"),
        ({"Lunate": None}, "a dict of lists of polygons, by bone"),
        ([SQUARE], "a dict of lists of polygons, by bone"),
    ],
)
def test_labels_of_what_is_none_are_refused_in_one_line(polygons: Any, message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        Labels(polygons)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("annotation", "message"),
    [
        ({"label": "finger-30", "points": SQUARE}, "annotation 1: unknown label 'finger-30'"),
        ({"label": ["Ulna"], "points": SQUARE}, "unknown label"),
        ({"label": "Ulna", "points": SQUARE[:2]}, "Ulna: a polygon needs at least 3 points, this one has 2"),
        ({"label": "Ulna", "points": None}, "Ulna: points must be a list"),
        ({"label": "Ulna", "points": [[1, 2, 3]] * 3}, "Ulna: points must be a list"),
        ({"label": "Ulna", "points": [[1, 2], [3], [4, 5]]}, "Ulna: points must be a list"),
        ({"label": "Ulna", "points": [[1, "a"], [3, 4], [4, 5]]}, "Ulna: points must be a list"),
        ({"label": "Ulna", "points": [[1, float("nan")], [3, 4], [4, 5]]}, "Ulna: points must be a list"),
        ({"label": "Ulna", "points": [*SQUARE, [3, 99]]}, r"Ulna: point \(3, 99\) is outside the picture of 8 x 10"),
        ({"label": "Ulna", "points": [*SQUARE, [-3.5, 2]]}, r"Ulna: point \(-3.5, 2\) is outside"),
        ({"label": "finger-20", "points": SQUARE}, "'finger-20'; the 29 labels are"),
        ({"label": "lunate ", "points": SQUARE}, "unknown label 'lunate ': is Lunate meant"),
        ({"points": SQUARE}, "needs the field 'label'"),
        ("Ulna", "needs the fields 'label' and 'points'"),
    ],
)
def test_a_faulty_annotation_is_one_line(tmp_path: Path, annotation: Any, message: str) -> None:
    path = write(tmp_path / "hand.json", annotation)
    with pytest.raises(UserError, match=message) as error:
        load_labels(path, (10, 8))
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)


def test_all_faults_of_a_file_are_told_together(tmp_path: Path) -> None:
    bad = {"label": "Ulna", "points": []}
    with pytest.raises(UserError) as error:
        load_labels(write(tmp_path / "hand.json", bad, {"label": "Radius", "points": SQUARE}, bad))
    assert str(error.value).count("Ulna: a polygon needs") == 2


def test_many_outlines_outside_have_one_cause(tmp_path: Path) -> None:
    labels = [{"label": label, "points": [*SQUARE, [3, 99]]} for label in BONES[:4]]
    with pytest.raises(UserError, match="4 of 5 outlines reach outside the picture of 8 x 10 pixels") as error:
        load_labels(write(tmp_path / "hand.json", *labels, {"label": "Ulna", "points": SQUARE}), (10, 8))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"annotations": [', "not valid JSON \\(line 1, column 18\\)"),
        (b"\x89PNG\r\n\x1a\n\xff\xfe", "not a JSON text file"),
        (b"[" * 100_000, "not a JSON text file"),
        (b"[" + b"9" * 5000 + b"]", "not a JSON text file"),
        (b"[1]", "no list 'annotations'"),
        (b"{}", "no list 'annotations'"),
        (b"", "not valid JSON"),
    ],
)
def test_a_file_that_is_no_label_file(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(UserError, match=message):
        load_labels(tmp_path / "x.json")


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        load_labels(tmp_path / "none.json")
    with pytest.raises(UserError, match="it is a folder"):
        load_labels(tmp_path)


def test_byte_order_mark_and_border_points_are_no_faults(tmp_path: Path) -> None:
    path = write(tmp_path / "hand.json", {"label": "Ulna", "points": [[0, 0], [8, 0], [8, 10]]})
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert load_labels(path, (10, 8)).bones == ["Ulna"]
