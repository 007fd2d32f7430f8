"""Foreign objects in the beam: rings, nails, plates, wires, lines, casts. They add to the line integral."""

import cv2
import numpy as np
from numpy.typing import NDArray

from handbones.anatomy import ANATOMY, INDEX
from handbones.phantom.film import smooth_field
from handbones.phantom.mesh import template
from handbones.phantom.projection import Body, Camera
from handbones.phantom.settings import Things
from handbones.phantom.tissue import tissue_thickness

Rng = np.random.Generator
Image = NDArray[np.float32]
Points = NDArray[np.float64]

_DIGITS = {2: "finger-6", 3: "finger-10", 4: "finger-14", 5: "finger-18"}


class Layers:
    """What foreign objects do to a line integral: `under` is added, `cover` drowns what is less, `over` is added.

    Each is (h, w), or None where there is nothing of the kind.
    """

    def __init__(self, height: int, width: int) -> None:
        self.shape = height, width
        self.nails = False
        """Whether nails show."""
        self.under: Image | None = None
        self.cover: Image | None = None
        self.over: Image | None = None

    def add(self, drawn: Image) -> None:
        if self.cover is None:
            self.under = drawn if self.under is None else self.under + drawn
        else:
            self.over = drawn if self.over is None else self.over + drawn

    def lay(self, drawn: Image) -> None:
        """Opaque: the larger of both remains."""
        self.cover = drawn if self.cover is None else np.maximum(self.cover, drawn)

    @property
    def planes(self) -> tuple[Image | None, Image | None, Image | None]:
        return self.under, self.cover, self.over

    def put_on(self, line: Image) -> None:
        """In place."""
        if self.under is not None:
            line += self.under
        if self.cover is not None:
            np.maximum(line, self.cover, out=line)
        if self.over is not None:
            line += self.over


def draw_things(rng: Rng, field: Image, body: Body, camera: Camera, things: Things) -> Layers:
    """What this picture shows; `field` as `tissue_field` gives it."""
    line = Layers(camera.height, camera.width)
    line.nails = bool(rng.random() < things.nails)
    if line.nails:
        _nails(rng, line, body, camera)
    if rng.random() < things.ring:
        _ring(rng, line, body, camera)
    if rng.random() < things.plate:
        _plate(rng, line, body, camera)
    if rng.random() < things.wire:
        _wire(rng, line, body, camera)
    if rng.random() < things.line:
        _cable(rng, line)
    if rng.random() < things.cast:
        _cast(rng, line, tissue_thickness(field, camera.height, camera.width), camera)
    if rng.random() < things.distractor:
        _distractor(rng, line)
    return line


def _on_bone(body: Body, camera: Camera, label: str, s: float, lateral_mm: float = 0.0) -> Points:
    """Pixel of a place on a bone: s from 0 (proximal) to 1 (distal), and mm to its side."""
    t, b = template(), INDEX[label]
    local = np.array([lateral_mm, (t.low[b] + s * (t.high[b] - t.low[b])) * body.person.scale[b, 1], 0.0])
    point = body.placement.at[b] + body.placement.axes[b] @ local
    return np.asarray(camera.project(point[None], body.detector_z)[0, :2])


def _stroke(line: Layers, points: Points, width_px: float, value: float, *, opaque: bool = False) -> None:
    """Draw an anti-aliased polyline of `value`; opaque keeps the larger of both instead of adding."""
    drawn = np.zeros(line.shape, np.float32)
    reach = 0.5 * max(1.0, width_px) + 8.0
    x0, y0 = np.clip(points.min(0) - reach, 0, None).astype(int)
    x1, y1 = np.clip(points.max(0) + reach, 0, None).astype(int)
    box = drawn[y0:y1, x0:x1]  # blurring the rest would take most of the time
    if box.size:
        shifted = np.round(np.asarray(points) * 16.0).astype(np.int32) - 16 * np.array([x0, y0], np.int32)
        cv2.polylines(box, [shifted], False, float(value), max(1, round(width_px)), cv2.LINE_8, 4)
        box[:] = cv2.GaussianBlur(box, (0, 0), 0.6)
    (line.lay if opaque else line.add)(drawn)


def _nails(rng: Rng, line: Layers, body: Body, camera: Camera) -> None:
    """A faint plate over each distal phalanx; long nails and varnish show more."""
    value = rng.uniform(0.01, 0.12)
    over = rng.uniform(0.9, 1.5)
    for label in ("finger-1", "finger-4", "finger-8", "finger-12", "finger-16"):
        a, b = _on_bone(body, camera, label, 0.55), _on_bone(body, camera, label, over)
        _stroke(line, np.stack([a, b]), rng.uniform(7.0, 10.0) * camera.px_per_mm, value)


def _ring(rng: Rng, line: Layers, body: Body, camera: Camera) -> None:
    label = _DIGITS[int(rng.choice([2, 3, 4, 4, 4, 5]))]
    s, half = rng.uniform(0.2, 0.6), rng.uniform(8.0, 10.5)
    bow = rng.uniform(-0.06, 0.06)
    across = [-1.0, -0.6, 0.0, 0.6, 1.0]
    points = np.stack([_on_bone(body, camera, label, s + bow * (1 - a * a), half * a) for a in across])
    _stroke(line, points, rng.uniform(1.5, 5.0) * camera.px_per_mm, rng.uniform(0.6, 4.0), opaque=True)


def _plate(rng: Rng, line: Layers, body: Body, camera: Camera) -> None:
    bone = str(rng.choice(["Radius", "Ulna", "finger-7", "finger-11", "finger-15", "finger-19", "finger-3"]))
    start = rng.uniform(0.1, 0.4) if bone.startswith("finger") else rng.uniform(0.7, 0.85)
    stop = min(start + rng.uniform(0.1, 0.5), 0.97)
    points = np.stack([_on_bone(body, camera, bone, s) for s in np.linspace(start, stop, 5)])
    width = rng.uniform(4.0, 9.0) * camera.px_per_mm
    _stroke(line, points, width, rng.uniform(0.6, 2.5), opaque=True)
    for s in np.linspace(start, stop, int(rng.integers(3, 7))):
        ends = np.stack([_on_bone(body, camera, bone, s, -6.0), _on_bone(body, camera, bone, s, 6.0)])
        _stroke(line, ends, 2.2 * camera.px_per_mm, rng.uniform(0.8, 2.5), opaque=True)


def _wire(rng: Rng, line: Layers, body: Body, camera: Camera) -> None:
    for _ in range(int(rng.integers(1, 4))):
        label = ANATOMY[int(rng.integers(0, 29))].label
        middle = _on_bone(body, camera, label, 0.5)
        angle, half = rng.uniform(0.0, np.pi), rng.uniform(15.0, 45.0) * camera.px_per_mm
        step = half * np.array([np.cos(angle), np.sin(angle)])
        _stroke(
            line, np.stack([middle - step, middle + step]), 1.4 * camera.px_per_mm, rng.uniform(1.0, 3.0), opaque=True
        )


def _cable(rng: Rng, line: Layers) -> None:
    """A cannula, a tube or a cable across the picture."""
    height, width = line.shape
    t = np.linspace(0.0, 1.0, 24)[:, None]
    p = rng.uniform(-0.1, 1.1, (4, 2)) * np.array([width, height])
    curve = (1 - t) ** 3 * p[0] + 3 * t * (1 - t) ** 2 * p[1] + 3 * t * t * (1 - t) * p[2] + t**3 * p[3]
    _stroke(line, curve, rng.uniform(1.0, 8.0) * width / 512.0, rng.uniform(0.05, 0.8))


def _cast(rng: Rng, line: Layers, tissue: Image, camera: Camera) -> None:
    """A shell of plaster around a part of the body: its thickness and weave."""
    height, width = line.shape
    grown = cv2.dilate(
        (tissue > 0).astype(np.uint8), np.ones((3, 3), np.uint8), iterations=int(2 + 3 * camera.px_per_mm)
    )
    shell = cv2.GaussianBlur(grown.astype(np.float32), (0, 0), 2.0)
    where = (smooth_field(rng, height, width, 3) > rng.uniform(-1.0, 0.5)).astype(np.float32)
    where = np.asarray(cv2.GaussianBlur(where, (0, 0), width / 60.0), np.float32)
    weave = 1.0 + 0.25 * smooth_field(rng, height, width, int(rng.integers(20, 60)))
    line.add(np.float32(rng.uniform(0.05, 0.35)) * shell * where * weave)


def _distractor(rng: Rng, line: Layers) -> None:
    """Bright shapes anywhere: clips, pads, another object on the cassette."""
    height, width = line.shape
    shape = np.zeros((height, width), np.float32)
    for _ in range(int(rng.integers(1, 5))):
        centre = (int(rng.integers(width)), int(rng.integers(height)))
        axes = (int(rng.uniform(0.005, 0.09) * width) + 1, int(rng.uniform(0.005, 0.05) * width) + 1)
        value = float(rng.uniform(0.1, 2.0))
        kind = rng.random()
        if kind < 0.5:
            fill = -1 if rng.random() < 0.6 else 1
            cv2.ellipse(shape, centre, axes, float(rng.uniform(0, 180)), 0, 360, value, fill, cv2.LINE_AA)
        else:
            box = cv2.boxPoints((centre, axes, float(rng.uniform(0, 90)))).astype(np.int32)
            cv2.fillPoly(shape, [box], value)
    line.add(np.asarray(cv2.GaussianBlur(shape, (0, 0), 0.7), np.float32))
