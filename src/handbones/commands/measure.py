"""`handbones measure`: lengths, widths, areas and ratios of bones as CSV."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from handbones.collection import Case
from handbones.commands.console import collection_of, counted, counting, decode_first
from handbones.commands.options import Opener, SkipBad, looking, numbers, without_model
from handbones.errors import UsageError, UserError
from handbones.files import new_folder
from handbones.inference.cleaning import check_steps
from handbones.inference.segmentation import NO_HAND, Segmentation
from handbones.labels import Labels
from handbones.radiograph import Radiograph, load_radiograph, pixel_scale

Spacing = tuple[float, float]
Seen = Iterator[tuple[Case, Radiograph, Sequence[Labels | Segmentation]]]
"""Each case with its picture and the bones of each hand in it."""

_SEVERAL = "seems to be of several hands, so it has no ratios: --bundle with --hand find tells hands apart"


@looking
def measure(
    data: Annotated[Path, typer.Argument(help="A picture, a folder of pictures or a collection.")],
    *,
    opener: Opener,
    out: Annotated[Path, typer.Option(help="Folder for bones.csv and ratios.csv.")] = Path("measurements"),
    bundle: Annotated[
        list[Path] | None, typer.Option(help="Measure what a model finds, in every picture, instead of the labels.")
    ] = None,
    spacing: Annotated[
        str | None,
        typer.Option(
            metavar="ROW[,COLUMN]",
            help="Millimetres a row and a column, where files do not tell: 0.1 or 0.1,0.12. Refused where one does.",
        ),
    ] = None,
    skip_bad: SkipBad = False,
) -> None:
    """Measure every bone: pixels, and millimetres where the file, or --spacing, tells the spacing."""
    from handbones.insight.measure import Tables  # noqa: PLC0415 loads numba

    if not bundle:
        without_model(opener)
    given = _given(spacing)
    with new_folder(out):
        collection = collection_of(data, skip_bad=skip_bad, labels_wanted=not bundle)
        cases = collection.cases if bundle else collection.labelled
        if not cases:
            raise UserError(f"{data}: no labels to measure: give --bundle to measure what a model finds")
        _check_untold(cases, given)
        decode_first(collection, cases, skip_bad=skip_bad)
        tables = Tables()
        notes: list[str] = []
        with counting("pictures", len(cases)) as progress:
            for case, radiograph, hands in _found(opener, bundle, cases, given) if bundle else _drawn(cases, given):
                for number, hand in enumerate(hands, 1):
                    source = "model" if bundle else "labels"
                    measures = tables.add(case.person, case.name, source, number, hand, radiograph)
                    if measures.several:
                        notes.append(f"{case.image if bundle else case.labels}: {_SEVERAL}")
                if not hands:
                    notes.append(f"{case.image}: {NO_HAND}")
                    tables.add(case.person, case.name, "model", 0, Labels({}), radiograph)
                progress(1)
        written = tables.write(out)
    for line in notes:
        print(line)
    spaced = sum(1 for row in tables.hands[1:] if row[-1] != "")
    rows = counted(len(tables.hands) - 1, "row")
    print(f"{counted(len(cases), 'picture')}, {rows} of hands, {spaced} with a spacing in millimetres")
    print(f"written: {', '.join(str(path) for path in written)}")


def _found(opener: Opener, bundle: list[Path], cases: Sequence[Case], given: Spacing | None) -> Seen:
    """What a model finds."""
    segmenter = opener(bundle)
    if opener.keywords["clean"] is None:  # a speck beside a bone would count in its length and width
        segmenter.clean = check_steps((*segmenter.clean, "specks"))
    pictures = ((_spaced(load_radiograph(case.image), given), case.known) for case in cases) if given else cases
    for case, (radiograph, hands) in zip(cases, segmenter.segment_hands(pictures), strict=True):
        yield case, radiograph, [hand for hand in hands if hand.found]


def _drawn(cases: Sequence[Case], given: Spacing | None) -> Seen:
    """What the labels have."""
    for case in cases:
        radiograph, labels = case.load()
        assert labels is not None
        yield case, _spaced(radiograph, given), [labels]


def _spaced(radiograph: Radiograph, given: Spacing | None) -> Radiograph:
    return replace(radiograph, spacing=given) if given else radiograph


def _given(text: str | None) -> Spacing | None:
    if text is None:
        return None
    lengths = numbers(text, "--spacing")
    if len(lengths) not in (1, 2) or min(lengths) <= 0:
        raise UsageError(f"--spacing {text}: write millimetres above 0, of a row and a column if they differ: 0.1,0.12")
    return lengths[0], lengths[-1]


def _check_untold(cases: Sequence[Case], given: Spacing | None) -> None:
    """Raises `UsageError` for a spacing beside that of a file, or beside another shape of its pixels."""
    for case in cases if given else ():
        assert given is not None
        own, tall = pixel_scale(case.image)
        if own:
            told = f"{own[0]:g} x {own[1]:g} mm"
        elif tall != 1 and not math.isclose(tall, given[0] / given[1], rel_tol=0.01):
            told = f"{tall:g} times as high as wide"
        else:
            continue
        raise UsageError(f"--spacing: the pixels of {case.image} are {told}, as it tells itself: measure it without")
