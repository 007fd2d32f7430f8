"""Collections: every layout is found, everything wrong is told with the name of the file."""

import os
import shutil
import unicodedata
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from handbones.collection import Collection, open_collection, side_of
from handbones.errors import UsageError, UserError
from handbones.exclusion import exclude
from handbones.labels import save_labels
from handbones.layout import MADE_WITH
from handbones.metadata import Metadata, write_metadata
from shapes import random_labels

SIZE = 64, 48


def picture(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.random.default_rng(1).integers(0, 255, SIZE, np.uint8))
    return path


def labels(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    save_labels(random_labels(0, *SIZE), path, filename=path.name)
    return path


@pytest.fixture
def competition(tmp_path: Path) -> Path:
    """Three people with both hands and labels, one without labels, and the table."""
    root = tmp_path / "data"
    for person in ("ID001", "ID002", "ID010"):
        for name in (f"image{person[2:]}", f"image{person[2:]}_R"):
            picture(root / "train/DCM" / person / f"{name}.png")
            labels(root / "train/outputs_json" / person / f"{name}.json")
    picture(root / "test/DCM/ID003/image9_L.png")
    write_metadata(root / "meta_data.xlsx", [(1, Metadata(30, "F")), (3, Metadata(40, "M"))])
    return root


def test_competition_layout(competition: Path) -> None:
    collection = open_collection(competition)
    assert not collection.problems
    assert [case.image.relative_to(competition).as_posix() for case in collection.cases] == [
        "train/DCM/ID001/image001.png",
        "train/DCM/ID001/image001_R.png",
        "train/DCM/ID002/image002.png",
        "train/DCM/ID002/image002_R.png",
        "train/DCM/ID010/image010.png",
        "train/DCM/ID010/image010_R.png",
        "test/DCM/ID003/image9_L.png",
    ]
    assert len(collection.labelled) == 6
    assert collection.people == ["ID001", "ID002", "ID003", "ID010"]
    (test,) = collection.test
    assert (test.name, test.stem, test.person, test.side) == ("image9_L.png", "image9_L", "ID003", "left")
    assert test.metadata == Metadata(40, "M")
    assert collection.cases[0].metadata == Metadata(30, "F")
    assert collection.cases[2].metadata is None
    radiograph, polygons = collection.cases[0].load()
    assert radiograph.pixels.shape == SIZE
    assert polygons is not None
    assert len(polygons.bones) == 29


@pytest.mark.parametrize(("part", "count", "labelled"), [("train", 6, 6), ("test", 1, 0)])
def test_one_part_of_the_competition_s_folder(competition: Path, part: str, count: int, labelled: int) -> None:
    collection = open_collection(competition / part)
    assert (len(collection.cases), len(collection.labelled)) == (count, labelled)
    assert {case.split for case in collection.cases} == {part}
    assert collection.cases[0].metadata is not None


def test_the_table_lies_one_level_up_for_a_part_called_by_a_dot(
    competition: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(competition / "train")
    assert open_collection(".").cases[0].metadata == Metadata(30, "F")


def test_flat_folder_with_and_without_labels(tmp_path: Path) -> None:
    for name in ("a_R", "a_L", "b"):
        picture(tmp_path / "images" / f"{name}.png")
    assert {case.split for case in open_collection(tmp_path).cases} == {"test"}
    for name in ("a_R", "a_L", "b"):
        labels(tmp_path / "labels" / f"{name}.json")
    collection = open_collection(tmp_path)
    assert [(case.stem, case.person, case.side) for case in collection.labelled] == [
        ("a_L", "a", "left"),
        ("a_R", "a", "right"),
        ("b", "b", None),
    ]


def test_folder_of_pictures_and_a_single_picture_take_labels_that_lie_beside(tmp_path: Path) -> None:
    first = picture(tmp_path / "hand1.png")
    picture(tmp_path / "deeper" / "hand2.JPG")
    picture(tmp_path / ".hidden.png")
    picture(tmp_path / "@eaDir/a.png/SYNOPHOTO_THUMB_M.jpg")
    labels(tmp_path / "hand1.json")
    (tmp_path / "deeper" / "hand2.json").write_text('{"notes": "no labels"}')
    collection = open_collection(tmp_path)
    assert [(case.name, case.labels is not None) for case in collection.cases] == [
        ("hand1.png", True),
        ("hand2.JPG", False),
    ]
    (single,) = open_collection(first).cases
    assert single.image == first
    assert single.labels is not None


def test_the_ending_of_labels_may_be_in_capitals(competition: Path) -> None:
    path = competition / JSON
    path.rename(path.with_suffix(".JSON"))
    assert len(open_collection(competition).labelled) == 6
    single = picture(competition / "hand.png")
    labels(competition / "hand.JSON")
    assert len(open_collection(single).labelled) == 1


@pytest.mark.parametrize("layout", ["competition", "part", "flat"])
def test_the_folder_above_a_collection_is_not_one(competition: Path, layout: str) -> None:
    begins = competition
    (competition.parent / "elsewhere").mkdir()
    if layout == "part":
        begins = (competition / "train").rename(competition.parent / "elsewhere/mine")
    if layout == "flat":
        begins = competition.parent / "elsewhere" / "flat"
        labels(begins / "labels/a.json").touch()
        picture(begins / "images/a.png")
    with pytest.raises(UserError, match=f"a collection begins in {begins}: give that folder"):
        open_collection(begins.parent)


def test_pictures_of_a_part_outside_its_folder(competition: Path) -> None:
    picture(competition / "test/ID004/image.png")
    open_collection(competition)  # beside DCM may lie what wants to
    (competition / "test/DCM").rename(competition / "test/dicom")
    with pytest.raises(UserError, match=r"test: its pictures must lie in .*test/DCM/PERSON: move them"):
        open_collection(competition)


def test_parts_are_called_as_the_competition_calls_them(competition: Path) -> None:
    (competition / "train").rename(competition / "Train")
    with pytest.raises(UserError, match="Train: must be called train: rename it"):
        open_collection(competition)


def test_links_that_lead_back_are_not_followed(competition: Path) -> None:
    (competition / "train/DCM/ID001/loop").symlink_to(competition)
    (competition / "train/DCM/ID002/a").symlink_to(competition / "train/DCM/ID010")
    (competition / "train/DCM/ID010/b").symlink_to(competition / "train/DCM/ID002")
    found = [problem for problem in open_collection(competition, strict=False).problems if "loop" in str(problem)]
    assert not found
    real = (competition / "test/DCM").rename(competition.parent / "pictures")
    (competition / "test/DCM").symlink_to(real)
    assert len(open_collection(competition, strict=False).test) == 1


def test_what_is_passed_over_is_told(competition: Path) -> None:
    (competition / "test/DCM/ID003/b.GIF").touch()
    (competition / "train/DCM/b.nii.gz").touch()
    assert [path.name for path in open_collection(competition).unread] == ["b.nii.gz", "b.GIF"]


@pytest.mark.parametrize("name", ["Meta_Data.XLSX", "metadata.xlsx", "meta_data.csv"])
def test_the_table_by_other_names(competition: Path, name: str) -> None:
    table = (competition / "meta_data.xlsx").rename(competition / name)
    if table.suffix == ".csv":
        table.write_text("ID;나이;성별\n1;30;F\n3;40;M\n", encoding="cp949")
    collection = open_collection(competition)
    assert collection.table == table
    assert [case.metadata for case in collection.cases[:3]] == [Metadata(30, "F"), Metadata(30, "F"), None]


def test_a_csv_of_something_else_is_no_table(competition: Path) -> None:
    (competition / "metadata.csv").write_text("file_name,text\na.png,hello\n")
    assert open_collection(competition).table == competition / "meta_data.xlsx"
    (competition / "meta_data.xlsx").unlink()
    assert open_collection(competition).table is None


def test_names_pair_in_whatever_unicode_form(tmp_path: Path) -> None:
    for form, path in (("NFD", "DCM/손/é_R.png"), ("NFC", "outputs_json/손/é_R.json")):
        place = tmp_path / unicodedata.normalize(form, path)
        picture(place) if place.suffix == ".png" else labels(place)
    assert len(open_collection(tmp_path).labelled) == 1


def test_pictures_are_sorted_by_path_as_text(tmp_path: Path) -> None:
    for name in ("image1.png", "image1-2.png", "image1_R.png"):
        picture(tmp_path / "DCM" / "ID001" / name)
    names = [case.name for case in open_collection(tmp_path).cases]
    assert names == sorted(names) == ["image1-2.png", "image1.png", "image1_R.png"]


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


PNG, JSON, TABLE = "train/DCM/ID001/image001.png", "train/outputs_json/ID001/image001.json", "meta_data.xlsx"
TWO_POINTS = '{"annotations": [{"label": "Ulna", "points": [[1, 1], [2, 2]]}]}'
DAMAGES: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "missing partner": (JSON, Path.unlink, r"image001\.png: no labels: expected .*image001\.json"),
    "extra partner": (PNG, Path.unlink, r"image001\.json: labels of no picture: expected .*image001\.png"),
    "cut short": (PNG, cut_short, r"image001\.png: the picture is cut short"),
    "empty": (PNG, lambda p: p.write_bytes(b""), r"image001\.png: the file is empty"),
    "no picture": (PNG, lambda p: p.write_text("{}"), r"image001\.png: cannot be read as a picture"),
    "broken JSON": (JSON, lambda p: p.write_text("{"), r"image001\.json: not valid JSON"),
    "unknown label": (
        JSON,
        lambda p: p.write_text(p.read_text().replace("Ulna", "Elbow")),
        r"image001\.json: annotation 29: unknown label 'Elbow'",
    ),
    "two points": (
        JSON,
        lambda p: p.write_text(TWO_POINTS),
        r"image001\.json: annotation 1: Ulna: a polygon needs at least 3 points, this one has 2",
    ),
    "outside": (
        JSON,
        lambda p: p.write_text(TWO_POINTS.replace("[2, 2]", "[2, 2], [9, 2048]")),
        r"image001\.json: annotation 1: Ulna: point \(9, 2048\) is outside the picture of 48 x 64 pixels",
    ),
    "same name": (
        "test/DCM/ID003/image9_L.png",
        lambda p: picture(p.parents[1] / "ID004" / p.name),
        r"ID004/image9_L\.png: has the same name as .*ID003/image9_L\.png",
    ),
    "broken table": (TABLE, lambda p: p.write_text("ID,age"), r"meta_data\.xlsx: cannot be read as an Excel table"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_each_kind_of_damage_names_the_file(competition: Path, damage: str) -> None:
    name, harm, message = DAMAGES[damage]
    harm(competition / name)
    with pytest.raises(UserError, match=message):
        open_collection(competition)


def test_all_problems_are_told_together_and_can_be_skipped(competition: Path) -> None:
    (competition / JSON).unlink()
    cut_short(competition / "train/DCM/ID002/image002.png")
    with pytest.raises(UserError, match="2 problems with the files") as error:
        open_collection(competition)
    assert len(str(error.value).splitlines()) == 3
    collection = open_collection(competition, strict=False)
    assert len(collection.problems) == 2
    assert str(collection.problems[0]).startswith(f"{competition / PNG}: no labels")
    assert len(collection.cases) == 5


def test_a_long_list_is_cut(competition: Path) -> None:
    shutil.rmtree(competition / "train/outputs_json/ID001")
    for number in range(30):
        picture(competition / f"train/DCM/ID001/more{number}.png")
    with pytest.raises(UserError, match="32 problems") as error:
        open_collection(competition)
    lines = str(error.value).splitlines()
    assert len(lines) == 22
    assert lines[-1].strip() == "... and 12 more"


def test_only_the_deep_check_decodes_pictures(competition: Path) -> None:
    path = competition / PNG
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content)
    assert not open_collection(competition).problems
    with pytest.raises(UserError, match=r"image001\.png: the picture is damaged"):
        open_collection(competition, deep=True)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere", "nowhere: cannot read: no such file"),
        ("empty", "empty: no pictures in it: give a folder with train/DCM"),
        ("notes.txt", "notes.txt: neither a folder nor a picture"),
        ("labels.json", "labels.json: neither a folder nor a picture"),
    ],
)
def test_a_root_that_is_no_collection(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("")
    labels(tmp_path / "labels.json")
    for strict in (True, False):
        with pytest.raises(UserError, match=message):
            open_collection(tmp_path / name, strict=strict)


def test_side_of_looks_at_the_name_first_then_at_the_labels(competition: Path) -> None:
    collection: Collection = open_collection(competition)
    assert side_of(collection.test[0]) == "left"
    assert side_of(collection.cases[0]) in ("left", "right")


def test_what_predict_drew_is_no_radiograph(tmp_path: Path) -> None:
    for name in ("x.png", "found/overlays/x.png", "found/masks/x/Ulna.png", "found/other/y.png", "masks/z.png"):
        picture(tmp_path / name)
    (tmp_path / "found" / MADE_WITH).write_text("{}")
    assert [case.name for case in open_collection(tmp_path).cases] == ["y.png", "z.png", "x.png"]
    assert open_collection(tmp_path / "found/overlays").cases[0].name == "x.png"  # asked for by name


def test_what_show_drew_is_no_radiograph(tmp_path: Path) -> None:
    for name in ("x.png", "x-bones.png", "y-bones.png"):
        picture(tmp_path / name)
    assert [case.name for case in open_collection(tmp_path).cases] == ["x.png", "y-bones.png"]


def test_a_dicom_needs_no_suffix(tmp_path: Path) -> None:
    (tmp_path / "IM0001").write_bytes(bytes(128) + b"DICM")
    (tmp_path / "README").write_text("no picture")
    assert [problem.path.name for problem in open_collection(tmp_path, strict=False).problems] == ["IM0001"]


def test_a_disc_s_directory_is_no_radiograph(tmp_path: Path) -> None:
    (tmp_path / "DICOMDIR").write_bytes(bytes(128) + b"DICM")
    picture(tmp_path / "x.png")
    assert [case.name for case in open_collection(tmp_path).cases] == ["x.png"]


def test_a_name_that_is_no_text_is_a_problem(tmp_path: Path) -> None:
    picture(tmp_path / "x.png")
    try:
        shutil.copy(tmp_path / "x.png", os.fsencode(tmp_path / "y") + b"\xbc\xd5.png")
    except OSError:
        pytest.skip("the file system takes UTF-8 alone")
    with pytest.raises(UserError, match=r"its name is not UTF-8: rename it \(--skip-bad leaves it out\)"):
        open_collection(tmp_path)
    assert [case.name for case in open_collection(tmp_path, strict=False).cases] == ["x.png"]


def test_a_dicom_may_be_called_by_its_uid(tmp_path: Path) -> None:
    for number in range(2):
        (tmp_path / f"1.2.840.{number}").write_bytes(bytes(128) + b"DICM")
    (tmp_path / "notes.1").write_text("no picture")
    collection = open_collection(tmp_path, strict=False)
    assert {case.stem for case in collection.left_out} == {"1.2.840.0", "1.2.840.1"}
    assert not any("same name" in problem.message for problem in collection.problems)


@pytest.mark.parametrize("place", ["", "images"])
def test_pictures_of_one_name_in_several_folders_are_called_by_these_too(tmp_path: Path, place: str) -> None:
    for name in ("s1/IM1_L.png", "s2/IM1_L.png", "s2/deep/IM1_L.png", "s2/IM2.png"):
        picture(tmp_path / place / name)
    labels(tmp_path / ("labels" if place else "") / "s1/IM1_L.json")
    cases = {case.name: case for case in open_collection(tmp_path, strict=not place).cases}
    assert set(cases) >= {"s1_IM1_L.png"}
    assert cases["s1_IM1_L.png"].labels and cases["s1_IM1_L.png"].side == "left"
    if not place:  # there the others lack labels, which is a problem
        assert set(cases) == {"s1_IM1_L.png", "s2_IM1_L.png", "s2_deep_IM1_L.png", "IM2.png"}
        assert {case.stem for case in cases.values()} == {name.removesuffix(".png") for name in cases}
    for series in ("1.2.840.1", "1.2.840.2"):
        picture(tmp_path / "uids" / series / "IM1.png")
    assert [case.stem for case in open_collection(tmp_path / "uids").cases] == ["1.2.840.1_IM1", "1.2.840.2_IM1"]
    picture(tmp_path / place / "s2_IM1_L.png")
    assert any("IM1_L.png: has the same name" in str(p) for p in open_collection(tmp_path, strict=False).problems)


def test_one_part_alone_is_looked_at_if_it_is_there(competition: Path) -> None:
    (competition / JSON).unlink()
    assert [case.name for case in open_collection(competition, part="test").cases] == ["image9_L.png"]
    cut_short(competition / "test/DCM/ID003/image9_L.png")
    collection = open_collection(competition, strict=False, part="test")
    assert not collection.cases and [case.name for case in collection.left_out] == ["image9_L.png"]
    shutil.rmtree(competition / "test")
    assert len(open_collection(competition, strict=False, part="test").cases) == 5
    with pytest.raises(UsageError, match="part 'valid': must be one of train, test"):
        open_collection(competition, part="valid")


def test_an_empty_folder_of_labels_is_as_none(competition: Path) -> None:
    (competition / "test/outputs_json").mkdir()
    assert len(open_collection(competition).test) == 1


def test_what_is_left_out_may_be_excluded_too_and_names_may_hold_anything(tmp_path: Path) -> None:
    names = "hand #1_R", unicodedata.normalize("NFD", "손_R"), "b_R"
    for name in names:
        labels(tmp_path / "labels" / f"{name}.json")
        picture(tmp_path / "images" / f"{name}.png")
    picture(tmp_path / "images/c_R.png")
    (tmp_path / "labels" / "c_R.json").write_text("{")
    collection, listed = open_collection(tmp_path, strict=False), tmp_path / "exclude.txt"
    lines = "# a remark", "hand #1/hand #1_R.png  # drawn twice", unicodedata.normalize("NFC", "손"), "c/c_R.png", "c"
    listed.write_text("\n".join(lines), encoding="utf-8")
    assert [case.stem for case in exclude(collection, listed).cases] == ["b_R"]
