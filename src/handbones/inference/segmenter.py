"""From pictures to segmentations with a bundle."""

import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from handbones.bundle import Bundle, load_bundle
from handbones.errors import UsageError
from handbones.inference.backends import open_backend
from handbones.inference.frame import Frame, Gray, Logits
from handbones.inference.masks import Thresholds
from handbones.inference.segmentation import Segmentation
from handbones.radiograph import Radiograph, load_radiograph

Picture = str | os.PathLike[str] | npt.NDArray[Any] | Radiograph
"""A file, an array (height, width) or (height, width, 3) uint8 or uint16, or a radiograph."""

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
    ) -> None:
        """`bundle` None is the packaged model. `size` (longest side that the network sees, in pixels) and
        `threshold` (probability) are the recipe's unless given. Raises `UserError` and `UsageError`.
        """
        if size is not None and size < 32:
            raise UsageError(f"--size {size}: the network needs at least 32 pixels")
        self.bundle = bundle if isinstance(bundle, Bundle) else load_bundle(bundle)
        recipe = self.bundle.recipe
        self.size = size or recipe.input.size
        self.stride = recipe.network.stride
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
        for radiograph, logits in self.logits_of(pictures):
            yield radiograph, Segmentation.from_logits(logits, radiograph.height, radiograph.width, self.threshold)

    def logits_of(self, pictures: Iterable[Picture]) -> Iterator[tuple[Radiograph, Logits]]:
        """Each picture with its logits (29, h, w), which cover it whole."""
        with ThreadPoolExecutor(max_workers=2) as pool:
            waiting: deque[Future[tuple[Radiograph, Frame, Gray]]] = deque()
            for picture in pictures:
                waiting.append(pool.submit(self._prepare, picture))
                if len(waiting) > _AHEAD:
                    yield self._answer(*waiting.popleft().result())
            while waiting:
                yield self._answer(*waiting.popleft().result())

    def _prepare(self, picture: Picture) -> tuple[Radiograph, Frame, Gray]:
        radiograph = read(picture)
        frame = Frame.fit(radiograph.height, radiograph.width, self.size, self.stride)
        return radiograph, frame, frame.place(radiograph.to_uint8())

    def _answer(self, radiograph: Radiograph, frame: Frame, canvas: Gray) -> tuple[Radiograph, Logits]:
        return radiograph, frame.cut(self._run(canvas[None, None])[0])


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
