"""From bones in space to what the beam sees: line integrals of bone on a pixel grid, and the 29 masks.

Distances are mm, attenuation is per mm; the line integral of a pixel is the sum of both along its ray.
"""

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

from handbones.anatomy import ANATOMY, BONES, INDEX
from handbones.phantom.mesh import place, shape, template
from handbones.phantom.person import Person
from handbones.phantom.pose import Placement
from handbones.phantom.raster import silhouette, thickness
from handbones.phantom.settings import Matter
from handbones.phantom.texture import TILE, TILE_MM, tiles

Floats = NDArray[np.float64]
Image = NDArray[np.float32]
Rng = np.random.Generator

SHARP_PX_PER_MM = 4.5
"""From this scale on a pixel is smaller than what the beam resolves, and needs no finer sampling."""


@dataclass(frozen=True)
class Camera:
    """The beam and the picture: a point at height h over the detector is magnified by source / (source - h)."""

    source_mm: float
    beam: tuple[float, float]
    """Where the central ray meets the detector, mm in the hand's x, y."""
    matrix: Floats
    """(2, 3) mm on the detector to pixel centres."""
    height: int
    width: int

    @property
    def px_per_mm(self) -> float:
        return float(np.sqrt(abs(self._det)))

    @property
    def supersample(self) -> int:
        """Rays a pixel's side that bone is sampled with."""
        return 1 if self.px_per_mm > SHARP_PX_PER_MM else 2

    @property
    def mirror(self) -> float:
        """-1 where the picture shows a left hand, that is, the modelled right hand mirrored; else 1."""
        return 1.0 if self._det > 0 else -1.0

    @property
    def _det(self) -> float:
        m = self.matrix
        return float(m[0, 0] * m[1, 1] - m[0, 1] * m[1, 0])

    def project(self, points: Floats, detector_z: float) -> Image:
        """(n, 3) mm to (n, 3) float32: pixel x, pixel y, depth in mm."""
        out = np.empty(points.shape, np.float32)
        _project(points, self.matrix, self.source_mm, self.beam, detector_z, out)
        return out

    def mirrored(self) -> "Camera":
        """The same picture flipped left to right."""
        flipped = self.matrix.copy()
        flipped[0] = -flipped[0]
        flipped[0, 2] += self.width - 1
        return Camera(self.source_mm, self.beam, flipped, self.height, self.width)

    def finer(self, factor: int) -> "Camera":
        """The same picture with `factor` times as many pixels a side."""
        finer = self.matrix * float(factor)
        finer[:, 2] += (factor - 1.0) / 2.0
        return Camera(self.source_mm, self.beam, finer, self.height * factor, self.width * factor)


@njit(cache=True, nogil=True, fastmath=True)
def _project(points, matrix, source, beam, detector_z, out):  # type: ignore[no-untyped-def]
    for i in range(points.shape[0]):
        m = source / (source - (detector_z - points[i, 2]))
        x = beam[0] + (points[i, 0] - beam[0]) * m
        y = beam[1] + (points[i, 1] - beam[1]) * m
        out[i, 0] = matrix[0, 0] * x + matrix[0, 1] * y + matrix[0, 2]
        out[i, 1] = matrix[1, 0] * x + matrix[1, 1] * y + matrix[1, 2]
        out[i, 2] = points[i, 2]


@dataclass(frozen=True)
class Body:
    """The bones of a hand, shaped and posed: outer and marrow surface, mm."""

    outer: Floats
    inner: Floats
    placement: Placement
    person: Person

    @property
    def detector_z(self) -> float:
        """Height of the detector: the palm's soft tissue lies on it."""
        return float(self.outer[: template().start[INDEX["Radius"]], 2].max()) + 8.0


def build_body(person: Person, placement: Placement) -> Body:
    t = template()
    outer, inner = shape(person)
    placed_outer, placed_inner = np.empty_like(outer), np.empty_like(inner)
    place(outer, t.start, placement.axes, placement.at, placed_outer)
    place(inner, t.start, placement.axes, placement.at, placed_inner)
    return Body(placed_outer, placed_inner, placement, person)


def masks(body: Body, camera: Camera) -> NDArray[np.uint32]:
    """(h, w) packed masks: bit i where the centre of a pixel lies behind bone i."""
    t = template()
    points = camera.project(body.outer, body.detector_z)
    out = np.zeros((camera.height, camera.width), np.uint32)
    for b in range(len(BONES)):
        silhouette(points[t.start[b] : t.start[b + 1]], t.faces[b], camera.mirror, b, out)
    return out


class BoneMatter(NamedTuple):
    """What the bones of a hand are made of."""

    matters: Image
    """(29, 3): attenuation of cortex and of spongiosa per mm, share of it that is missing at mid-shaft."""
    texture: Image
    """(2,): contrast of the trabeculae, and the share of them that runs along the bone."""
    offsets: NDArray[np.int64]
    """(29, 4): where each bone lies in the two textures."""


def draw_bone_matter(rng: Rng, person: Person, matter: Matter) -> BoneMatter:
    spongiosa = rng.uniform(*matter.spongiosa_per_mm)
    cortex = spongiosa * rng.uniform(*matter.cortex_factor)
    texture = np.array([rng.uniform(*matter.trabeculae), rng.uniform(*matter.streaks)], np.float32)
    hollow = np.where(template().shaft, rng.uniform(*matter.hollow), 0.0)
    matters = np.stack([cortex * person.density, spongiosa * person.density, hollow], 1).astype(np.float32)
    return BoneMatter(matters, texture, rng.integers(0, TILE, (len(BONES), 4)))


def bone_integral(body: Body, camera: Camera, matter: BoneMatter) -> tuple[Image, Image]:
    """Line integral of all bone and its thickness in mm, both (h, w) float32, averaged over each pixel's area."""
    t = template()
    supersample = camera.supersample
    fine = camera.finer(supersample)
    outer = fine.project(body.outer, body.detector_z)
    inner = fine.project(body.inner, body.detector_z)
    both = np.zeros((2, fine.height, fine.width), np.float32)
    matters, texture, offsets = matter
    grids = bone_grids(body, fine)
    for b in range(len(BONES)):
        rows = slice(t.start[b], t.start[b + 1])
        box = _box(outer[rows], fine)
        if box is None:
            continue
        x0, y0, x1, y1 = box
        surfaces = np.zeros((2, y1 - y0, x1 - x0), np.float32)
        thickness(outer[rows], t.faces[b], x0, y0, surfaces[0])
        thickness(inner[rows], t.faces[b], x0, y0, surfaces[1])
        _compose(surfaces, np.float32(camera.mirror), matters[b], grids[b], texture, offsets[b], tiles(), x0, y0, both)
    if supersample > 1:
        size = (camera.width, camera.height)
        both = np.stack([cv2.resize(image, size, interpolation=cv2.INTER_AREA) for image in both])
    return both[0], both[1]


def _box(points: Image, camera: Camera) -> tuple[int, int, int, int] | None:
    low, high = _bounds(points)
    x0, y0 = max(0, int(low[0]) - 1), max(0, int(low[1]) - 1)
    x1, y1 = min(camera.width, int(high[0]) + 2), min(camera.height, int(high[1]) + 2)
    return (x0, y0, x1, y1) if x1 > x0 and y1 > y0 else None


@njit(cache=True, nogil=True)
def _bounds(points):  # type: ignore[no-untyped-def]
    x0 = x1 = points[0, 0]
    y0 = y1 = points[0, 1]
    for i in range(1, points.shape[0]):
        x0, x1 = min(x0, points[i, 0]), max(x1, points[i, 0])
        y0, y1 = min(y0, points[i, 1]), max(y1, points[i, 1])
    return (x0, y0), (x1, y1)


FOREARM_END_MM = 90.0
"""Distance from the wrist over which the place along radius and ulna runs from 1 to 0."""


def bone_grids(body: Body, camera: Camera) -> Image:
    """(29, 3, 3) affine maps of pixels to (across mm, along mm, place along the bone 0 to 1) of each bone."""
    t = template()
    m, scale = camera.matrix[:, :2], camera.px_per_mm
    axis = body.placement.axes[:, :2, 1] @ m.T
    size = np.maximum(np.hypot(axis[:, 0], axis[:, 1]), 1e-6)
    long = axis / size[:, None]
    # Never let a bone seen end-on stretch its texture without bound.
    foreshortening = np.maximum(size / scale, 0.3)
    pivot = camera.project(body.placement.at, body.detector_z)[:, :2]
    grids = np.zeros((29, 3, 3))
    grids[:, 0, :2] = np.stack([-long[:, 1], long[:, 0]], 1) / scale
    grids[:, 1, :2] = long / (scale * foreshortening)[:, None]
    grids[:, :2, 2] = -np.einsum("bij,bj->bi", grids[:, :2, :2], pivot)
    length = t.length * body.person.scale[:, 1]
    low = t.low * body.person.scale[:, 1]
    grids[:, 2] = grids[:, 1] / length[:, None]
    grids[:, 2, 2] -= low / length
    for bone in ANATOMY:
        if bone.group == "forearm":
            grids[bone.index, 2] = grids[bone.index, 1] / FOREARM_END_MM
            grids[bone.index, 2, 2] += 1.0
    return grids.astype(np.float32)


@njit(cache=True, nogil=True, fastmath=True)
def _compose(surfaces, sign, matter, grid, texture, offsets, tiles, x0, y0, both):  # type: ignore[no-untyped-def]
    """Add a bone's attenuation and thickness from its two surfaces, (2, h, w) mm, to `both` at (y0, x0)."""
    cell = np.float32(1.0 / TILE_MM)
    zero, one, two = np.float32(0.0), np.float32(1.0), np.float32(2.0)
    cortex, spongiosa, hollow = matter[0], matter[1], matter[2]
    contrast, streaks = texture[0], texture[1]
    for row in range(surfaces.shape[1]):
        y = np.float32(row + y0)
        for column in range(surfaces.shape[2]):
            outer = sign * surfaces[0, row, column]
            if outer <= zero:
                continue
            inner = min(max(sign * surfaces[1, row, column], zero), outer)
            x = np.float32(column + x0)
            across = grid[0, 0] * x + grid[0, 1] * y + grid[0, 2]
            along = grid[1, 0] * x + grid[1, 1] * y + grid[1, 2]
            s = grid[2, 0] * x + grid[2, 1] * y + grid[2, 2]
            # The marrow cavity: spongiosa thins out towards the middle of a shaft.
            middle = one - abs(two * min(max(s, zero), one) - one)
            open_ = min(max(np.float32(2.2) * middle - np.float32(0.5), zero), one)
            sponge = one - hollow * open_
            u, v = int(across * cell) + 8192, int(along * cell) + 8192
            a = tiles[0, (u + offsets[0]) & (TILE - 1), (v + offsets[1]) & (TILE - 1)]
            c = tiles[1, (u + offsets[2]) & (TILE - 1), (v + offsets[3]) & (TILE - 1)]
            mesh = max(one + contrast * sponge * (streaks * a + (one - streaks) * c), np.float32(0.1))
            both[0, row + y0, column + x0] += cortex * (outer - inner) + spongiosa * sponge * inner * mesh
            both[1, row + y0, column + x0] += outer
