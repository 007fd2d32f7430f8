"""The bones of one adult right hand as closed surfaces, in millimetres, with their joints and local frames.

The hand lies as for a PA radiograph: x to the little finger's side, y towards the elbow, z towards the palm, away
from the tube. `tools/build_skeleton.py` makes the file that is read here.
"""

from dataclasses import dataclass
from functools import cache
from importlib.resources import as_file, files

import numpy as np
from numpy.typing import NDArray

from handbones.anatomy import ANATOMY, BONES, INDEX

Floats = NDArray[np.float64]

WRIST = tuple(b.label for b in ANATOMY if b.group != "fingers" or b.segment == "metacarpal")
"""Bones that are held together by contact: carpals, metacarpals, radius, ulna."""


# The modelled long bones are less waisted than real ones: factors on the lateral width from the proximal end (0) to the
# distal end (1), by segment or label, read off the outlines of the bones of an adult hand.
_WIDTHS: dict[str, tuple[tuple[float, float], ...]] = {
    "distal": ((0.0, 1.10), (0.1, 1.06), (0.3, 0.87), (0.5, 0.94), (0.75, 1.04), (1.0, 1.04)),
    "middle": ((0.0, 1.12), (0.1, 1.05), (0.35, 0.95), (0.6, 0.99), (0.8, 1.12), (0.92, 1.08), (1.0, 1.0)),
    "proximal": ((0.0, 1.10), (0.1, 1.05), (0.4, 0.94), (0.65, 0.96), (0.85, 1.06), (1.0, 1.08)),
    "metacarpal": ((0.0, 1.00), (0.2, 1.04), (0.5, 0.93), (0.65, 0.98), (0.8, 1.12), (1.0, 1.12)),
    "finger-16": ((0.0, 1.10), (0.1, 1.06), (0.3, 0.87), (0.5, 0.94), (0.75, 1.25), (1.0, 1.25)),  # it has no tuft
}
# Some phalanges lie turned in the modelled hand, so what is their thickness here is half their width: factors on it
# that give them the flatness of the index finger's.
_THICKNESS = {
    "finger-1": 0.70,
    "finger-2": 0.75,
    "finger-12": 0.68,
    "finger-13": 0.85,
    "finger-16": 0.57,
    "finger-17": 0.72,
}

# Bases of phalanges are flat or hollow where the modelled ones bulge: mm taken off in the middle.
_HOLLOW = {"distal": 0.5, "middle": 0.65, "proximal": 1.1}
_HOLLOW_REACH = 0.22
"""Share of the bone over which that fades out."""


@dataclass(frozen=True)
class Bone3D:
    """One bone in its own right-handed frame: lateral (to the little finger), long (distal), dorsal (to the tube)."""

    label: str
    vertices: Floats
    """(n, 3) in the bone's frame, relative to `pivot`."""
    normals: Floats
    """(n, 3) unit, outward."""
    faces: NDArray[np.int32]
    """(m, 3) counter-clockwise from outside."""
    frame: Floats
    """(3, 3): rows are the bone's axes in the hand's frame."""
    pivot: Floats
    """(3,) the point about which it turns, in the hand's frame: the joint centre, or the middle of a wrist bone."""
    along: Floats
    """(n,) position along the bone, 0 at the proximal and 1 at the distal end."""
    length: float
    """Extent along its axis, mm."""


@dataclass(frozen=True)
class Joint:
    """A joint of a finger: `child` turns about a point in the head of `parent`."""

    parent: str
    child: str
    in_parent: Floats
    """(3,) the centre in the parent's frame, relative to its pivot."""
    reach: float
    """How far the parent's head goes beyond the centre, mm."""


@dataclass(frozen=True)
class Contact:
    """A coarse signed distance grid around a wrist bone, in its frame: mm, negative inside."""

    field: NDArray[np.float32]
    origin: Floats
    step: float


@dataclass(frozen=True)
class Skeleton:
    bones: tuple[Bone3D, ...]
    joints: tuple[Joint, ...]
    contacts: dict[str, Contact]

    def __getitem__(self, label: str) -> Bone3D:
        return self.bones[INDEX[label]]


def _unit(v: Floats) -> Floats:
    return np.asarray(v / np.linalg.norm(v))


def _frame(label: str, vertices: Floats) -> Floats:
    """Rows lateral, long, dorsal. Carpals keep the hand's axes; long bones follow their main axis."""
    bone = ANATOMY[INDEX[label]]
    long = np.array([0.0, -1.0, 0.0])
    if bone.group != "carpals":
        _, _, axes = np.linalg.svd(vertices - vertices.mean(0), full_matrices=False)
        # The thumb points sideways and up; every long bone points away from the elbow.
        long = axes[0] if axes[0] @ np.array([-0.2, -1.0, 0.0]) > 0 else -axes[0]
    lateral = _unit(np.array([1.0, 0.0, 0.0]) - long[0] * long)
    return np.stack([lateral, long, np.cross(lateral, long)])


def _normals(vertices: Floats, faces: NDArray[np.int32]) -> Floats:
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    per_face = np.cross(b - a, c - a)
    normals = np.zeros_like(vertices)
    for k in range(3):
        np.add.at(normals, faces[:, k], per_face)
    return np.asarray(normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12))


def _pivot(label: str, vertices: Floats, joints: dict[str, Floats], long: Floats) -> Floats:
    bone = ANATOMY[INDEX[label]]
    if label in joints and bone.segment != "metacarpal" and bone.group == "fingers":
        return joints[label]
    if bone.group == "carpals":
        return np.asarray((vertices.max(0) + vertices.min(0)) / 2)
    # Metacarpals turn about their base, radius and ulna about their end at the wrist.
    s = vertices @ long
    end = s < np.quantile(s, 0.06) if bone.group == "fingers" else s > np.quantile(s, 0.94)
    return np.asarray(vertices[end].mean(0))


@cache
def skeleton() -> Skeleton:
    """The hand as modelled, loaded once."""
    with as_file(files("handbones.phantom") / "skeleton.npz") as path, np.load(path, allow_pickle=False) as data:
        arrays = {name: data[name] for name in data.files}
    centres = {k.removesuffix("/joint"): v.astype(np.float64) for k, v in arrays.items() if k.endswith("/joint")}
    bones = tuple(_bone(label, arrays, centres) for label in BONES)
    by_label = {bone.label: bone for bone in bones}
    contacts = {label: _contact(by_label[label], arrays) for label in WRIST}
    return Skeleton(bones, tuple(_joints(by_label, centres)), contacts)


def _bone(label: str, arrays: dict[str, NDArray[np.generic]], centres: dict[str, Floats]) -> Bone3D:
    vertices = arrays[f"{label}/vertices"].astype(np.float64)
    faces = arrays[f"{label}/faces"].astype(np.int32)
    frame = _frame(label, vertices)
    pivot = _pivot(label, vertices, centres, frame[1])
    local = (vertices - pivot) @ frame.T
    low, high = local[:, 1].min(), local[:, 1].max()
    along = (local[:, 1] - low) / (high - low)
    local = _like_real(label, local, along)
    return Bone3D(label, local, _normals(local, faces), faces, frame, pivot, along, float(high - low))


def _like_real(label: str, local: Floats, along: Floats) -> Floats:
    """A finger bone with the waist and the base that real ones have; other bones as they are."""
    segment = ANATOMY[INDEX[label]].segment
    if ANATOMY[INDEX[label]].group != "fingers":
        return local
    at, factors = np.array(_WIDTHS.get(label, _WIDTHS[segment])).T
    lateral = local[:, 0] * np.interp(along, at, factors)
    near = along < _HOLLOW_REACH
    middle, half = np.mean([lateral[near].min(), lateral[near].max()]), np.ptp(lateral[near]) / 2
    dome = np.clip(1.0 - ((lateral - middle) / half) ** 2, 0.0, 1.0)
    hollow = _HOLLOW.get(segment, 0.0) * dome * np.clip(1.0 - along / _HOLLOW_REACH, 0.0, 1.0) ** 2
    return np.stack([lateral, local[:, 1] + hollow, local[:, 2] * _THICKNESS.get(label, 1.0)], 1)


def _joints(bones: dict[str, Bone3D], centres: dict[str, Floats]) -> list[Joint]:
    """The joints of the fingers from the palm outwards."""
    joints = []
    for bone in ANATOMY:
        if bone.group != "fingers" or bone.segment == "metacarpal":
            continue
        parent, child = bones[BONES[bone.index + 1]], bones[bone.label]
        in_parent = parent.frame @ (centres[bone.label] - parent.pivot)
        near = np.linalg.norm((parent.vertices - in_parent)[:, [0, 2]], axis=1) < 2.5
        reach = float((parent.vertices - in_parent)[near, 1].max())
        joints.append(Joint(parent.label, child.label, in_parent, reach))
    return joints[::-1]


def _contact(bone: Bone3D, arrays: dict[str, NDArray[np.generic]]) -> Contact:
    """The stored grid lies in the hand's frame; keep it there, relative to the pivot."""
    origin = arrays[f"{bone.label}/field_origin"].astype(np.float64) - bone.pivot
    field = arrays[f"{bone.label}/field"].astype(np.float32)
    return Contact(field, origin, float(arrays[f"{bone.label}/field_step"]))
