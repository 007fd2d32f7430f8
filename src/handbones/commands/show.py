"""`handbones show`: one radiograph with its bones, fit to print."""

import warnings
from pathlib import Path
from typing import Annotated

import typer

from handbones.commands.options import Opener, looking, without_model
from handbones.errors import UsageError, UserError
from handbones.files import atomic_path, same_file
from handbones.labels import Labels, Size, load_labels
from handbones.layout import SHOWN, label_file, labels_in, stem_of
from handbones.radiograph import load_radiograph

_FORMATS = (".png", ".pdf", ".svg", ".jpg", ".tif")
_LABELS_OF = {"DCM": "outputs_json", "images": "labels"}
"""Folders of pictures, and of their labels beside them."""


@looking
def show(
    case: Annotated[Path, typer.Argument(help="A picture; its labels are found where a collection has them.")],
    *,
    opener: Opener,
    out: Annotated[
        Path | None, typer.Option(help=f"File to write, {', '.join(_FORMATS)}; CASE{SHOWN}.png here.")
    ] = None,
    labels: Annotated[Path | None, typer.Option(metavar="FILE", help="Labels to draw, a JSON file.")] = None,
    bundle: Annotated[list[Path] | None, typer.Option(help="Also draw what this model finds, dashed.")] = None,
    way: Annotated[str, typer.Option(help="outlines, fills or both.")] = "both",
    names: Annotated[bool, typer.Option(help="Write the names of the bones beside them.")] = False,
    legend: Annotated[bool, typer.Option(help="List the bones, with their Dice if a model is compared.")] = True,
    dpi: Annotated[
        int, typer.Option(help="Points an inch of pixels (.png, .jpg, .tif), 7.5 inches high.", min=50, max=1200)
    ] = 300,
) -> None:
    """Draw a radiograph with its labels, what a model finds, or both, at print quality."""
    if not bundle:
        without_model(opener)
    target = out or Path(f"{stem_of(case)}{SHOWN}.png")
    if target.suffix.lower() not in _FORMATS:
        raise UsageError(f"--out {target}: must end in one of {', '.join(_FORMATS)}")
    for path, what in ((case, "the radiograph"), (labels, "the label file")):
        if path is not None and same_file(path, target):
            raise UsageError(f"--out {target}: is {what} itself, which would be gone: give another")
    radiograph = load_radiograph(case)
    size = radiograph.height, radiograph.width
    drawn = load_labels(labels, size) if labels else find_labels(case, size)
    if drawn is None and not bundle:
        raise UserError(f"{case}: no labels found: give --labels FILE, or --bundle for what a model finds")
    from handbones.insight.portrait import show as portray  # noqa: PLC0415 loads matplotlib

    found = opener(bundle).segment(radiograph) if bundle else None
    figure = portray(radiograph, drawn, found, way=way, names=names, legend=legend, title=case.name)
    with atomic_path(target) as temporary, warnings.catch_warnings(record=True) as told:
        warnings.filterwarnings("ignore", "(?!Glyph)")
        warnings.filterwarnings("always", "Glyph .* missing")
        figure.savefig(temporary, dpi=dpi)
    if found is not None and found.reason:
        print(f"{case}: {found.reason}")
    print(f"written: {target}")
    if told:
        print(f"letters of {case.name} that no font here has are boxes in its title")


def find_labels(picture: Path, size: Size) -> Labels | None:
    """The labels of a picture of `size`, where its collection has them or beside it; None if there are none."""
    places: list[Path] = []
    for folder in picture.absolute().parents:
        if folder.name in _LABELS_OF:
            inside = picture.absolute().parent.relative_to(folder)
            places.insert(0, folder.parent / _LABELS_OF[folder.name] / inside)
    paths = [label_file(place, stem_of(picture)) for place in places]
    beside = label_file(picture.parent, stem_of(picture))
    if beside:
        paths.append(labels_in(beside))
    return next((load_labels(path, size) for path in paths if path), None)
