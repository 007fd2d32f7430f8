"""What the verbs that look at a whole collection have in common."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from handbones.collection import Collection
from handbones.commands.console import collection_of, counting

if TYPE_CHECKING:
    from handbones.insight.survey import Survey

Cache = Annotated[
    Path | None,
    typer.Option(
        help="Folder that keeps what was measured, for the next time; HANDBONES_CACHE or the user's cache folder "
        "unless given."
    ),
]
NoCache = Annotated[bool, typer.Option("--no-cache", help="Keep nothing, and look at every file anew.")]
Workers = Annotated[int | None, typer.Option(help="Processes; one a core, up to 8, unless given.", min=1)]
SkipBad = Annotated[bool, typer.Option("--skip-bad", help="Leave out cases with problems.")]


def look_at(
    data: Path, *, cache: Path | None, no_cache: bool, workers: int | None, skip_bad: bool
) -> "tuple[Collection, Survey]":
    """Open a collection and look at every case."""
    from handbones.insight.cache import cache_folder  # noqa: PLC0415 loads numba
    from handbones.insight.survey import survey  # noqa: PLC0415 loads numba

    collection = collection_of(data, skip_bad=skip_bad)
    folder = None if no_cache else cache or cache_folder()
    with counting("pictures looked at", len(collection.cases)) as progress:
        return collection, survey(collection.cases, workers=workers, cache=folder, seen=progress)
