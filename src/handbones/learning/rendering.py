"""Phantoms from scenes, a whole batch at once on the device that trains.

A scene of 512 pixels is about 1.5 MB on its way there, a finished phantom 1.3 MB.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.data import default_collate

from handbones.learning.beam import add_sesamoids, as_floats, bone_integral, bone_masks
from handbones.learning.film import expose, finish
from handbones.phantom.exposure import Exposure, Finish, Grain
from handbones.phantom.scene import Scene
from handbones.phantom.tissue import COARSE

_CHUNK_RAYS = 2**24
"""Rays through bone that are worked on at once: 16 pictures of 512 pixels a side, in about 0.7 GB."""


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
    """(t, h, w) that are there, and (t,) their places among 3 n."""
    things_of: Tensor
    frames: Tensor
    """(f, 3, h, w) that are there, and (f,) whose they are."""
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
        layers = [layer for scene in scenes for layer in scene.things]
        things, things_of = _present(layers, (height, width), torch.float16)
        frames, frames_of = _present([scene.frame for scene in scenes], (3, height, width), torch.uint8)
        whose = np.repeat(np.arange(len(scenes)), [len(scene.sesamoids) for scene in scenes])
        return cls(
            outer=default_collate([scene.outer for scene in scenes]),
            inner=default_collate([scene.inner for scene in scenes]),
            mirror=torch.tensor([scene.mirror for scene in scenes], dtype=torch.float32),
            supersample=torch.tensor([scene.supersample for scene in scenes], dtype=torch.float32),
            bones=default_collate([scene.bones for scene in scenes]),
            sesamoids=torch.from_numpy(np.concatenate([scene.sesamoids for scene in scenes])),
            sesamoids_of=torch.from_numpy(whose),
            coarse=default_collate([scene.coarse for scene in scenes]),
            things=things,
            things_of=things_of,
            frames=frames,
            frames_of=frames_of,
            exposure=torch.tensor([[*s.exposure[:-1], *s.exposure.grain] for s in scenes], dtype=torch.float32),
            finish=[scene.finish for scene in scenes],
            size=(height, width),
        )


def _present(arrays: Sequence[Any], shape: tuple[int, ...], dtype: Any) -> tuple[Tensor, Tensor]:
    """Those that are there, and their places."""
    places = [i for i, array in enumerate(arrays) if array is not None]
    there = default_collate([arrays[i] for i in places]) if places else torch.zeros((0, *shape), dtype=dtype)
    return there, torch.tensor(places, dtype=torch.long)


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
        layers = line.new_zeros(3 * len(line), *scenes.size)
        layers[scenes.things_of] = scenes.things.float()
        line = torch.maximum(line + layers[0::3], layers[1::3]) + layers[2::3]
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
        arrays = s.outer, s.inner, s.mirror, s.supersample, s.bones
        outer, inner, mirror, supersample, bones = (array[first : first + chunk] for array in arrays)
        sums = bone_integral(outer, inner, mirror, supersample, bones, *s.size)
        yield sums, bone_masks(outer, mirror, *s.size)


def _transmit(bone: Tensor, bulk: Tensor, coarse: Tensor) -> tuple[Tensor, Tensor]:
    """Line integral of all, and of soft tissue alone."""
    height, width = bone.shape[1:]
    fine = functional.interpolate(coarse, scale_factor=float(COARSE), mode="bilinear")
    field, per_mm = fine[..., COARSE : COARSE + height, COARSE : COARSE + width].unbind(1)
    soft = (2 * field.clamp(min=0).sqrt() - bulk).clamp(min=0) * per_mm
    return bone + soft, soft
