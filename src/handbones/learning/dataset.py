"""Training samples: a number in, a gray picture and its packed masks at the network's size out.

Everything random about a sample is drawn from the recipe's seed and the sample's serial number in the run. So a run
is the same whatever the number of worker processes, and one that is resumed goes on with the samples that were due.
"""

import hashlib
import itertools
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from handbones.collection import Case
from handbones.files import atomic_path
from handbones.labels import Labels, Points, grow, load_labels, rasterise
from handbones.learning.augmentation import Gray, change_gray, draw_warp
from handbones.recipe import Recipe

Batch = dict[str, Tensor]
"""`pictures` (N, 1, H, W) uint8 and `masks` (N, H, W) int32, the 29 bits of the packed masks."""

_ORDER, _SIZE, _SAMPLE = range(3)
"""Streams of random numbers of a run."""


class PictureCache:
    """Decoded gray pictures in a folder, mapped into memory; `None` for a folder keeps nothing.

    Each picture is a file of its own, named by the path, size and time of its original and renamed into place when
    it is whole, so several processes can share the folder and a changed original is decoded anew.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder

    def load(self, case: Case) -> Gray:
        """The picture of a case. Raises `UserError` if it cannot be read, or the cache cannot be written."""
        if self.folder is None:
            return case.load()[0].to_uint8()
        facts = case.image.stat()
        key = f"{case.image.resolve()}|{facts.st_size}|{facts.st_mtime_ns}"
        file = self.folder / f"{hashlib.blake2b(key.encode(), digest_size=12).hexdigest()}.npy"
        if not file.exists():
            picture = case.load()[0].to_uint8()
            with atomic_path(file) as temporary:
                np.save(temporary, picture)
        mapped: Gray = np.load(file, mmap_mode="r")
        return mapped


class TrainingSet(Dataset[Any]):
    """Samples of a run by serial number: cases of a collection, phantoms, or both."""

    def __init__(self, recipe: Recipe, cases: Sequence[Case], cache: PictureCache) -> None:
        self.recipe = recipe
        self.cases = cases
        self.cache = cache
        self.phantom_share = 0.0
        if recipe.phantoms.profile is not None:
            self.phantom_share = recipe.phantoms.share if cases else 1.0
        assert cases or self.phantom_share == 1
        step_samples = recipe.training.batch * recipe.training.accumulate
        self.pass_steps = max(1, len(cases) // step_samples) if cases else 0
        """Steps of the optimiser that make a pass over the cases; a remainder is left out, another in each pass."""
        self.pass_samples = self.pass_steps * step_samples
        self._outlines: dict[int, list[list[Points]]] = {}

    def __getitem__(self, serial: int) -> dict[str, npt.NDArray[Any]]:
        recipe = self.recipe
        rng = self._rng(_SAMPLE, serial)
        size = self._size(serial // recipe.training.batch)
        phantom = rng.random() < self.phantom_share
        picture, outlines = self._phantom(serial) if phantom else self._case(serial)
        height, width = picture.shape
        warp = draw_warp(rng, height, width, size, recipe.augment)
        canvas = change_gray(rng, warp.pixels(picture), recipe.augment)
        masks = rasterise([[warp.points(polygon) for polygon in bone] for bone in outlines], size, size)
        return {"pictures": canvas[None], "masks": masks.view(np.int32)}

    def _case(self, serial: int) -> tuple[Gray, list[list[Points]]]:
        which, position = divmod(serial, self.pass_samples)
        # Where there are fewer cases than go into a step, a pass takes some of them twice.
        index = int(self._rng(_ORDER, which).permutation(len(self.cases))[position % len(self.cases)])
        picture = self.cache.load(self.cases[index])
        if index not in self._outlines:
            labels = self.cases[index].labels
            assert labels is not None
            self._outlines[index] = outlines_of(load_labels(labels))
        return picture, self._outlines[index]

    def _phantom(self, serial: int) -> tuple[Gray, list[list[Points]]]:
        settings = self.recipe.phantoms
        seed = phantom_seed(self.recipe.training.seed, serial)
        return render_phantom(seed, settings.profile, settings.size)

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


def outlines_of(labels: Labels) -> list[list[Points]]:
    """Polygons by bone whose rasterising equals the competition's masks, at this and at any other size."""
    return [[grow(polygon) for polygon in bone] for bone in labels.by_bone()]


def phantom_seed(seed: int, number: int) -> int:
    """Seed of the phantom `number` of a run; the numbers of a run give different phantoms, and so do runs."""
    words = np.random.SeedSequence((seed, number)).generate_state(2, np.uint32)
    return int(words[0]) << 31 | int(words[1]) >> 1


def render_phantom(seed: int, profile: str | None, size: int) -> tuple[Gray, list[list[Points]]]:
    """A phantom's gray picture (size, size) and its outlines."""
    from handbones.phantom import make  # noqa: PLC0415 compiles its renderer when imported

    radiograph, labels = make(seed, profile, size)
    return radiograph.to_uint8(), outlines_of(labels)


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
    """One thread a worker: there are as many of them as cores."""
    cv2.setNumThreads(0)
    torch.set_num_threads(1)


def worker_count(wanted: int | None) -> int:
    """The recipe's number of workers, or one for each core up to 8."""
    if wanted is not None:
        return wanted
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(8, cores)
