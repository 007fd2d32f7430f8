"""What samples are made of: the settings of pictures, their variety, cases, phantoms and metadata."""

import math
from typing import Literal, Self

from pydantic import field_validator, model_validator

from handbones.encoding import Input, Target
from handbones.phantom.settings import PRESETS
from handbones.recipe.setting import NAMES_WANTED, Settings, Share, Size, bones_or_groups, setting

_GROWTH_STEPS = 8
"""Pictures that grow do so in so many steps at most."""


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
            raise ValueError(NAMES_WANTED)
        return bones_or_groups(names)


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
