"""Batches: the numbers of their samples; pictures as they are, and scenes that become pictures on the device."""

import itertools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch.utils.data import Sampler, default_collate

from handbones.recipe import Recipe

Batch = dict[str, Any]
"""`pictures` (N, 1, H, W) uint8 and `masks` (N, H, W) int32, the 29 bits of the packed masks.

Where the recipe says so also `metadata` (N, 2 inputs) and `targets` (N, 2 targets) float32, as `encode` makes them.
On its way to the device it can hold `scenes` instead of some of the pictures, which `finish_batch` makes of them.
"""


class Growing(NamedTuple):
    """A sample whose picture has grown so much, 0 to 1, to its final size."""

    serial: int
    grown: float


class Serials(Sampler[list[int] | list[Growing]]):
    """Batches of serial numbers from batch `start` to `stop` (None: endless), every `world`-th from `rank` on."""

    def __init__(
        self,
        batch: int,
        start: int,
        stop: int | None,
        rank: int = 0,
        world: int = 1,
        growth: Callable[[int], float] | None = None,
    ) -> None:
        """`growth` tells, when a batch is due, how much its pictures have grown; None: they have their final size."""
        self.batch = batch
        self.numbers = (start + rank, stop, world)
        self.growth = growth

    def __iter__(self) -> Iterator[list[int] | list[Growing]]:
        start, stop, step = self.numbers
        numbers = itertools.count(start, step) if stop is None else range(start, stop, step)
        for number in numbers:
            serials = list(range(number * self.batch, (number + 1) * self.batch))
            if self.growth is None:
                yield serials
            else:
                grown = self.growth(number)
                yield [Growing(serial, grown) for serial in serials]


def comes_as_scenes(recipe: Recipe, device: str) -> bool:
    """Whether phantoms go to the device (its torch type) as scenes."""
    if recipe.phantoms.profile is None:
        return False
    automatic = device == "cuda" and recipe.patches.size is None and recipe.hand != "wrist"
    return {"auto": automatic, "cpu": False, "device": True}[recipe.phantoms.render]


def gather(samples: list[dict[str, Any]]) -> Batch:
    """A batch of samples, which have `pictures` and `masks`, or a `scene`."""
    scenes = [sample.pop("scene") for sample in samples if "scene" in sample]
    if not scenes:
        return dict(default_collate(samples))
    from handbones.learning.rendering import Scenes  # noqa: PLC0415 loads the compiled phantoms

    finished = [i for i, sample in enumerate(samples) if "pictures" in sample]
    drawn = [{name: samples[i].pop(name) for name in ("pictures", "masks")} for i in finished]
    places = torch.tensor([i for i in range(len(samples)) if i not in finished] + finished)
    batch = {"scenes": Scenes.of(scenes), "order": places.argsort()}
    return batch | (default_collate(drawn) if drawn else {}) | (default_collate(samples) if samples[0] else {})


def finish_batch(batch: Batch) -> Batch:
    """The same with every scene rendered, where the batch is."""
    if "scenes" not in batch:
        return batch
    from handbones.learning.rendering import render  # noqa: PLC0415 as above

    scenes, order = batch.pop("scenes"), batch.pop("order")
    for name, made in zip(("pictures", "masks"), render(scenes), strict=True):
        batch[name] = torch.cat([made, batch[name]])[order] if name in batch else made
    return batch
