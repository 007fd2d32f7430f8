"""Training samples: a number in, a gray picture and its packed masks at the network's size out.

Everything random about a sample is drawn from the recipe's seed and the sample's serial number in the run. So a run
is the same whatever the number of worker processes, and one that is resumed goes on with the samples that were due.
"""

import itertools
import os
import signal
from collections.abc import Iterator, Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from handbones.collection import Case
from handbones.inference.search import rectangle_of
from handbones.inference.view import Rectangle
from handbones.labels import Packed, Size, grow, load_labels, rasterise
from handbones.learning.augmentation import Gray, change_gray, collimate, cut_patch, draw_patch, draw_warp
from handbones.learning.cache import PictureCache
from handbones.phantom.settings import PRESETS
from handbones.raster import Outlines
from handbones.recipe import Recipe

Batch = dict[str, Tensor]
"""`pictures` (N, 1, H, W) uint8 and `masks` (N, H, W) int32, the 29 bits of the packed masks."""

_ORDER, _SIZE, _SAMPLE, _PHANTOM = range(4)
"""Streams of random numbers of a run."""


class TrainingSet(Dataset[Any]):
    """Samples of a run by serial number: cases of a collection, phantoms, or both."""

    def __init__(self, recipe: Recipe, cases: Sequence[Case], cache: PictureCache, world: int = 1) -> None:
        """`world`: processes that train together, each with batches of its own."""
        self.recipe = recipe
        self.cases = cases
        self.cache = cache
        self.phantom_share = 0.0
        if recipe.phantoms.profile is not None:
            self.phantom_share = recipe.phantoms.share if cases else 1.0
        assert cases or self.phantom_share == 1
        step_samples = recipe.training.batch * recipe.training.accumulate * world
        self.pass_steps = max(1, len(cases) // step_samples) if cases else 0
        """Steps of the optimiser that make a pass over the cases; a remainder is left out, another in each pass."""
        self.pass_samples = self.pass_steps * step_samples
        self._outlines: dict[int, Outlines] = {}
        self._rectangles: dict[int, Rectangle] = {}

    def __getitem__(self, serial: int) -> dict[str, npt.NDArray[Any]]:
        rng = self._rng(_SAMPLE, serial)
        size = self._size(serial // self.recipe.training.batch)
        if rng.random() < self.phantom_share:
            picture, masks = draw_phantom(self.recipe, serial, size)
            if self.recipe.patches.size is not None:
                picture, masks = cut_patch(rng, picture, masks, self.recipe.patches)
        else:
            picture, masks = self._case(rng, serial, size)
        return {"pictures": picture[None], "masks": masks.view(np.int32)}

    def _case(self, rng: np.random.Generator, serial: int, size: int) -> tuple[Gray, Packed]:
        which, position = divmod(serial, self.pass_samples)
        # Where there are fewer cases than go into a step, a pass takes some of them twice.
        index = int(self._rng(_ORDER, which).permutation(len(self.cases))[position % len(self.cases)])
        picture = self.cache.load(self.cases[index])
        height, width = picture.shape
        outlines = self._outlines_of(index, (height, width))
        if self.recipe.hand != "whole":
            rectangle = self._rectangle_of(index, (height, width))
            warp = draw_warp(rng, rectangle.height, rectangle.width, size, self.recipe.augment)
            warp = warp.after(rectangle.upright)
        else:
            warp = draw_warp(rng, height, width, size, self.recipe.augment)
        if self.recipe.patches.size is not None:
            warp = draw_patch(rng, warp, outlines, self.recipe.patches)
        masks = rasterise(warp.outlines(outlines), warp.height, warp.width)
        picture = change_gray(rng, warp.pixels(picture), self.recipe.augment)
        return collimate(rng, picture, masks, self.recipe.augment)

    def _outlines_of(self, index: int, size: Size) -> Outlines:
        """Polygons whose rasterising equals the competition's masks, at the picture's and any other size."""
        if index not in self._outlines:
            labels = self.cases[index].labels
            assert labels is not None
            polygons = load_labels(labels, size).by_bone()
            self._outlines[index] = Outlines.of([[grow(polygon) for polygon in bone] for bone in polygons])
        return self._outlines[index]

    def _rectangle_of(self, index: int, size: Size) -> Rectangle:
        """What prediction will look at of this picture, once it finds the hand."""
        if index not in self._rectangles:
            wrist = self.recipe.hand == "wrist"
            self._rectangles[index] = rectangle_of(self._outlines_of(index, size), *size, wrist=wrist)
        return self._rectangles[index]

    def _size(self, batch: int) -> int:
        sizes = self.recipe.input.train_sizes or (self.recipe.input.size,)
        return sizes[int(self._rng(_SIZE, batch).integers(len(sizes)))]

    def _rng(self, stream: int, number: int) -> np.random.Generator:
        return np.random.default_rng((self.recipe.training.seed, stream, number))


class Serials(Sampler[list[int]]):
    """Batches of serial numbers from batch `start` to `stop` (None: endless), every `world`-th from `rank` on."""

    def __init__(self, batch: int, start: int, stop: int | None, rank: int = 0, world: int = 1) -> None:
        self.batch = batch
        self.numbers = (start + rank, stop, world)

    def __iter__(self) -> Iterator[list[int]]:
        start, stop, step = self.numbers
        numbers = itertools.count(start, step) if stop is None else range(start, stop, step)
        for number in numbers:
            yield list(range(number * self.batch, (number + 1) * self.batch))


def draw_phantom(recipe: Recipe, number: int, size: int) -> tuple[Gray, Packed]:
    """The phantom `number` of a run: picture and masks (size, size). Other numbers and other seeds give others."""
    from handbones.phantom.drawing import draw_sample  # noqa: PLC0415 loads its compiled renderer

    assert recipe.phantoms.profile is not None
    rng = np.random.default_rng((recipe.training.seed, _PHANTOM, number))
    return draw_sample(rng, PRESETS[recipe.phantoms.profile], size, size)


def training_loader(dataset: TrainingSet, serials: Serials, workers: int, *, pin: bool) -> DataLoader[Batch]:
    """Batches in the order of their serial numbers."""
    return DataLoader(
        dataset,
        batch_sampler=serials,
        num_workers=workers,
        pin_memory=pin,
        persistent_workers=workers > 0,
        prefetch_factor=4 if workers else None,
        worker_init_fn=start_worker,
        generator=torch.Generator(),  # its own, so that starting it draws nothing from the network's random numbers
    )


def start_worker(_: int) -> None:
    """One thread a worker, since there are as many of them as cores; Ctrl-C is for the training to answer."""
    from threadpoolctl import threadpool_limits  # noqa: PLC0415 of use in workers alone

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    threadpool_limits(1, user_api="blas")


def worker_count(wanted: int | None, trainings: int = 1) -> int:
    """The recipe's number of workers, or one for each core up to 8, shared by the `trainings` on this machine."""
    if wanted is not None:
        return wanted
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(8, cores // trainings))
