"""What a recipe takes over from that of a model which it goes on from."""

import yaml

from handbones.errors import UsageError
from handbones.recipe.reading import parse_recipe
from handbones.recipe.whole import Recipe

_INHERITED = "with what it goes on from"
_INHERITABLE: dict[str, set[str] | None] = {
    "network": None,
    "input": {"size", "train_sizes", "hand_length", "hand", "mean", "std"},
    "metadata": {"inputs"},
    "data": {"folds", "fold", "stratify"},
    "validation": {"threshold"},
}
"""Parts that a recipe takes over from what it goes on from, and which of their fields; None is all."""


def inherit(recipe: Recipe, origin: Recipe) -> Recipe:
    """The recipe of a network that goes on from another's weights: what it leaves open, that one decides.

    Only fields of `network` and `input` are inherited, the inputs of `metadata`, the threshold, and of `data` what
    says who is held out, so that nobody validates who has trained the other; `train_sizes` and `hand_length` grow and
    shrink with `input.size`, and those of whole pictures are nothing to a recipe for wrists. Raises `UsageError` where
    what comes out is no valid recipe, and where it has inputs that the other does not know.
    """
    told, inputs = origin.metadata.inputs, recipe.metadata.inputs
    if told and inputs and told != inputs:  # the weights of one would be taken for another's
        raise UsageError(
            f"metadata.inputs: {', '.join(inputs)}, but what it goes on from is told {', '.join(told)}: leave it out"
        )
    tree = recipe.model_dump(mode="json")
    own = {part: getattr(recipe, part).model_fields_set for part in _INHERITABLE}
    if recipe.hand == "wrist" != origin.hand:  # the other's sizes are of another part of the picture
        own["input"] = own["input"] | {"train_sizes", "hand_length"}
    for part, fields in own.items():
        theirs = getattr(origin, part).model_dump(mode="json", include=_INHERITABLE[part])
        tree[part] |= {name: value for name, value in theirs.items() if name not in fields}
    factor = tree["input"]["size"] / origin.input.size
    if "train_sizes" not in own["input"]:
        tree["input"]["train_sizes"] = [max(32, round(size * factor / 32) * 32) for size in origin.input.train_sizes]
    if "hand_length" not in own["input"] and origin.input.hand_length is not None:
        tree["input"]["hand_length"] = max(32, round(origin.input.hand_length * factor))
    if "hand" not in own["input"] and parse_recipe(yaml.safe_dump(tree), source=_INHERITED).hand != origin.hand:
        tree["input"]["hand"] = origin.hand  # `auto` means something else where other phantoms are learned from
    return parse_recipe(yaml.safe_dump(tree), source=_INHERITED)
