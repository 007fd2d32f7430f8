"""All that is random about a film, as numbers: drawn before any pixel is worked on, whoever works on the pixels."""

from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from handbones.phantom.settings import Film, Matter

Rng = np.random.Generator
Image = NDArray[np.float32]
Number = Any
"""A float, or a tensor with one for each picture of a batch."""

BANK = 1024
"""Side of the bank of noise."""


class Grain(NamedTuple):
    """Where a picture's noise lies in the bank, and how it is correlated."""

    row: Number = 0
    down: Number = 1
    """1, or -1 for upwards."""
    column: Number = 0
    right: Number = 1
    sigma: Number = 0.0
    """Sd of the correlation, pixels."""


class Soft(NamedTuple):
    """Soft tissue: attenuation, and how uneven it is."""

    mottle: float
    bumps: Image
    """(cells, cells) of a smooth field; (1, 1) where it is even."""
    per_mm: float


class Exposure(NamedTuple):
    """From the line integral to the gray of the finished radiograph. Names as in `settings.Film`; lengths in pixels."""

    hard: Number
    scatter: Number
    scatter_px: Number
    blur_px: Number
    noise: Number
    equalise: Number
    equalise_px: Number
    sharpen: Number
    sharpen_px: Number
    low: Number
    high: Number
    gamma: Number
    s_curve: Number
    black: Number
    white: Number
    angle: Number
    mix: Number
    gradient: Number
    grain: Grain


class Finish(NamedTuple):
    """What happens to the finished picture on its way."""

    resample: float
    """Size that it once had, of its own; 0: it was never smaller."""
    cubic: bool
    grid: tuple[float, float, float] | None
    """Period in pixels, angle and strength of anti-scatter lines."""
    scan: tuple[Image, Image] | None
    """Bumps (3, 3) of a light box, and the marks (h, w) of dust and scratches."""
    noise: float
    grain: Grain
    clahe: tuple[float, int] | None
    """Clip limit, tiles a side."""
    inverted: bool
    jpeg: int
    """Quality; 0: never a JPEG."""


def draw_grain(rng: Rng, sigma: float = 0.0) -> Grain:
    row, down = int(rng.integers(BANK)), 1 if rng.random() < 0.5 else -1
    column, right = int(rng.integers(BANK)), 1 if rng.random() < 0.5 else -1
    return Grain(row, down, column, right, sigma)


def draw_bumps(rng: Rng, cells: int) -> Image:
    """(cells, cells) standard normal numbers, to be enlarged to a smooth field."""
    return rng.standard_normal((cells, cells)).astype(np.float32)


def draw_soft(rng: Rng, matter: Matter) -> Soft:
    mottle = rng.uniform(*matter.tissue_mottle)
    bumps = draw_bumps(rng, int(rng.integers(5, 14))) if mottle > 0.0 else np.zeros((1, 1), np.float32)
    return Soft(mottle, bumps, rng.uniform(*matter.tissue_per_mm))


def draw_exposure(rng: Rng, matter: Matter, film: Film, px_per_mm: float, height: int, width: int) -> Exposure:
    """The numbers of a (height, width) picture; where an effect is too weak to be seen, its strength is 0."""
    hard = _seen(rng.uniform(*matter.spectrum), 0.01)
    scatter = _seen(rng.uniform(*film.scatter), 0.01)
    scatter_px = rng.uniform(*film.scatter_mm) * px_per_mm if scatter else 0.0
    blur_px = rng.uniform(*film.blur_px) * max(height, width) / 512.0
    noise = rng.uniform(*film.noise)
    grain = draw_grain(rng, rng.uniform(*film.noise_grain_px)) if noise > 0.0 else Grain()
    equalise = _seen(rng.uniform(*film.equalise), 0.02)
    equalise_px = rng.uniform(*film.equalise_mm) * px_per_mm if equalise else 0.0
    sharpen = _seen(rng.uniform(*film.sharpen), 0.02)
    sharpen_px = max(0.5, rng.uniform(*film.sharpen_mm) * px_per_mm) if sharpen else 0.0
    curve = [rng.uniform(*ends) for ends in (film.low, film.high, film.gamma, film.s_curve, film.black, film.white)]
    light = rng.uniform(0.0, 2.0 * np.pi), rng.random(), rng.uniform(*film.gradient)
    detected = hard, scatter, scatter_px, blur_px, noise
    return Exposure._make((*detected, equalise, equalise_px, sharpen, sharpen_px, *curve, *light, grain))


def _seen(strength: float, least: float) -> float:
    return strength if strength > least else 0.0


def draw_finish(rng: Rng, film: Film, height: int, width: int) -> Finish:
    """The numbers and marks of a (height, width) picture."""
    resample, cubic = 0.0, False
    if rng.random() < film.resample:
        resample, cubic = rng.uniform(*film.resample_factor), rng.random() >= 0.5
    grid = _draw_grid(rng) if rng.random() < film.grid_lines else None
    scan = (draw_bumps(rng, 3), _draw_marks(rng, height, width)) if rng.random() < film.scan else None
    noise = rng.uniform(*film.grain)
    grain = draw_grain(rng, rng.uniform(0.0, 1.0)) if noise > 0.0 else Grain()
    clahe = None
    if rng.random() < film.clahe:
        tiles = int(rng.integers(2, 12))
        clahe = float(rng.uniform(*film.clahe_clip)), tiles
    inverted = bool(rng.random() < film.inverted)
    jpeg = int(rng.uniform(*film.jpeg_quality)) if rng.random() < film.jpeg else 0
    return Finish(resample, cubic, grid, scan, noise, grain, clahe, inverted, jpeg)


def _draw_grid(rng: Rng) -> tuple[float, float, float]:
    period = rng.uniform(2.5, 7.0)
    angle = rng.choice([0.0, np.pi / 2]) + rng.normal(0.0, 0.01)
    return period, float(angle), rng.uniform(0.005, 0.03)


def _draw_marks(rng: Rng, height: int, width: int) -> Image:
    """Dust, hairs and scratches."""
    marks = np.zeros((height, width), np.float32)
    scale = height / 512.0
    for _ in range(int(rng.integers(0, 25))):
        centre = (int(rng.integers(width)), int(rng.integers(height)))
        cv2.circle(marks, centre, max(1, int(rng.uniform(0.4, 1.6) * scale)), float(rng.uniform(-0.4, 0.5)), -1)
    for _ in range(int(rng.integers(0, 5))):
        start = rng.uniform(0, 1, 2) * (width, height)
        points = start + np.cumsum(rng.normal(0, 12 * scale, (8, 2)), axis=0)
        cv2.polylines(marks, [points.astype(np.int32)], False, float(rng.uniform(-0.2, 0.35)), 1, cv2.LINE_AA)
    return np.asarray(cv2.GaussianBlur(marks, (0, 0), 0.6, borderType=cv2.BORDER_REPLICATE))
