"""Phantoms in torch, first half: from triangles to thickness, masks and the line integral of bone, for a whole batch.

What `phantom.raster` and `phantom.projection` do, by the same rules. Sums are taken in whole numbers: so it does not
matter in which order a device adds, and the same scenes give the same pictures.
"""

from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

from handbones.phantom.mesh import template
from handbones.phantom.texture import TILE, TILE_MM, tiles

_STEPS = 2.0**18
"""Whole numbers a millimetre."""
_BITS = 2.0**20
"""Whole numbers a unit of the line integral, and a millimetre of bone along a ray."""


class Boxes(NamedTuple):
    """Rectangles of pixels; the pixels of all of them lie one after another in a flat array. Each (b,) int64."""

    left: Tensor
    top: Tensor
    right: Tensor
    bottom: Tensor

    @property
    def width(self) -> Tensor:
        return (self.right - self.left).clamp(min=0)

    @property
    def area(self) -> Tensor:
        return self.width * (self.bottom - self.top).clamp(min=0)

    def pixels(self, places: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Box, x and y of the pixels at these places of the flat array, or of all."""
        if places is None:
            box, place = spread(self.area)
        else:
            area = self.area
            ends = area.cumsum(0)
            box = torch.searchsorted(ends, places, right=True)
            place = places - (ends - area)[box]
        width = self.width[box]
        return box, self.left[box] + place % width, self.top[box] + place // width


def spread(counts: Tensor) -> tuple[Tensor, Tensor]:
    """Each i `counts[i]` times, and which of these times it is."""
    owner = torch.repeat_interleave(counts)
    return owner, torch.arange(len(owner), device=counts.device) - (counts.cumsum(0) - counts)[owner]


@cache
def _faces(device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Faces (f, 3) of all bones, the bone of each, and the bone of each vertex."""
    t = template()
    faces = torch.cat([torch.from_numpy(one).long() + first for one, first in zip(t.faces, t.start[:-1], strict=True)])
    of_face = torch.repeat_interleave(torch.tensor([len(one) for one in t.faces]))
    of_vertex = torch.repeat_interleave(torch.from_numpy(t.start).diff())
    return faces.to(device), of_face.to(device), of_vertex.to(device)


@cache
def _textures(device: torch.device) -> Tensor:
    return torch.from_numpy(tiles()).to(device)


def boxes_of(points: Tensor, height: Tensor, width: Tensor) -> Boxes:
    """A box for each bone of each sample (29 n) in pictures of these sizes (n,); points (n, v, 3)."""
    owner = _faces(points.device)[2][None, :, None].expand(len(points), -1, 2)
    empty = points.new_zeros(len(points), 29, 2)
    low, high = (empty.scatter_reduce(1, owner, points[..., :2], how, include_self=False) for how in ("amin", "amax"))
    ends = torch.stack([width, height], -1)[:, None]
    first = (low.long() - 1).clamp(min=0)
    last = torch.minimum(high.long() + 2, ends)
    return Boxes(*first.flatten(0, 1).unbind(1), *last.flatten(0, 1).unbind(1))


class _Triangles(NamedTuple):
    """Triangles that meet rows of their box; (t,) each."""

    box: Tensor
    corners: Tensor
    """(t, 3, 3)."""
    area: Tensor
    """Twice, with its sign."""
    first: Tensor
    last: Tensor


def _triangles(points: Tensor, boxes: Boxes, front: Tensor | None) -> _Triangles:
    """Those that meet a row; `front` (n,) keeps those that face the tube, by the sign of their area."""
    faces, bone, _ = _faces(points.device)
    x, y = points[..., 0][:, faces], points[..., 1][:, faces]
    area = (x[..., 1] - x[..., 0]) * (y[..., 2] - y[..., 0]) - (x[..., 2] - x[..., 0]) * (y[..., 1] - y[..., 0])
    box = bone + 29 * torch.arange(len(points), device=points.device)[:, None]
    first = torch.maximum(y.amin(-1).ceil().long(), boxes.top[box])
    last = torch.minimum(y.amax(-1).ceil().long(), boxes.bottom[box])
    kept = (last > first) & (area != 0 if front is None else area * front[:, None] > 0)
    sample, face = kept.nonzero(as_tuple=True)
    corners = points[sample[:, None], faces[face]]
    return _Triangles(box[kept], corners, area[kept], first[kept], last[kept])


def rasterise(points: Tensor, boxes: Boxes, front: Tensor | None = None) -> Tensor:
    """Thickness of closed surfaces along z in the flat array of their boxes, int32 in steps of 2^-18 mm.

    points: (n, v, 3), in pixels and mm. With `front` (n,), 1 or -1 where the picture is mirrored: how many front faces
    lie over a pixel instead.
    """
    t = _triangles(points, boxes, front)
    row_of, row = spread(t.last - t.first)
    y = (row + t.first[row_of]).to(points.dtype)
    start, stop = _span(t, row_of, y)
    box, area = t.box[row_of], boxes.area
    start = torch.maximum(start, boxes.left[box])
    count = (torch.minimum(stop, boxes.right[box]) - start).clamp(min=0)
    begin = area.cumsum(0) - area
    line = begin[box] + (y.long() - boxes.top[box]) * boxes.width[box] - boxes.left[box] + start
    span, step = spread(count)
    if front is None:
        at_start, slope = _depth(t, row_of, y, start)
        value = ((at_start[span] + step * slope[span]) * _STEPS).round().int()
    else:
        value = torch.ones_like(step, dtype=torch.int32)
    out = torch.zeros(int(area.sum()), dtype=torch.int32, device=points.device)
    return out.scatter_add_(0, line[span] + step, value)


def _span(t: _Triangles, row_of: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """First column of each row of a triangle, and the one after its last.

    Every edge is evaluated from its upper vertex, so triangles that share an edge share its pixels exactly.
    """
    order = t.corners[..., 1].argsort(-1)[..., None].expand(-1, -1, 2)
    (ax, ay), (bx, by), (cx, cy) = (v.unbind(-1) for v in t.corners[..., :2].gather(1, order).unbind(1))
    slopes = [(bx - ax) / (by - ay), (cx - bx) / (cy - by)]
    edges = torch.stack([ax, ay, (cx - ax) / (cy - ay), bx, by, *(torch.nan_to_num(s, 0, 0, 0) for s in slopes)])
    ax, ay, long, bx, by, upper, lower = edges[:, row_of]
    one = ax + (y - ay) * long
    other = torch.where(y < by, ax + (y - ay) * upper, bx + (y - by) * lower)
    return torch.minimum(one, other).ceil().long(), torch.maximum(one, other).ceil().long()


def _depth(t: _Triangles, row_of: Tensor, y: Tensor, start: Tensor) -> tuple[Tensor, Tensor]:
    """Signed depth at the start of each row, and its growth a pixel."""
    (x0, y0, z0), (x1, y1, z1), (x2, y2, z2) = (v.unbind(-1) for v in t.corners.unbind(1))
    zx = ((z1 - z0) * (y2 - y0) - (z2 - z0) * (y1 - y0)) / t.area
    zy = ((z2 - z0) * (x1 - x0) - (z1 - z0) * (x2 - x0)) / t.area
    x0, y0, z0, zx, zy, sign = torch.stack([x0, y0, z0, zx, zy, t.area.sign()])[:, row_of]
    return sign * (z0 + (start - x0) * zx + (y - y0) * zy), sign * zx


def bone_masks(points: Tensor, mirror: Tensor, height: int, width: int) -> Tensor:
    """(n, h, w) int32 packed masks of the bones whose outer vertices, (n, v, 3) in pixels, these are."""
    size = torch.tensor([height, width], device=points.device).expand(len(points), 2)
    boxes = boxes_of(points, *size.unbind(1))
    covered = rasterise(points, boxes, mirror).nonzero().squeeze(1)
    box, x, y = boxes.pixels(covered)
    out = torch.zeros(len(points) * height * width, dtype=torch.int32, device=points.device)
    bits = torch.bitwise_left_shift(torch.ones_like(box, dtype=torch.int32), (box % 29).int())
    return out.scatter_add_(0, (box // 29 * height + y) * width + x, bits).view(-1, height, width)


def bone_integral(
    outer: Tensor, inner: Tensor, mirror: Tensor, supersample: Tensor, bones: Tensor, height: int, width: int
) -> Tensor:
    """(2, n, h, w) int32: line integral of bone and its thickness, both in steps of 2^-20; arrays as in `Scene`."""
    factor = supersample[:, None, None]
    offset = (factor - 1) / 2 * outer.new_tensor([1, 1, 0])
    scale = torch.cat([factor, factor, torch.ones_like(factor)], -1)
    outer, inner = outer * scale + offset, inner * scale + offset
    boxes = boxes_of(outer, (height * supersample).long(), (width * supersample).long())
    signs = mirror.repeat_interleave(29).repeat_interleave(boxes.area)
    thick, marrow = (rasterise(points, boxes) * signs for points in (outer, inner))
    inside = (thick > 0).nonzero().squeeze(1)
    box, x, y = boxes.pixels(inside)
    thick, marrow = thick[inside] / _STEPS, marrow[inside] / _STEPS
    taken = _compose(thick, torch.minimum(marrow.clamp(min=0), thick), bones.flatten(0, 1)[box], x, y)
    sample = box // 29
    factor = supersample.long()[sample]
    place = (sample * height + y // factor) * width + x // factor
    weight = 1 / (factor * factor)
    out = torch.zeros(2, len(mirror) * height * width, dtype=torch.int32, device=outer.device)
    add(out, place, taken * weight, thick * weight)
    return out.view(2, -1, height, width)


def add(out: Tensor, place: Tensor, taken: Tensor, mm: Tensor) -> None:
    """Add to a line integral and a thickness, (2, pixels) int32 in steps of 2^-20, at these pixels."""
    for k, values in enumerate((taken, mm)):
        out[k].scatter_add_(0, place, (values * _BITS).round().int())


def as_floats(sums: Tensor) -> Tensor:
    """What `add` has added up."""
    return sums / _BITS


def _compose(outer: Tensor, inner: Tensor, bones: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Attenuation of a bone along rays through its outer and marrow surface, mm; all (p,), and bones (p, 18)."""
    ax, ay, at, lx, ly, lt, sx, sy, st, cortex, spongiosa, hollow, u0, v0, u1, v1, contrast, streaks = bones.unbind(1)
    across, along, s = ax * x + ay * y + at, lx * x + ly * y + lt, sx * x + sy * y + st
    # The marrow cavity: spongiosa thins out towards the middle of a shaft.
    middle = 1 - (2 * s.clamp(0, 1) - 1).abs()
    sponge = 1 - hollow * (2.2 * middle - 0.5).clamp(0, 1)
    streak, mesh = _textures(outer.device)
    u, v = (across / TILE_MM).long(), (along / TILE_MM).long()
    a = streak[(u + u0.long()) % TILE, (v + v0.long()) % TILE]
    c = mesh[(u + u1.long()) % TILE, (v + v1.long()) % TILE]
    grain = (1 + contrast * sponge * (streaks * a + (1 - streaks) * c)).clamp(min=0.1)
    taken: Tensor = cortex * (outer - inner) + spongiosa * sponge * inner * grain
    return taken


def add_sesamoids(ellipses: Tensor, sample: Tensor, out: Tensor, packed: Tensor) -> None:
    """Add (s, 7) ellipsoids as in `Scene`, of the samples (s,), to `out` as `add` does and to the masks (n, h, w)."""
    x, y, rx, ry, depth, density, label = ellipses.unbind(1)
    height, width = packed.shape[1:]
    left, top = ((v - r - 2).long().clamp(min=0) for v, r in ((x, rx), (y, ry)))
    right, bottom = ((v + r + 4).long().clamp(max=end) for v, r, end in ((x, rx, width), (y, ry, height)))
    which, column, row = Boxes(left, top, right, bottom).pixels()
    inside = 1 - ((column - x[which]) / rx[which]) ** 2 - ((row - y[which]) / ry[which]) ** 2
    covered = inside > 0
    which, column, row, inside = which[covered], column[covered], row[covered], inside[covered]
    mm = depth[which] * inside.sqrt()
    place = (sample[which] * height + row) * width + column
    add(out.view(2, -1), place, density[which] * mm, mm)
    flat, own = packed.view(-1), label.int()
    touches = torch.zeros_like(own).scatter_reduce_(0, which, flat[place] & own[which], "amax")
    flat[place] |= touches[which]
