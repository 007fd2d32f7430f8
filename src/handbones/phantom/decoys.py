"""Pictures that show no hand: other bodies, blank exposures, text, patterns. A model learns to claim nothing there."""

import string

import cv2
import numpy as np
from numpy.typing import NDArray

from handbones.phantom.exposure import draw_exposure, draw_finish, draw_grain
from handbones.phantom.film import expose, finish, noise, smooth_field
from handbones.phantom.frame import add_frame, draw_bars
from handbones.phantom.settings import PhantomSettings

Rng = np.random.Generator
Image = NDArray[np.float32]


def draw_decoy(rng: Rng, settings: PhantomSettings, height: int, width: int) -> NDArray[np.uint8]:
    """A (height, width) uint8 picture without any of the 29 bones."""
    kinds = (_body, _body, _blank, _page, _pattern, _shapes)
    grey = kinds[int(rng.integers(len(kinds)))](rng, settings, height, width)
    add_frame(rng, grey, settings.frame, str(rng.choice(["left", "right"])), draw_bars(rng, settings.frame))
    return finish(grey, draw_finish(rng, settings.film, height, width))


def _body(rng: Rng, settings: PhantomSettings, height: int, width: int) -> Image:
    """Something like another part of the body: shafts, ribs, vertebrae, a skull, in soft tissue."""
    bone, tissue = np.zeros((height, width), np.float32), np.zeros((height, width), np.float32)
    scale = min(height, width)
    for _ in range(int(rng.integers(1, 4))):
        part = (_shafts, _ribs, _blocks, _shell)[int(rng.integers(4))]
        part(rng, bone, tissue, scale)
    bone *= np.float32(rng.uniform(*settings.matter.spongiosa_per_mm) * 20.0)
    tissue = cv2.GaussianBlur(tissue, (0, 0), scale / 60.0) * np.float32(rng.uniform(0.2, 0.8))
    px_per_mm = scale / rng.uniform(150.0, 450.0)
    mottle = 1.0 + 0.15 * smooth_field(rng, height, width, 9)
    exposure = draw_exposure(rng, settings.matter, settings.film, px_per_mm, height, width)
    return expose(np.asarray(bone * mottle + tissue, np.float32), bone, tissue, exposure)


def _tube(image: Image, points: NDArray[np.float64], radius: float, value: float, hollow: float) -> None:
    """A rounded tube along a polyline: thick in the middle of its width, with a denser wall."""
    line = np.zeros(image.shape, np.uint8)
    cv2.polylines(line, [np.round(points).astype(np.int32)], False, 255, 1)
    distance = np.minimum(cv2.distanceTransform(255 - line, cv2.DIST_L2, 3), 1e4)
    outer = np.sqrt(np.maximum(1.0 - (distance / radius) ** 2, 0.0))
    inner = np.sqrt(np.maximum(1.0 - (distance / (radius * hollow)) ** 2, 0.0)) * hollow
    image += np.asarray(value * (outer - 0.6 * inner), np.float32)


def _shafts(rng: Rng, bone: Image, tissue: Image, scale: int) -> None:
    height, width = bone.shape
    angle = rng.uniform(0.0, np.pi)
    along = np.array([np.cos(angle), np.sin(angle)])
    centre = rng.uniform(0.2, 0.8, 2) * np.array([width, height])
    for k in range(int(rng.integers(1, 4))):
        middle = centre + np.array([-along[1], along[0]]) * scale * (0.14 * k + rng.normal(0.0, 0.02))
        half = scale * rng.uniform(0.15, 0.8)
        t = np.linspace(-1.0, 1.0, 12)[:, None]
        points = (
            middle + t * half * along + np.array([-along[1], along[0]]) * (1 - t * t) * scale * rng.normal(0.0, 0.03)
        )
        radius = scale * rng.uniform(0.015, 0.09)
        _tube(bone, points, radius, rng.uniform(0.8, 1.6), rng.uniform(0.5, 0.85))
        for end in (points[0], points[-1]):
            _tube(bone, end + rng.normal(0.0, radius * 0.4, (3, 2)), radius * rng.uniform(1.0, 1.7), 0.6, 0.8)
        cv2.polylines(tissue, [points.astype(np.int32)], False, 1.0, max(1, int(radius * rng.uniform(3, 6))))


def _ribs(rng: Rng, bone: Image, tissue: Image, scale: int) -> None:
    height, width = bone.shape
    centre = np.array([width, height]) * rng.uniform(0.3, 0.7, 2)
    step, radius = scale * rng.uniform(0.05, 0.1), scale * rng.uniform(0.008, 0.02)
    for k in range(int(rng.integers(4, 10))):
        t = np.linspace(0.0, np.pi * rng.uniform(0.5, 0.9), 16)
        for side in (-1.0, 1.0):
            x = centre[0] + side * scale * 0.3 * np.sin(t)
            y = centre[1] + (k - 4) * step + scale * 0.12 * (1 - np.cos(t))
            _tube(bone, np.stack([x, y], 1), radius, 0.5, 0.6)
    cv2.ellipse(tissue, (int(centre[0]), int(centre[1])), (int(scale * 0.35), int(scale * 0.45)), 0, 0, 360, 1.0, -1)


def _blocks(rng: Rng, bone: Image, tissue: Image, scale: int) -> None:
    height, width = bone.shape
    x, size = width * rng.uniform(0.2, 0.8), scale * rng.uniform(0.05, 0.12)
    for k in range(int(rng.integers(3, 9))):
        box = cv2.boxPoints(
            ((x + rng.normal(0, 2), (k + 0.7) * size * 1.25), (size * 1.3, size), float(rng.normal(0, 5)))
        )
        filled = np.zeros(bone.shape, np.float32)
        cv2.fillPoly(filled, [box.astype(np.int32)], 1.0)
        cv2.polylines(filled, [box.astype(np.int32)], True, 1.8, max(1, scale // 150))
        bone += cv2.GaussianBlur(filled, (0, 0), max(0.6, scale / 300.0)) * np.float32(rng.uniform(0.6, 1.0))
    cv2.line(tissue, (int(x), 0), (int(x), height), 1.0, int(scale * rng.uniform(0.2, 0.6)))


def _shell(rng: Rng, bone: Image, tissue: Image, scale: int) -> None:
    """A round vault, such as a skull or a pelvis."""
    height, width = bone.shape
    centre = (int(width * rng.uniform(0.3, 0.7)), int(height * rng.uniform(0.3, 0.7)))
    axes = (int(scale * rng.uniform(0.15, 0.45)), int(scale * rng.uniform(0.15, 0.45)))
    ring = np.zeros(bone.shape, np.float32)
    cv2.ellipse(
        ring, centre, axes, float(rng.uniform(0, 180)), 0, float(rng.uniform(150, 360)), 1.0, max(1, scale // 40)
    )
    bone += cv2.GaussianBlur(ring, (0, 0), scale / 200.0)
    cv2.ellipse(bone, centre, axes, 0, 0, 360, 0.4, -1)
    cv2.ellipse(tissue, centre, (axes[0] + scale // 20, axes[1] + scale // 20), 0, 0, 360, 1.0, -1)


def _blank(rng: Rng, settings: PhantomSettings, height: int, width: int) -> Image:
    """An exposure of nothing: light fall-off and noise."""
    ramp = smooth_field(rng, height, width, int(rng.integers(2, 5)))
    return np.asarray(
        rng.uniform(0.0, 0.9) + rng.uniform(0, 0.3) * ramp + rng.uniform(0, 0.3) * noise(draw_grain(rng), height, width)
    )


def _page(rng: Rng, settings: PhantomSettings, height: int, width: int) -> Image:
    """A page of text, dark on light or light on dark."""
    page = np.zeros((height, width), np.uint8)
    letters = list(string.ascii_letters + string.digits + "   ")
    size = rng.uniform(0.3, 1.2) * height / 512.0
    for y in range(int(20 * size), height, int(34 * size) + 4):
        text = "".join(rng.choice(letters, int(rng.integers(5, 60))))
        cv2.putText(
            page, text, (int(rng.uniform(0, 0.1) * width), y), cv2.FONT_HERSHEY_SIMPLEX, size, 255, 1, cv2.LINE_AA
        )
    grey = page.astype(np.float32) / 255.0
    return np.asarray(1.0 - 0.9 * grey if rng.random() < 0.5 else 0.9 * grey + 0.05, np.float32)


def _pattern(rng: Rng, settings: PhantomSettings, height: int, width: int) -> Image:
    """Noise of any grain, stripes, checks."""
    kind = rng.random()
    if kind < 0.5:
        field = smooth_field(rng, height, width, int(rng.integers(3, 120)))
        return np.asarray(0.5 + rng.uniform(0.1, 0.5) * field, np.float32)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    f, g = rng.uniform(0.01, 0.5, 2) * (512.0 / height)
    wave = np.sin(x * f + rng.uniform(0, 6)) * (np.sin(y * g) if kind < 0.75 else 1.0)
    return np.asarray(0.5 + rng.uniform(0.1, 0.5) * (np.sign(wave) if rng.random() < 0.5 else wave), np.float32)


def _shapes(rng: Rng, settings: PhantomSettings, height: int, width: int) -> Image:
    """Polygons and discs over one another, as in any photograph."""
    grey = np.full((height, width), rng.uniform(0.0, 1.0), np.float32)
    for _ in range(int(rng.integers(3, 40))):
        shade = float(rng.uniform(0.0, 1.0))
        if rng.random() < 0.5:
            points = rng.uniform(-0.2, 1.2, 2) + rng.normal(0.0, 0.2, (int(rng.integers(3, 8)), 2))
            cv2.fillPoly(grey, [(points * [width, height]).astype(np.int32)], shade)
        else:
            centre = (int(rng.integers(width)), int(rng.integers(height)))
            cv2.circle(grey, centre, int(rng.uniform(0.01, 0.3) * width) + 1, shade, -1)
    smooth = cv2.GaussianBlur(grey, (0, 0), float(rng.uniform(0.5, 3.0)))
    return smooth + np.float32(0.02) * noise(draw_grain(rng), height, width)
