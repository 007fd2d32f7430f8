"""How a network learns: the settings of network, loss, optimiser, schedule, training and validation."""

from typing import Literal, Self

from pydantic import field_validator, model_validator

from handbones.anatomy import ANATOMY
from handbones.recipe.setting import Settings, Share, Weight, bones_or_groups, setting

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

SUPERVISED = ("unet", "manet", "linknet")
"""Decoders that `network.deep_supervision` goes with: their blocks double the resolution one after the other."""


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
        bones_or_groups(tuple(weights))
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
    minutes: float | None = setting(
        None, "a validation every so many minutes, or four times as long as one takes, if that is more", "minutes", gt=0
    )
    batch: int = setting(8, "pictures that go through the network at once", "pictures", ge=1)
    threshold: float = setting(0.5, "a pixel belongs to a bone above this", "probability", gt=0, lt=1)
    limit: int | None = setting(None, "validate on the first so many cases only", "cases", ge=1)
    tilted: float | None = setting(
        None, "weight of the bent wrists in the Dice that picks the best model; null: as many as there are", "share",
        gt=0, lt=1,
    )  # fmt: skip
