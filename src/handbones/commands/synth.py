"""`handbones synth`: a collection of synthetic radiographs in the competition's layout."""

from pathlib import Path
from typing import Annotated

import typer

from handbones.commands.console import counted, counting, quoted
from handbones.commands.options import Workers
from handbones.errors import UsageError
from handbones.phantom.settings import PRESETS, find_preset


def synth(
    out: Annotated[Path, typer.Argument(help="Folder to write: train/, test/ and meta_data.xlsx.")],
    *,
    persons: Annotated[int, typer.Option(help="People; each gives a right and a left hand.")] = 40,
    seed: Annotated[int, typer.Option(help="The same seed gives the same files.")] = 0,
    test_persons: Annotated[int | None, typer.Option(help="How many of them are test; a quarter unless given.")] = None,
    test_labels: Annotated[bool, typer.Option("--test-labels", help="Write labels of the test split, too.")] = False,
    defects: Annotated[
        float,
        typer.Option(help="Share of pictures to plant known mistakes in; defects.csv lists them."),
    ] = 0.0,
    defects_in_labels: Annotated[
        bool, typer.Option("--defects-in-labels", help="Only mistakes in labels; pictures stay as they are.")
    ] = False,
    size: Annotated[int, typer.Option(help="Side of the pictures, in pixels.")] = 2048,
    preset: Annotated[str, typer.Option(help=f"What they look like: {', '.join(PRESETS)}.")] = "realistic",
    tilted: Annotated[
        float | None, typer.Option(help="Share of bent wrists in training, 0 to 1.", min=0, max=1)
    ] = None,
    test_tilted: Annotated[float | None, typer.Option(help="The same for test.", min=0, max=1)] = None,
    workers: Workers = None,
) -> None:
    """Make a collection of synthetic radiographs with exact labels."""
    settings = find_preset(preset)
    if defects_in_labels and not defects:
        raise UsageError("--defects-in-labels: say in how many pictures with --defects")
    from handbones.phantom.synthesis import synth as write  # noqa: PLC0415 compiles its inner loops

    with counting("people", persons) as progress:
        pictures = write(
            out,
            persons,
            seed,
            test_persons=test_persons,
            size=size,
            settings=settings.with_tilted(tilted),
            test_settings=settings.with_tilted(tilted if test_tilted is None else test_tilted),
            test_labels=test_labels,
            defects=defects,
            labels_only=defects_in_labels,
            workers=workers,
            progress=progress,
        )
    print(f"{pictures} radiographs of {counted(persons, 'person', 'people')}: {out}")
    if defects:
        table = out / "defects.csv"
        planted, wanted = len(table.read_text(encoding="utf-8").splitlines()) - 1, round(defects * pictures)
        few = f", not {wanted}, as each takes people of the training for itself" if planted < wanted else ""
        print(f"{counted(planted, 'known mistake')}{few}: {table}")
    print(f"look:   handbones check {quoted(out)}")
    print(f"learn:  handbones train {quoted(out)} --recipe small --out runs/small")
