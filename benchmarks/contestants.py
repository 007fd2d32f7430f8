"""Who runs on the measuring stick: the scripts of `rivals.py`, and shipped recipes, whole or with a part changed."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Script:
    """A script of `rivals.py`."""

    script: str
    weights: str = "none"
    size: int = 512
    """Of the pictures the plain U-Net sees, in pixels."""
    batch: int = 8
    """The plain U-Net's."""


@dataclass(frozen=True)
class Ours:
    """A shipped recipe with changed fields; with `wrist`, a second network for the wrist has a third of the budget.

    The recipe `auto` is planned for the time; the seconds of planning do not count.
    """

    recipe: str
    settings: tuple[str, ...] = ()
    init: bool = False
    """Start from the packaged model."""
    wrist: tuple[str, ...] | None = None
    """Changed fields of the recipe `wrist`, which goes on from the other network."""


@dataclass(frozen=True)
class Budget:
    """What each training of ours may spend, of time or of steps."""

    unit: Literal["minutes", "steps"]
    amount: float

    def part(self, share: float) -> "Budget":
        return Budget(self.unit, share * self.amount)

    def settings(self) -> list[str]:
        """For a recipe, with six validations."""
        units: dict[str, float | str] = {"epochs": "null", "steps": "null", "minutes": "null"}
        whole, each = self.amount, self.amount / 6
        if self.unit == "steps":
            whole, each = round(whole), max(1, round(each))
        training, validation = units | {self.unit: whole}, units | {self.unit: each}
        return [
            *(f"training.{unit}={amount}" for unit, amount in training.items()),
            *(f"validation.{unit}={amount}" for unit, amount in validation.items()),
        ]


TILT = ("augment.wrist=0.4", "data.tilted=0.5", "validation.tilted=0.57")
"""The measures against the shift."""

ONE_SIZE = ("input.grow_from=null",)
AS_IT_WAS = (*ONE_SIZE, "training.batch=8", "optimiser.lr=2e-3")
"""`small` before its pictures grew, its batches were of 2, and its rate was doubled."""

WRIST_SHARE = 1 / 3
"""Of the budget, where there are two networks."""

ABLATED = (*AS_IT_WAS, *TILT, "input.size=224", "network.deep_supervision=0")
"""What parts are left out of: half the pixels and more than twice the steps, so that a short time tells more."""

SHRUNK = ("network.weights=none", "input.size=128")
"""What the recipes for GPUs are shrunk to, so that a processor can show that they learn."""

ROWS: dict[str, Script | Ours] = {
    "document": Script("fcn_resnet50"),
    "document on Lite0": Script("fcn_lite0", "imagenet"),
    "plain U-Net": Script("unet", "imagenet"),
    "plain U-Net: 320 px": Script("unet", "imagenet", 320),
    "plain U-Net: 320 px, batches of 2": Script("unet", "imagenet", 320, 2),
    "small from nothing": Ours("small", ("network.weights=none",)),
    "small": Ours("small"),
    "small, no deep supervision": Ours("small", ("network.deep_supervision=0",)),
    "small, tilt": Ours("small", TILT),
    "auto": Ours("auto"),
    "auto, tilt": Ours("auto", TILT),
    "small, wrist": Ours("small", wrist=()),
    "small, tilt, wrist": Ours("small", TILT, wrist=TILT[1:]),
    "small, tilt, wrist: 384 px": Ours("small", (*TILT, "input.size=384"), wrist=TILT[1:]),
    "packaged model, tilt": Ours("finetune", TILT, init=True),
    # What small batches and growing pictures bring.
    "small: batches of 4": Ours("small", ("training.batch=4",)),
    "small: batches of 8": Ours("small", ("training.batch=8",)),
    "small: one size, batches of 4": Ours("small", (*ONE_SIZE, "training.batch=4")),
    "small: one size, batches of 8": Ours("small", AS_IT_WAS),
    "small: half the rate": Ours("small", ("optimiser.lr=2e-3",)),
    "small: narrow decoder": Ours("small", (*AS_IT_WAS, "network.decoder_channels=[128, 64, 32, 32, 16]")),
    "small: 192 px, batches of 4": Ours("small", ("input.size=192", "input.grow_from=96", "training.batch=4")),
    "small: 192 px, one size, batches of 8": Ours("small", (*AS_IT_WAS, "input.size=192")),
    # The recipes for GPUs from nothing, at an eighth of their size.
    "shrunk: balanced": Ours("balanced", SHRUNK),
    "shrunk: balanced at 192 px": Ours("balanced", (*SHRUNK, "input.size=192", *ONE_SIZE)),
    "shrunk: balanced at 192 px, growing": Ours("balanced", (*SHRUNK, "input.size=192", "input.grow_from=96")),
    "shrunk: deeplab": Ours("deeplab", SHRUNK),
    "shrunk: strong": Ours("strong", (*SHRUNK, "input.size=256", "patches.size=128")),
    # What each part brings: one left out, or one put in.
    "ablation: all": Ours("small", ABLATED),
    "ablation: no ImageNet": Ours("small", (*ABLATED, "network.weights=none")),
    "ablation: three channels": Ours("small", (*ABLATED, "network.channels=3")),
    "ablation: deep supervision": Ours("small", (*ABLATED, "network.deep_supervision=2")),
    "ablation: no bias": Ours("small", (*ABLATED, "network.head_bias=null")),
    "ablation: stride 1": Ours("small", (*ABLATED, "network.stride=1")),
    "ablation: 160 px": Ours("small", (*AS_IT_WAS, *TILT, "input.size=160")),
    "ablation: 320 px": Ours("small", (*AS_IT_WAS, *TILT, "input.size=320")),
    "ablation: hand found": Ours("small", (*ABLATED, "input.hand=find", "input.train_sizes=[160, 192, 224]")),
    "ablation: no geometry": Ours(
        "small", (*ABLATED, "augment.rotate=0", "augment.scale=[1, 1]", "augment.shear=0", "augment.translate=0")
    ),
    "ablation: no flip": Ours("small", (*ABLATED, "augment.flip=0")),
    "ablation: no gray changes": Ours(
        "small", (*ABLATED, "augment.brightness=0", "augment.contrast=0", "augment.gamma=0", "augment.noise=0")
    ),
    "ablation: no averaging": Ours("small", (*ABLATED, "training.ema=null")),
    "ablation: no Dice loss": Ours("small", (*ABLATED, "loss.dice=0")),
    "ablation: no turned wrists": Ours("small", (*ABLATED, "augment.wrist=0")),
    "ablation: no sampling by tilt": Ours("small", (*ABLATED, "data.tilted=null")),
    "ablation: no weighted validation": Ours("small", (*ABLATED, "validation.tilted=null")),
}
"""Every contestant, by name."""

GOALS = [
    ("small from nothing", "document", "dice", 1 / 2),
    ("small", "document on Lite0", "dice", 1 / 2),
    ("small", "plain U-Net", "dice", 2 / 3),
    ("small", "plain U-Net: 320 px", "dice", 2 / 3),
    ("small", "plain U-Net: 320 px, batches of 2", "dice", 2 / 3),
    ("small, tilt", "small", "bent", 2 / 3),
    ("small, tilt, wrist", "small, wrist", "bent", 2 / 3),
    ("small, wrist", "small", "hard", 0.8),
    ("small, tilt, wrist", "small, tilt", "hard", 0.8),
]
"""Ours, against whom, which part of the score, and the highest ratio of errors that is good enough."""
