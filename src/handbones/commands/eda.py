"""`handbones eda`: everything worth seeing in a collection, on one page."""

from pathlib import Path
from typing import Annotated

import typer

from handbones.commands.console import counted
from handbones.commands.options import Cache, NoCache, SkipBad, Workers, look_at
from handbones.files import new_folder


def eda(
    data: Annotated[Path, typer.Argument(help="A collection.")],
    *,
    out: Annotated[Path, typer.Option(help="Folder for eda.html and its tables.")] = Path("eda"),
    cache: Cache = None,
    no_cache: NoCache = False,
    workers: Workers = None,
    skip_bad: SkipBad = False,
) -> None:
    """Show people, bones, overlaps, wrists and exposures of a collection on one page, with its tables as CSV."""
    from handbones.insight.eda import write_eda  # noqa: PLC0415 loads matplotlib

    with new_folder(out):
        collection, survey = look_at(data, cache=cache, no_cache=no_cache, workers=workers, skip_bad=skip_bad)
        written = write_eda(out, collection, survey)
    people = counted(len(collection.people), "person", "people")
    print(f"{counted(len(survey.cases), 'picture')} of {people}")
    print(f"written: {written[0]}")
    print(f"tables:  {', '.join(path.name for path in written[1:])}")
