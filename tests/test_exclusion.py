"""Cases that a list leaves out."""

import unicodedata
from pathlib import Path

import pytest

from handbones.collection import open_collection
from handbones.errors import UserError
from handbones.exclusion import exclude
from pictures import labels, picture


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


def test_all_names_that_are_unknown_are_told_together(competition: Path, tmp_path: Path) -> None:
    collection, listed = open_collection(competition), tmp_path / "exclude.txt"
    listed.write_text("ID001/image001.png\nID098\n\nID099/image1.png  # gone\n", encoding="utf-8")
    with pytest.raises(UserError) as error:
        exclude(collection, listed)
    assert str(error.value).splitlines() == [
        f"{listed}: 2 lines name no such case in {competition} (person/file or person); mend or remove them:",
        "  line 2: ID098",
        "  line 4: ID099/image1.png",
    ]
    listed.write_text("\n".join(f"ID{number}" for number in range(100, 125)), encoding="utf-8")
    with pytest.raises(UserError, match="25 lines name no such case") as error:
        exclude(collection, listed)
    lines = str(error.value).splitlines()
    assert len(lines) == 22 and lines[-1] == "  ... and 5 more"
    listed.write_text("ID999", encoding="utf-8")
    with pytest.raises(UserError) as error:
        exclude(collection, listed)
    assert str(error.value) == f"{listed}: line 1: ID999: no such case in {competition} (person/file or person)"
