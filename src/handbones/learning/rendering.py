"""Phantoms from scenes, a whole batch at once on the device that trains."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from handbones.learning.beam import add_sesamoids, as_floats, bone_integral, bone_masks
from handbones.learning.film import expose, finish
from handbones.phantom.exposure import Exposure, Finish, Grain
from handbones.phantom.scene import Scene
from handbones.phantom.tissue import COARSE

_CHUNK_RAYS = 2**23
"""Rays through bone that are worked on at once: 8 pictures of 512 pixels a side, in about a GB."""


class Scenes(NamedTuple):
    """Scenes of one size as tensors; what is not said here is as in `Scene`, behind a dimension (n,)."""

    outer: Tensor
    inner: Tensor
    mirror: Tensor
    supersample: Tensor
    bones: Tensor
    sesamoids: Tensor
    """(s, 7) of all, and (s,) whose they are."""
    sesamoids_of: Tensor
    coarse: Tensor
    things: Tensor
    """(t, 3, h, w) of those that have any, and (t,) whose they are; so are frames."""
    things_of: Tensor
    frames: Tensor
    frames_of: Tensor
    exposure: Tensor
    """(n, 24): all numbers, the grain's last."""
    finish: list[Finish]
    size: tuple[int, int]
    """Height and width."""

    @classmethod
    def of(cls, scenes: Sequence[Scene]) -> "Scenes":
        height, width = scenes[0].size
        assert all(scene.size == (height, width) for scene in scenes)
        things, things_of = _present([scene.things for scene in scenes], (3, height, width), np.float16)
        frames, frames_of = _present([scene.frame for scene in scenes], (3, height, width), np.uint8)
        whose = np.repeat(np.arange(len(scenes)), [len(scene.sesamoids) for scene in scenes])
        return cls(
            outer=_stack([scene.outer for scene in scenes]),
            inner=_stack([scene.inner for scene in scenes]),
            mirror=torch.tensor([scene.mirror for scene in scenes], dtype=torch.float32),
            supersample=torch.tensor([scene.supersample for scene in scenes], dtype=torch.float32),
            bones=_stack([scene.bones for scene in scenes]),
            sesamoids=torch.from_numpy(np.concatenate([scene.sesamoids for scene in scenes])),
            sesamoids_of=torch.from_numpy(whose),
            coarse=_stack([scene.coarse for scene in scenes]),
            things=things,
            things_of=things_of,
            frames=frames,
            frames_of=frames_of,
            exposure=torch.tensor([[*s.exposure[:-1], *s.exposure.grain] for s in scenes], dtype=torch.float32),
            finish=[scene.finish for scene in scenes],
            size=(height, width),
        )


def _stack(arrays: Sequence[np.ndarray[Any, Any]]) -> Tensor:
    return torch.from_numpy(np.stack(arrays))


def _present(arrays: Sequence[Any], shape: tuple[int, ...], dtype: Any) -> tuple[Tensor, Tensor]:
    """Those that are there, and their places."""
    places = [i for i, array in enumerate(arrays) if array is not None]
    out = np.stack([arrays[i] for i in places]) if places else np.zeros((0, *shape), dtype)
    return torch.from_numpy(out), torch.tensor(places, dtype=torch.long)


def render(scenes: Scenes, chunk: int | None = None) -> tuple[Tensor, Tensor]:
    """Pictures (n, 1, h, w) uint8 and packed masks (n, h, w) int32, on the device of the scenes.

    `chunk`: scenes whose bones are worked on at once; it changes memory and time alone.
    """
    with torch.no_grad(), torch.autocast(scenes.outer.device.type, enabled=False):
        parts = list(_chunks(scenes, chunk or max(1, _CHUNK_RAYS // (4 * scenes.size[0] * scenes.size[1]))))
        sums, masks = (torch.cat(part, axis) for part, axis in zip(zip(*parts, strict=True), (1, 0), strict=True))
        add_sesamoids(scenes.sesamoids, scenes.sesamoids_of, sums, masks)
        bone, bulk = as_floats(sums)
        line, soft = _transmit(bone, bulk, scenes.coarse)
        under, cover, over = scenes.things.float().unbind(1)
        line[scenes.things_of] = torch.maximum(line[scenes.things_of] + under, cover) + over
        numbers = scenes.exposure.unbind(1)
        last = len(Exposure._fields) - 1
        grey = expose(line, bone, soft, Exposure._make((*numbers[:last], Grain(*numbers[last:]))))
        black, white = scenes.frames[:, :2].float().div(255).unbind(1)
        grey[scenes.frames_of] = black + grey[scenes.frames_of] * (white - black)
        masks[scenes.frames_of] *= 1 - scenes.frames[:, 2].int()
        return finish(grey, scenes.finish)[:, None], masks


def _chunks(s: Scenes, chunk: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Sums (2, n, h, w) and masks of so many scenes after another."""
    for first in range(0, len(s.outer), chunk):
        outer, inner, mirror, supersample, bones = (part[first : first + chunk] for part in s[:5])
        sums = bone_integral(outer, inner, mirror, supersample, bones, *s.size)
        yield sums, bone_masks(outer, mirror, *s.size)


def _transmit(bone: Tensor, bulk: Tensor, coarse: Tensor) -> tuple[Tensor, Tensor]:
    """Line integral of all, and of soft tissue alone."""
    height, width = bone.shape[1:]
    fine = functional.interpolate(coarse, scale_factor=float(COARSE), mode="bilinear")
    field, per_mm = fine[..., COARSE : COARSE + height, COARSE : COARSE + width].unbind(1)
    soft = (2 * field.clamp(min=0).sqrt() - bulk).clamp(min=0) * per_mm
    return bone + soft, soft
