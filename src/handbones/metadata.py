"""What is known beside a picture; age, sex, weight and height from the competition's `meta_data.xlsx`, in and out."""

import csv
import io
import math
import os
import re
import unicodedata
import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Literal

from handbones.errors import UserError
from handbones.files import explain, write_bytes

COLUMNS = ("ID", "나이", "성별", "체중(몸무게)", "키(신장)", "Unnamed: 5")
"""The competition's column names: ID, age, sex, weight, height and, under no name, a remark."""

# Excel writes control characters that slipped into a cell as _x0008_ and the like.
_JUNK = re.compile(r"_x[0-9A-Fa-f]{4}_|[\x00-\x1f\x7f\ufeff]")
_NAMES = {
    "age": ("나이", "age"),
    "sex": ("성별", "sex", "gender"),
    "weight": ("체중", "몸무게", "weight"),
    "height": ("신장", "키", "height"),
    "remark": ("unnamed", "remark", "비고"),
}
_RANGES = {"age": (0, 120), "weight": (2, 300), "height": (40, 230)}
"""Years, kilograms and centimetres of a person: over the first (an age of 0 says unknown), up to the second."""
_METRES = 3
"""A height under this is in metres."""
_SEXES: dict[str, Literal["F", "M"]] = {"f": "F", "w": "F", "여": "F", "m": "M", "남": "M"}


@dataclass(frozen=True)
class Metadata:
    """What is known of a person and, where one picture is meant, of the hand in it; None where it is not."""

    age: float | None = None
    """Years."""
    sex: Literal["F", "M"] | None = None
    weight: float | None = None
    """Kilograms."""
    height: float | None = None
    """Centimetres."""
    remark: str | None = None
    """For example `네일있음`, nail varnish or nail tips."""
    side: Literal["left", "right"] | None = None
    """Which hand it is; not in the table of people."""
    tilt: float | None = None
    """Degrees from forearm to hand, positive towards the little finger; not in the table of people."""

    def mirrored(self) -> "Metadata":
        """That of the mirrored picture: the other side, everything else the same."""
        if self.side is None:
            return self
        return replace(self, side="left" if self.side == "right" else "right")


UNKNOWN = Metadata()


def read_metadata(path: str | os.PathLike[str]) -> dict[str, Metadata]:
    """Read the table of people, .xlsx or .csv, by ID as `person_key` has it.

    Rows whose ID has no digit are left out; cells that make no sense for a person become None. Raises `UserError`.
    """
    columns, rows = _table(path)
    people = {}
    for row in rows:
        cells = {field: row[i] for field, i in columns.items() if i < len(row)}
        key = person_key(_text(cells.get("id")))
        if _first_number(key):
            people[key] = Metadata(
                age=_number("age", cells.get("age")),
                sex=_SEXES.get(_text(cells.get("sex"))[:1].lower()),
                weight=_number("weight", cells.get("weight")),
                height=_number("height", cells.get("height")),
                remark=_text(cells.get("remark")) or None,
            )
    return people


def has_people(path: Path) -> bool:
    """Whether a file is meant for a table of people; a .csv of a telling name may be of anything."""
    try:
        return path.suffix.lower() != ".csv" or bool(_table(path))
    except UserError:
        return False


def person_key(name: str) -> str:
    """A person's ID in one spelling: without case, `ID` in front and zeros before numbers: ID001 and 1 are the same."""
    name = unicodedata.normalize("NFC", name).casefold().strip()
    name = re.sub(r"^(\d+)\.0$", r"\1", name)  # a number as some tables have it
    name = re.sub(r"^id[\s_-]*(?=\d)", "", name)
    return re.sub(r"(?<!\d)0+(?=\d)", "", name)


def assign(table: dict[str, Metadata], people: Iterable[str]) -> dict[str, Metadata]:
    """What the table knows of each of the people, who are told apart by their IDs.

    Where only one of table and pictures has more than the number (`7` and `patient-7`), numbers are compared; a number
    that two rows or two people have tells of none of them.
    """
    keys = {person: person_key(person) for person in people}
    rows_with, people_with = defaultdict(list), defaultdict(list)
    for key in table:
        rows_with[_first_number(key)].append(key)
    for person, key in keys.items():
        people_with[_first_number(key)].append(person)
    found = {}
    for person, key in keys.items():
        number = _first_number(key)
        if key in table:
            found[person] = table[key]
        elif number and len(rows_with[number]) == len(people_with[number]) == 1:
            row = rows_with[number][0]
            if number in (key, row):
                found[person] = table[row]
    return found


def odd_cells(path: str | os.PathLike[str]) -> list[tuple[str, str, str]]:
    """Cells that `read_metadata` had to clean or leave out: ID, field and the cell as it stands. Raises `UserError`."""
    columns, rows = _table(path)
    readers: dict[str, Callable[[Any], object]] = {field: partial(_number, field) for field in _RANGES}
    readers["sex"] = lambda cell: _SEXES.get(_text(cell)[:1].lower())
    odd = []
    for row in rows:
        for field, i in columns.items():
            cell = row[i] if i < len(row) else None
            unread = field in readers and cell is not None and readers[field](cell) is None
            if cell is not None and (unread or _JUNK.search(str(cell))):
                number = row[columns["id"]] if columns["id"] < len(row) else None
                odd.append((_text(number), field, str(cell)))
    return odd


def write_metadata(path: str | os.PathLike[str], rows: Iterable[tuple[int, Metadata]]) -> None:
    """Write (ID, metadata) rows as an .xlsx in exactly the competition's columns, atomically.

    The same rows give the same bytes.
    """
    from openpyxl import Workbook  # noqa: PLC0415 only where there is such a file

    workbook = Workbook()
    sheet = workbook.active
    sheet.title = "Sheet1"
    sheet.append(COLUMNS)
    for number, person in rows:
        figures = [_whole(value) for value in (person.age, person.weight, person.height)]
        sheet.append([number, figures[0], person.sex, figures[1], figures[2], person.remark])
    buffer = io.BytesIO()
    workbook.save(buffer)
    write_bytes(path, _without_times(buffer))


def _table(path: str | os.PathLike[str]) -> tuple[dict[str, int], list[tuple[Any, ...]]]:
    """Field to position, and the rows under the header."""
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise explain(error, path, "read") from error
    try:
        rows = _rows_of_csv(content) if Path(path).suffix.lower() == ".csv" else _rows_of_excel(content)
    except Exception as error:  # openpyxl raises many kinds for broken files
        raise UserError(f"{path}: cannot be read as an Excel table: save it again as .xlsx") from error
    header = next((i for i, row in enumerate(rows) if "id" in map(_name, row)), None)
    if header is None:
        raise UserError(f"{path}: no column 'ID': the columns must be {', '.join(COLUMNS)}")
    width = max(len(row) for row in rows)  # the remark has no name, and its column ends above the first one
    columns = _columns([_name(cell) for cell in rows[header] + (None,) * (width - len(rows[header]))])
    return columns, rows[header + 1 :]


def _rows_of_excel(content: bytes) -> list[tuple[Any, ...]]:
    from openpyxl import load_workbook  # noqa: PLC0415 only where there is such a file

    sheet = load_workbook(io.BytesIO(content), read_only=True, data_only=True).worksheets[0]
    sheet.reset_dimensions()  # some programs write a wrong size, and a reader that believes it sees one cell
    return list(sheet.iter_rows(values_only=True))


def _rows_of_csv(content: bytes) -> list[tuple[Any, ...]]:
    """Rows of text as Excel saves them: UTF-8 or, in Korea, CP949; commas or, in much of Europe, semicolons."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("cp949")
    separator = max(",;\t", key=text.partition("\n")[0].count)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    return [tuple(cell or None for cell in row) for row in rows]


def _columns(names: Sequence[str]) -> dict[str, int]:
    """Field to position; the unnamed column after the others is the remark."""
    columns = {"id": names.index("id")}
    for field, known in _NAMES.items():
        for i, name in enumerate(names):
            if i not in columns.values() and any(_begins(word, name) for word in known):
                columns.setdefault(field, i)
    blank = [i for i, name in enumerate(names) if not name and i > max(columns.values())]
    if blank:
        columns.setdefault("remark", blank[0])
    return columns


def _first_number(key: str) -> str:
    match = re.search(r"\d+", key)
    return match[0] if match else ""


def _begins(word: str, name: str) -> bool:
    """Whether a column has a word in its name, in English not inside another: `image` is no age."""
    return re.search(rf"(?<![a-z]){re.escape(word)}", name) is not None


def _text(cell: Any) -> str:
    return "" if cell is None else _JUNK.sub("", str(cell)).strip()


def _name(cell: Any) -> str:
    return _text(cell).lower()


def _number(field: str, cell: Any) -> float | None:
    """The first number of a cell; None where there is none, or not one that a person can have."""
    text = re.sub(r"(?<=\d) ?m ?(?=\d)", ".", _text(cell))  # 1m71
    match = re.search(r"-?\d+(?:[.,]\d+)?", text)
    value = float(match[0].replace(",", ".")) if match else math.nan
    if field == "height" and value < _METRES:
        value = round(100 * value, 1)
    low, high = _RANGES[field]
    return value if low < value <= high else None


def _whole(value: float | None) -> float | int | None:
    return int(value) if value is not None and float(value).is_integer() else value


def _without_times(workbook: io.BytesIO) -> bytes:
    """The zip archive that an .xlsx is, with the times of writing set to a fixed one."""
    moment = datetime(2000, 1, 1)
    buffer = io.BytesIO()
    with zipfile.ZipFile(workbook) as old, zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "docProps/core.xml":
                content = re.sub(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", b"%b" % f"{moment:%FT%TZ}".encode(), content)
            new.writestr(zipfile.ZipInfo(name, moment.timetuple()[:6]), content, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()
