"""What a search may vary: fields of the recipe, and the values of each."""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any, get_args

import yaml
from annotated_types import MultipleOf
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from handbones.collection import Collection
from handbones.errors import UsageError
from handbones.recipe import Recipe, field_names, nearest

if TYPE_CHECKING:
    from optuna.trial import Trial

_MOST_COMBINATIONS = 200
"""So many recipes are made before a search, a second's work, to know which values can be."""
_LOGARITHMIC = 10.0
"""A range that spans more than this factor is searched by its logarithm."""

_MEASURING = (
    *("data.fold", "data.folds", "data.stratify", "phantoms.validation", "phantoms.validation_size"),
    *(f"validation.{name}" for name in ("epochs", "steps", "minutes", "limit", "tilted")),
)
"""Fields that decide what is measured, or how often, not how good a model is: the easiest pictures would win."""
_INCOMPARABLE = "changes what is measured, and trials could not be compared: choose it with --set"


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
    if any(name == field or name.startswith(f"{field}.") for name in _MEASURING):
        raise UsageError(f"--vary {text}: {_INCOMPARABLE}")
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


def refuse_unfit(
    ranges: Sequence[Range], recipe_of: Callable[[dict[str, Any]], Recipe], collection: Collection | None
) -> None:
    """Raise `UsageError` for an end or a choice that makes no recipe, or one that is measured otherwise.

    Since a value may need others that are varied, too, these are as they are, then as in each combination of values;
    of too many combinations only all at their first value and all at their last.
    """
    values = [one.values for one in ranges]
    few = math.prod(map(len, values)) <= _MOST_COMBINATIONS
    mixed = list(product(*values)) if few else [tuple(of_one[end] for of_one in values) for end in (0, -1)]
    beside = [{}, *(dict(zip((one.field for one in ranges), each, strict=True)) for each in mixed)]
    measured = _measured(recipe_of({}), collection)
    for params, text in (({one.field: v}, one.setting({one.field: v})) for one in ranges for v in one.values):
        tried = (_try(recipe_of, {**others, **params}) for others in beside)
        recipe = alone = next(tried)
        if isinstance(alone, UsageError):
            recipe = next((one for one in tried if isinstance(one, Recipe)), alone)
        if isinstance(recipe, UsageError):
            raise UsageError(f"--vary {text}: {alone}")
        if _measured(recipe, collection) != measured:
            raise UsageError(f"--vary {text}: {_INCOMPARABLE}")


def _try(recipe_of: Callable[[dict[str, Any]], Recipe], params: dict[str, Any]) -> Recipe | UsageError:
    try:
        return recipe_of(params)
    except UsageError as error:
        return error


def _measured(recipe: Recipe, collection: Collection | None) -> tuple[Any, ...]:
    """What else is measured, beside `_MEASURING`: the wrist alone, or which phantoms where no cases validate."""
    phantoms = (recipe.phantoms.profile, recipe.training.seed) if collection is None else ()
    return recipe.hand == "wrist", *phantoms
