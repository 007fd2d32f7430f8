"""What lies around and over the hand in a finished picture: shutters, bars, text, markers. Grey runs from 0 to 1."""

import string
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from handbones.phantom.settings import Frame

Rng = np.random.Generator
Image = NDArray[np.float32]

_FONTS = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_PLAIN, cv2.FONT_HERSHEY_TRIPLEX)


@dataclass(frozen=True)
class Bars:
    """Empty bars around the radiograph, as shares of the picture's width and height."""

    left: float
    right: float
    top: float
    bottom: float
    shade: float
    """Grey, 0 to 1."""

    def inside(self, height: int, width: int) -> tuple[slice, slice]:
        """Rows and columns of the radiograph."""
        rows = slice(int(self.top * height), height - int(self.bottom * height))
        return rows, slice(int(self.left * width), width - int(self.right * width))


def add_frame(rng: Rng, grey: Image, frame: Frame, side: str, bars: Bars) -> NDArray[np.bool_]:
    """Draw onto `grey` (h, w), or onto (n, h, w) alike, in place; returns (h, w) where the hand is hidden by it."""
    hidden = np.zeros(grey.shape[-2:], np.bool_)
    if rng.random() < frame.marker:
        _marker(rng, grey, side)
    if rng.random() < frame.scale_bar:
        _scale_bar(rng, grey)
    if rng.random() < frame.collimated:
        hidden |= _shutters(rng, grey, frame)
    if rng.random() < frame.top_bar:
        _top_bar(rng, grey)
    if rng.random() < frame.text:
        _text(rng, grey)
    return hidden | _paint_bars(grey, bars)


def _shutters(rng: Rng, grey: Image, frame: Frame) -> NDArray[np.bool_]:
    """A rotated rectangle stays exposed; the rest takes the shutter's grey, softly or sharply."""
    height, width = grey.shape[-2:]
    left, right, top, bottom = rng.uniform(*frame.collimation_margin, 4)
    size = (width * (1.0 - left - right), height * (1.0 - top - bottom))
    centre = (width * (0.5 + (left - right) / 2.0), height * (0.5 + (top - bottom) / 2.0))
    box = cv2.boxPoints((centre, size, float(rng.normal(0.0, 2.5)))).astype(np.int32)
    open_ = np.zeros((height, width), np.float32)
    cv2.fillPoly(open_, [box], 1.0, cv2.LINE_AA)
    soft = rng.uniform(0.0, 0.012) * width
    edge = cv2.GaussianBlur(open_, (0, 0), soft) if soft > 0.5 else open_
    white = rng.random() < frame.white_border
    shade = np.float32(rng.uniform(0.85, 1.0) if white else rng.uniform(*frame.shutter_grey))
    if rng.random() < 0.3 and not white:
        # Behind thin shutters the picture goes on, darker.
        edge = np.maximum(edge, np.float32(rng.uniform(0.02, 0.25)))
        grey += (1.0 - edge) * (shade - grey)
        return np.zeros((height, width), np.bool_)
    grey += (1.0 - edge) * (shade - grey)
    return np.asarray(open_ < 0.5)


def draw_bars(rng: Rng, frame: Frame) -> Bars:
    """Bars at two opposite sides, as padding to a square leaves them; now and then on all four."""
    if rng.random() >= frame.letterbox:
        return Bars(0.0, 0.0, 0.0, 0.0, 0.0)
    shade = 1.0 if rng.random() < 0.35 else float(rng.choice([0.0, 0.0, 0.02, 0.5]))
    sides = rng.random()
    first, second = (float(v) for v in rng.uniform(*frame.letterbox_share, 2))
    if rng.random() < 0.5:
        second = first
    left, right = (first, second) if sides < 0.6 or sides > 0.85 else (0.0, 0.0)
    top, bottom = (first, second) if sides >= 0.6 else (0.0, 0.0)
    return Bars(left, right, top, bottom, shade)


def _paint_bars(grey: Image, bars: Bars) -> NDArray[np.bool_]:
    height, width = grey.shape[-2:]
    rows, columns = bars.inside(height, width)
    hidden = np.ones((height, width), np.bool_)
    hidden[rows, columns] = False
    grey[..., : rows.start, :] = bars.shade
    grey[..., rows.stop :, :] = bars.shade
    grey[..., : columns.start] = bars.shade
    grey[..., columns.stop :] = bars.shade
    return hidden


def _top_bar(rng: Rng, grey: Image) -> None:
    """The bright, slightly slanted edge of the collimator along the top (or another) border."""
    height, width = grey.shape[-2:]
    bar = np.zeros((height, width), np.float32)
    depth, slant = rng.uniform(0.004, 0.02) * height, rng.normal(0.0, 0.008) * height
    points = np.array([[0, 0], [width, 0], [width, depth + slant], [0, depth - slant]])
    cv2.fillPoly(bar, [np.round(points).astype(np.int32)], 1.0, cv2.LINE_AA)
    bar = np.asarray(cv2.GaussianBlur(bar, (0, 0), max(0.6, 0.0015 * height)), np.float32)
    if rng.random() < 0.12:
        bar = np.ascontiguousarray(np.rot90(bar, int(rng.integers(1, 4)))) if height == width else bar[::-1]
    grey += bar * (np.float32(rng.uniform(0.25, 0.95)) - grey)


def _write(rng: Rng, grey: Image, text: str, at: tuple[float, float], size: float, shade: float) -> None:
    height, width = grey.shape[-2:]
    font = int(rng.choice(_FONTS))
    thickness = max(1, round(size * rng.uniform(0.8, 2.2)))
    origin = (int(at[0] * width), int(at[1] * height))
    ink = np.zeros((height, width), np.uint8)
    cv2.putText(ink, text, origin, font, size, 255, thickness, cv2.LINE_AA)
    x, y, w, h = cv2.boundingRect(ink)
    part = grey[..., y : y + h, x : x + w]
    part += ink[y : y + h, x : x + w] * np.float32(1.0 / 255.0) * (np.float32(shade) - part)


def _text(rng: Rng, grey: Image) -> None:
    letters = list(string.ascii_uppercase + string.digits + " .:-/")
    shade = rng.uniform(0.6, 1.0) if rng.random() < 0.85 else 0.0
    corner = rng.choice([0.02, 0.7, 0.45]), rng.choice([0.03, 0.85, 0.93])
    size = rng.uniform(0.25, 0.7) * grey.shape[-2] / 512.0
    for row in range(int(rng.integers(1, 6))):
        text = "".join(rng.choice(letters, int(rng.integers(2, 18))))
        _write(rng, grey, text, (corner[0], corner[1] + row * 0.035), size, shade)


def _marker(rng: Rng, grey: Image, side: str) -> None:
    """A lead letter, now and then in a frame, tilted by whoever laid it there."""
    height, width = grey.shape[-2:]
    size = int(rng.uniform(0.05, 0.11) * width) + 6
    ink = np.zeros((size, size), np.uint8)
    letter = side[0].upper() if rng.random() < 0.8 else str(rng.choice(list("RLABDPM")))
    scale = size / 30.0
    cv2.putText(ink, letter, (int(size * 0.25), int(size * 0.75)), int(rng.choice(_FONTS)), scale, 255,
                max(1, round(scale * rng.uniform(1.5, 3.5))), cv2.LINE_AA)  # fmt: skip
    if rng.random() < 0.3:
        cv2.circle(ink, (size // 2, size // 2), size // 2 - 1, 150, max(1, size // 20), cv2.LINE_AA)
    turn = cv2.getRotationMatrix2D((size / 2, size / 2), float(rng.normal(0.0, 25.0)), 1.0)
    tile = cv2.warpAffine(ink, turn, (size, size)).astype(np.float32) / 255.0
    if rng.random() < 0.2:
        tile = tile[:, ::-1]
    x, y = int(rng.uniform(0.0, 1.0) * (width - size)), int(rng.uniform(0.0, 1.0) * (height - size))
    if 0.2 < (x + size / 2) / width < 0.8 and rng.random() < 0.9:
        x = 2 if rng.random() < 0.5 else width - size - 2
    part = grey[..., y : y + size, x : x + size]
    part += tile * (np.float32(rng.uniform(0.7, 1.0)) - part)


def _scale_bar(rng: Rng, grey: Image) -> None:
    height, width = grey.shape[-2:]
    x = int(width * (0.02 if rng.random() < 0.5 else 0.97))
    top, bottom = int(height * rng.uniform(0.1, 0.4)), int(height * rng.uniform(0.6, 0.9))
    shade = float(rng.uniform(0.6, 1.0))
    marks = range(top, bottom, max(3, (bottom - top) // int(rng.integers(5, 15))))
    for plane in grey.reshape(-1, height, width):
        cv2.line(plane, (x, top), (x, bottom), shade, 1)
        for y in marks:
            cv2.line(plane, (x, y), (x + (6 if x < width / 2 else -6), y), shade, 1)
