"""`handbones evaluate`: how good a bundle is on labelled radiographs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from handbones.anatomy import ANATOMY
from handbones.collection import Case
from handbones.commands.console import collection_of, counting
from handbones.commands.looking import Opener, looking
from handbones.files import make_folder
from handbones.insight.evaluation import Evaluation
from handbones.insight.evaluation import evaluate as measure

if TYPE_CHECKING:
    from handbones.inference.segmenter import Segmenter


@looking
def evaluate(
    bundle: Annotated[
        list[Path], typer.Argument(metavar="BUNDLE...", help="Bundles, folders of training runs, or .onnx files.")
    ],
    data: Annotated[Path, typer.Argument(help="A collection with labels.")],
    *,
    opener: Opener,
    out: Annotated[Path, typer.Option(help="Folder for dice.csv, summary.json and the report.")] = Path("evaluation"),
    report: Annotated[
        bool, typer.Option("--report", help="Also write report.html: spread, distances, errors, calibration; and CSVs.")
    ] = False,
    against: Annotated[
        list[Path] | None,
        typer.Option(metavar="BUNDLE", help="Another model to compare with, in the report. --weights are not for it."),
    ] = None,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Leave out cases with problems.")] = False,
) -> None:
    """Measure the Dice of a bundle per bone, group and picture, at the pictures' own size."""
    make_folder(out)
    segmenter = opener(bundle)
    cases = collection_of(data, skip_bad=skip_bad).labelled
    more: list[Path] = []
    if report or against:
        evaluation, more = _reported(opener, segmenter, bundle, against, cases, out)
    else:
        with counting("pictures", len(cases)) as progress:
            evaluation = measure(segmenter, cases, seen=lambda *_: progress(1))
        evaluation.write(out)
    show(evaluation)
    print(f"written: {', '.join(str(path) for path in (out / 'dice.csv', out / 'summary.json', *more))}")


def _reported(
    opener: Opener,
    segmenter: "Segmenter",
    bundle: list[Path],
    against: list[Path] | None,
    cases: list[Case],
    out: Path,
) -> tuple[Evaluation, list[Path]]:
    """The evaluation, and what was written of the report."""
    from handbones.insight.report import examine, write_report  # noqa: PLC0415 loads matplotlib

    other = opener(against, weights="") if against else None  # before the work, for its mistakes
    with counting("pictures", len(cases)) as progress:
        examined = examine(segmenter, cases, seen=progress)
    second = None
    if other is not None:
        with counting("pictures of the other model", len(cases)) as progress:
            second = examine(other, cases, seen=progress)
    names = _name(bundle), _name(against or [])
    if names[0] == names[1]:
        names = str(bundle[0]), str((against or bundle)[0])
    examined.evaluation.write(out)  # before the pictures, which may fail
    return examined.evaluation, write_report(out, examined, names[0], against=second, other=names[1])


def _name(bundles: list[Path]) -> str:
    """What to call a model: the folder of its run, or its file."""
    return " + ".join(path.parent.name if path.name == "bundle" else path.stem for path in bundles)


def show(evaluation: Evaluation) -> None:
    """Print the Dice of bones, groups and all."""
    for bone in ANATOMY:
        print(f"{bone.label:12} {evaluation.by_bone[bone.label]:.4f}  {bone.name}")
    for group, value in evaluation.by_group.items():
        print(f"{group:12} {value:.4f}")
    for kind, own in evaluation.wrists.items():
        print(f"{kind:12} {evaluation.dice[own].mean():.4f}  wrists of {own.sum()} pictures")
    print(f"{'mean':12} {evaluation.mean:.4f}  {len(evaluation.cases)} pictures")
