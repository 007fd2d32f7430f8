"""`handbones train`: learn from a collection, from phantoms, or both."""

from pathlib import Path
from typing import Annotated

import typer

from handbones.bundle import PACKAGED, load_bundle, started_from
from handbones.collection import Collection
from handbones.commands.console import TrainingConsole, collection_of, need_torch, quoted
from handbones.commands.options import Changes, Exclude, SkipBad, ToLearn
from handbones.errors import UsageError, UserError
from handbones.exclusion import exclude as leave_out
from handbones.files import make_folder, write_text
from handbones.recipe import Recipe, load_recipe


def train(
    data: ToLearn = None,
    *,
    recipe: Annotated[
        str | None, typer.Option(help="Name of a shipped recipe, a .yaml file, or auto: what fits data and time.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the run; runs/RECIPE unless given.")] = None,
    settings: Changes = None,
    fold: Annotated[int | None, typer.Option(help="The fold that validates (data.fold).")] = None,
    phantoms: Annotated[str | None, typer.Option(help="Preset of phantoms; beside DATA, half of all samples.")] = None,
    minutes: Annotated[float | None, typer.Option(help="Time to train (training.minutes).")] = None,
    hours: Annotated[float | None, typer.Option(help="The same in hours.")] = None,
    init: Annotated[Path | None, typer.Option(help="A bundle to start from; default: the packaged model.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")] = False,
    skip_bad: SkipBad = False,
    pseudo: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Learn from pseudo-labels, too, as handbones pseudo writes them."),
    ] = None,
    exclude: Exclude = None,
) -> None:
    """Learn from a collection, from phantoms, or both; leaves a bundle in OUT/bundle."""
    overrides = list(settings or [])
    if hours is not None:
        if minutes is not None:
            raise UsageError("--hours, --minutes: both say how much time there is: give one of them")
        minutes = 60 * hours
    short = {"data.fold": fold, "phantoms.profile": phantoms, "training.minutes": minutes}
    overrides += [f"{field}={value}" for field, value in short.items() if value is not None]
    if resume:
        _check_resume(out, init)
    folder = out or Path("runs") / Path(recipe or "small").stem
    again = resume and recipe in {None, "auto"}
    chosen: Recipe | None = None
    if again or recipe != "auto":
        chosen = load_recipe(folder / "recipe.yaml" if again else recipe or "small", overrides)
    elif minutes is None:
        raise UsageError("--recipe auto: say how much time there is with --hours or --minutes")
    need_torch()
    collection = cases_to_learn(data, exclude, skip_bad=skip_bad)
    if pseudo is not None and collection is None:
        raise UsageError("--pseudo: pseudo-labels go beside true ones: give DATA")
    guessed = collection_of(pseudo, skip_bad=skip_bad) if pseudo is not None else None

    from handbones.learning.fit import fit  # noqa: PLC0415 loads torch

    if chosen is None:
        assert minutes is not None
        chosen = _plan(collection, minutes, overrides, folder)
    with TrainingConsole() as console:
        outcome = fit(chosen, folder, collection, pseudo=guessed, init=init, resume=resume, watch=console)
    if outcome.first:
        of_wrist = load_bundle(outcome.bundle).recipe.hand == "wrist"
        beside = first_model(init or started_from(folder)) if of_wrist else None
        say_what_next(folder, outcome.bundle, interrupted=outcome.interrupted, beside=beside)
    if outcome.interrupted:
        raise KeyboardInterrupt


def _check_resume(out: Path | None, init: Path | None) -> None:
    """Raise `UserError` or `UsageError` where there is no run to go on with, or it is told to begin otherwise."""
    if out is None:
        raise UsageError("--resume: say which run with --out")
    if init is not None:
        raise UsageError("--init: a run that goes on has its weights: leave it out, or --resume")
    if not (out / "last.ckpt").exists():
        raise UserError(f"{out}: nothing to resume: it holds no last.ckpt; leave --resume out")


def cases_to_learn(data: Path | None, exclude: Path | None, *, skip_bad: bool) -> Collection | None:
    """The collection to learn from, without what has problems and what `exclude` names."""
    if data is None:
        if exclude is not None:
            raise UsageError("--exclude: there are no cases to leave out: give DATA")
        return None
    whole = collection_of(data, skip_bad=skip_bad)
    if exclude is None:
        return whole
    rest = leave_out(whole, exclude)
    print(f"left out: {len(whole.cases) - len(rest.cases)} cases that {exclude} names")
    return rest


def _plan(collection: Collection | None, minutes: float, overrides: list[str], folder: Path) -> Recipe:
    """Plan, print the plan, and write it down before anything starts."""
    from handbones.learning.planning import plan  # noqa: PLC0415 loads torch
    from handbones.learning.run import Split, refuse_another  # noqa: PLC0415
    from handbones.learning.world import World  # noqa: PLC0415

    if World.of_environment().size > 1:
        raise UsageError("--recipe auto: plan in one process, and start several with the recipe.yaml of that run")
    refuse_another(folder)  # before the plan of the run that is there is written over
    cases = 0 if collection is None else len(Split.of(load_recipe("small", overrides), collection).train)
    planned = plan(cases, minutes, overrides)
    print(planned, flush=True)
    write_text(make_folder(folder) / "plan.txt", f"{planned}\n")
    return planned.recipe


def first_model(init: Path | None) -> Path | str:
    """The model that a look at the wrist goes with: the one that it started from; where that sees wrists alone, its."""
    seen: set[Path] = set()
    while init is not None and str(init) != PACKAGED[1] and init.absolute() not in seen:
        seen.add(init.absolute())  # a run that took the place of the one it started from leads back to itself
        try:
            if load_bundle(init).recipe.hand != "wrist":
                return init
        except UserError:  # it is not there any more
            break
        init = started_from(init)
    return PACKAGED[0] if str(init) == PACKAGED[1] else "FIRST"


def say_what_next(folder: Path, bundle: Path, *, interrupted: bool, beside: Path | str | None) -> None:
    """Print how to use a model; `beside` is the first one, where this sees wrists alone."""
    first, wrist = quoted(beside or bundle), f" --wrist-bundle {quoted(bundle)}" if beside else ""
    print(f"model:    {bundle}")
    if interrupted:
        print(f"go on:    handbones train ... --out {quoted(folder)} --resume")
    print(f"measure:  handbones evaluate {first} DATA{wrist} --out {quoted(folder / 'evaluation')}")
    print(f"use:      handbones predict PICTURES --bundle {first}{wrist} --out {quoted(folder / 'prediction')}")
