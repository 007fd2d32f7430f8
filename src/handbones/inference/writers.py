"""Results to files: label JSON and pictures; none is ever left half-written."""

import os
import zlib
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from handbones.anatomy import ANATOMY, BONES
from handbones.files import write_bytes
from handbones.inference.overlay import draw_overlay
from handbones.inference.segmentation import Segmentation
from handbones.labels import Labels, save_labels


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


def write_indexed(path: str | os.PathLike[str], segmentation: Segmentation) -> None:
    """Write a PNG with a palette: 0 for none, else 1 + the bone's place in the order, in the bone's colour.

    Where bones overlap it shows the smaller one; the other formats keep both.
    """
    picture = np.zeros((segmentation.height, segmentation.width), np.uint8)
    for segment in sorted(segmentation.bones.values(), key=lambda segment: -segment.area):
        height, width = segment.mask.shape
        window = picture[segment.top : segment.top + height, segment.left : segment.left + width]
        window[segment.mask] = segment.bone.index + 1
    size = segmentation.width.to_bytes(4) + segmentation.height.to_bytes(4)
    palette = bytes((0, 0, 0, *(value for bone in ANATOMY for value in bone.colour)))
    rows = np.pad(picture, ((0, 0), (1, 0)))  # each begins with the number of its filter: none
    chunks = {b"IHDR": size + bytes((8, 3, 0, 0, 0)), b"PLTE": palette, b"IDAT": zlib.compress(rows.tobytes(), 6)}
    content = b"".join(_chunk(kind, data) for kind, data in {**chunks, b"IEND": b""}.items())
    write_bytes(path, b"\x89PNG\r\n\x1a\n" + content)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return len(data).to_bytes(4) + kind + data + zlib.crc32(kind + data).to_bytes(4)


def write_bone_masks(folder: str | os.PathLike[str], segmentation: Segmentation) -> None:
    """Write a PNG for each bone that was found, FOLDER/LABEL.png of the picture's size: 255 inside, 0 outside.

    Those of other bones, from an earlier answer, go.
    """
    for label in set(BONES) - set(segmentation.bones):
        (Path(folder) / f"{label}.png").unlink(missing_ok=True)
    for label, segment in segmentation.bones.items():
        picture = np.zeros((segmentation.height, segmentation.width), np.uint8)
        height, width = segment.mask.shape
        picture[segment.top : segment.top + height, segment.left : segment.left + width] = segment.mask * np.uint8(255)
        write_picture(Path(folder) / f"{label}.png", picture)


def write_picture(path: str | os.PathLike[str], pixels: npt.NDArray[np.uint8]) -> None:
    """Write a PNG, gray (height, width) or RGB (height, width, 3), atomically."""
    if pixels.ndim == 3:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR).view(np.uint8)
    # Level 1 halves the time of the default level and costs a few percent of size.
    options = [cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_SUB]  # half the time
    done, content = cv2.imencode(".png", pixels, options)
    assert done
    write_bytes(path, content.tobytes())
