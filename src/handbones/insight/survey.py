"""One look at every case of a collection: what EDA and audit start from.

The facts of a case take a few kilobytes, come from one pass over its two files, and are cached, so that a second look
costs next to nothing.
"""

import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt

from handbones.anatomy import BONES
from handbones.collection import Case
from handbones.insight import cache as kept
from handbones.insight.edges import Edges, edges_of
from handbones.insight.exposure import Exposure, exposure_of
from handbones.insight.sesamoid import sesamoid_evidence
from handbones.insight.shapes import Shapes, shapes_of
from handbones.labels import Labels
from handbones.metric import areas
from handbones.processes import in_processes
from handbones.raster import Packed, fill, grow, rasterise
from handbones.sides import Side, detect_side, side_from_labels, wrist_tilt

Floats = npt.NDArray[np.float64]
Gray = npt.NDArray[np.uint8]

MASK_SIZE = 512
"""Longest side of the masks that tell which gray values are of bone."""
_FEW = 8
"""Cases that are not worth starting processes for."""


@dataclass(frozen=True)
class Facts:
    """What is known of one case; parts that need labels are None without them."""

    height: int
    width: int
    exposure: Exposure
    side_picture: Side | None = None
    side_labels: Side | None = None
    tilt: float = math.nan
    """Degrees, see `wrist_tilt`; NaN if not known."""
    shapes: Shapes | None = None
    """In the picture's pixels as they are."""
    degrees: Floats = field(default_factory=lambda: np.full(len(BONES), np.nan))
    """(29,) angle of each bone from upright, in square pixels."""
    edges: Edges | None = None
    sesamoid: Floats = field(default_factory=lambda: np.full(2, np.nan))
    """(2,) see `sesamoid_evidence`."""
    overlaps: npt.NDArray[np.float32] = field(default_factory=lambda: np.zeros((len(BONES), len(BONES)), np.float32))
    """(29, 29) share of the picture's pixels that two bones have in common; the bone's own on the diagonal."""
    several: float = math.nan
    """Share of the picture's pixels that lie in more than one bone."""
    covered: float = math.nan
    """Share of the picture's pixels that lie in a bone."""


@dataclass(frozen=True)
class Survey:
    """Cases and their facts, in the same order."""

    cases: list[Case]
    facts: list[Facts]

    @cached_property
    def labelled(self) -> "Survey":
        """Those with labels."""
        return self.choose([facts.shapes is not None for facts in self.facts])

    def choose(self, which: Sequence[bool] | npt.NDArray[np.bool_]) -> "Survey":
        """Those for which `which` is true."""
        pairs = [(case, facts) for case, facts, wanted in zip(self.cases, self.facts, which, strict=True) if wanted]
        return Survey([case for case, _ in pairs], [facts for _, facts in pairs])

    def sides(self) -> list[Side | None]:
        """The side of each case: from the name, else from the labels, else from the picture."""
        pairs = zip(self.cases, self.facts, strict=True)
        return [case.side or facts.side_labels or facts.side_picture for case, facts in pairs]

    def shape(self, name: str) -> Floats:
        """A field of `Shapes` of all cases (which must be labelled), stacked: (cases, 29, ...)."""
        return np.array([getattr(facts.shapes, name) for facts in self.facts])

    def edge(self, name: str) -> Floats:
        """The same for a field of `Edges`."""
        return np.array([getattr(facts.edges, name) for facts in self.facts])

    def sizes(self) -> Floats:
        """(cases, 2) width and height in pixels."""
        return np.array([(facts.width, facts.height) for facts in self.facts], np.float64).reshape(-1, 2)


def survey(
    cases: Sequence[Case],
    *,
    workers: int | None = None,
    cache: Path | None = None,
    seen: Callable[[int], None] | None = None,
) -> Survey:
    """Look at every case with `workers` processes (None: one a core, up to 8); `seen` is told how many more are done.

    `cache` is a folder for the facts (None: none are kept). Raises `UserError` for a file that cannot be read.
    """
    facts: list[Facts | None] = [None] * len(cases)
    # As the files are now: one that changes while it is looked at must not pass for the new one.
    entries = [kept.entry(cache, case) for case in cases]
    for index, entry in enumerate(entries):
        facts[index] = kept.recall(entry, Facts)
        if seen and facts[index] is not None:
            seen(1)
    missing = [index for index, known in enumerate(facts) if known is None]
    for index, found in _look_at_all([cases[index] for index in missing], workers):
        facts[missing[index]] = found
        kept.remember(entries[missing[index]], found)
        if seen:
            seen(1)
    return Survey(list(cases), cast("list[Facts]", facts))


def look(case: Case) -> Facts:
    """The facts of one case. Raises `UserError` if a file cannot be read."""
    radiograph, labels = case.load()
    pixels = radiograph.to_uint8()
    side = detect_side(pixels)
    if labels is None:
        return Facts(radiograph.height, radiograph.width, exposure_of(pixels, None), side)
    packed = small_masks(labels, radiograph.height, radiograph.width)
    whole = fill(labels.by_bone(), radiograph.height, radiograph.width)  # some bones meet in a few pixels alone
    several = (whole & (whole - np.uint32(1))) != 0  # what remains without the lowest bit
    shapes = shapes_of(labels)
    tall = radiograph.tall
    tilt = wrist_tilt(labels, tall)
    return Facts(
        height=radiograph.height,
        width=radiograph.width,
        exposure=exposure_of(pixels, packed),
        side_picture=side,
        side_labels=side_from_labels(labels),
        tilt=math.nan if tilt is None else tilt,
        shapes=shapes,
        degrees=(shapes if tall == 1 else shapes_of(labels, tall)).degrees,
        edges=edges_of(pixels, labels, packed),
        sesamoid=np.array(sesamoid_evidence(pixels, labels, shapes)),
        overlaps=overlaps_of(whole, several),
        several=float(several.mean()),
        covered=float((whole != 0).mean()),
    )


def small_masks(labels: Labels, height: int, width: int) -> Packed:
    """Packed masks of a picture's labels, its longest side brought to `MASK_SIZE` pixels."""
    scale = MASK_SIZE / max(height, width)
    small = labels.map(lambda points: (grow(points) + 0.5) * scale - 0.5)
    return rasterise(small.by_bone(), max(1, round(height * scale)), max(1, round(width * scale)))


def overlaps_of(packed: Packed, several: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
    """(29, 29) share of the pixels that each two bones have in common; its own on the diagonal.

    `several` are those pixels that lie in more than one bone.
    """
    words, counts = np.unique(packed[several], return_counts=True)
    bits = (words[:, None] >> np.arange(len(BONES), dtype=np.uint32)) & np.uint32(1)
    together = bits.T.astype(np.float64) @ (bits * counts[:, None])
    np.fill_diagonal(together, areas(packed))
    return (together / packed.size).astype(np.float32)


def _look_at_all(cases: Sequence[Case], workers: int | None) -> Iterator[tuple[int, Facts]]:
    count = min(workers or min(8, os.cpu_count() or 1), len(cases))
    if count <= 1 or len(cases) <= _FEW:
        yield from enumerate(map(look, cases))
        return
    yield from in_processes(look, cases, count)
