"""`handbones ensemble`: several submissions into one."""

import json
from collections.abc import Mapping
from itertools import groupby
from pathlib import Path
from typing import Annotated

import typer

from handbones.anatomy import BONES
from handbones.commands.console import counted, counting
from handbones.commands.options import numbers, picture_shape
from handbones.errors import UsageError, UserError
from handbones.files import explain, same_file


def ensemble(
    submissions: Annotated[list[Path], typer.Argument(metavar="CSV...", help="Submissions of the same pictures.")],
    *,
    out: Annotated[Path, typer.Option(help="The submission to write.")] = Path("ensemble.csv"),
    vote: Annotated[
        str, typer.Option(help="hard: each counts the same; weighted: by --weights; per-bone: by --scores.")
    ] = "hard",
    weights: Annotated[str, typer.Option(help="Weight of each submission: 1,2,1.")] = "",
    scores: Annotated[
        list[Path] | None, typer.Option(help="summary.json of each submission's model, in the same order.")
    ] = None,
    size: Annotated[str, typer.Option(help="Height and width of the pictures.")] = "2048x2048",
) -> None:
    """Merge submissions: a pixel is bone where more than half of all weight says so."""
    from handbones.inference.submission import SubmissionWriter, count_rows  # noqa: PLC0415 slow to load
    from handbones.inference.votes import vote as count_votes  # noqa: PLC0415
    from handbones.inference.votes import weights_of  # noqa: PLC0415

    if len(submissions) < 2:
        raise UsageError("name at least two submissions")
    by_bone = weights_of(
        vote, len(submissions), numbers(weights, "--weights"), [_scores_of(path) for path in scores or []]
    )
    if any(same_file(path, out) for path in submissions):
        raise UsageError(f"--out {out}: is one of the submissions, which would be gone: give another")
    height, width = picture_shape(size)
    done: set[str] = set()
    rows = count_votes(submissions, by_bone, height * width)
    with SubmissionWriter(out) as writer, counting("rows", count_rows(submissions[0])) as progress:
        for name, of_picture in groupby(rows, key=lambda row: row.image_name):
            bones, runs = zip(*((row.bone, row.rle) for row in of_picture), strict=True)
            if name in done or bones != BONES:
                raise UserError(
                    f"{submissions[0]}: {name} has not the 29 bones once and in order: see handbones submission check"
                )
            writer.write(name, runs)
            done.add(name)
            progress(len(BONES))
        if not done:
            raise UserError(f"{submissions[0]}: holds no picture: see handbones submission check")
    print(f"{out}: {counted(len(done), 'picture')} from {len(submissions)} submissions")


def _scores_of(path: Path) -> Mapping[str, float]:
    """Dice by bone out of a summary.json."""
    try:
        bones: Mapping[str, float] = json.loads(path.read_text(encoding="utf-8"))["bones"]
        return {bone: float(bones[bone]) for bone in BONES}
    except OSError as error:
        raise explain(error, path, "read the scores") from None
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{path}: not a summary.json of handbones evaluate") from None
