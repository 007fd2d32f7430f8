"""Recipes: everything that decides a training run, in one validated YAML file.

Each field stands in one place, below, with its meaning, unit and range. `load_recipe` reads a shipped recipe by name
or a file by path and lays `a.b=value` overrides over it.
"""

import difflib
import math
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from handbones.anatomy import ANATOMY, BONES, GROUPS
from handbones.encoding import Input, Target
from handbones.errors import UsageError
from handbones.files import explain
from handbones.phantom.settings import PRESETS

Decoder = Literal[
    "unet",
    "unetplusplus",
    "manet",
    "linknet",
    "fpn",
    "pan",
    "pspnet",
    "deeplabv3",
    "deeplabv3plus",
    "upernet",
    "segformer",
    "dpt",
    "hrnet",
    "torchvision-fcn",
    "torchvision-deeplabv3",
]
_INHERITED = "with what it goes on from"
_INHERITABLE: dict[str, set[str] | None] = {
    "network": None,
    "input": {"size", "train_sizes", "hand_length", "hand", "mean", "std"},
    "metadata": {"inputs"},
    "data": {"folds", "fold", "stratify"},
    "validation": {"threshold"},
}
"""Parts that a recipe takes over from what it goes on from, and which of their fields; None is all."""

SUPERVISED = ("unet", "manet", "linknet")
"""Decoders that `network.deep_supervision` goes with: their blocks double the resolution one after the other."""

Share = Annotated[float, Field(ge=0, le=1)]
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Size = Annotated[int, Field(ge=32, le=8192, multiple_of=32)]


def setting(default: Any, description: str, unit: str = "", **limits: Any) -> Any:
    """A field of a recipe: default, meaning, unit ("" for none), and pydantic's limits (ge, le, gt, ...)."""
    return Field(default, description=description, json_schema_extra={"unit": unit}, **limits)


_GROWTH_STEPS = 8
"""Pictures that grow do so in so many steps at most."""


class Settings(BaseModel):
    """A part of a recipe: immutable, refuses unknown fields."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)


_NAMES_WANTED = f"give labels of bones, or groups: {', '.join(GROUPS)}"


def _bones_or_groups(names: tuple[str, ...]) -> tuple[str, ...]:
    if any(name not in BONES and name not in GROUPS for name in names):
        raise ValueError(_NAMES_WANTED)
    return names


class NetworkSettings(Settings):
    """The network."""

    decoder: Decoder = setting(
        "unet", "a decoder of segmentation_models_pytorch, HRNet's own, or a whole network of torchvision"
    )
    encoder: str = setting(
        "tf_efficientnet_lite0",
        "an encoder of timm or segmentation_models_pytorch; resnet50 or resnet101 under torchvision's",
    )
    weights: str = setting("imagenet", "start of the encoder: imagenet (from an installed package), none, or a file")
    channels: Literal[1, 3] = setting(1, "input channels; 3 repeats the gray picture", "channels")
    stride: Literal[1, 2, 4, 8] = setting(1, "input pixels per logit, along a side", "pixels")
    decoder_channels: tuple[int, ...] = setting(
        (256, 128, 64, 32, 16), "width of the blocks of unet, unetplusplus and manet, coarse to fine", "channels"
    )
    head_bias: float | None = setting(None, "bias that the last layer starts with; null leaves it random", "logit")
    deep_supervision: int = setting(
        0, "coarser maps of unet, manet or linknet that learn the masks too; in training only", "maps", ge=0, le=3
    )

    @field_validator("decoder_channels")
    @classmethod
    def _five(cls, channels: tuple[int, ...]) -> tuple[int, ...]:
        if len(channels) != 5 or min(channels) < 1:
            raise ValueError("five whole numbers above 0 are needed")
        return channels

    @model_validator(mode="after")
    def _can_be_supervised(self) -> Self:
        if self.deep_supervision and self.decoder not in SUPERVISED:
            raise ValueError(
                f"deep_supervision needs one of the decoders {', '.join(SUPERVISED)}: for {self.decoder} set it to 0"
            )
        return self


class InputSettings(Settings):
    """What the network sees of a radiograph."""

    size: Size = setting(512, "longest side of the picture that the network sees", "pixels")
    train_sizes: tuple[Size, ...] = setting((), "sizes to draw a training batch's from; empty: always `size`", "pixels")
    grow_from: Size | None = setting(
        None,
        "size that training pictures begin at, to grow to their final one; null: final from the start, as with --init, "
        "but for the wrist",
        "pixels",
    )
    grow_until: Share = setting(0.7, "part of the budget after which they have grown", "share")
    hand_length: int | None = setting(
        None,
        "longest that a hand which was found is seen, from the middle finger's last bone to the lunate: a hand that "
        "fills the picture is seen smaller than `size`; null: never",
        "pixels",
        ge=32,
        le=8192,
    )
    hand: Literal["auto", "find", "whole", "wrist"] = setting(
        "auto",
        "find the hand first and see it upright and large; auto: only where phantoms taught any picture (wild); "
        "wrist: see the wrist alone, for a second look at it (predict --wrist-bundle)",
    )
    mean: float = setting(0.0, "subtracted from the gray values, which run from 0 to 1", "gray", ge=-10, le=10)
    std: float = setting(1.0, "divides the gray values after that", "gray", gt=0, le=10)

    def grown_at(self, progress: float) -> float:
        """How much of their way training pictures have grown, 0 to 1, when this part of the budget is used up."""
        return min(1.0, progress / self.grow_until) if self.grow_until else 1.0

    def size_of(self, final: int, grown: float) -> int:
        """Size of a training picture that will have the size `final`; a multiple of 32.

        There are few sizes on the way, since a GPU takes seconds to make ready for each.
        """
        start = min(self.grow_from or final, final)
        step = 32 * max(1, math.ceil((final - start) / 32 / _GROWTH_STEPS))
        return final if grown >= 1 else min(final, start + step * int(grown * (final - start) / step + 0.5))


class AugmentSettings(Settings):
    """Random changes of a training sample; all off by default."""

    flip: Share = setting(0.0, "probability to mirror left and right", "probability")
    rotate: float = setting(0.0, "largest rotation either way", "degrees", ge=0, le=180)
    scale: tuple[float, float] = setting((1.0, 1.0), "range of the magnification", "factor")
    shear: float = setting(0.0, "largest shear either way", "degrees", ge=0, le=45)
    translate: Share = setting(0.0, "largest shift either way", "share of the side")
    perspective: float = setting(
        0.0, "largest difference of the magnification at opposite borders, either way", "share", ge=0, le=0.5
    )
    elastic: float = setting(0.0, "largest shift of a smooth bend, along x and y", "share of the side", ge=0, le=0.04)
    zoom: Share = setting(0.0, "probability to show a square window of the picture instead of all", "probability")
    zoom_window: tuple[Share, Share] = setting((0.5, 1.0), "range of that window's side", "share of the side")
    wrist: Share = setting(
        0.0, "probability to turn the hand against the forearm, about the wrist, to another tilt", "probability"
    )
    wrist_tilt: tuple[float, float] = setting(
        (30.0, 50.0), "range of that tilt, -60 to 60; positive towards the little finger", "degrees"
    )
    wrist_turn: float = setting(40.0, "largest such turn either way", "degrees", gt=0, le=60)
    brightness: Share = setting(0.0, "largest shift of the gray values either way", "share of the range")
    contrast: Share = setting(0.0, "largest change of the contrast either way", "share")
    gamma: float = setting(0.0, "largest doubling or halving of gamma", "octaves", ge=0, le=3)
    noise: Share = setting(0.0, "largest standard deviation of added noise", "share of the range")
    blur: float = setting(0.0, "largest sigma of a Gaussian blur", "pixels", ge=0, le=10)
    invert: Share = setting(0.0, "probability to swap black and white", "probability")
    clahe: Share = setting(0.0, "probability to equalise the contrast of each neighbourhood (CLAHE)", "probability")
    shadow: Share = setting(0.0, "largest darkening or brightening by a coarse shadow", "share of the range")
    cutouts: int = setting(0, "most boxes that hide something; what they hide stays labelled", "boxes", ge=0, le=32)
    cutout_side: Share = setting(0.15, "longest side of such a box", "share of the side")
    collimation: Share = setting(
        0.0, "probability of shutters at the borders; nothing under them is labelled", "probability"
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        for name in ("scale", "zoom_window"):
            low, high = getattr(self, name)
            if not 0 < low <= high:
                raise ValueError(f"{name} needs 0 < low <= high, got [{low}, {high}]")
        if not -60 <= self.wrist_tilt[0] <= self.wrist_tilt[1] <= 60:
            raise ValueError(f"wrist_tilt needs -60 <= low <= high <= 60, got {list(self.wrist_tilt)}")
        return self


class PatchSettings(Settings):
    """Training on square parts of the radiographs, as large as prediction sees them; validation is always whole."""

    size: Size | None = setting(None, "side of the patches; null: whole pictures", "pixels")
    centred: Share = setting(0.5, "part of the patches that have a bone in the middle; the rest lie anywhere", "share")
    bones: tuple[str, ...] = setting(("carpals",), "which bones: labels, or groups (fingers, carpals, forearm)")

    @field_validator("bones")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if not names:
            raise ValueError(_NAMES_WANTED)
        return _bones_or_groups(names)


class LossSettings(Settings):
    """Weights of the parts that the loss sums; 0 leaves a part out."""

    bce: float = setting(1.0, "binary cross-entropy, mean over pixels and bones", "weight", ge=0)
    dice: float = setting(0.0, "1 - Dice of the probabilities, per bone over the batch", "weight", ge=0)
    jaccard: float = setting(0.0, "1 - Jaccard of the probabilities, per bone over the batch", "weight", ge=0)
    focal: float = setting(0.0, "focal loss, gamma 2", "weight", ge=0)
    tversky: float = setting(0.0, "Tversky loss, false negatives 0.7 and false positives 0.3", "weight", ge=0)
    focal_tversky: float = setting(0.0, "the Tversky loss of each bone to the power 3/4", "weight", ge=0)
    lovasz: float = setting(0.0, "Lovasz hinge, per bone and picture", "weight", ge=0)
    boundary: float = setting(
        0.0, "what is wrong times its distance from the bone's outline; to be added to another part", "weight", ge=0
    )
    cldice: float = setting(
        0.0, "1 - Dice of centre lines (clDice), per bone over the batch; to be added to another part", "weight", ge=0
    )
    softmax: float = setting(
        0.0, "softmax cross-entropy: one bone or none a pixel, overlap is lost; goes with no other part", "weight", ge=0
    )
    bones: dict[str, Weight] = setting(
        {}, "weights of bones in every part: label, or group (fingers, carpals, forearm), to weight; else 1", "weight"
    )

    @field_validator("bones")
    @classmethod
    def _known(cls, weights: dict[str, float]) -> dict[str, float]:
        _bones_or_groups(tuple(weights))
        return weights

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not self.parts:
            raise ValueError("every part has weight 0: give one of them a weight")
        if self.softmax and len(self.parts) > 1:
            other = next(name for name in self.parts if name != "softmax")
            raise ValueError(f"softmax knows one bone a pixel and {other} many: set loss.{other}=0")
        if not any(self.bone_weights):
            raise ValueError("every bone has weight 0: give one of them a weight")
        return self

    @property
    def parts(self) -> dict[str, float]:
        """The parts that count, with their weights."""
        return {name: weight for name, weight in self.model_dump(exclude={"bones"}).items() if weight}

    @property
    def bone_weights(self) -> tuple[float, ...]:
        """A weight for each of the 29 bones, in order; a bone's own goes before its group's."""
        return tuple(self.bones.get(bone.label, self.bones.get(bone.group, 1.0)) for bone in ANATOMY)


class OptimiserSettings(Settings):
    """How gradients move the weights."""

    name: Literal["adam", "adamw", "sgd"] = setting("adam", "the optimiser; sgd has Nesterov momentum 0.9")
    lr: float = setting(1e-4, "learning rate, at its highest", gt=0, le=10)
    weight_decay: float = setting(1e-6, "weight decay", ge=0, le=1)
    clip: float | None = setting(None, "longest gradient; null does not clip", "norm", gt=0)


class ScheduleSettings(Settings):
    """Course of the learning rate over the budget of the training."""

    name: Literal["constant", "cosine"] = setting("constant", "shape after the warm-up")
    warmup: Share = setting(0.0, "linear rise from 0", "share of the budget")
    floor: Share = setting(0.0, "where cosine ends", "share of lr")


class TrainingSettings(Settings):
    """Budget, batches and machine. Of `epochs`, `steps` and `minutes`, whichever is reached first ends the training."""

    epochs: float | None = setting(
        None, "passes over the training cases; phantoms and pseudo-labels among them count, too", "epochs", gt=0
    )
    steps: int | None = setting(None, "steps of the optimiser", "steps", ge=1)
    minutes: float | None = setting(None, "wall-clock time, with validation", "minutes", gt=0)
    batch: int = setting(8, "samples that go through the network at once, on each device", "samples", ge=1, le=4096)
    accumulate: int = setting(1, "batches that one step of the optimiser sums", "batches", ge=1)
    patience: int | None = setting(
        None, "validations in a row without a better Dice that end the training; null: none do", "validations", ge=1
    )
    seed: int = setting(21, "seed of the weights, the order and the augmentation", ge=0, lt=2**32)
    workers: int | None = setting(None, "processes that prepare samples; null: one a core, up to 16", "processes", ge=0)
    precision: Literal["auto", "32", "bf16", "16"] = setting("auto", "auto: bf16 where the device is made for it")
    channels_last: bool = setting(True, "memory layout of the network; faster nearly everywhere")
    compile: bool = setting(False, "torch.compile")
    ema: float | None = setting(None, "decay of averaged weights, which are then the model; null: none", gt=0, lt=1)
    ema_rise: bool = setting(
        True, "averaging begins with a low decay, which forgets random weights; off where the first weights are good"
    )
    freeze_norm: bool = setting(False, "batch normalisation keeps the means and variances that it starts with")
    checkpoint_minutes: float = setting(5.0, "time between checkpoints to resume from", "minutes", gt=0)
    loggers: tuple[Literal["tensorboard", "wandb", "mlflow"], ...] = setting(
        ("tensorboard",),
        "what else writes the course down, beside history.csv; wandb and mlflow need handbones[tracking]",
    )

    @field_validator("precision", mode="before")
    @classmethod
    def _as_text(cls, precision: object) -> object:
        return str(precision) if isinstance(precision, int) else precision  # YAML reads a number

    @model_validator(mode="after")
    def _budget(self) -> Self:
        if self.epochs is None and self.steps is None and self.minutes is None:
            raise ValueError("no budget: set training.epochs, training.steps or training.minutes")
        return self


class ValidationSettings(Settings):
    """Whole-image Dice at the pictures' own size; when it is due, and how. There is always one at the end."""

    epochs: float | None = setting(None, "a validation every so many epochs", "epochs", gt=0)
    steps: int | None = setting(None, "a validation every so many steps", "steps", ge=1)
    minutes: float | None = setting(None, "a validation every so many minutes", "minutes", gt=0)
    batch: int = setting(8, "pictures that go through the network at once", "pictures", ge=1)
    threshold: float = setting(0.5, "a pixel belongs to a bone above this", "probability", gt=0, lt=1)
    limit: int | None = setting(None, "validate on the first so many cases only", "cases", ge=1)
    tilted: float | None = setting(
        None, "weight of the bent wrists in the Dice that picks the best model; null: as many as there are", "share",
        gt=0, lt=1,
    )  # fmt: skip


class DataSettings(Settings):
    """Which cases train and which validate."""

    folds: int = setting(5, "parts that the people are dealt into", "folds", ge=2, le=100)
    fold: int = setting(0, "the part that validates", ge=0)
    stratify: Literal["none", "tilt", "side"] = setting("none", "what the folds have equal shares of")
    tilted: float | None = setting(
        None, "part of the samples that have a bent wrist; null: as the cases come", "share", gt=0, lt=1
    )
    pseudo_share: Share = setting(
        0.3, "part of what is no phantom that has pseudo-labels, where there are any (train --pseudo)", "share"
    )
    cache: bool = setting(True, "keep decoded pictures on disk while it trains")
    cache_folder: str | None = setting(
        None, "where; it is kept, for other runs too; null: in the run, until it is over"
    )
    cache_limit: float | None = setting(None, "what it may take up; pictures beyond are decoded each time", "GB", gt=0)

    @model_validator(mode="after")
    def _in_range(self) -> Self:
        if self.fold >= self.folds:
            raise ValueError(f"fold {self.fold} does not exist: with {self.folds} folds it is 0 to {self.folds - 1}")
        return self


class PhantomsSettings(Settings):
    """Synthetic radiographs made while training. They vary by themselves: `augment` changes cut-out wrists alone."""

    profile: str | None = setting(None, "preset of the phantoms to learn from; null: none")
    share: Share = setting(0.5, "their part of the training samples, where there is a collection too", "share")
    render: Literal["auto", "cpu", "device"] = setting(
        "auto",
        "where pixels are made: by the workers (cpu), or for a batch at once where it trains; auto: there on a GPU",
    )
    validation: int = setting(32, "phantoms that validate where there is no collection", "phantoms", ge=1)
    validation_size: int = setting(1024, "side that those are rendered at", "pixels", ge=64, le=4096)

    @field_validator("profile")
    @classmethod
    def _known(cls, name: str | None) -> str | None:
        if name is not None and name not in PRESETS:
            raise ValueError(f"there are the presets {', '.join(PRESETS)}")
        return name


class MetadataSettings(Settings):
    """What is known beside the picture, as a second input and as something to tell from it; nothing by default."""

    inputs: tuple[Input, ...] = setting((), "what the network is told: age, sex, height, weight, side")
    dropout: Share = setting(
        0.2, "probability to hide all of it from a training sample, and of the rest each by itself", "probability"
    )
    targets: tuple[Target, ...] = setting((), "what it learns to tell: age, sex, height, weight, side, tilt")
    target_loss: float = setting(0.1, "part of the loss that those have", "weight", ge=0)

    @field_validator("inputs", "targets")
    @classmethod
    def _once(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(names)) < len(names):
            raise ValueError("each may be named once")
        return names


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


def recipe_folder() -> Path:
    """Where the shipped recipes are: inside the installed package, or beside `src` in a checkout."""
    installed = Path(__file__).parent / "recipes"
    return installed if installed.is_dir() else Path(__file__).parents[2] / "recipes"


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


def nearest(name: str, known: list[str]) -> str:
    """`; did you mean ...?`, where one of the known names is like this one."""
    by_leaf = {other.rsplit(".", 1)[-1]: other for other in reversed(known)}
    whole = difflib.get_close_matches(name, known, n=1, cutoff=0.75)
    leaf = difflib.get_close_matches(name.rsplit(".", 1)[-1], by_leaf, n=1, cutoff=0.76)
    near = whole[0] if whole else by_leaf[leaf[0]] if leaf else None
    return f"; did you mean {near!r}?" if near else ""


def _flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in tree.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return flat


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
