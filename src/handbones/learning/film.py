"""Phantoms in torch, second half: what `phantom.film` does to a picture, for a whole batch.

Whatever is linear along rows and columns (blurs, resizing) is a product of matrices, which suits a device and takes a
strength for each picture. What few pictures have (`finish`) is done to those one by one.
"""

import math
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional

from handbones.phantom.exposure import BANK, Exposure, Finish, Grain
from handbones.phantom.film import noise_bank

_DISPLAY_ROWS = 128
"""About so many rows and columns of a picture decide on its display."""


def blur(images: Tensor, sigma: Tensor) -> Tensor:
    """Gaussian blur of (n, h, w) by sigma (n,) pixels, borders replicated."""
    height, width = images.shape[1:]
    rows = _gaussian(sigma, height)
    columns = rows if height == width else _gaussian(sigma, width)
    return rows @ images @ columns.mT


def _gaussian(sigma: Tensor, size: int) -> Tensor:
    """(n, size, size) matrices that blur; what would fall beyond an end falls on the last pixel."""
    k = torch.arange(4 * size, device=sigma.device)
    weight = torch.exp(-0.5 * (k / sigma.clamp(min=0.05)[:, None]) ** 2)
    tail = weight.flip(1).cumsum(1).flip(1)
    place = k[:size]
    matrix = weight[:, (place[:, None] - place).abs()]
    matrix[..., 0], matrix[..., -1] = tail[:, :size], tail[:, :size].flip(1)
    return matrix / (2 * tail[:, 0] - 1)[:, None, None]


def noise(grain: Grain, height: int, width: int) -> Tensor:
    """(n, h, w) standard normal noise; the fields of `grain` are (n,)."""
    device = grain.sigma.device
    rows, columns = (
        (start[:, None] + step[:, None] * torch.arange(size, device=device)).long() % BANK
        for start, step, size in ((grain.row, grain.down, height), (grain.column, grain.right, width))
    )
    out = _bank(device)[rows[:, :, None], columns[:, None]]
    correlated = grain.sigma > 0.3
    gain = torch.where(correlated, 2 * math.sqrt(math.pi) * grain.sigma, 1)
    return blur(out, grain.sigma * correlated) * _wide(gain)


@cache
def _bank(device: torch.device) -> Tensor:
    return torch.from_numpy(noise_bank()).to(device)


def _wide(values: Tensor) -> Tensor:
    return values[:, None, None]


def expose(line: Tensor, bone: Tensor, tissue: Tensor, exposure: Exposure) -> Tensor:
    """Grey (n, h, w) of the displayed radiographs from their line integrals; the fields of `exposure` are (n,)."""
    e = Exposure._make((*(_wide(values) for values in exposure[:-1]), exposure.grain))
    intensity = (1 - e.hard) * torch.exp(-line) + e.hard * torch.exp(-0.6 * line)
    spread = blur(intensity, exposure.scatter_px)
    intensity = blur((intensity + e.scatter * spread) / (1 + e.scatter), exposure.blur_px)
    intensity = intensity + e.noise * intensity.sqrt() * noise(exposure.grain, *line.shape[1:])
    seen = -torch.log(intensity.clamp(min=1e-3))
    seen = seen - e.equalise * blur(seen, exposure.equalise_px)
    seen = seen + e.sharpen * (seen - blur(seen, exposure.sharpen_px))
    return _display(seen, bone, tissue, e)


def _display(seen: Tensor, bone: Tensor, tissue: Tensor, e: Exposure) -> Tensor:
    """The display curve: window, gamma, sigmoid; and light to one side."""
    height, width = seen.shape[1:]
    step = max(1, height // _DISPLAY_ROWS)
    small, bone, tissue = (image[:, ::step, ::step].flatten(1) for image in (seen, bone, tissue))
    on_bone = bone > 0.15
    on_tissue = (tissue > 0.05) & ~on_bone
    air = _quantile(small, torch.ones_like(on_bone), 0.02)
    soft = torch.where(_wide(on_tissue.sum(1) > 20), _quantile(small, on_tissue, 0.5), air + 0.1)
    top = torch.where(_wide(on_bone.sum(1) > 20), _quantile(small, on_bone, 0.995), soft + 1)
    low = air + e.low * (soft - air)
    window = e.high * (top - low).clamp(min=0.1)
    v = ((seen - low) / window).clamp(0, 1) ** e.gamma
    v = (1 - e.s_curve) * v + e.s_curve * (v * v * (3 - 2 * v))
    y, x = (torch.linspace(-1, 1, size, device=seen.device) for size in (height, width))
    side = 0.5 + 0.5 * (torch.cos(e.angle) * x + torch.sin(e.angle) * y[:, None])
    light = e.mix * side + (1 - e.mix) * 0.5 * (x * x + y[:, None] ** 2)
    grey: Tensor = e.black + (e.white - e.black).clamp(min=0.2) * v + e.gradient * light
    return grey


def _quantile(values: Tensor, among: Tensor, q: float) -> Tensor:
    """(n, 1, 1) quantiles of those of the values (n, m) that count, between neighbours in proportion."""
    ordered = values.masked_fill(~among, math.inf).sort(1).values
    place = q * (among.sum(1, keepdim=True) - 1).clamp(min=0)
    low = place.floor().long()
    below, above = (ordered.gather(1, (low + k).clamp(max=values.shape[1] - 1)) for k in (0, 1))
    return _wide(torch.where(place > low, below + (place - low) * (above - below), below).squeeze(1))


def finish(grey: Tensor, how: list[Finish]) -> Tensor:
    """(n, h, w) uint8 pictures: what happens to the finished ones on their way."""
    grey = torch.stack([_finish(one, numbers) for one, numbers in zip(grey, how, strict=True)])
    level = grey.new_tensor([numbers.noise for numbers in how])
    grain = Grain(*grey.new_tensor([numbers.grain for numbers in how]).unbind(1))
    grey = grey + _wide(level) * noise(grain, *grey.shape[1:])
    pixels = (grey * 255 + 0.5).clamp(0, 255).byte()
    return torch.stack([_digitise(one, numbers) for one, numbers in zip(pixels, how, strict=True)])


def _finish(grey: Tensor, how: Finish) -> Tensor:
    height, width = grey.shape
    if how.resample:
        rows, columns = (_resampling(size, how.resample, how.cubic, grey.device) for size in (height, width))
        grey = rows @ grey @ columns.T
    if how.grid is not None:
        period, angle, strength = how.grid
        y, x = (torch.arange(size, device=grey.device) for size in (height, width))
        grey = grey + strength * torch.sin((math.cos(angle) * x + math.sin(angle) * y[:, None]) * 2 * math.pi / period)
    if how.scan is not None:
        light, marks = (torch.from_numpy(image).to(grey.device) for image in how.scan)
        field = functional.interpolate(light[None, None], size=(height, width), mode="bicubic")[0, 0]
        grey = grey * (1 + 0.12 * field) + marks
    return grey


def _resampling(size: int, factor: float, cubic: bool, device: torch.device) -> Tensor:
    """(size, size) matrix that makes a row smaller, by what each new pixel covers, and as large again."""
    small = int(size * factor)
    old = torch.arange(size, device=device)
    new = torch.arange(small, device=device)[:, None] * (size / small)
    covered = torch.minimum(old + 1, new + size / small) - torch.maximum(old, new)
    mode = "bicubic" if cubic else "bilinear"
    down = covered.clamp(min=0) * (small / size)
    return functional.interpolate(down[None, None], size=(size, size), mode=mode)[0, 0]


def _digitise(pixels: Tensor, how: Finish) -> Tensor:
    if how.clahe is not None:
        pixels = clahe(pixels, *how.clahe)
    if how.inverted:
        pixels = 255 - pixels
    return jpeg(pixels, how.jpeg) if how.jpeg else pixels


def clahe(pixels: Tensor, clip: float, tiles: int) -> Tensor:
    """Contrast-limited adaptive histogram equalisation of (h, w) uint8, as OpenCV does it."""
    height, width = pixels.shape
    spare = [-size % tiles for size in (height, width)]
    if any(spare):  # OpenCV then pads both sides, a whole tile where one of them fits
        spare = [tiles - size % tiles for size in (height, width)]
    padded = functional.pad(pixels[None].float(), (0, spare[1], 0, spare[0]), mode="reflect")[0].long()
    high, wide = padded.shape[0] // tiles, padded.shape[1] // tiles
    values = padded.view(tiles, high, tiles, wide).transpose(1, 2).flatten(2)
    counts = torch.zeros(tiles, tiles, 256, dtype=torch.long, device=pixels.device)
    counts.scatter_add_(2, values, torch.ones_like(values))
    limit = max(1, int(clip * high * wide / 256))
    excess = (counts - limit).clamp(min=0).sum(2, keepdim=True)
    left = excess % 256
    gray = torch.arange(256, device=pixels.device)
    step = 256 // left.clamp(min=1)
    counts = counts.clamp(max=limit) + excess // 256 + ((gray % step == 0) & (gray // step < left))
    curves = (counts.cumsum(2) * (255 / (high * wide))).round().clamp(0, 255)
    (y0, y1, fy), (x0, x1, fx) = (
        _between(n, size, tiles, pixels.device) for n, size in ((height, high), (width, wide))
    )
    gray = pixels.long()
    upper, lower = (curves[y[:, None], x0, gray] * (1 - fx) + curves[y[:, None], x1, gray] * fx for y in (y0, y1))
    return (upper * (1 - fy[:, None]) + lower * fy[:, None]).round().byte()


def _between(count: int, size: int, tiles: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """The two tiles whose middles a pixel lies between, and its share of the second."""
    place = torch.arange(count, device=device) / size - 0.5
    low = place.floor().long()
    return low.clamp(min=0), (low + 1).clamp(max=tiles - 1), place - low


_QUANTA = (
    (16, 11, 10, 16, 24, 40, 51, 61), (12, 12, 14, 19, 26, 58, 60, 55), (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62), (18, 22, 37, 56, 68, 109, 103, 77), (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101), (72, 92, 95, 98, 112, 100, 103, 99),
)  # fmt: skip
"""Luminance at quality 50: ISO/IEC 10918-1, table K.1."""


def jpeg(pixels: Tensor, quality: int) -> Tensor:
    """(h, w) uint8 as a JPEG of this quality (libjpeg's scale, 1 to 100) keeps them."""
    height, width = pixels.shape
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    quanta = ((torch.tensor(_QUANTA, device=pixels.device) * scale + 50) // 100).clamp(1, 255)
    k = torch.arange(8, device=pixels.device)
    cosine = torch.cos((2 * k + 1) * k[:, None] * (math.pi / 16)) / 2
    cosine[0] /= math.sqrt(2)
    padded = functional.pad(pixels[None].float() - 128, (0, -width % 8, 0, -height % 8), mode="replicate")[0]
    rows, columns = padded.shape
    blocks = padded.view(rows // 8, 8, columns // 8, 8).transpose(1, 2)
    kept = (cosine @ blocks @ cosine.T / quanta).round() * quanta
    back = (cosine.T @ kept @ cosine).transpose(1, 2).reshape(rows, columns)
    return (back[:height, :width] + 128).round().clamp(0, 255).byte()
