"""Collections: cases are complete, everything wrong is told with the name of the file."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from handbones.collection import Collection, open_collection, side_of
from handbones.errors import UserError
from handbones.metadata import Metadata
from pictures import JSON, PNG, SIZE, TABLE, cut_short, labels, picture


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


def test_how_far_it_is_is_told(competition: Path) -> None:
    told: list[tuple[int, int]] = []
    open_collection(competition, seen=lambda *far: told.append(far))
    assert told == [(done, 7) for done in range(1, 8)]


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
