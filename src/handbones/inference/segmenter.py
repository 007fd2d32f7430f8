"""From pictures to segmentations with a bundle."""

import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from handbones.bundle import Bundle, load_bundle
from handbones.errors import UsageError
from handbones.inference.backends import open_backend
from handbones.inference.frame import Gray, Logits
from handbones.inference.hand import find_hands
from handbones.inference.masks import Thresholds
from handbones.inference.search import LEAST, Sighting, search
from handbones.inference.segmentation import NO_HAND, Segmentation
from handbones.inference.view import Blend, Grid, Rectangle, Tone, View
from handbones.radiograph import Radiograph, load_radiograph

Picture = str | os.PathLike[str] | npt.NDArray[Any] | Radiograph
"""A file, an array (height, width) or (height, width, 3) uint8 or uint16, or a radiograph."""
HandPolicy = Literal["find", "whole"]
"""Look for the hand and see it upright and large, or see the whole picture as it is."""
Answer = tuple[Grid, Logits]
"""Logits (29, rows, columns) on a grid over a part of a picture."""

_AHEAD = 4
"""Pictures that are read before their turn."""


class Segmenter:
    """A bundle in memory, ready for any number of pictures."""

    def __init__(
        self,
        bundle: Bundle | str | os.PathLike[str] | None = None,
        device: str = "auto",
        backend: str = "auto",
        *,
        size: int | None = None,
        threshold: Thresholds | None = None,
        hand: str | None = None,
    ) -> None:
        """`bundle` None is the packaged model. `size` (longest side that the network sees, in pixels), `threshold`
        (probability) and `hand` (`find` or `whole`) are the recipe's unless given. Raises `UserError`, `UsageError`.
        """
        if size is not None and size < 32:
            raise UsageError(f"--size {size}: the network needs at least 32 pixels")
        if hand is not None and hand not in get_args(HandPolicy):
            raise UsageError(f"--hand {hand}: must be one of {', '.join(get_args(HandPolicy))}")
        self.bundle = bundle if isinstance(bundle, Bundle) else load_bundle(bundle)
        recipe = self.bundle.recipe
        self.size = size or recipe.input.size
        self.stride = recipe.network.stride
        self.hand = hand or recipe.hand
        self.threshold: Thresholds = recipe.validation.threshold if threshold is None else threshold
        self._run = open_backend(self.bundle, device, backend)

    def segment(self, picture: Picture) -> Segmentation:
        """The bones of one picture. Raises `UserError` if it cannot be read."""
        return next(self.segment_many([picture]))

    def segment_many(self, pictures: Iterable[Picture]) -> Iterator[Segmentation]:
        """The bones of each picture, in order; while the network runs, the next pictures are read."""
        return (segmentation for _, segmentation in self.segment_with(pictures))

    def segment_with(self, pictures: Iterable[Picture]) -> Iterator[tuple[Radiograph, Segmentation]]:
        """Each picture, as it was read, with its bones."""
        for radiograph, answers in self.answer_many(pictures):
            yield radiograph, self._conclude(radiograph, answers)

    def answer_many(self, pictures: Iterable[Picture]) -> Iterator[tuple[Radiograph, list[Answer]]]:
        """Each picture with what the network says of it: one grid of logits, or one for each hand that was found."""
        with ThreadPoolExecutor(max_workers=2) as pool:
            waiting: deque[Future[Radiograph]] = deque()
            for picture in pictures:
                waiting.append(pool.submit(read, picture))
                if len(waiting) > _AHEAD:
                    yield self._answer(waiting.popleft().result())
            while waiting:
                yield self._answer(waiting.popleft().result())

    def _answer(self, radiograph: Radiograph) -> tuple[Radiograph, list[Answer]]:
        picture = radiograph.to_uint8()
        if self.hand == "whole":
            return radiograph, [self._look(picture, Rectangle.whole(*picture.shape))]
        sightings = search(picture, self._ask, self.stride)
        answers = (self._look_closer(picture, sighting) for sighting in sightings)
        return radiograph, [answer for answer in answers if answer]

    def _look_closer(self, picture: Gray, sighting: Sighting) -> Answer | None:
        """A hand that was found, upright and large; None if it then looks like none any more."""
        for _ in range(2):  # the second time around what is seen only now, if that reaches further
            rectangle = sighting.rectangle().within(*picture.shape)
            grid, logits = self._look(picture, rectangle, sighting.tone)
            hands = find_hands(logits, grid)
            if not hands or hands[0].score < LEAST:
                return None
            sighting = Sighting(hands[0], sighting.tone)
            if sighting.rectangle().degrees == rectangle.degrees:
                break
        return grid, logits

    def _look(self, picture: Gray, rectangle: Rectangle, tone: Tone = "plain") -> Answer:
        view = View.of(rectangle, picture.shape, self.size, self.stride, tone=tone)
        blend = Blend(view.grid)
        for logits in self._ask(picture, [view]):
            blend.add(view, logits)
        return blend.grid, blend.logits()

    def _ask(self, picture: Gray, views: Sequence[View]) -> Iterator[Logits]:
        for view in views:
            yield self._run(view.see(picture)[None, None])[0]

    def _conclude(self, radiograph: Radiograph, answers: Sequence[Answer]) -> Segmentation:
        size = radiograph.height, radiograph.width
        if not answers:
            return Segmentation(*size, {}, NO_HAND)
        parts = [Segmentation.from_logits(logits, *size, self.threshold, grid.window) for grid, logits in answers]
        return parts[0].united(*parts[1:])


def segment(picture: Picture, bundle: str | os.PathLike[str] | None = None) -> Segmentation:
    """The bones of one picture; the bundle (None: the packaged model) stays loaded for the next call."""
    return _segmenter(None if bundle is None else Path(bundle)).segment(picture)


def read(picture: Picture) -> Radiograph:
    """The radiograph of a file or an array. Raises `UserError`."""
    if isinstance(picture, Radiograph):
        return picture
    return Radiograph.from_array(picture) if isinstance(picture, np.ndarray) else load_radiograph(picture)


@lru_cache(maxsize=2)
def _segmenter(bundle: Path | None) -> Segmenter:
    return Segmenter(bundle)
