"""Vertices of all bones at once: the shape of a person, the marrow surface, the placing in space (numba)."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numba import njit
from numpy.typing import NDArray

from handbones.anatomy import ANATOMY
from handbones.phantom.person import Person
from handbones.phantom.skeleton import skeleton

Floats = NDArray[np.float64]

FOREARM_RAMP_MM = 40.0


@dataclass(frozen=True)
class Template:
    """The modelled bones as flat arrays; bone i owns the rows `start[i]:start[i + 1]`."""

    vertices: Floats
    normals: Floats
    along: Floats
    start: NDArray[np.int64]
    faces: tuple[NDArray[np.int32], ...]
    """Per bone, counted from its own first vertex."""
    length: Floats
    """(29,) mm."""
    low: Floats
    """(29,) y of the proximal end in the bone's own frame, mm; that of the distal end is `high`."""
    high: Floats
    one_ended: NDArray[np.bool_]
    """(29,) radius and ulna: only the distal end is in the picture."""
    shaft: NDArray[np.bool_]
    """(29,) everything but the carpals."""


@cache
def template() -> Template:
    bones = skeleton().bones
    return Template(
        vertices=np.concatenate([b.vertices for b in bones]),
        normals=np.concatenate([b.normals for b in bones]),
        along=np.concatenate([b.along for b in bones]),
        start=np.cumsum([0] + [len(b.vertices) for b in bones]),
        faces=tuple(b.faces for b in bones),
        length=np.array([b.length for b in bones]),
        low=np.array([b.vertices[:, 1].min() for b in bones]),
        high=np.array([b.vertices[:, 1].max() for b in bones]),
        one_ended=np.array([b.group == "forearm" for b in ANATOMY]),
        shaft=np.array([b.group != "carpals" for b in ANATOMY]),
    )


def shape(person: Person) -> tuple[Floats, Floats]:
    """Outer and marrow surface of every bone of a person: two (n, 3) arrays in the bones' own frames, mm."""
    t = template()
    outer, inner = np.empty_like(t.vertices), np.empty_like(t.vertices)
    _shape(
        t.vertices, t.normals, t.along, t.start, t.length, t.one_ended, t.shaft,
        person.scale, person.profile, person.bend, person.waves, person.cortex, outer, inner,
    )  # fmt: skip
    return outer, inner


@njit(cache=True, nogil=True)
def _shape(  # type: ignore[no-untyped-def]
    vertices, normals, along, start, length, one_ended, shaft, scale, profile, bend, waves, cortex, outer, inner
):
    for b in range(len(start) - 1):
        ramp = FOREARM_RAMP_MM if one_ended[b] else 0.35 * length[b]
        for i in range(start[b], start[b + 1]):
            s = along[i]
            width = 1.0
            if shaft[b]:
                # Quadratic through the factors at the proximal end, the waist and the distal end.
                width = (
                    profile[b, 0] * (1.0 - s) * (1.0 - 2.0 * s)
                    + profile[b, 1] * 4.0 * s * (1.0 - s)
                    + profile[b, 2] * s * (2.0 * s - 1.0)
                )
            x = vertices[i, 0] * scale[b, 0] * width
            y = vertices[i, 1] * scale[b, 1]
            z = vertices[i, 2] * scale[b, 2] * width
            bow = np.sin(np.pi * s)
            x += bend[b, 0] * bow
            z += bend[b, 1] * bow
            relief = 0.0
            for w in range(waves.shape[1]):
                phase = x * waves[b, w, 0] + y * waves[b, w, 1] + z * waves[b, w, 2] + waves[b, w, 3]
                relief += waves[b, w, 4] * np.sin(phase)
            nx, ny, nz = normals[i, 0], normals[i, 1], normals[i, 2]
            outer[i, 0] = x + relief * nx
            outer[i, 1] = y + relief * ny
            outer[i, 2] = z + relief * nz
            thick = cortex[b, 0]
            if shaft[b]:
                end = (1.0 - s) * length[b] if one_ended[b] else min(s, 1.0 - s) * length[b]
                r = min(1.0, end / ramp)
                thick += (cortex[b, 1] - cortex[b, 0]) * r * r * (3.0 - 2.0 * r)
            inner[i, 0] = outer[i, 0] - thick * nx
            inner[i, 1] = outer[i, 1] - thick * ny
            inner[i, 2] = outer[i, 2] - thick * nz


@njit(cache=True, nogil=True)
def place(local: Floats, start: NDArray[np.int64], axes: Floats, at: Floats, out: Floats) -> None:
    """out = axes[b] @ local + at[b] for the vertices of every bone b; axes (29, 3, 3), at (29, 3)."""
    for b in range(len(start) - 1):
        for i in range(start[b], start[b + 1]):
            for k in range(3):
                out[i, k] = (
                    axes[b, k, 0] * local[i, 0] + axes[b, k, 1] * local[i, 1] + axes[b, k, 2] * local[i, 2] + at[b, k]
                )
