"""From bones in space to what the beam sees: line integrals of bone on a pixel grid, and the 29 masks.

Distances are mm, attenuation is per mm; the line integral of a pixel is the sum of both along its ray.
"""

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

from handbones.anatomy import BONES, INDEX
from handbones.phantom.mesh import Template, place, shape, template
from handbones.phantom.person import Person
from handbones.phantom.pose import Placement
from handbones.phantom.raster import silhouette, thickness
from handbones.phantom.settings import Matter

Floats = NDArray[np.float64]
Rng = np.random.Generator

TILE = 512
TILE_MM = 0.2
"""Size of a texture cell."""


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
        return float(np.sqrt(abs(np.linalg.det(self.matrix[:, :2]))))

    def project(self, points: Floats, detector_z: float) -> Floats:
        """(n, 3) mm to (n, 3): pixel x, pixel y, depth in mm."""
        m = self.source_mm / (self.source_mm - (detector_z - points[:, 2]))
        x = self.beam[0] + (points[:, 0] - self.beam[0]) * m
        y = self.beam[1] + (points[:, 1] - self.beam[1]) * m
        a = self.matrix
        return np.stack(
            [a[0, 0] * x + a[0, 1] * y + a[0, 2], a[1, 0] * x + a[1, 1] * y + a[1, 2], points[:, 2]], axis=1
        )

    def mirrored(self) -> "Camera":
        """The same picture flipped left to right."""
        flipped = self.matrix.copy()
        flipped[0] = -flipped[0]
        flipped[0, 2] += self.width - 1
        return Camera(self.source_mm, self.beam, flipped, self.height, self.width)

    def finer(self, factor: int) -> "Camera":
        """The same picture with `factor` times as many pixels a side."""
        f = float(factor)
        finer = self.matrix * f
        finer[:, 2] += (f - 1.0) / 2.0
        return Camera(self.source_mm, self.beam, finer, self.height * factor, self.width * factor)


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
        hand = slice(0, template().start[INDEX["Radius"]])
        return float(self.outer[hand, 2].max()) + 8.0


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
    points = camera.project(body.outer, body.detector_z).astype(np.float32)
    out = np.zeros((camera.height, camera.width), np.uint32)
    # A mirrored picture turns every face around.
    faces = t.faces if np.linalg.det(camera.matrix[:, :2]) > 0 else tuple(f[:, ::-1] for f in t.faces)
    for b in range(len(BONES)):
        silhouette(points[t.start[b] : t.start[b + 1]], faces[b], np.uint32(1 << b), out)
    return out


def bone_integral(
    rng: Rng, body: Body, camera: Camera, matter: Matter, supersample: int = 2
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Line integral of all bone and its thickness in mm, both (h, w) float32, averaged over each pixel's area."""
    t = template()
    fine = camera.finer(supersample)
    outer = fine.project(body.outer, body.detector_z).astype(np.float32)
    inner = fine.project(body.inner, body.detector_z).astype(np.float32)
    integral = np.zeros((fine.height, fine.width), np.float32)
    bulk = np.zeros_like(integral)
    spongiosa = rng.uniform(*matter.spongiosa_per_mm)
    cortex = spongiosa * rng.uniform(*matter.cortex_factor)
    hollow = rng.uniform(*matter.hollow)
    trabeculae = rng.uniform(*matter.trabeculae)
    streaks = rng.uniform(*matter.streaks)
    sign = np.float32(1.0 if np.linalg.det(camera.matrix[:, :2]) > 0 else -1.0)
    for b, label in enumerate(BONES):
        rows = slice(t.start[b], t.start[b + 1])
        box = _box(outer[rows], fine)
        if box is None:
            continue
        x0, y0, x1, y1 = box
        offset = np.array([x0, y0, 0.0], np.float32)
        whole = np.zeros((y1 - y0, x1 - x0), np.float32)
        marrow = np.zeros_like(whole)
        thickness(outer[rows] - offset, t.faces[b], whole)
        thickness(inner[rows] - offset, t.faces[b], marrow)
        density = body.person.density[b]
        _compose(
            whole, marrow, sign, np.float32(cortex * density), np.float32(spongiosa * density),
            _bone_grid(b, t, body, fine, x0, y0), np.float32(hollow if t.shaft[b] else 0.0), np.float32(trabeculae),
            np.float32(streaks), rng.integers(0, TILE, 4), _tiles(), integral[y0:y1, x0:x1], bulk[y0:y1, x0:x1],
        )  # fmt: skip
    if supersample > 1:
        size = (camera.width, camera.height)
        integral = cv2.resize(integral, size, interpolation=cv2.INTER_AREA)
        bulk = cv2.resize(bulk, size, interpolation=cv2.INTER_AREA)
    return integral, bulk


def _box(points: NDArray[np.float32], camera: Camera) -> tuple[int, int, int, int] | None:
    low = np.floor(points[:, :2].min(0)).astype(int) - 1
    high = np.ceil(points[:, :2].max(0)).astype(int) + 2
    x0, y0 = max(0, int(low[0])), max(0, int(low[1]))
    x1, y1 = min(camera.width, int(high[0])), min(camera.height, int(high[1]))
    return (x0, y0, x1, y1) if x1 > x0 and y1 > y0 else None


def _bone_grid(b: int, t: Template, body: Body, camera: Camera, x0: int, y0: int) -> NDArray[np.float32]:
    """Affine map of a bone's pixels to (across mm, along mm, place along the bone 0-1): (3, 3) float32."""
    label = BONES[b]
    axis = camera.matrix[:, :2] @ body.placement.axes[b][:2, 1]
    scale = camera.px_per_mm
    size = float(np.hypot(*axis))
    long = axis / max(size, 1e-6)
    # Never let a bone seen end-on stretch its texture without bound.
    foreshortening = max(size / scale, 0.3)
    start, stop = t.start[b], t.start[b + 1]
    local_y = t.vertices[start:stop, 1]
    pivot = camera.project(body.placement.at[b][None], body.detector_z)[0, :2] - np.array([x0, y0])
    across = np.array([-long[1], long[0]])
    length = t.length[b] * body.person.scale[b, 1]
    low = float(local_y.min()) * body.person.scale[b, 1]
    grid = np.zeros((3, 3))
    grid[0, :2] = across / scale
    grid[1, :2] = long / scale / foreshortening
    grid[0, 2] = -grid[0, :2] @ pivot
    grid[1, 2] = -grid[1, :2] @ pivot
    if label in ("Radius", "Ulna"):
        # Count from the wrist: the marrow cavity opens behind the metaphysis and stays open.
        grid[2] = grid[1] / 90.0
        grid[2, 2] += 1.0
    else:
        grid[2] = grid[1] / length
        grid[2, 2] -= low / length
    return grid.astype(np.float32)


@njit(cache=True, nogil=True, fastmath=True)
def _compose(  # type: ignore[no-untyped-def]
    whole, marrow, sign, cortex, spongiosa, grid, hollow, trabeculae, streaks, offsets, tiles, integral, bulk
):
    height, width = whole.shape
    cell = np.float32(1.0 / TILE_MM)
    one = np.float32(1.0)
    for y in range(height):
        for x in range(width):
            outer = sign * whole[y, x]
            if outer <= 0.0:
                continue
            inner = min(max(sign * marrow[y, x], np.float32(0.0)), outer)
            across = grid[0, 0] * x + grid[0, 1] * y + grid[0, 2]
            along = grid[1, 0] * x + grid[1, 1] * y + grid[1, 2]
            s = grid[2, 0] * x + grid[2, 1] * y + grid[2, 2]
            # The marrow cavity: spongiosa thins out towards the middle of a shaft.
            middle = one - abs(np.float32(2.0) * min(max(s, np.float32(0.0)), one) - one)
            open_ = min(max(np.float32(2.2) * middle - np.float32(0.5), np.float32(0.0)), one)
            sponge = one - hollow * open_
            u, v = int(across * cell + 8192), int(along * cell + 8192)
            a = tiles[0, (u + offsets[0]) & (TILE - 1), (v + offsets[1]) & (TILE - 1)]
            c = tiles[1, (u + offsets[2]) & (TILE - 1), (v + offsets[3]) & (TILE - 1)]
            texture = one + trabeculae * sponge * (streaks * a + (one - streaks) * c)
            integral[y, x] += cortex * (outer - inner) + spongiosa * sponge * inner * max(texture, np.float32(0.1))
            bulk[y, x] += outer


@cache
def _tiles() -> NDArray[np.float32]:
    """Two periodic textures (TILE, TILE), zero mean, unit variance: streaks along axis 1, and a mesh of no direction.

    Band-passed white noise around the spacing of trabeculae (0.5 to 1.5 mm).
    """
    rng = np.random.default_rng(7)
    fy, fx = np.meshgrid(np.fft.fftfreq(TILE, TILE_MM), np.fft.fftfreq(TILE, TILE_MM), indexing="ij")
    tiles = []
    for stretch in (3.5, 1.0):
        f = np.hypot(fy, fx * stretch)
        band = np.exp(-((np.log(f + 1e-9) - np.log(0.8)) ** 2) / (2 * 0.55**2))
        noise = np.fft.ifft2(np.fft.fft2(rng.normal(size=(TILE, TILE))) * band).real
        # Ridges rather than blobs: trabeculae are thin and bright on a darker ground.
        noise = noise / noise.std()
        ridged = np.exp(0.5 * noise)
        tiles.append((ridged - ridged.mean()) / ridged.std())
    return np.stack(tiles).astype(np.float32)
