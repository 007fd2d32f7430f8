"""From line integrals to the finished picture: beam, detector, vendor's processing, display.

All steps work on (h, w) float32, by numbers that `exposure` has drawn. `grey` runs from 0 (black) to 1 (white); bone is
bright.
"""

from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from handbones.phantom.exposure import BANK, Exposure, Finish, Grain, Soft, draw_bumps

Rng = np.random.Generator
Image = NDArray[np.float32]

_CURVE = 8192
"""Steps of the display curve, many times the 256 grays of a picture."""


@cache
def noise_bank() -> Image:
    """Standard normal noise, shifted and flipped at each use: drawing it anew would cost more than all the rest."""
    return np.random.default_rng(11).standard_normal((BANK, BANK)).astype(np.float32)


def noise(grain: Grain, height: int, width: int) -> Image:
    """Standard normal (h, w) noise."""
    rows = (grain.row + np.arange(height) * grain.down) % BANK
    columns = (grain.column + np.arange(width) * grain.right) % BANK
    out = noise_bank().take(rows, axis=0).take(columns, axis=1)
    if grain.sigma > 0.3:
        # A blur of sd s divides the sd of white noise by 2 sqrt(pi) s.
        out = np.asarray(cv2.GaussianBlur(out, (0, 0), grain.sigma) * (2.0 * np.sqrt(np.pi) * grain.sigma), np.float32)
    return np.asarray(out, np.float32)


def enlarge(bumps: Image, height: int, width: int) -> Image:
    """A smooth (h, w) field of about unit size from its bumps."""
    return np.asarray(cv2.resize(bumps, (width, height), interpolation=cv2.INTER_CUBIC))


def smooth_field(rng: Rng, height: int, width: int, cells: int) -> Image:
    """A smooth random field of about unit size with `cells` bumps a side."""
    return enlarge(draw_bumps(rng, cells), height, width)


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


def transmit(bone: Image, bulk: Image, tissue: Image, soft: Soft) -> tuple[Image, Image]:
    """Line integral of the whole body, and that of its soft tissue alone."""
    taken = np.maximum(tissue - bulk, 0.0)
    if soft.mottle > 0.0:
        taken = taken * np.maximum(1.0 + np.float32(soft.mottle) * enlarge(soft.bumps, *bone.shape), 0.2)
    taken = taken * np.float32(soft.per_mm)
    return np.asarray(bone + taken, np.float32), np.asarray(taken, np.float32)


def expose(line: Image, bone: Image, tissue: Image, exposure: Exposure) -> Image:
    """Grey of the displayed radiograph from the line integrals of all, of bone and of soft tissue."""
    seen = _process(_detect(line, exposure), exposure)
    return _display(seen, bone, tissue, exposure)


def _detect(line: Image, exposure: Exposure) -> Image:
    """Attenuation as the detector sees it: spectrum, scatter, unsharpness, quantum noise; back on the log scale."""
    hard, scatter, level = (np.float32(v) for v in (exposure.hard, exposure.scatter, exposure.noise))
    intensity = np.asarray(cv2.exp(-line), np.float32)
    if hard > 0.0:
        intensity = np.asarray((1 - hard) * intensity + hard * cv2.exp(np.float32(-0.6) * line), np.float32)
    if scatter > 0.0:
        spread = blur(intensity, exposure.scatter_px)
        intensity = np.asarray((intensity + scatter * spread) / (1 + scatter), np.float32)
    intensity = blur(intensity, exposure.blur_px)
    if level > 0.0:
        intensity = intensity + level * np.sqrt(intensity) * noise(exposure.grain, *line.shape)
    return np.asarray(-cv2.log(np.maximum(intensity, np.float32(1e-3))), np.float32)


def _process(seen: Image, exposure: Exposure) -> Image:
    """The vendor's processing: large-scale contrast taken out, edges enhanced."""
    if exposure.equalise > 0.0:
        seen = seen - np.float32(exposure.equalise) * blur(seen, exposure.equalise_px)
    if exposure.sharpen > 0.0:
        seen = seen + np.float32(exposure.sharpen) * (seen - blur(seen, exposure.sharpen_px))
    return np.asarray(seen, np.float32)


def _display(seen: Image, bone: Image, tissue: Image, exposure: Exposure) -> Image:
    """The display curve: window, gamma, sigmoid; grey 0 to 1."""
    step = max(1, seen.shape[0] // 128)
    small, on_bone = seen[::step, ::step], bone[::step, ::step] > 0.15
    on_tissue = (tissue[::step, ::step] > 0.05) & ~on_bone
    air = float(np.quantile(small, 0.02))
    soft = float(np.median(small[on_tissue])) if on_tissue.sum() > 20 else air + 0.1
    top = float(np.quantile(small[on_bone], 0.995)) if on_bone.sum() > 20 else soft + 1.0
    low = air + exposure.low * (soft - air)
    high = low + exposure.high * max(top - low, 0.1)
    # The curve from a table: a power for every pixel would take longer than all the rest.
    v = np.linspace(0.0, 1.0, _CURVE) ** exposure.gamma
    share = exposure.s_curve
    v = (1.0 - share) * v + share * (v * v * (3.0 - 2.0 * v))
    black, white = exposure.black, exposure.white
    curve = (black + max(white - black, 0.2) * v).astype(np.float32)
    steps = (_CURVE - 1) / (high - low)
    index = np.clip((seen - np.float32(low)) * np.float32(steps), 0.0, _CURVE - 1).astype(np.uint16)
    grey = curve[index]
    return np.asarray(grey + _gradient(grey.shape[0], grey.shape[1], exposure), np.float32)


def _gradient(height: int, width: int, exposure: Exposure) -> Image:
    """Background light to one side and to the corners."""
    y = np.linspace(-1.0, 1.0, height, dtype=np.float32)[:, None]
    x = np.linspace(-1.0, 1.0, width, dtype=np.float32)[None]
    side = 0.5 + 0.5 * (np.float32(np.cos(exposure.angle)) * x + np.float32(np.sin(exposure.angle)) * y)
    corners = (x * x + y * y) * 0.5
    mix = np.float32(exposure.mix)
    return np.asarray(np.float32(exposure.gradient) * (mix * side + (1.0 - mix) * corners), np.float32)


def finish(grey: Image, how: Finish) -> NDArray[np.uint8]:
    """What happens to the finished picture on its way: resampling, scanning, grain, CLAHE, inversion, JPEG."""
    height, width = grey.shape
    if how.resample:
        size = int(width * how.resample), int(height * how.resample)
        small = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
        larger = cv2.INTER_CUBIC if how.cubic else cv2.INTER_LINEAR
        grey = np.asarray(cv2.resize(small, (width, height), interpolation=larger), np.float32)
    if how.grid is not None:
        grey = _grid_lines(grey, *how.grid)
    if how.scan is not None:
        light, marks = how.scan
        grey = grey * (1.0 + np.float32(0.12) * enlarge(light, height, width)) + marks
    if how.noise > 0.0:
        grey = grey + np.float32(how.noise) * noise(how.grain, height, width)
    pixels = np.clip(grey * 255.0 + 0.5, 0.0, 255.0).astype(np.uint8)
    if how.clahe is not None:
        clip, tiles = how.clahe
        pixels = cv2.createCLAHE(clip, (tiles, tiles)).apply(pixels)
    if how.inverted:
        pixels = 255 - pixels
    if how.jpeg:
        coded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, how.jpeg])[1]
        pixels = cv2.imdecode(coded, cv2.IMREAD_GRAYSCALE)
    return np.asarray(pixels, np.uint8)


def _grid_lines(grey: Image, period: float, angle: float, strength: float) -> Image:
    height, width = grey.shape
    y = np.arange(height, dtype=np.float32)[:, None]
    x = np.arange(width, dtype=np.float32)[None]
    wave = np.sin((np.float32(np.cos(angle)) * x + np.float32(np.sin(angle)) * y) * np.float32(2 * np.pi / period))
    return np.asarray(grey + np.float32(strength) * wave, np.float32)
