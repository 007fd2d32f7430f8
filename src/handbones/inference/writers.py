"""Results to files: the submission CSV, label JSON and overlay pictures; none is ever left half-written."""

import csv
import os
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

import cv2
import numpy as np
import numpy.typing as npt

from handbones.anatomy import BONES
from handbones.files import atomic_path, write_bytes
from handbones.inference.overlay import draw_overlay
from handbones.inference.segmentation import Segmentation
from handbones.labels import Labels, save_labels

__all__ = ["SubmissionWriter", "draw_overlay", "write_label_json", "write_overlay", "write_picture"]

COLUMNS = ("image_name", "class", "rle")


class SubmissionWriter:
    """A submission CSV written picture by picture; under its name only when all is well.

    Use it as a context manager: an exception inside leaves no file (or the old one) behind.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)
        self._stack = ExitStack()

    def __enter__(self) -> "SubmissionWriter":
        temporary = self._stack.enter_context(atomic_path(self._path))
        file = self._stack.enter_context(temporary.open("w", encoding="utf-8", newline=""))
        self._rows = csv.writer(file, lineterminator="\n")
        self._rows.writerow(COLUMNS)
        return self

    def write(self, image_name: str, rle: Sequence[str]) -> None:
        """Add the 29 rows of one picture: its file name with the ending, and its run lengths in the official order."""
        self._rows.writerows((image_name, label, text) for label, text in zip(BONES, rle, strict=True))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return self._stack.__exit__(kind, error, trace)


def write_label_json(path: str | os.PathLike[str], segmentation: Segmentation, image_name: str) -> None:
    """Write the outlines of a segmentation as a label file, in pixels of the picture."""
    save_labels(segmentation.labels(), path, filename=image_name)


def write_overlay(
    path: str | os.PathLike[str],
    pixels: npt.NDArray[np.uint8],
    bones: Labels | Segmentation,
    *,
    names: bool = False,
) -> None:
    """Write `draw_overlay` of a gray picture (height, width) as a PNG."""
    write_picture(path, draw_overlay(pixels, bones, names=names))


def write_picture(path: str | os.PathLike[str], pixels: npt.NDArray[np.uint8]) -> None:
    """Write a PNG, gray (height, width) or RGB (height, width, 3), atomically."""
    if pixels.ndim == 3:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR).view(np.uint8)
    # Level 1 halves the time of the default level and costs a few percent of size.
    done, content = cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    assert done
    write_bytes(path, content.tobytes())
