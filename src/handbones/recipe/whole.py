"""A whole recipe."""

from typing import Any, Literal, Self

import yaml
from pydantic import BaseModel, model_validator

from handbones.recipe.learning import (
    LossSettings,
    NetworkSettings,
    OptimiserSettings,
    ScheduleSettings,
    TrainingSettings,
    ValidationSettings,
)
from handbones.recipe.samples import (
    AugmentSettings,
    DataSettings,
    InputSettings,
    MetadataSettings,
    PatchSettings,
    PhantomsSettings,
)
from handbones.recipe.setting import Settings, setting


class Recipe(Settings):
    """All of a training run."""

    network: NetworkSettings = setting(NetworkSettings(), "the network")
    input: InputSettings = setting(InputSettings(), "what the network sees")
    augment: AugmentSettings = setting(AugmentSettings(), "random changes of the training samples")
    patches: PatchSettings = setting(PatchSettings(), "training on parts of the pictures")
    loss: LossSettings = setting(LossSettings(), "what is made small")
    optimiser: OptimiserSettings = setting(OptimiserSettings(), "how")
    schedule: ScheduleSettings = setting(ScheduleSettings(), "course of the learning rate")
    training: TrainingSettings = setting(..., "budget, batches and machine")
    validation: ValidationSettings = setting(ValidationSettings(), "measuring while training")
    data: DataSettings = setting(DataSettings(), "which cases train and validate")
    phantoms: PhantomsSettings = setting(PhantomsSettings(), "synthetic radiographs while training")
    metadata: MetadataSettings = setting(MetadataSettings(), "what is known beside the picture")

    @model_validator(mode="after")
    def _supervised_as_it_is(self) -> Self:
        if self.network.deep_supervision and self.training.compile:
            raise ValueError("network.deep_supervision does not go with training.compile: set it to 0")
        return self

    @model_validator(mode="after")
    def _patches_fit(self) -> Self:
        smallest = self.input.size_of(min(self.input.train_sizes or (self.input.size,)), 0.0)
        if self.patches.size is not None and self.patches.size > smallest:
            raise ValueError(
                f"patches.size {self.patches.size} is more than the pictures have at their smallest, {smallest}: see "
                "input.size, input.train_sizes and input.grow_from"
            )
        if self.patches.size is not None and self.phantoms.render == "device":
            raise ValueError("phantoms.render=device does not go with patches.size: set phantoms.render=cpu")
        if self.input.hand == "wrist" and self.phantoms.render == "device":
            raise ValueError("phantoms.render=device does not go with input.hand=wrist: set phantoms.render=cpu")
        return self

    @property
    def hand(self) -> Literal["find", "whole", "wrist"]:
        """Which part of a picture the network sees, with `auto` decided."""
        if self.input.hand != "auto":
            return self.input.hand
        return "find" if self.phantoms.profile == "wild" else "whole"

    def grows(self, origin: "Recipe | None") -> bool:
        """Whether training pictures grow; not where the model of `origin` goes on with what it knows at their size.

        A look at the wrist does grow that goes on from whole hands, in which wrists are smaller.
        """
        known = origin is not None and not (self.hand == "wrist" and origin.hand != "wrist")
        return self.input.grow_from is not None and not known

    def to_yaml(self) -> str:
        """The recipe as YAML, every field written out; `parse_recipe` reads it back."""
        return str(yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, width=120))


def differences(old: Recipe, new: Recipe) -> list[str]:
    """Dotted names of the fields in which two recipes differ."""
    a, b = _flat(old.model_dump()), _flat(new.model_dump())
    return [name for name in {**a, **b} if a.get(name) != b.get(name)]


def field_names(model: type[BaseModel] = Recipe, prefix: str = "") -> list[str]:
    """Dotted names of all fields and parts."""
    names = []
    for name, info in model.model_fields.items():
        names.append(prefix + name)
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            names += field_names(info.annotation, f"{prefix}{name}.")
    return names


def _flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in tree.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return flat
