"""Soft tissue: a body of rounded cones around the skeleton, melted into each other."""

from dataclasses import dataclass

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

from handbones.anatomy import ANATOMY, INDEX
from handbones.phantom.mesh import template
from handbones.phantom.projection import Body, Camera

Floats = NDArray[np.float64]
Rng = np.random.Generator

# Radius of the soft tissue around finger bones at their two ends, mm (proximal, distal), by segment.
_RADII = {"distal": (7.6, 6.3), "middle": (8.6, 7.8), "proximal": (10.6, 8.8), "metacarpal": (13.0, 11.5)}
_THUMB_RADII = {"distal": (9.6, 8.0), "proximal": (11.5, 9.8), "metacarpal": (15.5, 12.5)}
_DIGIT_FACTOR = {1: 1.0, 2: 1.0, 3: 1.02, 4: 0.98, 5: 0.86}
FLATNESS = 0.85
"""Thickness over width of a finger that is pressed on the detector."""


@dataclass(frozen=True)
class _Cones:
    """Rows x0, y0, r0, x1, y1, r1 in mm on the detector, and the thickness over width of each."""

    ends: Floats
    flat: Floats


COARSE = 4
"""Pixels a side of a cell of the coarse grid."""


def tissue_field(rng: Rng, body: Body, camera: Camera) -> NDArray[np.float32]:
    """The squared half thickness of the soft-tissue body, mm^2, on a coarse grid with a cell of margin all around."""
    cones = _cones(rng, body)
    h, w = -(-camera.height // COARSE) + 2, -(-camera.width // COARSE) + 2
    # Coarse cell (i, j) has its centre at pixel (COARSE * (j - 0.5) - 0.5): one cell of margin all around.
    to_px = camera.matrix
    inverse = np.linalg.inv(to_px[:, :2])
    field = np.full((h, w), -400.0, np.float32)
    origin = inverse @ (np.array([-0.5 * COARSE - 0.5, -0.5 * COARSE - 0.5]) - to_px[:, 2])
    _field(cones.ends, cones.flat, origin, inverse * COARSE, 30.0, field)
    return field


def tissue_thickness(field: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """Thickness of the soft-tissue body along each ray, mm, (h, w) float32.

    The root is taken after the smooth field has been brought to the picture, which keeps the skin line sharp.
    """
    matrix = np.array([[1.0 / COARSE, 0.0, 0.5 + 0.5 / COARSE], [0.0, 1.0 / COARSE, 0.5 + 0.5 / COARSE]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    fine = cv2.warpAffine(field, matrix, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(2.0 * np.sqrt(np.maximum(fine, 0.0)), np.float32)


def _cones(rng: Rng, body: Body) -> _Cones:
    t = template()
    fat = body.person.fat
    size = float(np.exp(np.mean(np.log(body.person.scale[:, 1])))) * np.sqrt(fat)
    ends, flat = [], []

    def add(a: Floats, ra: float, b: Floats, rb: float, flatness: float) -> None:
        ends.append((a[0], a[1], ra * size, b[0], b[1], rb * size))
        flat.append(flatness)

    def point(label: str, s: float) -> Floats:
        """A place on a bone's axis, 0 at its proximal and 1 at its distal end."""
        b = INDEX[label]
        low, high = t.low[b], t.high[b]
        local = np.array([0.0, (low + s * (high - low)) * body.person.scale[b, 1], 0.0])
        return np.asarray(body.placement.at[b] + body.placement.axes[b] @ local)

    for bone in ANATOMY:
        if bone.digit is None:
            continue
        proximal, distal = (_THUMB_RADII if bone.digit == 1 else _RADII)[bone.segment]
        f = _DIGIT_FACTOR[bone.digit] * np.exp(rng.normal(0.0, 0.03))
        tip = 1.06 if bone.segment == "distal" else 1.0
        flatness = 1.05 if bone.segment == "metacarpal" else FLATNESS
        add(point(bone.label, 0.0), proximal * f, point(bone.label, tip), distal * f, flatness)
    # The palm between the metacarpals, the web and the muscles between thumb and index finger, and the thenar.
    web = rng.uniform(8.0, 12.0)
    for a, b in (("finger-7", "finger-11"), ("finger-11", "finger-15"), ("finger-15", "finger-19")):
        add(point(a, 0.85), web, point(b, 0.85), web, 1.2)
        for s in (0.15, 0.4, 0.65):
            add(point(a, s), 13.0, point(b, s), 13.0, 1.0)
    for s in (0.1, 0.3, 0.5):
        add(point("finger-3", s), 14.0, point("finger-7", 0.8 * s), 14.0, 1.0)
    fold = rng.uniform(0.6, 0.9)
    add(point("finger-3", fold), rng.uniform(6.0, 11.0), point("finger-7", 0.75 * fold), rng.uniform(8.0, 12.0), 0.9)
    add(point("Trapezium", 0.5), 15.0, point("finger-11", 0.3), 13.0, 1.1)
    add(point("Lunate", 0.5), 17.0, point("Hamate", 0.5), 17.0, 1.05)
    wrist = (point("Scaphoid", 0.3) + point("Triquetrum", 0.3)) / 2.0
    add(wrist, rng.uniform(21.0, 25.0), (point("finger-7", 0.0) + point("finger-19", 0.0)) / 2.0, 22.0, 0.85)
    elbow = (point("Radius", 0.2) + point("Ulna", 0.2)) / 2.0
    near = (point("Radius", 0.97) + point("Ulna", 0.97)) / 2.0
    add(near, rng.uniform(22.0, 26.0), elbow, rng.uniform(30.0, 38.0), rng.uniform(0.75, 0.95))
    return _Cones(np.array(ends), np.array(flat))


@njit(cache=True, nogil=True, fastmath=True)
def _field(ends, flat, origin, step, melt, field):  # type: ignore[no-untyped-def]
    """Smooth maximum over cones of (radius^2 - distance^2) * flatness^2, in mm^2; `melt` rounds the seams, mm^2."""
    height, width = field.shape
    det = abs(step[0, 0] * step[1, 1] - step[0, 1] * step[1, 0])
    cell = np.sqrt(det)
    inverse00, inverse01 = step[1, 1], -step[0, 1]
    inverse10, inverse11 = -step[1, 0], step[0, 0]
    signed = step[0, 0] * step[1, 1] - step[0, 1] * step[1, 0]
    for c in range(ends.shape[0]):
        x0, y0, r0, x1, y1, r1 = ends[c]
        dx, dy = x1 - x0, y1 - y0
        size2 = dx * dx + dy * dy + 1e-9
        reach = max(r0, r1) + 8.0
        # The cone's box in cells.
        u0 = (inverse00 * (x0 - origin[0]) + inverse01 * (y0 - origin[1])) / signed
        v0 = (inverse10 * (x0 - origin[0]) + inverse11 * (y0 - origin[1])) / signed
        u1 = (inverse00 * (x1 - origin[0]) + inverse01 * (y1 - origin[1])) / signed
        v1 = (inverse10 * (x1 - origin[0]) + inverse11 * (y1 - origin[1])) / signed
        left = max(0, int(min(u0, u1) - reach / cell))
        right = min(width, int(max(u0, u1) + reach / cell) + 2)
        top = max(0, int(min(v0, v1) - reach / cell))
        bottom = min(height, int(max(v0, v1) + reach / cell) + 2)
        for i in range(top, bottom):
            for j in range(left, right):
                px = origin[0] + step[0, 0] * j + step[0, 1] * i - x0
                py = origin[1] + step[1, 0] * j + step[1, 1] * i - y0
                s = min(max((px * dx + py * dy) / size2, 0.0), 1.0)
                ex, ey = px - s * dx, py - s * dy
                r = r0 + s * (r1 - r0)
                value = (r * r - ex * ex - ey * ey) * flat[c] * flat[c]
                old = field[i, j]
                # Polynomial smooth maximum (Quilez).
                h = max(melt - abs(value - old), 0.0) / melt
                field[i, j] = max(value, old) + h * h * melt * 0.25
