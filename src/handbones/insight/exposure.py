"""The look of a radiograph in a few figures: brightness, contrast, a fingerprint and a small picture."""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from handbones.raster import Packed

Floats = npt.NDArray[np.float64]
Gray = npt.NDArray[np.uint8]

LEVELS = (1, 5, 25, 50, 75, 95, 99)
"""Percentiles of the gray values."""
SMALL = 320
"""Longest side of the small picture."""
_PRINT = 48
"""Side of the fingerprint."""


@dataclass(frozen=True)
class Exposure:
    """Gray values of one picture in 8 bits, 0 to 255; NaN where there are no labels to tell bone."""

    levels: Floats
    """(7,) percentiles, see `LEVELS`."""
    mean: float
    spread: float
    """Standard deviation."""
    clipped: float
    """Share of pixels at the highest gray value that 8 bits have."""
    bone: float
    """Median in the bones."""
    soft: float
    """Median of what lies within 1 % of the picture's side from bones, other bones left out."""
    histogram: Floats
    """(64,) share of pixels in each step of four gray values."""
    fingerprint: Gray
    """(48, 48) the whole picture; equal for equal pictures, nearly so for copies."""
    small: Gray
    """(n,) the bytes of a JPEG of the whole picture, longest side 320."""

    def small_picture(self) -> Gray:
        """The small picture (h, w), decoded."""
        return np.asarray(cv2.imdecode(self.small, cv2.IMREAD_GRAYSCALE), np.uint8)


def exposure_of(pixels: Gray, packed: Packed | None) -> Exposure:
    """Figures of a picture (height, width); `packed` are masks of its bones, at any size."""
    counts = np.bincount(pixels.ravel(), minlength=256)
    total = pixels.size
    cumulated = np.cumsum(counts) / total
    values = np.arange(256)
    mean = float(counts @ values / total)
    bone, soft = _bone_and_soft(pixels, packed) if packed is not None else (np.nan, np.nan)
    return Exposure(
        levels=np.array([float(np.searchsorted(cumulated, level / 100)) for level in LEVELS]),
        mean=mean,
        spread=float(np.sqrt(counts @ (values - mean) ** 2 / total)),
        clipped=float(counts[255] / total),
        bone=bone,
        soft=soft,
        histogram=counts.reshape(64, 4).sum(axis=1) / total,
        fingerprint=_resized(pixels, _PRINT, _PRINT),
        small=_jpeg(shrink(pixels, SMALL)),
    )


def shrink(pixels: Gray, longest: int) -> Gray:
    """The picture with its longest side brought down to `longest` pixels; a smaller one stays as it is."""
    scale = longest / max(pixels.shape)
    height, width = (max(1, round(side * scale)) for side in pixels.shape)
    return _resized(pixels, height, width) if scale < 1 else pixels


def _jpeg(pixels: Gray) -> Gray:
    done, coded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 88])
    assert done
    return np.asarray(coded, np.uint8).ravel()


def _resized(pixels: Gray, height: int, width: int) -> Gray:
    return np.asarray(cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def _bone_and_soft(pixels: Gray, packed: Packed) -> tuple[float, float]:
    height, width = packed.shape
    gray = _resized(pixels, height, width)
    bones = (packed != 0).astype(np.uint8)
    reach = max(1, round(max(packed.shape) / 100))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    around = (cv2.dilate(bones, kernel) != 0) & (cv2.dilate(bones, np.ones((3, 3), np.uint8)) == 0)
    inside = bones != 0
    return (
        float(np.median(gray[inside])) if inside.any() else np.nan,
        float(np.median(gray[around])) if around.any() else np.nan,
    )
