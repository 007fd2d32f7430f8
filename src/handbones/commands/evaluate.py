"""`handbones evaluate`: how good a bundle is on labelled radiographs."""

from pathlib import Path
from typing import Annotated

import typer

from handbones.anatomy import ANATOMY
from handbones.collection import open_collection
from handbones.commands.console import counting
from handbones.commands.looking import Opener, looking
from handbones.files import make_folder
from handbones.insight.evaluation import Evaluation
from handbones.insight.evaluation import evaluate as measure


@looking
def evaluate(
    bundle: Annotated[
        list[Path], typer.Argument(metavar="BUNDLE...", help="Bundles, folders of training runs, or .onnx files.")
    ],
    data: Annotated[Path, typer.Argument(help="A collection with labels.")],
    *,
    opener: Opener,
    out: Annotated[Path, typer.Option(help="Folder for dice.csv and summary.json.")] = Path("evaluation"),
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Leave out cases with problems.")] = False,
) -> None:
    """Measure the Dice of a bundle per bone, group and picture, at the pictures' own size."""
    make_folder(out)
    segmenter = opener(bundle)
    cases = open_collection(data, strict=not skip_bad).labelled
    with counting("pictures", len(cases)) as progress:
        evaluation = measure(segmenter, cases, seen=lambda *_: progress(1))
    evaluation.write(out)
    show(evaluation)
    print(f"written: {out / 'dice.csv'}, {out / 'summary.json'}")


def show(evaluation: Evaluation) -> None:
    """Print the Dice of bones, groups and all."""
    for bone in ANATOMY:
        print(f"{bone.label:12} {evaluation.by_bone[bone.label]:.4f}  {bone.name}")
    for group, value in evaluation.by_group.items():
        print(f"{group:12} {value:.4f}")
    print(f"{'mean':12} {evaluation.mean:.4f}  {len(evaluation.cases)} pictures")
