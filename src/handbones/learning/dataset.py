"""Training samples: a number in, a gray picture and its packed masks (or the scene of both) at the network's size out.

Everything random about a sample is drawn from the recipe's seed and the sample's serial number in the run. So a run
is the same whatever the number of worker processes, and one that is resumed goes on with the samples that were due.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import DataLoader, Dataset

from handbones.collection import Case, metadata_from_labels
from handbones.encoding import Values, encode
from handbones.errors import UserError
from handbones.folds import bent
from handbones.inference.search import rectangle_of
from handbones.inference.view import Rectangle
from handbones.labels import Size, load_labels
from handbones.learning.augmentation import cut_patch, draw_patch, draw_warp
from handbones.learning.batches import Batch, Growing, Serials, gather
from handbones.learning.cache import PictureCache
from handbones.learning.gray import change_gray, collimate
from handbones.learning.warp import Gray
from handbones.learning.workers import worker_options
from handbones.learning.world import World
from handbones.learning.wrist import Hinge
from handbones.metadata import UNKNOWN, Metadata
from handbones.phantom.settings import PRESETS, PhantomSettings
from handbones.raster import Outlines, Packed, grow, rasterise, unpack
from handbones.raster import outlines as outlines_of
from handbones.recipe import Recipe

_ORDER, _SIZE, _SAMPLE, _PHANTOM, _PSEUDO, _MIX, _METADATA = range(7)
"""Streams of random numbers of a run."""
_WHOLE_TO_WRIST = 3
"""So many times as long as a wrist is the picture that shows it."""


class TrainingSet(Dataset[Any]):
    """Samples of a run by serial number: cases of a collection, phantoms, or both."""

    def __init__(
        self,
        recipe: Recipe,
        cases: Sequence[Case],
        cache: PictureCache,
        world: int = 1,
        pseudo: Sequence[Case] = (),
    ) -> None:
        """`world`: processes that train together, each with batches of its own; `pseudo`: labelled by a model."""
        self.recipe = recipe
        self.cases = [*cases, *pseudo]
        self.true = len(cases)
        self.cache = cache
        self.phantom_share = 0.0
        if recipe.phantoms.profile is not None:
            self.phantom_share = recipe.phantoms.share if cases else 1.0
        assert cases or self.phantom_share == 1
        step_samples = recipe.training.batch * recipe.training.accumulate * world
        self.pass_steps = max(1, len(cases) // step_samples) if cases else 0
        """Steps of the optimiser that make a pass over the cases; a remainder is left out, another in each pass."""
        self.pass_samples = self.pass_steps * step_samples
        self.scenes = False
        """Whether phantoms come as scenes, for the device to render."""
        self._heaps = _heaps(cases, recipe.data.tilted)
        self._order: tuple[int, npt.NDArray[np.intp]] = (-1, np.empty(0, np.intp))
        """The pass that was asked for last, and its cases: to order many anew for each sample takes long."""
        self._drawn: dict[int, tuple[Outlines, Hinge | None]] = {}
        self._rectangles: dict[int, Rectangle] = {}
        self._told: dict[int, Metadata] = {}

    def __getitem__(self, wanted: int | Growing) -> dict[str, Any]:
        serial, grown = (wanted, 1.0) if isinstance(wanted, int) else wanted
        rng = self._rng(_SAMPLE, serial)
        size = self.recipe.input.size_of(self._size(serial // self.recipe.training.batch), grown)
        if rng.random() < self.phantom_share:
            sample, known = self._phantom(rng, serial, size)
            told = known
        else:
            picture, masks, known, told = self._case(rng, serial, size)
            sample = _finished(picture, masks)
        settings = self.recipe.metadata
        if settings.inputs:
            sample["metadata"] = hide(self._rng(_METADATA, serial), encode(known, settings.inputs), settings.dropout)
        if settings.targets:
            sample["targets"] = encode(told, settings.targets)
        return sample

    def _phantom(self, rng: np.random.Generator, serial: int, size: int) -> tuple[dict[str, Any], Metadata]:
        """A phantom, finished or as a scene, and what is known of it."""
        if self.scenes:
            from handbones.phantom.scene import Scene, draw_scene  # noqa: PLC0415 loads the compiled phantoms

            drawn, known = draw_scene(*_of_phantom(self.recipe, serial), size, size)
            return {"scene": drawn} if isinstance(drawn, Scene) else _finished(*drawn), known
        if self.recipe.hand == "wrist":
            picture, masks, known = self._phantom_wrist(rng, serial, size)
        else:
            picture, masks, known = draw_phantom(self.recipe, serial, size)
        if self.recipe.patches.size is not None:
            picture, masks = cut_patch(rng, picture, masks, self.recipe.patches)
        return _finished(picture, masks), known

    def _phantom_wrist(self, rng: np.random.Generator, serial: int, size: int) -> tuple[Gray, Packed, Metadata]:
        """The wrist of a phantom, seen as that of a case; its grays vary by themselves."""
        picture, masks, known = draw_phantom(self.recipe, serial, _WHOLE_TO_WRIST * size)
        outlines = Outlines.of([[grow(polygon) for polygon in outlines_of(mask)] for mask in unpack(masks)])
        part = rectangle_of(outlines, *picture.shape, wrist=True)
        warp = draw_warp(rng, part.height, part.width, size, self.recipe.augment, onto=part.upright)
        masks = rasterise(warp.outlines(outlines), size, size)
        return warp.pixels(picture), masks, known.mirrored() if warp.mirrors else known

    def _case(self, rng: np.random.Generator, serial: int, size: int) -> tuple[Gray, Packed, Metadata, Metadata]:
        """A case's picture and masks, what is known beforehand, and what its labels tell."""
        index = self._index(serial)
        picture = self.cache.load(self.cases[index])
        height, width = shape = picture.shape
        outlines, hinge = self._labels_of(index, shape)
        onto = None
        if self.recipe.hand != "whole":
            part = self._rectangle_of(index, shape)
            height, width, onto = part.height, part.width, part.upright
        warp = draw_warp(rng, height, width, size, self.recipe.augment, hinge=hinge, onto=onto)
        if self.recipe.patches.size is not None:
            warp = draw_patch(rng, warp, outlines, self.recipe.patches)
        masks = rasterise(warp.outlines(outlines), warp.height, warp.width)
        picture = change_gray(rng, warp.pixels(picture), self.recipe.augment)
        known, told = self.cases[index].known, self._told_of(index)
        if warp.turn is not None and hinge is not None:
            told = replace(told, tilt=hinge.tilt_after(warp.turn))
        if warp.mirrors:
            known, told = known.mirrored(), told.mirrored()
        return *collimate(rng, picture, masks, self.recipe.augment), known, told

    def _told_of(self, index: int) -> Metadata:
        """What the labels tell, where it is asked for."""
        if self.recipe.metadata.targets and index not in self._told:
            self._told[index] = metadata_from_labels(self.cases[index])
        return self._told.get(index, UNKNOWN)

    def _index(self, serial: int) -> int:
        """The case of a sample, in a new order in each pass.

        In a pass each comes once, but for those whose places phantoms and pseudo-labels take; with `data.tilted` as
        often as its heap allows.
        """
        if self._is_pseudo(serial):
            return int(self._rng(_PSEUDO, serial).integers(self.true, len(self.cases)))
        which, position = divmod(serial, self.pass_samples)
        known, order = self._order
        if known != which:
            order = self._order_of(which)
            self._order = which, order
        # Where there are fewer cases than go into a step, a pass takes some of them twice.
        return int(order[position % len(order)])

    def _order_of(self, which: int) -> npt.NDArray[np.intp]:
        """The cases of a pass."""
        rng = self._rng(_ORDER, which)
        if not self._heaps:
            return rng.permutation(self.true)
        shares = np.array([share for share, _ in self._heaps])
        ends = np.floor(np.cumsum(shares) * self.pass_samples + rng.random()).astype(int)
        ends[-1] = self.pass_samples
        counts = np.diff(ends, prepend=0)
        taken = [np.resize(rng.permutation(heap), n) for n, (_, heap) in zip(counts, self._heaps, strict=True)]
        return rng.permutation(np.concatenate(taken))

    def _is_pseudo(self, serial: int) -> bool:
        """Whether a sample is one of those at the head of its batch that have pseudo-labels."""
        if self.true == len(self.cases):
            return False
        size = self.recipe.training.batch
        batch, place = divmod(serial, size)
        # Where the share is no whole number of samples, some batches have one more.
        return place < int(self.recipe.data.pseudo_share * size + self._rng(_MIX, batch).random())

    def _labels_of(self, index: int, size: Size) -> tuple[Outlines, Hinge | None]:
        """Polygons whose rasterising equals the competition's masks, at the picture's and any other size; the wrist."""
        if index not in self._drawn:
            path = self.cases[index].labels
            assert path is not None
            labels = load_labels(path, size)
            outlines = Outlines.of([[grow(polygon) for polygon in bone] for bone in labels.by_bone()])
            self._drawn[index] = outlines, Hinge.of(labels) if self.recipe.augment.wrist else None
        return self._drawn[index]

    def _rectangle_of(self, index: int, size: Size) -> Rectangle:
        """What prediction will look at of this picture, once it finds the hand."""
        if index not in self._rectangles:
            wrist = self.recipe.hand == "wrist"
            self._rectangles[index] = rectangle_of(self._labels_of(index, size)[0], *size, wrist=wrist)
        return self._rectangles[index]

    def _size(self, batch: int) -> int:
        sizes = self.recipe.input.train_sizes or (self.recipe.input.size,)
        return sizes[int(self._rng(_SIZE, batch).integers(len(sizes)))]

    def _rng(self, stream: int, number: int) -> np.random.Generator:
        return np.random.default_rng((self.recipe.training.seed, stream, number))


def _finished(picture: Gray, masks: Packed) -> dict[str, Any]:
    return {"pictures": picture[None], "masks": masks.view(np.int32)}


def _heaps(cases: Sequence[Case], tilted: float | None) -> list[tuple[float, npt.NDArray[np.intp]]]:
    """Bent and straight wrists among the cases, each with its share of the samples; none where cases come as they are.

    Raises `UserError` where one of the two is not there.
    """
    if tilted is None or not cases:
        return []
    there = bent(cases)
    if there.all() or not there.any():
        kind = "straight" if there.all() else "bent"
        raise UserError(f"data.tilted={tilted:g}: no {kind} wrists among the training cases: set it to null")
    return [(tilted, np.flatnonzero(there)), (1 - tilted, np.flatnonzero(~there))]


def hide(rng: np.random.Generator, values: Values, probability: float) -> Values:
    """Metadata of which all is unknown with this probability, and of what is left each value by itself."""
    shown = (rng.random() >= probability) & (rng.random(len(values) // 2) >= probability)
    return np.asarray(values * np.tile(shown, 2), np.float32)


def draw_phantom(recipe: Recipe, number: int, size: int) -> tuple[Gray, Packed, Metadata]:
    """The phantom `number` of a run: picture and masks (size, size), and what is known of it.

    Other numbers and other seeds give others.
    """
    from handbones.phantom.drawing import draw_sample  # noqa: PLC0415 loads its compiled renderer

    return draw_sample(*_of_phantom(recipe, number), size, size)


def _of_phantom(recipe: Recipe, number: int) -> tuple[np.random.Generator, PhantomSettings]:
    """Random numbers and settings of a run's phantom."""
    assert recipe.phantoms.profile is not None
    return np.random.default_rng((recipe.training.seed, _PHANTOM, number)), PRESETS[recipe.phantoms.profile]


class TimedLoader(DataLoader[Batch]):
    """Knows how long its batches were waited for."""

    waited = 0.0
    """Seconds so far."""

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override] # nobody asks for more
        batches = super().__iter__()
        while True:
            started = time.monotonic()
            batch = next(batches, None)
            self.waited += time.monotonic() - started
            if batch is None:
                return
            yield batch


def training_loader(
    dataset: TrainingSet, serials: Serials, workers: int, *, on_gpu: bool, world: World | None = None
) -> TimedLoader:
    """Batches in the order of their serial numbers."""
    return TimedLoader(
        dataset,
        batch_sampler=serials,
        collate_fn=gather,
        pin_memory=on_gpu,
        prefetch_factor=4 if workers else None,
        generator=torch.Generator(),  # its own, so that starting it draws nothing from the network's random numbers
        **worker_options(workers, world),
    )
