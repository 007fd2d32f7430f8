"""`handbones predict`: the bones of pictures as submission CSV, label files and overlays."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from handbones.collection import Case, open_collection
from handbones.commands.console import counting
from handbones.errors import UserError
from handbones.files import make_folder
from handbones.inference.segmenter import Segmenter
from handbones.inference.writers import SubmissionWriter, write_label_json, write_overlay


def predict(
    inputs: Annotated[list[Path], typer.Argument(metavar="INPUT...", help="Pictures, folders or collections.")],
    *,
    out: Annotated[Path, typer.Option(help="Folder for submission.csv, labels/ and overlays/.")] = Path("prediction"),
    bundle: Annotated[Path | None, typer.Option(help="The model; the packaged one unless given.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    backend: Annotated[str, typer.Option(help="auto, onnxruntime or torch.")] = "auto",
    size: Annotated[
        int | None, typer.Option(help="Longest side that the network sees; the recipe's unless given.")
    ] = None,
    hand: Annotated[
        str | None, typer.Option(help="find: look for the hand first; whole: see pictures as they are; the recipe's.")
    ] = None,
    overlays: Annotated[bool, typer.Option(help="Write pictures with the bones drawn on them.")] = True,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Leave out pictures with problems.")] = False,
) -> None:
    """Find the bones in pictures. Of a collection with a test part, that part alone is predicted."""
    segmenter = Segmenter(bundle, device, backend, size=size, hand=hand)
    cases = pictures_of(inputs, skip_bad=skip_bad)
    make_folder(out)
    empty: list[str] = []
    with counting("pictures", len(cases)) as progress, SubmissionWriter(out / "submission.csv") as submission:
        found = segmenter.segment_with(case.image for case in cases)
        for case, (radiograph, segmentation) in zip(cases, found, strict=True):
            submission.write(case.name, segmentation.rle())
            write_label_json(out / "labels" / f"{case.stem}.json", segmentation, case.name)
            if overlays:
                write_overlay(out / "overlays" / f"{case.stem}.png", radiograph.to_uint8(), segmentation, names=True)
            if segmentation.reason:
                empty.append(f"{case.image}: {segmentation.reason}")
            progress(1)
    for line in empty:
        print(line)
    print(f"{len(cases)} pictures: {out / 'submission.csv'}, {out / 'labels'}" + (f", {out / 'overlays'}" * overlays))


def pictures_of(inputs: Iterable[Path], *, skip_bad: bool = False) -> list[Case]:
    """The cases to predict, sorted by path: of each collection its test part if it has one, else all.

    Raises `UserError` where two of them would write the same files.
    """
    by_stem: dict[str, Case] = {}
    for path in inputs:
        collection = open_collection(path, strict=not skip_bad)
        for case in collection.test or collection.cases:
            first = by_stem.setdefault(case.stem, case).image
            if first.resolve() != case.image.resolve():
                raise UserError(f"{case.image}: has the same name as {first}: predict them into two folders")
    return sorted(by_stem.values(), key=lambda case: case.image.as_posix())
