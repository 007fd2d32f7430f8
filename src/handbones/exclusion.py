"""Cases to leave out, as a text file: one `person/file` or `person` a line, what follows a `#` is a remark."""

import dataclasses
from pathlib import Path

from handbones.collection import Case, Collection
from handbones.errors import UserError, in_one_message
from handbones.files import explain
from handbones.layout import composed


def exclude(collection: Collection, path: Path) -> Collection:
    """The collection without the cases and people that a file names.

    Raises `UserError` where the file cannot be read, names what is not in the collection (up to 20 lines), or leaves
    nothing.
    """
    known = {name for case in (*collection.cases, *collection.left_out) for name in _names(case)}
    known |= {_key(problem.path) for problem in collection.problems}  # pictures and labels without each other
    wanted, unknown = set(), []
    for number, line in enumerate(_lines(path), 1):
        parts = composed(line).split("#")
        # A name may have a # in it, so the longest one that there is counts.
        names = ["#".join(parts[:count]).strip() for count in range(len(parts), 0, -1)]
        name = next((name for name in names if name in known), names[-1])
        if name and name not in known:
            unknown.append(f"line {number}: {name}")
        wanted.add(name)
    if unknown:
        raise UserError(_told(path, unknown, f"no such case in {collection.root} (person/file or person)"))
    cases = [case for case in collection.cases if wanted.isdisjoint(_names(case))]
    if not cases:
        raise UserError(f"{path}: leaves out every case of {collection.root}: delete the lines of good ones")
    return dataclasses.replace(collection, cases=cases)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise UserError(f"{path}: not a text file: give what `handbones audit --write-exclude` writes") from None
    except OSError as error:
        raise explain(error, path, "read") from error


def _names(case: Case) -> tuple[str, str]:
    """By which a case may be left out: its person and itself."""
    return composed(case.person), composed(case.full_name)


def _key(path: Path) -> str:
    return composed(f"{path.parent.name}/{path.name}")


def _told(path: Path, lines: list[str], fault: str) -> str:
    if len(lines) == 1:
        return f"{path}: {lines[0]}: {fault}"
    return in_one_message(f"{path}: {len(lines)} lines name {fault}; mend or remove them:", lines)
