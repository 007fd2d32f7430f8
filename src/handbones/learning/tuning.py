"""A search for better values of a recipe's fields: many short trainings, steered by Optuna."""

import hashlib
import json
import math
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import yaml
from annotated_types import MultipleOf
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from handbones.bundle import load_bundle
from handbones.collection import Collection
from handbones.errors import UsageError, UserError
from handbones.files import make_folder, write_text
from handbones.learning.fit import fit, refuse_from_nothing
from handbones.learning.watch import State, Watch
from handbones.recipe import Recipe, field_names, inherit, load_recipe, nearest

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import Trial

_LOGARITHMIC = 10.0
"""A range that spans more than this factor is searched by its logarithm."""

_STUDY = "handbones"
"""Its name in the database."""

_MOST_FAILURES = 3
"""So many trials in a row that fail end the search."""


@dataclass(frozen=True)
class Range:
    """Values that a field of the recipe may take."""

    field: str
    low: float | int | None = None
    high: float | int | None = None
    choices: tuple[Any, ...] = ()

    def setting(self, params: dict[str, Any]) -> str:
        """The field with its value in a trial, as an override of the recipe."""
        return f"{self.field}={params[self.field] if self.choices else json.dumps(params[self.field])}"

    @property
    def values(self) -> list[Any]:
        """All choices, or both ends, as Optuna has them: it stores plain values only, so choices are JSON there."""
        return [json.dumps(choice) for choice in self.choices] if self.choices else [self.low, self.high]

    def suggest(self, trial: "Trial") -> Any:
        """A value for this trial."""
        if self.choices:
            return json.loads(trial.suggest_categorical(self.field, self.values))
        assert self.low is not None and self.high is not None
        log = self.low > 0 and self.high / self.low > _LOGARITHMIC
        if isinstance(self.low, int) and isinstance(self.high, int):
            step = _step(self.field)
            return trial.suggest_int(self.field, self.low, self.high, step=step, log=log and step == 1)
        return trial.suggest_float(self.field, float(self.low), float(self.high), log=log)


def parse_range(text: str) -> Range:
    """Read `field=low..high` or `field=[a, b, c]`. Raises `UsageError`."""
    field, equals, values = text.partition("=")
    if not equals:
        raise UsageError(f"--vary {text}: write FIELD=LOW..HIGH or FIELD=[A, B, C] with a field of the recipe")
    if field not in field_names():
        raise UsageError(f"--vary {text}: no such field{nearest(field, field_names())}")
    low, dots, high = values.partition("..")
    if dots:
        # YAML reads 1e-3 as text, but not 1.0e-3; Python reads both.
        try:
            first, last = float(low), float(high)
        except ValueError:
            raise UsageError(f"--vary {text}: {low} and {high} must be numbers") from None
        if not math.isfinite(last - first):
            raise UsageError(f"--vary {text}: {low} to {high} must be a finite range")
        if not first < last:
            raise UsageError(f"--vary {text}: {low} must be less than {high}")
        return _range_of_numbers(text, field, first, last)
    try:
        choices = yaml.safe_load(values)
        json.dumps(choices)
    except (yaml.YAMLError, ValueError, TypeError):  # YAML also has days, and lists that hold themselves
        choices = None
    if not isinstance(choices, list) or len(choices) < 2:
        raise UsageError(f"--vary {text}: write FIELD=LOW..HIGH or FIELD=[A, B, C], of numbers, words and lists")
    return Range(field, choices=tuple(choices))


def _range_of_numbers(text: str, field: str, low: float, high: float) -> Range:
    """The range of a field that takes fractions, as of a weight, or whole numbers alone. Raises `UsageError`."""
    kinds = _kinds(field)
    if float in kinds:
        return Range(field, low, high)
    if int not in kinds:
        raise UsageError(f"--vary {text}: {field} takes no numbers in between: write {field}=[A, B, C]")
    if not low.is_integer() or not high.is_integer():
        raise UsageError(f"--vary {text}: {low:g} and {high:g} must be whole numbers")
    step = _step(field)
    if low % step or high % step:
        raise UsageError(f"--vary {text}: {low:g} and {high:g} must be multiples of {step}")
    return Range(field, int(low), int(high))


def _kinds(field: str) -> set[Any]:
    """The types of what a field takes; of a `Literal` its values."""
    annotation = _field(field).annotation
    return {getattr(kind, "__origin__", kind) for kind in get_args(annotation) or (annotation,)}


def _step(field: str) -> int:
    """What whole values of a field are multiples of."""
    found = _field(field)
    inner = [note for kind in get_args(found.annotation) for note in getattr(kind, "__metadata__", ())]  # of X | None
    bounds = [*found.metadata, *(bound for note in inner if isinstance(note, FieldInfo) for bound in note.metadata)]
    return next((int(str(bound.multiple_of)) for bound in bounds if isinstance(bound, MultipleOf)), 1)


def _field(field: str) -> FieldInfo:
    """What the recipe says of a field, or of a part."""
    part, _, name = field.partition(".")
    settings = Recipe.model_fields[part].annotation
    assert isinstance(settings, type) and issubclass(settings, BaseModel)
    return settings.model_fields[name] if name else Recipe.model_fields[part]


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

    _refuse_impossible(ranges, recipe_of)
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


def _refuse_impossible(ranges: Sequence[Range], recipe_of: Callable[[dict[str, Any]], Recipe]) -> None:
    """Raise `UsageError` for an end or a choice that makes no recipe.

    Since a value may need another one that is varied, too, the others are as they are, then all at their first value,
    then at their last.
    """
    beside = [{}, *({one.field: one.values[end] for one in ranges} for end in (0, -1))]
    for one in ranges:
        for value in one.values:
            problems = []
            for others in beside:
                try:
                    recipe_of({**others, one.field: value})
                    break
                except UsageError as error:
                    problems.append(error)
            else:
                raise UsageError(f"--vary {one.setting({one.field: value})}: {problems[0]}")


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
        outcome = fit(recipe, run, collection, init=init, watch=referee)
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
    names = [] if collection is None else [f"{case.person}/{case.name}" for case in collection.labelled]
    return hashlib.sha256("\n".join(sorted(names)).encode()).hexdigest()[:16] if names else ""
