"""`handbones demo`: the whole job in minutes, on radiographs that it makes itself."""

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from handbones.commands.console import need_torch
from handbones.commands.evaluate import evaluate
from handbones.commands.predict import predict
from handbones.commands.synth import synth
from handbones.commands.train import train
from handbones.errors import UsageError
from handbones.files import make_folder, write_text
from handbones.insight.tour import Step, write_tour

# small pictures: the steps that a few minutes of a slow processor allow count for more than their pixels
_SETTINGS = ("validation.minutes=1", "data.folds=6", "input.size=192")


def demo(
    *,
    out: Annotated[Path, typer.Option(help="Folder for everything that it makes.")] = Path("handbones-demo"),
    persons: Annotated[int, typer.Option(help="People to make; a quarter of them is kept unseen.", min=8)] = 32,
    minutes: Annotated[float, typer.Option(help="Time to train.", min=0.01)] = 4.5,
    size: Annotated[int, typer.Option(help="Side of the radiographs, in pixels.")] = 2048,
    seed: Annotated[int, typer.Option(help="Other seeds, other people.")] = 1,
) -> None:
    """Make radiographs, train on them, measure on unseen people, predict, and write a page about it."""
    need_torch()
    _clear(out)
    data, run = out / "data", out / "run"
    steps: list[Step] = []

    def step(title: str, command: str, work: Callable[[], None]) -> None:
        print(f"\n{len(steps) + 1}. {title}\n$ {command}", flush=True)
        started = time.monotonic()
        work()
        steps.append(Step(title, command, time.monotonic() - started))

    step(
        "Synthetic radiographs with exact labels",
        f"handbones synth {data} --persons {persons} --seed {seed} --size {size} --test-labels",
        lambda: synth(data, persons=persons, seed=seed, size=size, test_labels=True),
    )
    step(
        "Training; the Dice is that of people set aside",
        f"handbones train {data} --recipe small --minutes {minutes:g} --set {' '.join(_SETTINGS)} --out {run}",
        lambda: train(data / "train", recipe="small", minutes=minutes, settings=list(_SETTINGS), out=run),
    )
    step(
        "Dice on the people of the test split, whom no training has seen",
        f"handbones evaluate {run} {data / 'test'} --out {out}",
        lambda: evaluate([run], data / "test", out=out),
    )
    step(
        "Submission, label files and overlays of the test split",
        f"handbones predict --bundle {run} {data} --out {out}",
        lambda: predict([data], bundle=[run], out=out),
    )
    page = write_tour(out, steps)
    print(f"\nAll done in {sum(one.seconds for one in steps) / 60:.1f} minutes. Look first at {page}")
    print("\nNext, with radiographs of your own:")
    print("  handbones predict --out found PICTURE_OR_FOLDER       find their bones")
    print(
        "  handbones train DATA --recipe small --out runs/mine   learn from your labels (docs/data.md has the layout)"
    )


def _clear(out: Path) -> None:
    """Make the folder; what an earlier demo left in it goes. Raises `UsageError` if it is someone else's."""
    make_folder(out)
    mark = out / ".handbones-demo"
    if any(out.iterdir()) and not mark.exists():
        raise UsageError(f"--out {out}: not empty, and not of an earlier demo: choose another folder")
    for path in out.iterdir():
        if path != mark:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    write_text(mark, "The next demo may empty this folder.\n")
