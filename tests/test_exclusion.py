"""Cases that a list leaves out."""

import unicodedata
from pathlib import Path

from handbones.collection import open_collection
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
