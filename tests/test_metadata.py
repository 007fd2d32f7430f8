"""The competition's table of people: its junk is read through, and ours is read by everybody."""

import re
import zipfile
from pathlib import Path

import pytest
from openpyxl import Workbook

from handbones.errors import UserError
from handbones.metadata import COLUMNS, Metadata, assign, odd_cells, read_metadata, write_metadata


def table(path: Path, *rows: tuple[object, ...]) -> Path:
    workbook = Workbook()
    for row in rows:
        workbook.active.append(row)
    workbook.save(path)
    return path


def test_junk_units_and_words_are_read_through(tmp_path: Path) -> None:
    path = table(
        tmp_path / "meta_data.xlsx",
        ("ID", "나이", "성별", "체중(몸무게)", "키(신장)", None),
        (1, 31, "F_x0008_", 55.5, "162 cm", None),
        ("ID002", "42", "_x0008_남", None, "abc", "네일있음"),
        (3.0, None, "?", 0, "170,5", None),
        (None, 1, "M", 1, 1, None),
    )
    assert read_metadata(path) == {
        "1": Metadata(31, "F", 55.5, 162),
        "2": Metadata(42, "M", None, None, "네일있음"),
        "3": Metadata(None, None, None, 170.5),
    }


def test_columns_in_another_order_and_in_english(tmp_path: Path) -> None:
    path = table(tmp_path / "a.xlsx", ("people of the study",), ("Sex", "Height", "ID", "Age"), ("m", 180, 7, 50))
    assert read_metadata(path) == {"7": Metadata(50, "M", None, 180)}


def test_written_tables_are_read_back_by_us_and_by_pandas(tmp_path: Path) -> None:
    people = {5: Metadata(20, "F", 50, 160.5), 6: Metadata(None, "M", None, None, "네일있음")}
    path = tmp_path / "meta_data.xlsx"
    write_metadata(path, people.items())
    assert read_metadata(path) == {str(number): person for number, person in people.items()}
    pandas = pytest.importorskip("pandas")
    frame = pandas.read_excel(path)
    assert tuple(frame.columns) == COLUMNS
    assert frame["ID"].tolist() == [5, 6]
    assert frame["성별"].tolist() == ["F", "M"]
    assert frame["나이"].iloc[0] == 20


def test_same_rows_give_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [(1, Metadata(20, "F"))]
    write_metadata(tmp_path / "a.xlsx", rows)
    monkeypatch.setattr("time.time", lambda: 2_000_000_000.0)
    write_metadata(tmp_path / "b.xlsx", rows)
    assert (tmp_path / "a.xlsx").read_bytes() == (tmp_path / "b.xlsx").read_bytes()


def test_a_table_without_ids_and_no_table(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"a\.xlsx: no column 'ID'"):
        read_metadata(table(tmp_path / "a.xlsx", ("name", "age"), ("x", 1)))
    (tmp_path / "b.xlsx").write_text("ID,age")
    with pytest.raises(UserError, match="cannot be read as an Excel table"):
        read_metadata(tmp_path / "b.xlsx")
    with pytest.raises(UserError, match="no such file"):
        read_metadata(tmp_path / "c.xlsx")


def test_odd_cells_are_told(tmp_path: Path) -> None:
    rows = (1, 30, "_x0008_F", 60, 170, "네일있음"), (2, "unknown", "M", 80, None, None)
    path = table(tmp_path / "meta_data.xlsx", (*COLUMNS[:5], None), *rows)
    assert odd_cells(path) == [("1", "sex", "_x0008_F"), ("2", "age", "unknown")]
    assert read_metadata(path)["1"].sex == "F"


def test_what_no_person_can_be_is_left_out_and_told(tmp_path: Path) -> None:
    rows = (1, -3, "M", 700, 17.5), (2, 130, "F", "-60kg", "1.71m"), (3, 0.5, "F", 7, "1m70"), (4, 120, "M", 300, 230)
    path = table(tmp_path / "meta_data.xlsx", COLUMNS[:5], *rows)
    assert read_metadata(path) == {
        "1": Metadata(None, "M"),
        "2": Metadata(None, "F", None, 171),
        "3": Metadata(0.5, "F", 7, 170),
        "4": Metadata(120, "M", 300, 230),
    }
    of_one = [("1", "age", "-3"), ("1", "height", "17.5"), ("1", "weight", "700")]
    assert sorted(odd_cells(path)) == [*of_one, ("2", "age", "130"), ("2", "weight", "-60kg")]


def test_age_is_not_the_end_of_image(tmp_path: Path) -> None:
    path = table(tmp_path / "a.xlsx", ("ID", "image", "age (years)"), (7, "hand_77.png", 34))
    assert read_metadata(path) == {"7": Metadata(34)}


def test_short_and_empty_rows_are_read_over(tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    workbook = openpyxl.Workbook(write_only=True)  # such a file does not say how wide it is
    sheet = workbook.create_sheet()
    for row in ("age", "ID"), (30, 1), (), (31,), (130, 2):
        sheet.append(row)
    workbook.save(tmp_path / "a.xlsx")
    assert read_metadata(tmp_path / "a.xlsx") == {"1": Metadata(30), "2": Metadata()}
    assert odd_cells(tmp_path / "a.xlsx") == [("2", "age", "130")]


def test_people_are_told_apart_by_the_whole_of_their_ids(tmp_path: Path) -> None:
    young, old = Metadata(30), Metadata(75)
    path = table(tmp_path / "a.xlsx", ("ID", "age"), ("A001", 30), ("B-001", 75))
    assert assign(read_metadata(path), ["a1", "B-1", "C001", "1"]) == {"a1": young, "B-1": old}
    assert assign({"1": young, "2": old}, ["ID001", "id_2", "ID003"]) == {"ID001": young, "id_2": old}
    # The number alone, where only one side has more than that and nobody else has it.
    assert assign({"7": young}, ["patient-7"]) == {"patient-7": young}
    assert assign({"patient-7": young}, ["007"]) == {"007": young}
    assert assign({"7": young}, ["A7", "B7"]) == {} == assign({"A7": young, "B7": old}, ["7"])


def test_a_sheet_that_tells_a_wrong_size_is_read_whole(tmp_path: Path) -> None:
    whole = table(tmp_path / "whole.xlsx", COLUMNS, (1, 31, "F", 55.5, 162, None), (2, 42, "M", 70, 171, "네일있음"))
    path = tmp_path / "meta_data.xlsx"
    with zipfile.ZipFile(whole) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            new.writestr(name, re.sub(rb'<dimension ref="[^"]+"', b'<dimension ref="A1"', old.read(name)))
    assert read_metadata(path) == read_metadata(whole) and len(read_metadata(path)) == 2
