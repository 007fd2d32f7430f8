"""`handbones measure`: lengths, widths, areas and ratios of bones as CSV."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from handbones.collection import Case
from handbones.commands.console import collection_of, counted, counting
from handbones.commands.looking import Opener, looking, without_model
from handbones.errors import UserError
from handbones.files import new_folder
from handbones.inference.cleaning import check_steps
from handbones.inference.segmentation import NO_HAND
from handbones.labels import Labels

if TYPE_CHECKING:
    from handbones.insight.measure import Tables

_SEVERAL = "seems to be of several hands, so it has no ratios: --bundle tells hands apart"


@looking
def measure(
    data: Annotated[Path, typer.Argument(help="A picture, a folder of pictures or a collection.")],
    *,
    opener: Opener,
    out: Annotated[Path, typer.Option(help="Folder for bones.csv and ratios.csv.")] = Path("measurements"),
    bundle: Annotated[
        list[Path] | None, typer.Option(help="Measure what a model finds, in every picture, instead of the labels.")
    ] = None,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Leave out cases with problems.")] = False,
) -> None:
    """Measure every bone: pixels, and millimetres where the file tells the spacing."""
    from handbones.insight.measure import Tables  # noqa: PLC0415 loads numba

    if not bundle:
        without_model(opener)
    with new_folder(out):
        collection = collection_of(data, skip_bad=skip_bad)
        cases = collection.cases if bundle else collection.labelled
        if not cases:
            raise UserError(f"{data}: no labels to measure: give --bundle to measure what a model finds")
        tables = Tables()
        notes: list[str] = []
        with counting("pictures", len(cases)) as progress:
            if bundle:
                segmenter = opener(bundle)
                if opener.keywords["clean"] is None:  # a speck beside a bone would count in its length and width
                    segmenter.clean = check_steps((*segmenter.clean, "specks"))
                found = segmenter.segment_hands(cases)
                for case, (radiograph, hands) in zip(cases, found, strict=True):
                    seen = [hand for hand in hands if hand.found]
                    for number, hand in enumerate(seen, 1):
                        tables.add(case.person, case.name, "model", number, hand, radiograph)
                    if not seen:
                        notes.append(f"{case.image}: {NO_HAND}")
                        tables.add(case.person, case.name, "model", 0, Labels({}), radiograph)
                    progress(1)
            else:
                for case in cases:
                    if _add_labels(tables, case):
                        notes.append(f"{case.labels}: {_SEVERAL}")
                    progress(1)
        written = tables.write(out)
    for line in notes:
        print(line)
    spaced = sum(1 for row in tables.hands[1:] if row[-1] != "")
    rows = counted(len(tables.hands) - 1, "row")
    print(f"{counted(len(cases), 'picture')}, {rows} of hands, {spaced} with a spacing in millimetres")
    print(f"written: {', '.join(str(path) for path in written)}")


def _add_labels(tables: "Tables", case: Case) -> bool:
    """Whether they seem to be of several hands."""
    from handbones.insight.shapes import are_of_several_hands  # noqa: PLC0415 loads numba

    radiograph, labels = case.load()
    assert labels is not None
    tables.add(case.person, case.name, "labels", 1, labels, radiograph)
    return are_of_several_hands(labels)
