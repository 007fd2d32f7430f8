"""Options that several verbs have, and what is made of them: a segmenter, a survey of a collection."""

import json
import math
from collections.abc import Callable, Sequence
from functools import partial, wraps
from inspect import Signature, signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from handbones.anatomy import BONES
from handbones.collection import Collection
from handbones.commands.console import collection_of, counting
from handbones.errors import UsageError

if TYPE_CHECKING:
    from handbones.inference.segmenter import Segmenter
    from handbones.insight.survey import Survey

Bundles = Annotated[
    list[Path], typer.Argument(metavar="BUNDLE...", help="Bundles, folders of training runs, or .onnx files.")
]
ToLearn = Annotated[Path | None, typer.Argument(help="The collection to learn from; none for phantoms alone.")]
Changes = Annotated[
    list[str] | None, typer.Option("--set", metavar="FIELD=VALUE", help="Change a field of the recipe; repeatable.")
]
Exclude = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Leave out the cases it names, as audit --write-exclude writes it."),
]
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


def open_segmenter(
    bundles: Sequence[Path | None],
    *,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    backend: Annotated[str, typer.Option(help="auto, onnxruntime or torch.")] = "auto",
    weights: Annotated[str, typer.Option(help="Of several bundles, the weight of each: 1,2,1.")] = "",
    size: Annotated[
        int | None, typer.Option(help="Longest side that the network sees; the recipe's unless given.")
    ] = None,
    hand: Annotated[
        str | None, typer.Option(help="find: look for the hand first; whole: see pictures as they are; the recipe's.")
    ] = None,
    flip: Annotated[bool, typer.Option("--flip", help="Look at the mirrored picture too, and average.")] = False,
    scales: Annotated[str, typer.Option(help="Look at these factors of the size, and average: 0.8,1,1.2.")] = "1",
    gammas: Annotated[str, typer.Option(help="Look with these gammas, and average: 0.8,1,1.25.")] = "1",
    tile: Annotated[int | None, typer.Option(help="Look at square tiles of this side, out of --size.")] = None,
    overlap: Annotated[float, typer.Option(help="Share of a tile that the next one covers again.")] = 0.5,
    mean: Annotated[str, typer.Option(help="What is averaged: logit or probability.")] = "logit",
    wrist: Annotated[bool, typer.Option("--wrist", help="Look at the wrist once more, enlarged.")] = False,
    wrist_bundle: Annotated[Path | None, typer.Option(help="Model of its own for that look; none: without.")] = None,
    threshold: Annotated[
        str | None, typer.Option(help="Probability above which a pixel is bone; or a JSON file, a number a label.")
    ] = None,
    clean: Annotated[
        str | None,
        typer.Option(
            help="Steps after the network: fingers,anatomy,largest,specks,holes; or none. Unless given, fingers where "
            "hands are found."
        ),
    ] = None,
    batch: Annotated[int, typer.Option(help="Pictures that the network sees at once.")] = 1,
) -> "Segmenter":
    """The segmenter of these options. Raises `UserError` and `UsageError`."""
    from handbones.inference.looks import Looks  # noqa: PLC0415 slow to load
    from handbones.inference.segmenter import Segmenter  # noqa: PLC0415

    looks = Looks(
        flip=flip,
        scales=numbers(scales, "--scales"),
        gammas=numbers(gammas, "--gammas"),
        tile=tile,
        overlap=overlap,
        mean=mean,  # type: ignore[arg-type] # checked there
        wrist=wrist,
    )
    return Segmenter(
        bundles,
        device,
        backend,
        size=size,
        threshold=thresholds(threshold),
        hand=hand,
        looks=looks,
        weights=numbers(weights, "--weights") or None,
        wrist_bundle=wrist_bundle,
        batch=batch,
        clean=clean,
    )


Opener = partial["Segmenter"]
"""`open_segmenter` with the options that were given; it wants the bundles."""


def looking(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of `open_segmenter`; its parameter `opener` makes a segmenter of bundles."""
    shared = list(signature(open_segmenter).parameters.values())[1:]
    own = [parameter for name, parameter in signature(command).parameters.items() if name != "opener"]

    @wraps(command)
    def run(*arguments: Any, **given: Any) -> None:
        options = {parameter.name: given.pop(parameter.name, parameter.default) for parameter in shared}
        command(*arguments, **given, opener=partial(open_segmenter, **options))

    run.__signature__ = Signature([*own, *shared])  # type: ignore[attr-defined] # which Typer reads
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in (*own, *shared)}
    return run


def without_model(opener: Opener) -> None:
    """Raises `UsageError` where an option is given that means nothing without a model."""
    for name, parameter in signature(open_segmenter).parameters.items():
        if opener.keywords.get(name, parameter.default) != parameter.default:
            raise UsageError(f"--{name.replace('_', '-')}: tells a model how to look: give --bundle, too")


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


def numbers(text: str, flag: str) -> tuple[float, ...]:
    """Numbers separated by commas. Raises `UsageError`."""
    try:
        values = tuple(float(word) for word in text.split(",") if word.strip())
    except ValueError:
        values = (math.nan,)
    if not all(map(math.isfinite, values)):  # a weight of nan would find no bone, and not say why
        raise UsageError(f"{flag} {text}: write numbers separated by commas")
    return values


def picture_shape(text: str) -> tuple[int, int]:
    """Height and width out of HEIGHTxWIDTH. Raises `UsageError`."""
    sides = text.lower().split("x")
    if len(sides) != 2 or not all(side.isdecimal() and int(side) for side in sides):
        raise UsageError(f"--size {text}: write height and width as 2048x2048")
    return int(sides[0]), int(sides[1])


def thresholds(text: str | None) -> float | list[float] | None:
    """One number, or the 29 of a JSON file that maps labels to numbers. Raises `UsageError`."""
    if text is None:
        return None
    try:
        return float(text)
    except ValueError:
        pass
    try:
        by_label = json.loads(Path(text).read_text(encoding="utf-8-sig"))
    except OSError:  # as for JSON itself, which is no name of a file
        raise UsageError(f"--threshold {text}: neither a number nor a JSON file that can be read") from None
    except ValueError:
        by_label = None
    if not isinstance(by_label, dict) or set(by_label) != set(BONES) or not all(map(_is_share, by_label.values())):
        raise UsageError(
            f"--threshold {text}: not a number, nor a JSON file with one from 0 to 1 for each of the 29 labels"
        )
    return [float(by_label[label]) for label in BONES]


def _is_share(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value <= 1  # `true` is an int, too
