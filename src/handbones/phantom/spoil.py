"""Mistakes in labels, of the kinds that people have found in real ones.

Each function takes labels of two bones or more, the pictures' side in pixels and a random generator, and returns the
spoilt labels and the bones concerned.
"""

from collections.abc import Callable

import numpy as np

from handbones.anatomy import ANATOMY, BONES
from handbones.labels import Labels
from handbones.raster import Points, resample

Rng = np.random.Generator
Spoilt = tuple[Labels, list[str]]

_NEAR = {bone.label: bone.neighbours for bone in ANATOMY}
_SMALL = [bone.label for bone in ANATOMY if bone.group == "carpals" or bone.segment in ("distal", "middle")]


def swap(labels: Labels, size: int, rng: Rng) -> Spoilt:
    """Two bones that meet, two that lie side by side in two fingers, or two whole fingers bear each other's labels."""
    bone = ANATOMY[BONES.index(str(rng.choice(labels.bones)))]
    beside = [b for b in ANATOMY if bone.digit and b.segment == bone.segment and abs((b.digit or 9) - bone.digit) == 1]
    other = ANATOMY[BONES.index(str(rng.choice([*bone.neighbours, *(b.label for b in beside)])))]
    names = {bone.label: other.label, other.label: bone.label}
    if other in beside and min(bone.digit or 0, other.digit or 0) > 1 and rng.random() < 0.5:
        step = other.index - bone.index
        fingers = [b for b in ANATOMY if b.digit in (bone.digit, other.digit)]
        names = {b.label: BONES[b.index + (step if b.digit == bone.digit else -step)] for b in fingers}
    return _renamed(labels, names), sorted(set(names) & set(labels.bones))


def reverse(labels: Labels, size: int, rng: Rng) -> Spoilt:
    """All labels in the opposite order."""
    return _renamed(labels, dict(zip(BONES, reversed(BONES), strict=True))), list(labels.bones)


def drop(labels: Labels, size: int, rng: Rng) -> Spoilt:
    """A bone left out."""
    gone = str(rng.choice(labels.bones))
    return _with(labels, {label: p for label, p in labels.polygons.items() if label != gone}), [gone]


def double(labels: Labels, size: int, rng: Rng) -> Spoilt:
    """A bone drawn twice, or its neighbour drawn under its name."""
    twice = str(rng.choice(labels.bones))
    polygons = dict(labels.polygons)
    near = [label for label in _NEAR[twice] if label in polygons]
    if near and rng.random() < 0.5:
        other = str(rng.choice(near))
        polygons[twice] = polygons[twice] + polygons.pop(other)
        return _with(labels, polygons), [twice, other]
    first = polygons[twice][0]
    jitter = rng.normal(0.0, 0.0015 * size, 2) + rng.normal(0.0, 0.0007 * size, first.shape)
    polygons[twice] = [*polygons[twice], _inside(first + jitter, size)]
    return _with(labels, polygons), [twice]


def misplace(labels: Labels, size: int, rng: Rng) -> Spoilt:
    """A small bone drawn over another one that it does not touch; half of the time the pisiform on the ulna."""
    small = [label for label in _SMALL if label in labels.polygons] or list(labels.bones)
    moved = "Pisiform" if rng.random() < 0.5 and "Pisiform" in labels.polygons else str(rng.choice(small))
    if moved == "Pisiform" and "Ulna" in labels.polygons:
        target = "Ulna"
    else:
        others = [b for b in labels.bones if b != moved]
        target = str(rng.choice([b for b in others if b not in _NEAR[moved]] or others))
    # On the end of the other bone that is nearer, as a confused annotator would have it.
    own = labels.polygons[moved][0].mean(axis=0)
    theirs = labels.polygons[target][0]
    nearest = theirs[np.hypot(*(theirs - own).T).argmin()]
    place = 0.7 * nearest + 0.3 * theirs.mean(axis=0)
    polygons = labels.polygons | {moved: [_inside(p - own + place, size) for p in labels.polygons[moved]]}
    return _with(labels, polygons), [moved]


def resize(labels: Labels, size: int, rng: Rng) -> Spoilt:
    """A bone drawn far too large or too small."""
    bone = str(rng.choice([b for b in labels.bones if b not in ("Radius", "Ulna")] or list(labels.bones)))
    factor = rng.uniform(1.35, 1.7) if rng.random() < 0.5 else rng.uniform(0.55, 0.75)
    centre = labels.polygons[bone][0].mean(axis=0)
    scaled = [_inside(centre + factor * (p - centre), size) for p in labels.polygons[bone]]
    return _with(labels, labels.polygons | {bone: scaled}), [bone]


def cross(labels: Labels, size: int, rng: Rng) -> Spoilt:
    """A run of an outline's points in the opposite order, so that it crosses itself."""
    bone = str(rng.choice(labels.bones))
    first, *others = labels.polygons[bone]
    points = np.roll(first, -int(rng.integers(len(first))), axis=0)
    run = max(2, round(len(points) * rng.uniform(0.15, 0.4)))
    points[:run] = points[:run][::-1]
    return _with(labels, labels.polygons | {bone: [points, *others]}), [bone]


def roughen(labels: Labels, size: int, rng: Rng) -> Spoilt:
    """An outline drawn with a shaking hand."""
    bone = str(rng.choice(labels.bones))
    polygon = labels.polygons[bone][0]
    points = resample(polygon, int(rng.integers(40, 70)))
    shake = rng.uniform(0.03, 0.05) * np.sqrt(np.prod(np.ptp(polygon, axis=0)))
    points = _inside(points + rng.normal(0.0, shake, points.shape), size)
    return _with(labels, labels.polygons | {bone: [points]}), [bone]


def shift(labels: Labels, size: int, rng: Rng) -> Spoilt:
    """One bone, or all of them, drawn beside the edge that the picture shows."""
    angle, far = rng.uniform(0.0, 2 * np.pi), rng.uniform(0.005, 0.009) * size
    step = far * np.array([np.cos(angle), np.sin(angle)])
    bones = list(labels.bones) if rng.random() < 0.5 else [str(rng.choice(labels.bones))]
    moved = {b: [_inside(p + step, size) for p in labels.polygons[b]] for b in bones}
    return _with(labels, labels.polygons | moved), bones


SPOILERS: dict[str, Callable[[Labels, int, Rng], Spoilt]] = {
    "swapped": swap,
    "reversed": reverse,
    "missing": drop,
    "doubled": double,
    "misplaced": misplace,
    "size": resize,
    "crossing": cross,
    "ragged": roughen,
    "off-edge": shift,
}
"""Kinds of mistakes that concern the labels alone."""


def _renamed(labels: Labels, names: dict[str, str]) -> Labels:
    polygons = {names.get(label, label): of_bone for label, of_bone in labels.polygons.items()}
    return _with(labels, polygons)


def _with(labels: Labels, polygons: dict[str, list[Points]]) -> Labels:
    return Labels({label: polygons[label] for label in BONES if label in polygons}, labels.document)


def _inside(points: Points, size: int) -> Points:
    return np.asarray(np.clip(np.rint(points), 0, size - 1))
