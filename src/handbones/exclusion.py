"""Cases to leave out, as a text file: one `person/file` or `person` a line, what follows a `#` is a remark."""

import dataclasses
from pathlib import Path

from handbones.collection import Collection
from handbones.errors import UserError
from handbones.files import explain


def exclude(collection: Collection, path: Path) -> Collection:
    """The collection without the cases and people that a file names.

    Raises `UserError` where the file cannot be read, names what is not in the collection, or leaves nothing.
    """
    wanted = _read(path)
    known = {f"{case.person}/{case.name}" for case in collection.cases} | set(collection.people)
    known |= {_key(problem.path) for problem in collection.problems}  # left out already
    for name, line in wanted.items():
        if name not in known:
            raise UserError(f"{path}: line {line}: no such case in {collection.root}: {name} (person/file or person)")
    cases = [case for case in collection.cases if not {case.person, f"{case.person}/{case.name}"} & wanted.keys()]
    if not cases:
        raise UserError(f"{path}: leaves out every case of {collection.root}: delete the lines of good ones")
    return dataclasses.replace(collection, cases=cases)


def _read(path: Path) -> dict[str, int]:
    """The names in a file, and the line of each."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise UserError(f"{path}: not a text file: give what `handbones audit --write-exclude` writes") from None
    except OSError as error:
        raise explain(error, path, "read") from error
    names = ((line.split("#")[0].strip(), number) for number, line in enumerate(lines, 1))
    return {name: number for name, number in names if name}


def _key(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"
