"""`handbones check`: what is in a collection and what is wrong with it."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer

from handbones.anatomy import BONES
from handbones.collection import Case, Collection
from handbones.commands.console import counted, counting_if_long, opened, say_unread
from handbones.errors import UserError
from handbones.labels import load_labels
from handbones.metadata import UNKNOWN
from handbones.radiograph import load_radiograph
from handbones.sides import BENT_DEGREES, Side, detect_side, is_bent, side_from_labels, wrist_tilt


@dataclass
class _Held:
    """What the cases hold."""

    labelled: int = 0
    missing: Counter[str] = field(default_factory=Counter)
    """By label of a bone, label files without it."""
    sides: Counter[Side | None] = field(default_factory=Counter)
    tilts: list[float] = field(default_factory=list)
    """Degrees, of the wrists whose labels tell."""


def check(
    data: Annotated[
        Path, typer.Argument(help="The collection: the competition's folder, a folder of pictures, a picture.")
    ],
    deep: Annotated[bool, typer.Option("--deep", help="Also decode every picture, which takes longer.")] = False,
) -> None:
    """List what is wrong with the files of a collection, and what it holds."""
    collection = opened(data, strict=False, deep=deep)
    for problem in collection.problems:
        print(problem)
    say_unread(collection)
    with counting_if_long("cases looked at") as progress:
        held = _look_at(collection.cases, deep, progress)
    lines = {
        "pictures": f"{len(collection.cases)} of {_people(collection)}, {_splits(collection)}",
        "labels": _labels(held),
        "sides": _sides(held, deep),
        "wrists": _wrists(held),
        "metadata": _metadata(collection),
    }
    for name, text in lines.items():
        print(f"{name:9} {text}")
    if collection.problems:
        count = counted(len(collection.problems), "problem")
        raise UserError(f"{data}: {count}, listed above: mend or remove the files")


def _splits(collection: Collection) -> str:
    return f"{len(collection.cases) - len(collection.test)} for training, {len(collection.test)} for testing"


def _look_at(cases: list[Case], deep: bool, seen: Callable[[int, int], None]) -> _Held:
    """One case after the other, since the labels of many would fill the memory."""
    held = _Held()
    for done, case in enumerate(cases, 1):
        labels = load_labels(case.labels) if case.labels else None
        side = case.side or (side_from_labels(labels) if labels else None)
        if side is None and deep:
            side = detect_side(load_radiograph(case.image).to_uint8())
        held.sides[side] += 1
        if labels:
            held.labelled += 1
            held.missing.update(bone for bone in BONES if bone not in labels.polygons)
            tilt = wrist_tilt(labels, case.tall)
            held.tilts += [] if tilt is None else [tilt]
        seen(done, len(cases))
    return held


def _labels(held: _Held) -> str:
    text = f"of {held.labelled} pictures"
    if not held.missing:
        return text + (", all 29 bones in each" if held.labelled else "")
    listed = ", ".join(f"{bone} in {count}" for bone, count in held.missing.most_common(5))
    return f"{text}; missing: {listed}" + (f" and {len(held.missing) - 5} more bones" if len(held.missing) > 5 else "")


def _sides(held: _Held, deep: bool) -> str:
    text = f"{held.sides['right']} right, {held.sides['left']} left"
    if not held.sides[None]:
        return text
    return f"{text}, {held.sides[None]} not told" + (
        "" if deep else " by name or labels (--deep looks at the pictures)"
    )


def _wrists(held: _Held) -> str:
    return f"{is_bent(held.tilts).sum()} of {len(held.tilts)} bent by more than {BENT_DEGREES} degrees"


def _metadata(collection: Collection) -> str:
    known = {case.person for case in collection.cases if case.metadata not in (None, UNKNOWN)}
    table = "" if collection.table else " (no meta_data.xlsx or .csv that can be read)"
    return f"of {len(known)} of {_people(collection)}{table}"


def _people(collection: Collection) -> str:
    return counted(len(collection.people), "person", "people")
