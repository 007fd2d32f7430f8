"""`handbones export`: a bundle as one .onnx file."""

from pathlib import Path
from typing import Annotated

import typer

from handbones.bundle import ONNX, Bundle, load_bundle, run_of
from handbones.collection import Case
from handbones.commands.console import collection_of, need_torch
from handbones.errors import UsageError, UserError
from handbones.files import same_file


def export(
    bundle: Annotated[Path, typer.Argument(help="A bundle, or the folder of a training run.")],
    out: Annotated[Path | None, typer.Option(help="The .onnx file; beside the bundle's weights unless given.")] = None,
    average: Annotated[
        Path | None,
        typer.Option(help="Average the weights with those of this bundle; one must have gone on from the other."),
    ] = None,
    precision: Annotated[
        str, typer.Option(help="Of the stored weights: fp32, fp16 (half the size) or int8 (a quarter).")
    ] = "fp32",
    data: Annotated[
        Path | None, typer.Option(help="Labelled radiographs to measure what that changes on, not phantoms.")
    ] = None,
    phantoms: Annotated[
        int, typer.Option(help="Number of phantoms to measure that on; 0 measures nothing.", min=0)
    ] = 8,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Of --data leave out cases with problems.")] = False,
) -> None:
    """Write a bundle as one .onnx file that needs no torch, with recipe and card inside."""
    need_torch()
    from handbones.learning.export import average_with, export_onnx, load_network  # noqa: PLC0415 loads torch
    from handbones.learning.precision import check_precision  # noqa: PLC0415

    kind = check_precision(precision)
    source = load_bundle(bundle)
    cases = None if data is None else collection_of(data, skip_bad=skip_bad).labelled
    if cases == []:
        raise UserError(f"{data}: no labels to measure on: leave --data out to measure on phantoms")
    if out is None and (average is not None or not source.path.is_dir()):
        raise UsageError("--out: give the .onnx file to write, as the model is to be another one, or no folder")
    target = out or source.path / ONNX
    if target.suffix != ".onnx":
        raise UsageError(f"--out {target}: must end in .onnx")
    network, card, models = load_network(source), source.card, {"as it was": source}
    if average is not None:
        models["the other"] = load_bundle(average)
    alone = (model.onnx for model in models.values() if model.weights is None and model.onnx is not None)
    if any(same_file(onnx, target) for onnx in alone):
        raise UsageError(f"--out {target}: is the model itself, which would be gone: give another")
    run = run_of(target.absolute().parent)
    if run is not None and (average is not None or run != run_of(_folder_of(source))):
        raise UsageError(f"--out {target}: in the folder of {run} it would be taken for that run's model: give another")
    if average is not None:
        average_with(network, source.recipe, models["the other"])
        # What was measured was another model.
        card = {name: part for name, part in card.items() if name != "scores"}
        card["averaged_with"] = models["the other"].card
    difference = export_onnx(network, source.recipe, card, target, kind)
    size = target.stat().st_size / 1e6
    print(f"{target}: {size:.1f} MB; its logits agree with torch's to {difference:.0e}")
    if (kind != "fp32" or average is not None) and (data is not None or phantoms):
        models["averaged" if average is not None else f"in {kind}"] = load_bundle(target)
        profile = source.recipe.phantoms.profile or "realistic"
        dice = ", ".join(f"{_dice(model, cases, phantoms, profile):.4f} {name}" for name, model in models.items())
        print(f"Dice of {'phantoms' if data is None else data}: {dice}")


def _folder_of(bundle: Bundle) -> Path:
    path = bundle.path.absolute()
    return path if path.is_dir() else path.parent


def _dice(bundle: Bundle, cases: list[Case] | None, phantoms: int, profile: str) -> float:
    """Mean Dice on labelled cases, or on phantoms of that preset."""
    from handbones.inference.segmenter import Segmenter  # noqa: PLC0415 slow to load
    from handbones.insight.evaluation import dice_of_phantoms, evaluate  # noqa: PLC0415

    sees_wrists = bundle.recipe.hand == "wrist"  # and so beside the packaged model, as it can do nothing alone
    first, wrist = (None, bundle) if sees_wrists else (bundle, "none")
    segmenter = Segmenter(first, backend="auto" if bundle.weights is None else "torch", wrist_bundle=wrist)
    if cases is not None:
        return evaluate(segmenter, cases).mean
    return float(dice_of_phantoms(segmenter, phantoms, profile).mean())
