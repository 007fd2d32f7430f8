"""A search for better values of a recipe's fields: many short trainings, steered by Optuna."""

import hashlib
import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from handbones.bundle import load_bundle
from handbones.collection import Collection
from handbones.errors import UsageError, UserError
from handbones.files import make_folder, write_text
from handbones.learning.fit import fit, refuse_from_nothing
from handbones.learning.ranges import Range, refuse_unfit
from handbones.learning.watch import State, Watch
from handbones.recipe import Recipe, inherit, load_recipe

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import Trial

_STUDY = "handbones"
"""Its name in the database."""

_MOST_FAILURES = 3
"""So many trials in a row that fail end the search."""


def tune(
    recipe: str,
    overrides: Sequence[str],
    ranges: Sequence[Range],
    out: Path,
    collection: Collection | None,
    *,
    trials: int,
    watch: Watch,
    init: Path | None = None,
) -> "Study":
    """Train until `trials` trainings are done in all, and leave `out`/best.yaml and `out`/trials.csv.

    A trial that at a validation lags behind the median of the others ends early. What is done is kept in
    `out`/study.db, so that the same call goes on after a cut; the trial that was cut is done anew. One that fails, as
    where its network does not fit into memory, is noted and left; after three in a row the last error is raised.
    `init` is a bundle that every trial starts from. Raises `UsageError`, and leaves nothing, where the recipe is none
    before anything is varied, or with one of the values; and where trials are done in `out` of another recipe or
    bundle, or with other fields varied.
    """
    start = load_recipe(recipe, list(overrides))
    if init is None:
        refuse_from_nothing(start)

    def recipe_of(params: dict[str, Any]) -> Recipe:
        return load_recipe(recipe, [*overrides, *(one.setting(params) for one in ranges if one.field in params)])

    refuse_unfit(ranges, recipe_of, collection)
    import optuna  # noqa: PLC0415 an extra

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    origin = {"recipe": start.to_yaml(), "init": str(init), "data": _digest(collection)}
    study = _open_study(ranges, out, origin)
    states = optuna.trial.TrialState
    failures = 0
    while (done := trials_done(study)) < trials:
        failed = sum("error" in trial.user_attrs for trial in study.get_trials(deepcopy=False, states=(states.FAIL,)))
        study.sampler = optuna.samplers.TPESampler(seed=done + failed)
        trial = study.ask()
        values = {one.field: one.suggest(trial) for one in ranges}
        watch.said(f"trial {done + 1} of {trials}: " + ", ".join(f"{name} {value}" for name, value in values.items()))
        try:
            dice = _train(recipe_of(trial.params), out / "trial", collection, trial, watch, init)
        except UserError as error:
            trial.set_user_attr("error", str(error))
            study.tell(trial, state=states.FAIL)
            _keep(study, out, recipe_of, init)
            failures += 1
            if failures >= _MOST_FAILURES:
                raise
            watch.said(f"failed: {error}")
            continue
        failures = 0
        study.tell(trial, dice, state=None if dice is not None else states.PRUNED)
        _keep(study, out, recipe_of, init)
    _keep(study, out, recipe_of, init)  # what a cut after the last trial has left out
    return study


def trials_done(study: "Study") -> int:
    """How many trainings have come to their end, or were given up as behind the others."""
    import optuna  # noqa: PLC0415 an extra

    states = optuna.trial.TrialState
    return len(study.get_trials(deepcopy=False, states=(states.COMPLETE, states.PRUNED)))


def _keep(study: "Study", out: Path, recipe_of: Callable[[dict[str, Any]], Recipe], init: Path | None) -> None:
    """Write all trials and the best recipe; `recipe_of` makes one of what Optuna knows of a trial."""
    import optuna  # noqa: PLC0415 an extra

    write_text(out / "trials.csv", study.trials_dataframe().to_csv(index=False, lineterminator="\n"))
    if study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,)):
        best = recipe_of(study.best_params)
        # With all fields written out, so that no training from `init` can take another one for what is left open.
        whole = best if init is None else inherit(best, load_bundle(init).recipe)
        write_text(out / "best.yaml", whole.to_yaml())


def _train(
    recipe: Recipe, run: Path, collection: Collection | None, trial: "Trial", watch: Watch, init: Path | None
) -> float | None:
    """The best validation Dice of one training; None if it was given up."""
    shutil.rmtree(run, ignore_errors=True)
    referee = _Referee(trial, watch)
    try:
        outcome = fit(recipe, run, collection, init=init, watch=referee, onnx=False)
    except _HopelessError:
        watch.said("behind the median of the others: given up")
        return None
    finally:
        shutil.rmtree(run, ignore_errors=True)
    if outcome.interrupted:
        raise KeyboardInterrupt
    if referee.best is None:
        raise UserError("a trial ended without a validation: give it more time with --minutes")
    return referee.best


START_DICE = "dice_of_start"
"""What the study calls the Dice of the model that every trial starts from."""


class _HopelessError(Exception):
    """Ends a training from within."""


class _Referee(Watch):
    """Tells Optuna of each validation, and ends a training that has no hope."""

    def __init__(self, trial: "Trial", watch: Watch) -> None:
        self.trial, self.watch = trial, watch
        self.best: float | None = None
        self._validations = 0

    def said(self, text: str) -> None:
        self.watch.said(text)

    def stepped(self, state: State) -> None:
        self.watch.stepped(state)

    def examined(self, done: int, total: int) -> None:
        self.watch.examined(done, total)

    def validated(self, state: State, bones: dict[str, float]) -> None:
        self.watch.validated(state, bones)
        if state.step == 0:  # the model of `init` as it is, which says nothing of the values
            self.trial.study.set_user_attr(START_DICE, state.dice)
            return
        self.best = max(self.best or 0.0, state.dice)
        self._validations += 1
        self.trial.report(self.best, self._validations)
        if self.trial.should_prune():
            raise _HopelessError


def _open_study(ranges: Sequence[Range], out: Path, start: dict[str, str]) -> "Study":
    """The search in `out`, new or to go on with; a trial that was cut is to be done anew.

    One without a trial that is done has nothing to lose: told otherwise than before, it begins anew.
    """
    import optuna  # noqa: PLC0415 an extra

    storage = f"sqlite:///{make_folder(out) / 'study.db'}"
    pruner = optuna.pruners.MedianPruner(n_startup_trials=4)
    create = partial(optuna.create_study, storage=storage, pruner=pruner, study_name=_STUDY, direction="maximize")
    study, told = create(load_if_exists=True), {one.field: str(one) for one in ranges}
    if otherwise := _otherwise(study, told, start):
        if trials_done(study):
            raise UsageError(f"--out {out}: {otherwise}, or another --out")
        optuna.delete_study(study_name=_STUDY, storage=storage)
        study = create()
    study.set_user_attr("ranges", told)
    study.set_user_attr("start", start)
    states = optuna.trial.TrialState
    for cut in study.get_trials(deepcopy=False, states=(states.RUNNING,)):
        study.tell(cut.number, state=states.FAIL)
        study.enqueue_trial(cut.params)
    return study


def _otherwise(study: "Study", told: dict[str, str], start: dict[str, str]) -> str:
    """What a search was told otherwise before, of what is varied or from where, with the remedy; empty: nothing."""
    varied = study.user_attrs.get("ranges", told)
    if varied != told:
        changed = next(field for field in {**varied, **told} if varied.get(field) != told.get(field))
        return f"varied {changed} otherwise before: give the same --vary"
    before = study.user_attrs.get("start", start)
    if any(before.get(name, value) != value for name, value in start.items()):  # older searches lack some
        again = "give the same DATA, --exclude, --recipe, --init, --set and --minutes"
        return f"has trials of another recipe, bundle or collection: {again}"
    return ""


def _digest(collection: Collection | None) -> str:
    """Tells which cases a search learns from; empty for phantoms."""
    names = [] if collection is None else [case.key for case in collection.labelled]
    return hashlib.sha256("\n".join(sorted(names)).encode()).hexdigest()[:16] if names else ""
