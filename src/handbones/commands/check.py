"""`handbones check`: what is in a collection and what is wrong with it."""

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from handbones.anatomy import BONES
from handbones.collection import Case, Collection, open_collection, side_of
from handbones.commands.console import counted, say_unread
from handbones.errors import UserError
from handbones.labels import Labels, load_labels
from handbones.metadata import UNKNOWN
from handbones.sides import BENT_DEGREES, is_bent, side_from_labels, wrist_tilt


def check(
    data: Annotated[
        Path, typer.Argument(help="The collection: the competition's folder, a folder of pictures, a picture.")
    ],
    deep: Annotated[bool, typer.Option("--deep", help="Also decode every picture, which takes longer.")] = False,
) -> None:
    """List what is wrong with the files of a collection, and what it holds."""
    collection = open_collection(data, strict=False, deep=deep)
    for problem in collection.problems:
        print(problem)
    say_unread(collection)
    labels = [load_labels(case.labels) for case in collection.labelled if case.labels]
    tilts = [wrist_tilt(one, case.tall) for one, case in zip(labels, collection.labelled, strict=True)]
    lines = {
        "pictures": f"{len(collection.cases)} of {_people(collection)}, {_splits(collection)}",
        "labels": _labels(labels),
        "sides": _sides(collection.cases, deep),
        "wrists": _wrists(tilts),
        "metadata": _metadata(collection),
    }
    for name, text in lines.items():
        print(f"{name:9} {text}")
    if collection.problems:
        count = counted(len(collection.problems), "problem")
        raise UserError(f"{data}: {count}, listed above: mend or remove the files")


def _splits(collection: Collection) -> str:
    return f"{len(collection.cases) - len(collection.test)} for training, {len(collection.test)} for testing"


def _labels(labels: list[Labels]) -> str:
    missing = Counter(bone for one in labels for bone in BONES if bone not in one.polygons)
    text = f"of {len(labels)} pictures"
    if not missing:
        return text + (", all 29 bones in each" if labels else "")
    listed = ", ".join(f"{bone} in {count}" for bone, count in missing.most_common(5))
    return f"{text}; missing: {listed}" + (f" and {len(missing) - 5} more bones" if len(missing) > 5 else "")


def _sides(cases: list[Case], deep: bool) -> str:
    sides = Counter(side_of(case) if deep else _quick_side(case) for case in cases)
    text = f"{sides['right']} right, {sides['left']} left"
    if not sides[None]:
        return text
    return f"{text}, {sides[None]} not told" + ("" if deep else " by name or labels (--deep looks at the pictures)")


def _quick_side(case: Case) -> str | None:
    return case.side or (side_from_labels(load_labels(case.labels)) if case.labels else None)


def _wrists(known: list[float | None]) -> str:
    tilts = [tilt for tilt in known if tilt is not None]
    return f"{is_bent(tilts).sum()} of {len(tilts)} bent by more than {BENT_DEGREES} degrees"


def _metadata(collection: Collection) -> str:
    known = {case.person for case in collection.cases if case.metadata not in (None, UNKNOWN)}
    table = "" if collection.table else " (no meta_data.xlsx or .csv that can be read)"
    return f"of {len(known)} of {_people(collection)}{table}"


def _people(collection: Collection) -> str:
    return counted(len(collection.people), "person", "people")
