"""`handbones export`: a bundle as one .onnx file."""

from pathlib import Path
from typing import Annotated

import typer

from handbones.bundle import ONNX, load_bundle
from handbones.commands.console import need_torch


def export(
    bundle: Annotated[Path, typer.Argument(help="A bundle, or the folder of a training run.")],
    out: Annotated[Path | None, typer.Option(help="The .onnx file; beside the bundle's weights unless given.")] = None,
    half: Annotated[
        bool, typer.Option("--half", help="Store weights in 16 bits: half the size, nearly the same.")
    ] = False,
) -> None:
    """Write a bundle as one .onnx file that needs no torch, with recipe and card inside."""
    need_torch()
    source = load_bundle(bundle)
    target = out or (source.path if source.path.is_dir() else source.path.parent) / ONNX
    from handbones.learning.export import export_onnx, load_network  # noqa: PLC0415 loads torch

    difference = export_onnx(load_network(source), source.recipe, source.card, target, half=half)
    size = target.stat().st_size / 1e6
    print(f"{target}: {size:.1f} MB; its logits agree with torch's to {difference:.0e}")
