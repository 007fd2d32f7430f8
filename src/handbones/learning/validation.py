"""Dice of whole pictures at their own size, while training.

Logits are enlarged bone by bone inside their bounding boxes and compared with the packed truth there; nothing of the
size 29 x height x width is ever made.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from handbones.anatomy import ANATOMY, BONES
from handbones.collection import Case, metadata_from_labels
from handbones.encoding import Values, encode
from handbones.errors import UsageError, UserError
from handbones.folds import bent
from handbones.inference.frame import Gray, Logits
from handbones.inference.masks import crop_masks
from handbones.inference.search import rectangle_of
from handbones.inference.view import Rectangle, View
from handbones.labels import load_labels
from handbones.learning.cache import PictureCache
from handbones.learning.dataset import draw_phantom
from handbones.learning.workers import worker_options
from handbones.learning.world import World
from handbones.metadata import Metadata
from handbones.metric import areas, dice_from_counts
from handbones.raster import Outlines, Packed, outlines, unpack
from handbones.recipe import Recipe

Scores = npt.NDArray[np.float64]
"""(pictures, 29) Dice."""

_MOST_KEPT = 2**28
"""Bytes of canvases that a process keeps; what is beyond is made anew each time."""
_FIRST_PHANTOM = 2**48
"""Validation phantoms have numbers that no training run reaches."""


def deciding(recipe: Recipe) -> list[int]:
    """Numbers of the bones whose mean Dice picks the best model: all; of a look at the wrist, the carpals.

    Of the fingers that look sees ends, whose Dice says more of where they are cut off than of the network.
    """
    return [bone.index for bone in ANATOMY if recipe.hand != "wrist" or bone.group == "carpals"]


@dataclass(frozen=True)
class ByTilt:
    """Means over pictures of which bent wrists weigh a fixed share, whatever their number."""

    bent: npt.NDArray[np.bool_]
    """(pictures,)"""
    share: float

    @classmethod
    def of(cls, recipe: Recipe, cases: Sequence[Case]) -> "ByTilt | None":
        """Of the cases that validate; None where the recipe does not ask. Raises `UserError` if a kind is missing."""
        share = recipe.validation.tilted
        if share is None:
            return None
        if not cases:
            raise UsageError("validation.tilted: phantoms validate here, tilted as their preset says: set it to null")
        there = bent(cases[: recipe.validation.limit])
        if there.all() or not there.any():
            kind = "straight" if there.all() else "bent"
            raise UserError(
                f"validation.tilted={share:g}: no {kind} wrists among the held-out cases: set data.stratify=tilt, "
                f"another data.fold, or validation.tilted=null"
            )
        return cls(there, share)

    def mean(self, scores: Scores) -> npt.NDArray[np.float64]:
        """Mean Dice of each bone, (29,)."""
        tilted, straight = scores[self.bent].mean(axis=0), scores[~self.bent].mean(axis=0)
        return np.asarray(self.share * tilted + (1 - self.share) * straight)

    def figures(self, scores: npt.NDArray[np.float64]) -> dict[str, float]:
        """Mean of (pictures, some bones): of the pictures as they are, of bent and of straight wrists."""
        parts = {"plain": scores, "bent": scores[self.bent], "straight": scores[~self.bent]}
        return {f"dice_{name}": float(part.mean()) for name, part in parts.items()}


@dataclass(frozen=True)
class Item:
    """A picture on the network's canvas, and the truth at the picture's own size."""

    canvas: Gray
    view: View
    truth: Packed
    areas: npt.NDArray[np.int64]
    """Pixels of each bone in the truth, (29,); of what lies in the view alone, where that is the wrist."""
    known: tuple[Values, Values] | None = None
    """The recipe's inputs and targets of metadata; None where it has neither."""


class ValidationSet(Dataset[Item]):
    """The cases that validate, or the recipe's validation phantoms where there are none.

    Where prediction finds the hand first, a case is seen as if it had been found just where the labels have it.
    What is small or slow to make is kept in memory: canvases, up to a limit, and all of a phantom.
    """

    def __init__(self, recipe: Recipe, cases: Sequence[Case], cache: PictureCache) -> None:
        self.recipe = recipe
        self.cases = cases[: recipe.validation.limit]
        self.cache = cache
        self._canvases: dict[int, tuple[Gray, View, tuple[int, int]]] = {}
        self._kept = 0
        self._phantoms: dict[int, Item] = {}

    def __len__(self) -> int:
        return len(self.cases) or min(self.recipe.phantoms.validation, self.recipe.validation.limit or 2**31)

    def __getitem__(self, index: int) -> Item:
        if self.cases:
            return self._case(index)
        if index not in self._phantoms:
            size = self.recipe.phantoms.validation_size
            picture, truth, known = draw_phantom(self.recipe, _FIRST_PHANTOM + index, size)
            rectangle = Rectangle.whole(size, size)
            if self.recipe.hand == "wrist":
                polygons = [outlines(mask) for mask in unpack(truth)]
                rectangle = rectangle_of(Outlines.of(polygons), size, size, wrist=True)
            canvas, view = self._see(picture, rectangle)
            counts = areas(self._counted(truth, view))
            self._phantoms[index] = Item(canvas, view, truth, counts, self._encode(known, known))
        return self._phantoms[index]

    def _case(self, index: int) -> Item:
        case = self.cases[index]
        assert case.labels is not None
        known = self._canvases.get(index)
        if known is None:
            picture = self.cache.load(case)
            height, width = picture.shape
            rectangle = Rectangle.whole(height, width)
            if self.recipe.hand != "whole":
                drawn = Outlines.of(load_labels(case.labels, (height, width)).by_bone())
                rectangle = rectangle_of(drawn, height, width, wrist=self.recipe.hand == "wrist")
            known = (*self._see(picture, rectangle), (height, width))
            if self._kept + known[0].nbytes <= _MOST_KEPT:
                self._kept += known[0].nbytes
                self._canvases[index] = known
        canvas, view, (height, width) = known
        truth = load_labels(case.labels, (height, width)).packed(height, width)
        told = metadata_from_labels(case) if self.recipe.metadata.targets else case.known
        return Item(canvas, view, truth, areas(self._counted(truth, view)), self._encode(case.known, told))

    def _counted(self, truth: Packed, view: View) -> Packed:
        """The part of the truth that a picture is scored on."""
        return view.window.cut(truth) if self.recipe.hand == "wrist" else truth

    def _encode(self, known: Metadata, told: Metadata) -> tuple[Values, Values] | None:
        settings = self.recipe.metadata
        if not settings.inputs and not settings.targets:
            return None
        return encode(known, settings.inputs), encode(told, settings.targets)

    def _see(self, picture: Gray, rectangle: Rectangle) -> tuple[Gray, View]:
        seen = self.recipe.input
        side = rectangle.side(seen.size, seen.hand_length)
        view = View.of(rectangle, picture.shape, side, self.recipe.network.stride)
        return view.see(picture), view


def validation_loader(dataset: ValidationSet, workers: int, world: World | None = None) -> DataLoader[list[Item]]:
    """Lists of `validation.batch` items, in order; of several processes each has every so-manieth list."""
    world = world or World()
    batch = dataset.recipe.validation.batch
    batches = [list(range(start, min(start + batch, len(dataset)))) for start in range(0, len(dataset), batch)]
    return DataLoader(
        dataset,  # type: ignore[arg-type] # `collate_fn` makes lists of its items
        # Whole batches, as one process would make them: a picture's logits may depend on its company by rounding.
        batch_sampler=batches[world.rank :: world.size],
        collate_fn=list,
        generator=torch.Generator(),
        **worker_options(workers, world),
    )


def validate(
    forward: Callable[..., Tensor],
    batches: DataLoader[list[Item]],
    threshold: float,
    world: World | None = None,
    seen: Callable[[int, int], None] = lambda done, total: None,
) -> Scores:
    """Dice of every picture and bone, (pictures, 29); `forward` maps (N, 1, H, W) uint8 to logits on any device.

    Where the recipe has metadata it is given (N, 2 inputs) and (N, 2 targets) as well.

    Of several processes each scores the batches that its loader has, and all of them get all scores, in order. `seen`
    is told how many pictures this process has done, and of how many.
    """
    numbers = [number for numbers in batches.batch_sampler or [] for number in numbers]
    scores = _validate(forward, batches, threshold, lambda done: seen(done, len(numbers)))
    if world is None or world.size == 1:
        return scores
    gathered = world.gather((numbers, scores))
    everywhere = np.concatenate([some for _, some in gathered])
    return everywhere[np.argsort([number for some, _ in gathered for number in some])]


def _validate(
    forward: Callable[..., Tensor], batches: DataLoader[list[Item]], threshold: float, seen: Callable[[int], None]
) -> Scores:
    scores: list[npt.NDArray[np.float64]] = []
    pending: list[Future[npt.NDArray[np.float64]]] = []
    with torch.no_grad(), ThreadPoolExecutor(max_workers=2) as pool:
        for items in batches:
            for _, same in groupby(items, key=lambda item: item.canvas.shape):
                group = list(same)
                canvases = torch.from_numpy(np.stack([item.canvas for item in group]))
                logits = forward(canvases[:, None], *_known(group)).float().cpu().numpy()
                # The pictures of one pass through the network are compared during the next.
                scores += [row.result() for row in pending]
                pending = [pool.submit(score, *pair, threshold) for pair in zip(logits, group, strict=True)]
                seen(len(scores) + len(pending))
        scores += [row.result() for row in pending]
    return np.array(scores).reshape(-1, len(BONES))


def _known(items: Sequence[Item]) -> list[Tensor]:
    """Inputs and targets of metadata, (n, 2 inputs) and (n, 2 targets); nothing where there are none."""
    known = [item.known for item in items if item.known is not None]
    return [torch.from_numpy(np.stack(values)) for values in zip(*known, strict=True)]


def score(logits: Logits, item: Item, threshold: float) -> npt.NDArray[np.float64]:
    """Dice of the 29 bones of one picture, from the logits of its canvas."""
    grid, logits = item.view.bring_back(logits)
    seen = grid.window.cut(item.truth)
    crops = crop_masks(logits, grid.window.height, grid.window.width, threshold)
    both, found = np.zeros((2, len(crops)))
    for bone, (top, left, mask) in enumerate(crops):
        part = seen[top : top + mask.shape[0], left : left + mask.shape[1]]
        both[bone] = np.count_nonzero(part[mask] & np.uint32(1 << bone))
        found[bone] = np.count_nonzero(mask)
    return dice_from_counts(both, found, item.areas)
