"""Recipes from YAML: shipped ones and files, with overrides; what is wrong with one, in a line."""

import difflib
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from handbones.errors import UsageError
from handbones.files import explain
from handbones.recipe.whole import Recipe, field_names


def recipe_folder() -> Path:
    """Where the shipped recipes are: inside the installed package, or beside `src` in a checkout."""
    package = Path(__file__).parents[1]
    installed = package / "recipes"
    return installed if installed.is_dir() else package.parents[1] / "recipes"


def recipe_names() -> list[str]:
    """Names of the shipped recipes."""
    return sorted(path.stem for path in recipe_folder().glob("*.yaml"))


def load_recipe(name_or_path: str | Path, overrides: list[str] | None = None) -> Recipe:
    """Read a shipped recipe by name, or a file ending in .yaml, and lay `a.b=value` overrides (YAML values) over it.

    Raises `UsageError` with one line on an unknown recipe or field, a value out of range, or broken YAML.
    """
    path = _find(name_or_path)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(str(explain(error, path, "read the recipe"))) from None
    except UnicodeDecodeError:
        raise UsageError(f"{path}: not a recipe: the file is not text") from None
    return parse_recipe(text, overrides, source=str(name_or_path))


def parse_recipe(text: str, overrides: list[str] | None = None, *, source: str = "recipe") -> Recipe:
    """Validate a recipe's YAML text with overrides; `source` names it in errors. Raises `UsageError`."""
    try:
        tree = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise UsageError(f"recipe {source}: not YAML: {_one_line(error)}") from None
    if not isinstance(tree, dict):
        raise UsageError(f"recipe {source}: not a recipe: the file holds no fields")
    for override in overrides or []:
        _override(tree, override)
    try:
        return Recipe.model_validate(tree)
    except ValidationError as error:
        raise UsageError(f"recipe {source}: {_explain(error)}") from None


def nearest(name: str, known: list[str]) -> str:
    """`; did you mean ...?`, where one of the known names is like this one."""
    by_leaf = {other.rsplit(".", 1)[-1]: other for other in reversed(known)}
    whole = difflib.get_close_matches(name, known, n=1, cutoff=0.75)
    leaf = difflib.get_close_matches(name.rsplit(".", 1)[-1], by_leaf, n=1, cutoff=0.76)
    near = whole[0] if whole else by_leaf[leaf[0]] if leaf else None
    return f"; did you mean {near!r}?" if near else ""


def _find(name_or_path: str | Path) -> Path:
    path = Path(name_or_path)
    if path.suffix in {".yaml", ".yml"} or path.is_file():
        return path
    shipped = recipe_folder() / f"{name_or_path}.yaml"
    if len(path.parts) == 1 and shipped.is_file():
        return shipped
    names = recipe_names()
    raise UsageError(
        f"unknown recipe {str(name_or_path)!r}{nearest(str(name_or_path), names)}; "
        f"there are {', '.join(names)}, or give a file ending in .yaml"
    )


def _override(tree: dict[str, Any], override: str) -> None:
    name, equals, text = override.partition("=")
    if not equals or not name:
        raise UsageError(f"--set {override}: write it as field=value, for example --set training.batch=4")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UsageError(f"--set {override}: the value is not YAML: {_one_line(error)}") from None
    *parents, leaf = name.strip().split(".")
    for parent in parents:
        if not isinstance(tree.get(parent), dict):
            tree[parent] = {}
        tree = tree[parent]
    tree[leaf] = value


def _explain(error: ValidationError) -> str:
    """The first complaint of pydantic as one line in our words."""
    first = error.errors()[0]
    names = [str(part) for part in first["loc"]]
    name = ".".join(names)
    if first["type"] == "extra_forbidden":
        return f"unknown field {name!r}{nearest(name, field_names())}"
    if first["type"] == "missing" and name == "training":
        return "no budget: set training.epochs, training.steps or training.minutes"
    problem = first["msg"].removeprefix("Value error, ")
    whole = first["type"] in {"missing", "model_type"} or isinstance(first["input"], dict)
    got = "" if whole else f", got {first['input']!r}"
    return f"{name + ': ' if name else ''}{problem[:1].lower()}{problem[1:]}{got}"


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
