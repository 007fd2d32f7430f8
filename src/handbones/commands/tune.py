"""`handbones tune`: search for better values of a recipe's fields."""

from pathlib import Path
from typing import Annotated

import typer

from handbones.commands.console import TrainingConsole, installed, need_torch, quoted
from handbones.commands.options import Changes, Exclude, SkipBad, ToLearn
from handbones.commands.train import cases_to_learn
from handbones.errors import UsageError, UserError
from handbones.files import claimed, new_folder
from handbones.recipe import load_recipe

_VARIED = ("optimiser.lr=3e-4..6e-3", "loss.bce=1.0..16.0", "input.size=[256, 320, 384]")


def tune(
    data: ToLearn = None,
    *,
    recipe: Annotated[str, typer.Option(help="Name of a shipped recipe, or a .yaml file, to start from.")] = "small",
    out: Annotated[Path, typer.Option(help="Folder of the search; the same one goes on.")] = Path("runs/tune"),
    vary: Annotated[
        list[str] | None,
        typer.Option(metavar="FIELD=LOW..HIGH", help=f"What to vary; repeatable. Unless given: {', '.join(_VARIED)}"),
    ] = None,
    init: Annotated[
        Path | None, typer.Option(help="A bundle that each starts from, as wrist and finetune need one.")
    ] = None,
    trials: Annotated[int, typer.Option(help="Trainings in all.", min=1)] = 20,
    minutes: Annotated[float, typer.Option(help="Time of each.")] = 5.0,
    settings: Changes = None,
    skip_bad: SkipBad = False,
    exclude: Exclude = None,
) -> None:
    """Train many times for a short while, each time with other values, and keep the best recipe."""
    need_torch()
    if not installed("optuna"):
        raise UserError("tune needs optuna: pip install 'handbones[tune]'")
    from handbones.learning import tuning  # noqa: PLC0415 loads torch
    from handbones.learning.ranges import parse_range  # noqa: PLC0415

    ranges = [parse_range(text) for text in vary or _VARIED]
    twice = next((one.field for i, one in enumerate(ranges) if one.field in {o.field for o in ranges[:i]}), None)
    if twice:
        raise UsageError(f"--vary {twice}: is given twice")
    overrides = [f"training.minutes={minutes}", f"validation.minutes={minutes / 4}", *(settings or [])]
    collection = cases_to_learn(data, exclude, skip_bad=skip_bad)
    with new_folder(out), claimed(out / "study.db"), TrainingConsole() as console:
        study = tuning.tune(recipe, overrides, ranges, out, collection, trials=trials, watch=console, init=init)
    print(f"best of {tuning.trials_done(study)}: Dice {study.best_value:.4f} with")
    for field, value in study.best_params.items():
        print(f"  {field:20} {value}")
    start = study.user_attrs.get(tuning.START_DICE)
    if start is not None and start >= study.best_value:
        print(f"the model of --init has {start:.4f} by itself: no value was better in this time")
    given = [] if data is None else [quoted(data)]
    given += ["--skip-bad"] * skip_bad + ([] if exclude is None else ["--exclude", quoted(exclude)])
    given += ["--recipe", quoted(out / "best.yaml"), *([] if init is None else ["--init", quoted(init)])]
    print(f"all:    {out / 'trials.csv'}")
    limits = load_recipe(out / "best.yaml").training
    more = ["training.minutes=60", "validation.minutes=5"]  # not those of the search, which are short
    more += [f"training.{unit}=null" for unit in ("steps", "epochs") if getattr(limits, unit)]
    print(f"learn:  handbones train {' '.join(given)} --set {' '.join(more)}")
