"""Recipes: everything that decides a training run, in one validated YAML file.

Each field stands in one place, in `samples` or `learning`, with its meaning, unit and range. `load_recipe` reads a
shipped recipe by name or a file by path and lays `a.b=value` overrides over it.
"""

from handbones.recipe.origin import inherit
from handbones.recipe.reading import load_recipe, nearest, parse_recipe, recipe_names
from handbones.recipe.whole import Recipe, differences, field_names

__all__ = ["Recipe", "differences", "field_names", "inherit", "load_recipe", "nearest", "parse_recipe", "recipe_names"]
