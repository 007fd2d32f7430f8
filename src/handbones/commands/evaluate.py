"""`handbones evaluate`: how good a bundle is on labelled radiographs."""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from handbones.anatomy import ANATOMY
from handbones.bundle import trained_on
from handbones.collection import Case
from handbones.commands.console import collection_of, counting, decode_first
from handbones.commands.options import Bundles, Opener, SkipBad, looking
from handbones.errors import UserError
from handbones.files import new_folder
from handbones.insight.evaluation import Evaluation
from handbones.insight.evaluation import evaluate as measure

if TYPE_CHECKING:
    from handbones.inference.segmenter import Segmenter


@dataclass(frozen=True)
class _Chosen:
    """The cases to measure on."""

    cases: list[Case]
    trained_on: int
    """How many of them trained a model that is measured."""
    left_out: int
    """How many others did, and are not measured."""

    @property
    def note(self) -> str:
        """What to say of it; nothing where no case trained."""
        if self.left_out:
            whole = self.left_out + len(self.cases)
            test = sum(case.split == "test" for case in self.cases)
            mixed = f"; {test} of the {len(self.cases)} left are of the test part: give its folder for the test alone"
            left_out = f"{self.left_out} of {whole} pictures trained the model and are left out (--all takes them, too)"
            return left_out + (mixed if 0 < test < len(self.cases) else "")
        if self.trained_on:
            return f"{self.trained_on} of {len(self.cases)} pictures trained the model, which flatters it"
        return ""

    def told_in(self, evaluation: Evaluation) -> Evaluation:
        """The evaluation with the numbers of these cases."""
        return replace(evaluation, trained_on=self.trained_on, left_out=self.left_out)


@looking
def evaluate(
    bundle: Bundles,
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
    every: Annotated[
        bool, typer.Option("--all", help="Also measure on cases that trained the model, by the cases.json of its run.")
    ] = False,
    skip_bad: SkipBad = False,
) -> None:
    """Measure the Dice of a bundle per bone, group and picture, at the pictures' own size."""
    with new_folder(out):
        segmenter, other = _models(opener, bundle, against)
        collection = collection_of(data, skip_bad=skip_bad)
        labelled = collection.labelled
        if not labelled:
            raise UserError(
                f"{data}: none of the pictures has labels: give the root of a labelled collection, "
                f"no folder inside its DCM"
            )
        wrist = opener.keywords["wrist_bundle"]
        chosen = _choose(labelled, [*bundle, *(against or []), *([wrist] if wrist else [])], every=every)
        if chosen.note:
            print(chosen.note)
        decode_first(collection, chosen.cases, skip_bad=skip_bad)
        more: list[Path] = []
        if report or against:
            evaluation, more = _reported(segmenter, other, bundle, against, chosen, out)
        else:
            with counting("pictures", len(chosen.cases)) as progress:
                evaluation = chosen.told_in(measure(segmenter, chosen.cases, seen=lambda *_: progress(1)))
            evaluation.write(out)
    show(evaluation)
    print(f"written: {', '.join(str(path) for path in (out / 'dice.csv', out / 'summary.json', *more))}")


def _models(opener: Opener, bundle: list[Path], against: list[Path] | None) -> "tuple[Segmenter, Segmenter | None]":
    """The model, and the one to compare with: where one alone would look at the wrist again, neither does."""
    segmenter = opener(bundle)
    if not against:
        return segmenter, None
    other = opener(against, weights="")
    if (
        opener.keywords["wrist_bundle"] is None
        and segmenter.settings()["wrist_bundle"] != other.settings()["wrist_bundle"]
    ):
        print("both without a second look at the wrist, which one alone would have: --wrist-bundle gives it to both")
        without = partial(opener, wrist_bundle=Path("none"))
        return without(bundle), without(against, weights="")
    return segmenter, other


def _choose(cases: list[Case], bundles: list[Path], *, every: bool) -> _Chosen:
    """The cases that trained none of the bundles; with `every`, or where there are none, all of them."""
    trained = frozenset[str]().union(*map(trained_on, bundles))
    held_out = [case for case in cases if case.key not in trained]
    count = len(cases) - len(held_out)
    return _Chosen(cases, count, 0) if every or not held_out else _Chosen(held_out, 0, count)


def _reported(
    segmenter: "Segmenter",
    other: "Segmenter | None",
    bundle: list[Path],
    against: list[Path] | None,
    chosen: _Chosen,
    out: Path,
) -> tuple[Evaluation, list[Path]]:
    """The evaluation, and what was written of the report."""
    from handbones.insight.report import examine, write_report  # noqa: PLC0415 loads matplotlib

    with counting("pictures", len(chosen.cases)) as progress:
        examined = examine(segmenter, chosen.cases, seen=progress)
    second = None
    if other is not None:
        with counting("pictures of the other model", len(chosen.cases)) as progress:
            second = examine(other, chosen.cases, seen=progress)
    names = model_name(bundle), model_name(against or [])
    if names[0] == names[1]:
        names = str(bundle[0]), str((against or bundle)[0])
    evaluation = chosen.told_in(examined.evaluation)
    evaluation.write(out)  # before the pictures, which may fail
    return evaluation, write_report(out, examined, names[0], against=second, other=names[1], note=chosen.note)


def model_name(bundles: list[Path]) -> str:
    """What to call a model: the folder of its run, or its file."""
    places = [path.absolute() for path in bundles]  # as . has no name
    runs = [place.parent if place.name == "bundle" else place for place in places]
    return " + ".join(run.stem if run.suffix == ".onnx" else run.name for run in runs)


def show(evaluation: Evaluation) -> None:
    """Print the Dice of bones, groups and all."""
    for bone in ANATOMY:
        print(f"{bone.label:12} {evaluation.by_bone[bone.label]:.4f}  {bone.name}")
    for group, value in evaluation.by_group.items():
        print(f"{group:12} {value:.4f}")
    for kind, own in evaluation.wrists.items():
        print(f"{kind:12} {evaluation.dice[own].mean():.4f}  wrists of {own.sum()} pictures")
    print(f"{'mean':12} {evaluation.mean:.4f}  {len(evaluation.cases)} pictures")
