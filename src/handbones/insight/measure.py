"""Sizes of bones from labels: lengths, widths, areas, orientations, and the ratios that radiology uses.

Definitions and their sources: docs/measurements.md. Everything is in square pixels; millimetres only where the spacing
of the pixels is known.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from reprlib import repr as shown
from typing import Any

import numpy as np
import numpy.typing as npt

from handbones.anatomy import ANATOMY, BONES, INDEX
from handbones.errors import UsageError
from handbones.files import write_csv
from handbones.inference.hand import hands_of, spots_of
from handbones.inference.segmentation import Segmentation, labels_of
from handbones.insight.shapes import SEVERAL, Shapes, in_two_places, shapes_of
from handbones.labels import Labels
from handbones.radiograph import Radiograph
from handbones.raster import Outlines, grow
from handbones.sides import Side, forearm_axis, side_from_labels, wrist_tilt

Floats = npt.NDArray[np.float64]

Spacing = tuple[float, float]
"""Millimetres a row and a column."""

RATIOS = (
    *(f"proximal_phalanx_to_metacarpal_{digit}" for digit in range(1, 6)),
    *(f"middle_to_proximal_phalanx_{digit}" for digit in range(2, 6)),
    "distal_to_proximal_phalanx_1",
    *(f"distal_to_middle_phalanx_{digit}" for digit in range(2, 6)),
    *(f"metacarpal_{digit}_to_metacarpal_3" for digit in (1, 2, 4, 5)),
    "carpal_height_to_metacarpal_3",
)
"""Ratios of lengths, in the order of the table."""
_FOREARM = frozenset(bone.label for bone in ANATOMY if bone.group == "forearm")
_SHORT, _LEAST_SHORT = 0.005, 2.0
"""How far from the picture's edge a model may end what the edge cuts: in lengths of the hand; pixels at least."""
_SLIVER = 0.25
"""Of a finger bone with less than this share of the area that goes with its hand, most is not in the picture."""
_DECIMALS = 5


@dataclass(frozen=True)
class BoneMeasure:
    """One bone of a picture."""

    label: str
    length: float
    """Extent along the bone's own axis, pixels; millimetres where so asked.

    It, the width and the angle are NaN for a stub of radius or ulna, of which the axis is not known.
    """
    width: float
    """Extent across it."""
    area: float
    """Pixels, or square millimetres."""
    degrees: float
    """Angle of the axis from upright, -90 to 90, positive where the upper end leans to the right."""
    whole: bool
    """False where the bone reaches the edge of the picture, or is a sliver of one, and for radius and ulna."""
    pieces: int
    """Polygons; what a model left beside a bone counts in its length and area."""


@dataclass(frozen=True)
class Measures:
    """All bones of a picture, in the official order, and the ratios."""

    bones: list[BoneMeasure]
    ratios: dict[str, float]
    """By `RATIOS`; NaN where a bone for it is missing, cut or in two places."""
    carpal_height: float
    """Same unit as the lengths; NaN if not known, as where metacarpal 3 is not whole."""
    unit: str
    """`px` or `mm`."""
    side: Side | None
    """As the bones tell; None where they do not, or seem to be of several hands."""
    tilt: float
    """Of the wrist, in degrees, see `wrist_tilt`; likewise NaN."""
    several: bool
    """Whether the bones seem to be of several hands: there are no ratios then."""


def measure(
    labels: Labels | Segmentation, height: int, width: int, spacing: Spacing | None = None, *, aspect: float = 1.0
) -> Measures:
    """Measure bones in a picture of `height` x `width` pixels; in millimetres if `spacing` is given.

    Pixels that are `aspect` times as high as wide, by the spacing where that is given, are brought to squares as wide
    as they first. Raises `UsageError` where sizes are none, for a segmentation of several hands, and for what is
    neither labels nor a segmentation.
    """
    _check_sizes(height, width, spacing, aspect)
    found = isinstance(labels, Segmentation)
    if isinstance(labels, Segmentation) and len(labels.hands) > 1:
        raise UsageError(f"the segmentation is of {len(labels.hands)} hands: measure each of segmentation.hands")
    labels = labels_of(labels)
    tall = float(spacing[0] / spacing[1]) if spacing is not None else aspect
    unit = float(spacing[1]) if spacing is not None else 1.0
    square = labels.map(lambda points: points * (1.0, tall))
    shapes = shapes_of(labels, tall)
    whole = _whole(square, shapes, (width, height * tall), tall, found=found)
    stubs = _stubs(shapes, square)
    bones = [_bone(shapes, label, whole[label], unit, stub=label in stubs) for label in labels.bones]
    twice = set(in_two_places(square))
    several = len(twice) >= SEVERAL
    tilt = None if several else wrist_tilt(square)
    twice |= set(BONES) if several else set()
    lengths = {bone.label: bone.length for bone in bones if bone.whole and bone.label not in twice}
    known = "finger-11" in lengths and "Radius" not in twice
    radius = [grow(polygon) * (1.0, tall) for polygon in labels.polygons.get("Radius", [])]
    carpal_height = _carpal_height(shapes, radius) * unit if known else math.nan
    return Measures(
        bones,
        _ratios(lengths, carpal_height),
        carpal_height,
        unit="px" if spacing is None else "mm",
        side=None if several else side_from_labels(square),
        tilt=math.nan if tilt is None else tilt,
        several=several,
    )


def _check_sizes(height: Any, width: Any, spacing: Any, aspect: Any) -> None:
    for name, side in (("height", height), ("width", width)):
        if not isinstance(side, int | np.integer) or side < 1:
            raise UsageError(f"{name} {shown(side)}: needs the pixels of the picture's side, at least 1")
    pair = isinstance(spacing, Sequence | np.ndarray) and len(spacing) == 2 and all(map(_is_length, spacing))
    if spacing is not None and not pair:
        raise UsageError(f"spacing {shown(spacing)}: needs millimetres of a row and of a column, above 0: (0.1, 0.1)")
    if not _is_length(aspect):
        raise UsageError(f"aspect {shown(aspect)}: needs how many times as high as wide a pixel is, above 0")


def _is_length(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and bool(0 < value < math.inf)


def _bone(shapes: Shapes, label: str, whole: bool, unit: float, *, stub: bool) -> BoneMeasure:
    index = INDEX[label]
    figures = shapes.length, shapes.width, shapes.area, shapes.degrees
    length, across, area, degrees = (float(values[index]) for values in figures)
    if stub:
        length = across = degrees = math.nan
    return BoneMeasure(label, length * unit, across * unit, area * unit**2, degrees, whole, int(shapes.parts[index]))


def _stubs(shapes: Shapes, square: Labels) -> set[str]:
    """What is there of radius and ulna and too short to tell the bone's axis."""
    middles = [shapes.centre[INDEX[label]] for label in square.bones if label not in _FOREARM]
    if not middles:
        return set()
    middle = np.mean(middles, axis=0)
    return {label for label in _FOREARM & set(square.bones) if forearm_axis(square, label, middle) is None}


def _whole(square: Labels, shapes: Shapes, size: tuple[float, float], tall: float, *, found: bool) -> dict[str, bool]:
    """Whether a bone is all there, by label, in a picture of `size` (width, height) in square pixels.

    `found`: by a model, which ends its outline a little before the edge that cuts a bone. Radius and ulna end where a
    radiograph of the hand ends them, be it with a black border.
    """
    hand = next(iter(hands_of(spots_of(Outlines.of(square.by_bone())))), None)
    room = 0.5 * np.array([1.0, tall])
    if found:
        room = room + max(_LEAST_SHORT, _SHORT * hand.length if hand else 0.0)
    far = np.array(size) - (1.0, tall) - room
    whole = {}
    for label, polygons in square.polygons.items():
        points = np.concatenate(polygons)
        inside = label not in _FOREARM and bool(((points > room) & (points < far)).all())
        least = _SLIVER * hand.areas()[INDEX[label]] if hand and ANATOMY[INDEX[label]].digit else 0.0
        whole[label] = inside and bool(shapes.area[INDEX[label]] >= least)
    return whole


def _carpal_height(shapes: Shapes, radius: Sequence[Floats]) -> float:
    """From the base of the third metacarpal to the outlines of the radius, along the axis of the metacarpal prolonged.

    NaN where there is no radius, or the axis misses it.
    """
    bone = INDEX["finger-11"]
    ends = [shapes.top[bone], shapes.bottom[bone]]
    base = min(ends, key=lambda end: float(np.hypot(*(end - shapes.centre[INDEX["Radius"]]))))
    down = base - shapes.centre[bone]
    down /= max(float(np.hypot(*down)), 1e-9)
    across = np.array([-down[1], down[0]])
    hits: list[float] = []
    for polygon in radius:
        points = polygon - base
        along, aside = points @ down, points @ across
        along1, aside1 = np.roll(along, -1), np.roll(aside, -1)
        crosses = (aside <= 0) != (aside1 <= 0)
        share = aside[crosses] / (aside[crosses] - aside1[crosses])
        hits += (along[crosses] + share * (along1[crosses] - along[crosses])).tolist()
    beyond = [hit for hit in hits if hit > 0]
    return min(beyond) if beyond else math.nan


def _ratios(lengths: dict[str, float], carpal_height: float) -> dict[str, float]:
    of = {(bone.digit, bone.segment): lengths.get(bone.label, math.nan) for bone in ANATOMY if bone.digit}
    third = of[3, "metacarpal"]
    pairs = [(of[digit, "proximal"], of[digit, "metacarpal"]) for digit in range(1, 6)]
    pairs += [(of[digit, "middle"], of[digit, "proximal"]) for digit in range(2, 6)]
    pairs += [(of[1, "distal"], of[1, "proximal"])]
    pairs += [(of[digit, "distal"], of[digit, "middle"]) for digit in range(2, 6)]
    pairs += [(of[digit, "metacarpal"], third) for digit in (1, 2, 4, 5)]
    pairs += [(carpal_height, third)]
    return {name: above / below for name, (above, below) in zip(RATIOS, pairs, strict=True)}


class Tables:
    """The CSVs of `handbones measure`: a row a bone, and a row a hand."""

    def __init__(self) -> None:
        hand = ("person", "image", "source", "hand")
        of_bone = (*hand, "bone", "name", "whole", "pieces", "confidence", "degrees")
        sizes = ("length_px", "width_px", "area_px", "length_mm", "width_mm", "area_mm2")
        hands = (*hand, "side", "wrist_tilt_degrees", *RATIOS, "carpal_height_px")
        self.bones: list[Sequence[Any]] = [(*of_bone, *sizes)]
        self.hands: list[Sequence[Any]] = [(*hands, "carpal_height_mm", "mm_per_row", "mm_per_column")]

    def add(
        self, person: str, image: str, source: str, hand: int, bones: Labels | Segmentation, radiograph: Radiograph
    ) -> Measures:
        """Measure a hand in a picture, and return what was measured.

        `source` tells where its bones are from, `hand` which one it is, counted from the left; 0 where there is none.
        """
        begin, spacing = (person, image, source, hand), radiograph.spacing
        measures = measure(bones, radiograph.height, radiograph.width, aspect=radiograph.tall)
        unit = spacing[1] if spacing else math.nan  # of the squares that everything is measured in
        for bone in measures.bones:
            name = ANATOMY[INDEX[bone.label]].name
            sizes = np.array([bone.length, bone.width, bone.area])
            figures = [bone.degrees, *sizes, *sizes * (unit, unit, unit**2)]
            sure = bones.bones[bone.label].confidence if isinstance(bones, Segmentation) else math.nan
            counts = int(bone.whole), bone.pieces
            self.bones.append((*begin, bone.label, name, *counts, *map(_short, [sure, *figures])))
        figures = [measures.tilt, *measures.ratios.values(), measures.carpal_height, measures.carpal_height * unit]
        self.hands.append((*begin, measures.side or "", *map(_short, figures), *(spacing or ("", ""))))
        return measures

    def write(self, folder: Path) -> list[Path]:
        """Write bones.csv and ratios.csv; returns their paths. Raises `UserError`."""
        paths = [folder / "bones.csv", folder / "ratios.csv"]
        for path, rows in zip(paths, (self.bones, self.hands), strict=True):
            write_csv(path, rows)
        return paths


def _short(value: float) -> str:
    """A number as anybody writes it, neither -0 nor with an exponent."""
    return "" if math.isnan(value) else f"{round(value, _DECIMALS) + 0.0:.{_DECIMALS}f}".rstrip("0").rstrip(".")
