"""Gray values of DICOM files."""

import math
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from handbones.errors import UserError

Spacing = tuple[float, float]
"""Millimetres per row and per column."""
MOST_TALL = 4.0
"""Pixels with one side longer than the other by more are a mistake in the file."""
Scale = tuple[Spacing | None, float]
"""The spacing, where the file tells it, and how many times as high as wide a pixel is; 1 where it tells neither."""

_SYNTAXES: dict[tuple[bool | None, bool | None], str] = {
    (True, True): "1.2.840.10008.1.2",
    (False, True): "1.2.840.10008.1.2.1",
    (False, False): "1.2.840.10008.1.2.2",
}
"""The transfer syntax of uncompressed DICOM, by whether it is implicit and little endian."""


def load_dicom(path: Path, content: bytes) -> tuple[npt.NDArray[Any], Scale]:
    """Gray values (height, width) of any type, and their scale. Raises `UserError`.

    They are those after the modality's rescaling, from 0 up, MONOCHROME1 (bone dark) turned over; padding is dark.
    """
    from pydicom.pixels.processing import apply_rescale  # noqa: PLC0415 slow to import

    dataset = _read_dicom(path, content)
    _refuse_what_cannot_be_decoded(path, dataset)
    try:
        values = dataset.pixel_array
        padded = _padded(values, dataset)
        if dataset.get("SamplesPerPixel", 1) == 1:
            values = apply_rescale(values, dataset)
    except Exception as error:  # broken pixel data, or a compression that no installed plugin reads
        reason = str(error).splitlines()[0]
        raise UserError(
            f"{path}: cannot decode the DICOM pixels: {reason}; copy it again, or save it uncompressed"
        ) from error
    if values.ndim == 3 and values.shape[2] == 3:
        values = cv2.cvtColor(values, cv2.COLOR_RGB2GRAY)
    if values.ndim != 2:
        raise UserError(f"{path}: a DICOM of {values.ndim} dimensions: save it as a gray picture")
    dark_bones = dataset.get("PhotometricInterpretation") == "MONOCHROME1"
    if padded.shape == values.shape and padded.any() and not padded.all():
        seen = values[~padded]
        values = np.where(padded, seen.max() if dark_bones else seen.min(), values)
    if values.dtype.kind == "i":
        values = values.astype(np.int64)  # int16 holds no difference of 40,000
    # Where a detector begins to count says nothing; from there on all gray would be lost in the little that differs.
    values = values.max() - values if dark_bones else values - values.min()
    return values, _scale(dataset)


def dicom_size(path: Path) -> tuple[int, int]:
    """Height and width in pixels, of a file whose pixels can be decoded. Raises `UserError`."""
    dataset = _read_dicom(path)
    _refuse_what_cannot_be_decoded(path, dataset)
    return int(dataset.Rows), int(dataset.Columns)


def dicom_scale(path: Path) -> Scale:
    """The scale of a file's pixels, which are not decoded for it. Raises `UserError`."""
    return _scale(_read_dicom(path))


def _read_dicom(path: Path, content: bytes | None = None) -> Any:
    """The dataset of a file's content, or of all but its pixels where only its path is given."""
    from pydicom import dcmread  # noqa: PLC0415 slow to import
    from pydicom.uid import UID  # noqa: PLC0415

    try:
        source = path if content is None else BytesIO(content)
        dataset = dcmread(source, force=True, stop_before_pixels=content is None)
        if "Rows" not in dataset or "Columns" not in dataset:
            raise ValueError("it holds no picture")
        if "TransferSyntaxUID" not in dataset.file_meta:  # pixels are not read without, and are never compressed then
            dataset.file_meta.TransferSyntaxUID = UID(_SYNTAXES[dataset.original_encoding])
    except Exception as error:  # pydicom raises many kinds for broken files
        raise UserError(f"{path}: cannot be read as DICOM: {error}") from error
    return dataset


def _refuse_what_cannot_be_decoded(path: Path, dataset: Any) -> None:
    """Raise `UserError` for several frames, and for a compression that no installed decoder reads."""
    from pydicom.pixels.decoders.base import get_decoder  # noqa: PLC0415 slow to import

    if int(dataset.get("NumberOfFrames") or 1) > 1:
        raise UserError(f"{path}: a DICOM of several frames: save the frame that you want as a file of its own")
    syntax = dataset.file_meta.TransferSyntaxUID
    try:
        readable = get_decoder(syntax).is_available
    except NotImplementedError:
        readable = False
    if not readable:
        raise UserError(f"{path}: its pixels are in {syntax.name}: pip install python-gdcm, or save it uncompressed")


def _padded(stored: npt.NDArray[Any], dataset: Any) -> npt.NDArray[np.bool_]:
    """Pixels that the file says are none, outside the detector; their value may be far from those of all others."""
    ends = [dataset.get(name) for name in ("PixelPaddingValue", "PixelPaddingRangeLimit")]
    known = [end for end in ends if isinstance(end, int)]
    if not known:
        return np.zeros(stored.shape, np.bool_)
    return (stored >= min(known)) & (stored <= max(known))


def _scale(dataset: Any) -> Scale:
    for name in ("PixelSpacing", "ImagerPixelSpacing"):
        if spacing := _two_lengths(dataset.get(name)):
            return spacing, spacing[0] / spacing[1]
    high, wide = _two_lengths(dataset.get("PixelAspectRatio")) or (1.0, 1.0)
    return None, high / wide


def _two_lengths(value: Any) -> tuple[float, float] | None:
    """What a file has for rows and for columns; None where it has no two sound numbers for them, much alike."""
    try:
        row, column = (float(number) for number in value or ())
    except (TypeError, ValueError):
        return None
    sound = 0 < row < math.inf and 0 < column < math.inf and 1 / MOST_TALL < row / column < MOST_TALL
    return (row, column) if sound else None
