"""Submission files: written picture by picture, taken up again after a cut, read row by row, checked."""

import csv
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from itertools import groupby
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import BinaryIO, NamedTuple

import numpy as np

from handbones.anatomy import BONES
from handbones.errors import UserError
from handbones.files import atomic_path, claimed, explain
from handbones.rle import parse_runs

COLUMNS = ("image_name", "class", "rle")
_LONGEST = 2**31 - 1
"""Characters of a field: a bone of many specks has more than csv allows by itself."""
csv.field_size_limit(_LONGEST)


class SubmissionWriter:
    """A submission CSV written picture by picture; under its name only when all is well.

    Use it as a context manager. Until it is whole it is NAME.part; an exception inside deletes that, unless `keep` and
    there is something in it. With `resume`, the pictures that such a part, or the finished file, holds whole are kept,
    and listed in `done`; what was noted of them is in `notes`, and with `keep` in NAME.notes until all is whole.
    Entering raises `UserError` where another process writes the same file.
    """

    def __init__(self, path: str | os.PathLike[str], *, keep: bool = False, resume: bool = False) -> None:
        self.path = Path(path)
        self.part = self.path.with_name(f"{self.path.name}.part")
        self.done: list[str] = []
        """Names of the pictures that were there already, in order."""
        self.notes: list[str] = []
        """What a user should know of the pictures, in order."""
        self._notes = self.path.with_name(f"{self.path.name}.notes")
        self._keep = keep
        self._resume = resume
        self._more = False
        """Whether the part holds what is nowhere else."""
        self._claim = ExitStack()

    def __enter__(self) -> "SubmissionWriter":
        if self.path.is_dir():
            raise UserError(f"{self.path}: cannot write: it is a folder: give the name of a file")
        with ExitStack() as claim:
            claim.enter_context(claimed(self.path))
            try:
                self._more = self._resume and self.part.exists()
                if self._resume and not self._more and self.path.exists():
                    shutil.copyfile(self.path, self.part)  # it was done already
                if self._resume and self.part.exists():
                    self.done, length = _whole_pictures(self.part)
                    os.truncate(self.part, length)
                self.notes = _notes_of(self._notes, self.done)
                if self._keep and not self.done:
                    self._notes.unlink(missing_ok=True)
                self._file = self.part.open("a" if self.done else "w", encoding="utf-8", newline="")
            except OSError as error:
                raise explain(error, self.path, "write") from error
            self._claim = claim.pop_all()
        self._rows = csv.writer(self._file, lineterminator="\n")
        if not self.done:
            self._rows.writerow(COLUMNS)
        return self

    def write(self, image_name: str, rle: Sequence[str], notes: Sequence[str] = ()) -> None:
        """Add the 29 rows of one picture: its file name with the ending, and its run lengths in the official order.

        `notes` are lines that a user should see, after a cut and a resume, too. Raises `UserError`.
        """
        try:
            if notes and self._keep:  # before the rows: with these the picture is done
                with self._notes.open("a", encoding="utf-8", newline="") as file:
                    file.writelines(f"\n{json.dumps((image_name, note))}" for note in notes)
            self._rows.writerows((image_name, label, text) for label, text in zip(BONES, rle, strict=True))
            self._file.flush()
        except OSError as error:
            raise explain(error, self.path, "write") from error
        self.notes += notes
        self._more = True

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._claim:
            try:
                self._file.close()
                if kind is None:
                    self.part.replace(self.path)
                    if self._keep:
                        self._notes.unlink(missing_ok=True)
            except OSError as problem:
                if kind is None:
                    raise explain(problem, self.path, "write") from problem
            finally:
                if kind is not None and not (self._keep and self._more):
                    self.part.unlink(missing_ok=True)
                    if self._keep:
                        self._notes.unlink(missing_ok=True)


def _notes_of(path: Path, names: Sequence[str]) -> list[str]:
    """What an earlier run noted of these pictures, but for a line that a crash left unfinished."""
    if not names or not path.exists():
        return []
    noted: dict[tuple[str, str], None] = {}  # a picture whose rows were cut off is noted again
    for line in path.read_text(encoding="utf-8").splitlines():
        with suppress(ValueError):
            name, note = json.loads(line)
            noted[name, note] = None
    known = set(names)
    return [note for name, note in noted if name in known]


def _whole_pictures(path: Path) -> tuple[list[str], int]:
    """Names of the pictures of which a part of a submission holds all rows, and the length of that part in bytes."""
    names: list[str] = []
    with path.open("rb") as file:
        header = file.readline()
        whole = len(header)
        if header != (",".join(COLUMNS) + "\n").encode():
            return [], 0
        while rows := _picture_rows(file):
            names.append(rows[0])
            whole += rows[1]
    return names, whole if names else 0


def _picture_rows(file: BinaryIO) -> tuple[str, int] | None:
    lines = [file.readline() for _ in BONES]
    if not lines[-1].endswith(b"\n"):
        return None
    try:
        rows = list(csv.reader(line.decode() for line in lines))
    except (csv.Error, UnicodeDecodeError):  # what a crash left of it
        return None
    if [row[1:2] for row in rows] != [[bone] for bone in BONES] or len({row[0] for row in rows}) != 1:
        return None
    return rows[0][0], sum(map(len, lines))


class Row(NamedTuple):
    """One row of a submission."""

    image_name: str
    bone: str
    rle: str


def read_rows(path: str | os.PathLike[str]) -> Iterator[Row]:
    """The rows of a submission, one after the other. Raises `UserError` where it is none."""
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as file:  # Excel marks the order of bytes
            reader = csv.reader(file)
            header = next(reader, [])
            if tuple(header) != COLUMNS:
                found = ",".join(header)[:60]
                raise UserError(f"{path}: not a submission: its columns are {found!r}, not {','.join(COLUMNS)}")
            for row in reader:
                if len(row) != len(COLUMNS):
                    raise UserError(f"{path}, line {reader.line_num}: {len(row)} fields instead of {len(COLUMNS)}")
                yield Row(*row)
    except OSError as error:
        raise explain(error, path, "read the submission") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: not a submission: it is no text file: give a .csv") from None
    except csv.Error as error:
        raise UserError(f"{path}: not a submission: {error}") from None


def count_rows(path: str | os.PathLike[str]) -> int:
    """Rows of a submission, by its ends of lines alone; 0 for a pipe. Raises `UserError` where it cannot be read."""
    if not Path(path).is_file():  # a pipe can be read once alone
        return 0
    try:
        with Path(path).open("rb") as file:
            ends = sum(block.count(b"\n") for block in iter(lambda: file.read(2**20), b""))
    except OSError as error:
        raise explain(error, path, "read the submission") from None
    return max(ends - 1, 0)


def check_submission(
    path: str | os.PathLike[str],
    shape: tuple[int, int],
    names: Sequence[str] | None = None,
    shapes: Mapping[str, tuple[int, int]] = MappingProxyType({}),
    *,
    seen: Callable[[int], None] | None = None,
) -> Iterator[str]:
    """What the competition would not take, one line each.

    Pictures are (height, width) as `shapes` says by name, or `shape`; `names`: those wanted, in order; `seen` is told
    how many more rows are done. Raises `UserError` where the file is no submission at all.
    """
    found: list[str] = []
    known: set[str] = set()
    for name, of_picture in groupby(read_rows(path), key=lambda row: row.image_name):
        rows = list(of_picture)
        if name in known:
            yield f"{name}: its rows do not stand together"
        found.append(name)
        known.add(name)
        yield from _check_picture(name, rows, shapes.get(name, shape))
        if seen:
            seen(len(rows))
    if not found:
        yield "no rows"
    if names is not None and found != list(names):
        missing, foreign = sorted(set(names) - set(found)), sorted(set(found) - set(names))
        yield from (f"{name}: missing" for name in missing)
        yield from (f"{name}: not a picture of the test part" for name in foreign)
        if not missing and not foreign:
            yield "the pictures are in another order than the test part's"


def _check_picture(name: str, rows: Sequence[Row], shape: tuple[int, int]) -> Iterator[str]:
    if not name.lower().endswith(".png"):
        yield f"{name}: the name of a picture ends in .png"
    if "/" in name or "\\" in name:
        yield f"{name}: the name of a picture has no folder"
    bones = [row.bone for row in rows]
    if bones != list(BONES):
        missing, foreign = set(BONES) - set(bones), set(bones) - set(BONES)
        what = f"without {min(missing)}" if missing else f"with {min(foreign)}" if foreign else "in another order"
        yield f"{name}: {len(rows)} rows, not the 29 bones in order: {what}"
    for row in rows:
        try:
            runs = parse_runs(row.rle, shape[0] * shape[1])
        except UserError as error:
            yield f"{name}, {row.bone}: {error}"
            continue
        if (np.diff(runs[:, 0]) <= 0).any():
            yield f"{name}, {row.bone}: the runs are not sorted"
        elif (runs[:-1].sum(axis=1) > runs[1:, 0]).any():
            yield f"{name}, {row.bone}: runs overlap"


def merge_submissions(parts: Sequence[Path], path: Path) -> None:
    """One submission of several that follow each other; the parts go."""
    with atomic_path(path) as temporary, temporary.open("wb") as whole:
        for i, part in enumerate(parts):
            with part.open("rb") as file:
                header = file.readline()
                if i == 0:
                    whole.write(header)
                while block := file.read(2**20):
                    whole.write(block)
    for part in parts:
        part.unlink()
