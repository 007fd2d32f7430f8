"""Layouts: which files of a folder belong together, whatever lies beside."""

import os
import shutil
import unicodedata
from pathlib import Path

import pytest

from handbones.collection import open_collection
from handbones.errors import UsageError, UserError
from handbones.layout import MADE_WITH
from handbones.metadata import Metadata
from pictures import JSON, cut_short, labels, picture


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
    for name in ("s1/IM1_L.png", "s2/im1_l.png", "s2/deep/IM1_L.png", "s2/IM2.png"):
        picture(tmp_path / place / name)
    labels(tmp_path / ("labels" if place else "") / "s1/IM1_L.json")
    cases = {case.name: case for case in open_collection(tmp_path, strict=not place).cases}
    assert set(cases) >= {"s1_IM1_L.png"}
    assert cases["s1_IM1_L.png"].labels and cases["s1_IM1_L.png"].side == "left"
    if not place:  # there the others lack labels, which is a problem
        assert set(cases) == {"s1_IM1_L.png", "s2_im1_l.png", "s2_deep_IM1_L.png", "IM2.png"}
        assert {case.stem for case in cases.values()} == {name.removesuffix(".png") for name in cases}
    for series in ("1.2.840.1", "1.2.840.2"):
        picture(tmp_path / "uids" / series / "IM1.png")
    assert [case.stem for case in open_collection(tmp_path / "uids").cases] == ["1.2.840.1_IM1", "1.2.840.2_IM1"]
    picture(tmp_path / place / "s2_im1_l.png")
    assert any("im1_l.png: has the same name" in str(p) for p in open_collection(tmp_path, strict=False).problems)


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
