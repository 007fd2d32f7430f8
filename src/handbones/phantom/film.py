"""From line integrals to the finished picture: beam, detector, vendor's processing, display.

All steps work on (h, w) float32. `grey` runs from 0 (black) to 1 (white); bone is bright.
"""

from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from handbones.phantom.settings import Film, Matter

Rng = np.random.Generator
Image = NDArray[np.float32]

BANK = 1024
_CURVE = 8192
"""Steps of the display curve, many times the 256 grays of a picture."""


@cache
def _noise_bank() -> Image:
    """Standard normal noise, shifted and flipped at each use: drawing it anew would cost more than all the rest."""
    return np.random.default_rng(11).standard_normal((BANK, BANK)).astype(np.float32)


def noise(rng: Rng, height: int, width: int, grain: float = 0.0) -> Image:
    """Standard normal (h, w) noise; `grain` is the sd in pixels of its correlation."""
    bank = _noise_bank()
    rows = (int(rng.integers(BANK)) + np.arange(height) * (1 if rng.random() < 0.5 else -1)) % BANK
    columns = (int(rng.integers(BANK)) + np.arange(width) * (1 if rng.random() < 0.5 else -1)) % BANK
    out = bank.take(rows, axis=0).take(columns, axis=1)
    if grain > 0.3:
        # A blur of sd s divides the sd of white noise by 2 sqrt(pi) s.
        out = np.asarray(cv2.GaussianBlur(out, (0, 0), grain) * (2.0 * np.sqrt(np.pi) * grain), np.float32)
    return np.asarray(out, np.float32)


def smooth_field(rng: Rng, height: int, width: int, cells: int) -> Image:
    """A smooth random field of about unit size with `cells` bumps a side."""
    small = rng.standard_normal((cells, cells)).astype(np.float32)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC))


def blur(image: Image, sigma: float) -> Image:
    """Gaussian blur; wide ones on a smaller copy, which no eye can tell."""
    if sigma < 0.15:
        return image
    factor = int(sigma // 3)
    if factor < 2:
        return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE))
    height, width = image.shape
    size = (max(2, width // factor), max(2, height // factor))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), sigma * size[0] / width, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR))


def transmit(rng: Rng, bone: Image, bulk: Image, tissue: Image, matter: Matter) -> tuple[Image, Image]:
    """Line integral of the whole body, and that of its soft tissue alone."""
    mottle = rng.uniform(*matter.tissue_mottle)
    soft = np.maximum(tissue - bulk, 0.0)
    if mottle > 0.0:
        field = smooth_field(rng, bone.shape[0], bone.shape[1], int(rng.integers(5, 14)))
        soft = soft * np.maximum(1.0 + np.float32(mottle) * field, 0.2)
    soft = soft * np.float32(rng.uniform(*matter.tissue_per_mm))
    return np.asarray(bone + soft, np.float32), np.asarray(soft, np.float32)


def detect(rng: Rng, line: Image, matter: Matter, film: Film, px_per_mm: float) -> Image:
    """Attenuation as the detector sees it: spectrum, scatter, unsharpness, quantum noise; back on the log scale."""
    hard = np.float32(rng.uniform(*matter.spectrum))
    intensity = np.asarray(cv2.exp(-line), np.float32)
    if hard > 0.01:
        intensity = np.asarray((1 - hard) * intensity + hard * cv2.exp(np.float32(-0.6) * line), np.float32)
    scatter = np.float32(rng.uniform(*film.scatter))
    if scatter > 0.01:
        spread = blur(intensity, rng.uniform(*film.scatter_mm) * px_per_mm)
        intensity = np.asarray((intensity + scatter * spread) / (1 + scatter), np.float32)
    height, width = line.shape
    intensity = blur(intensity, rng.uniform(*film.blur_px) * max(height, width) / 512.0)
    level = np.float32(rng.uniform(*film.noise))
    if level > 0.0:
        grain = noise(rng, height, width, rng.uniform(*film.noise_grain_px))
        intensity = intensity + level * np.sqrt(intensity) * grain
    return np.asarray(-cv2.log(np.maximum(intensity, np.float32(1e-3))), np.float32)


def process(rng: Rng, seen: Image, film: Film, px_per_mm: float) -> Image:
    """The vendor's processing: large-scale contrast taken out, edges enhanced."""
    share = np.float32(rng.uniform(*film.equalise))
    if share > 0.02:
        seen = seen - share * blur(seen, rng.uniform(*film.equalise_mm) * px_per_mm)
    amount = np.float32(rng.uniform(*film.sharpen))
    if amount > 0.02:
        seen = seen + amount * (seen - blur(seen, max(0.5, rng.uniform(*film.sharpen_mm) * px_per_mm)))
    return np.asarray(seen, np.float32)


def display(rng: Rng, seen: Image, bone: Image, tissue: Image, film: Film) -> Image:
    """The display curve: window, gamma, sigmoid; grey 0 to 1."""
    step = max(1, seen.shape[0] // 128)
    small, on_bone = seen[::step, ::step], bone[::step, ::step] > 0.15
    on_tissue = (tissue[::step, ::step] > 0.05) & ~on_bone
    air = float(np.quantile(small, 0.02))
    soft = float(np.median(small[on_tissue])) if on_tissue.sum() > 20 else air + 0.1
    top = float(np.quantile(small[on_bone], 0.995)) if on_bone.sum() > 20 else soft + 1.0
    low = air + rng.uniform(*film.low) * (soft - air)
    high = low + rng.uniform(*film.high) * max(top - low, 0.1)
    # The curve from a table: a power for every pixel would take longer than all the rest.
    v = np.linspace(0.0, 1.0, _CURVE) ** rng.uniform(*film.gamma)
    share = rng.uniform(*film.s_curve)
    v = (1.0 - share) * v + share * (v * v * (3.0 - 2.0 * v))
    black, white = rng.uniform(*film.black), rng.uniform(*film.white)
    curve = (black + max(white - black, 0.2) * v).astype(np.float32)
    steps = (_CURVE - 1) / (high - low)
    index = np.clip((seen - np.float32(low)) * np.float32(steps), 0.0, _CURVE - 1).astype(np.uint16)
    grey = curve[index]
    return np.asarray(grey + _gradient(rng, grey, film), np.float32)


def _gradient(rng: Rng, grey: Image, film: Film) -> Image:
    """Background light to one side and to the corners."""
    height, width = grey.shape
    y = np.linspace(-1.0, 1.0, height, dtype=np.float32)[:, None]
    x = np.linspace(-1.0, 1.0, width, dtype=np.float32)[None]
    angle = rng.uniform(0.0, 2.0 * np.pi)
    side = 0.5 + 0.5 * (np.float32(np.cos(angle)) * x + np.float32(np.sin(angle)) * y)
    corners = (x * x + y * y) * 0.5
    mix = np.float32(rng.random())
    return np.asarray(np.float32(rng.uniform(*film.gradient)) * (mix * side + (1.0 - mix) * corners), np.float32)


def finish(rng: Rng, grey: Image, film: Film) -> NDArray[np.uint8]:
    """What happens to the finished picture on its way: resampling, scanning, grain, CLAHE, inversion, JPEG."""
    height, width = grey.shape
    if rng.random() < film.resample:
        factor = rng.uniform(*film.resample_factor)
        small = cv2.resize(grey, (int(width * factor), int(height * factor)), interpolation=cv2.INTER_AREA)
        how = cv2.INTER_LINEAR if rng.random() < 0.5 else cv2.INTER_CUBIC
        grey = np.asarray(cv2.resize(small, (width, height), interpolation=how), np.float32)
    if rng.random() < film.grid_lines:
        grey = _grid_lines(rng, grey)
    if rng.random() < film.scan:
        grey = _scan(rng, grey)
    grain = np.float32(rng.uniform(*film.grain))
    if grain > 0.0:
        grey = grey + grain * noise(rng, height, width, rng.uniform(0.0, 1.0))
    pixels = np.clip(grey * 255.0 + 0.5, 0.0, 255.0).astype(np.uint8)
    if rng.random() < film.clahe:
        tiles = int(rng.integers(2, 12))
        pixels = cv2.createCLAHE(float(rng.uniform(*film.clahe_clip)), (tiles, tiles)).apply(pixels)
    if rng.random() < film.inverted:
        pixels = 255 - pixels
    if rng.random() < film.jpeg:
        quality = int(rng.uniform(*film.jpeg_quality))
        coded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        pixels = cv2.imdecode(coded, cv2.IMREAD_GRAYSCALE)
    return np.asarray(pixels, np.uint8)


def _grid_lines(rng: Rng, grey: Image) -> Image:
    height, width = grey.shape
    period = rng.uniform(2.5, 7.0)
    angle = rng.choice([0.0, np.pi / 2]) + rng.normal(0.0, 0.01)
    y = np.arange(height, dtype=np.float32)[:, None]
    x = np.arange(width, dtype=np.float32)[None]
    wave = np.sin((np.float32(np.cos(angle)) * x + np.float32(np.sin(angle)) * y) * np.float32(2 * np.pi / period))
    return np.asarray(grey + np.float32(rng.uniform(0.005, 0.03)) * wave, np.float32)


def _scan(rng: Rng, grey: Image) -> Image:
    """A film on a light box: uneven light, dust, hairs, scratches."""
    height, width = grey.shape
    grey = grey * (1.0 + np.float32(0.12) * smooth_field(rng, height, width, 3))
    marks = np.zeros((height, width), np.float32)
    scale = height / 512.0
    for _ in range(int(rng.integers(0, 25))):
        centre = (int(rng.integers(width)), int(rng.integers(height)))
        cv2.circle(marks, centre, max(1, int(rng.uniform(0.4, 1.6) * scale)), float(rng.uniform(-0.4, 0.5)), -1)
    for _ in range(int(rng.integers(0, 5))):
        start = rng.uniform(0, 1, 2) * (width, height)
        points = start + np.cumsum(rng.normal(0, 12 * scale, (8, 2)), axis=0)
        cv2.polylines(marks, [points.astype(np.int32)], False, float(rng.uniform(-0.2, 0.35)), 1, cv2.LINE_AA)
    return np.asarray(grey + blur(marks, 0.6), np.float32)
