"""Changes of a segmentation after the network."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import combinations

import cv2
import numpy as np
import numpy.typing as npt

from handbones.anatomy import ANATOMY, INDEX, Bone
from handbones.errors import UsageError
from handbones.inference.hand import MOST_SPOTS, Hand, Spot, hands_of
from handbones.inference.masks import Mask
from handbones.inference.segmentation import BoneSegment, Segmentation

Spots = dict[str, list[tuple[Spot, Mask]]]
"""By label, the pieces of each bone."""

_SPECK = 0.02
"""A piece smaller than this share of its bone is a speck."""
_EDGE_POINTS = 400
"""Of an edge at most so many points are looked at."""


def largest(segmentation: Segmentation) -> Segmentation:
    """Of each bone only the largest piece."""
    return _each(segmentation, lambda mask: max((piece for piece, _ in _pieces(mask)), key=np.count_nonzero))


def holes(segmentation: Segmentation) -> Segmentation:
    """Bones without holes."""
    return _each(segmentation, _filled)


def specks(segmentation: Segmentation) -> Segmentation:
    """Bones without pieces of less than a fiftieth of their area; the largest stays."""

    def without(mask: Mask) -> Mask:
        areas = [(piece, np.count_nonzero(piece)) for piece, _ in _pieces(mask)]
        least = min(_SPECK * np.count_nonzero(mask), max(area for _, area in areas))
        return _union(piece for piece, area in areas if area >= least)

    return _each(segmentation, without)


def fingers(segmentation: Segmentation) -> Segmentation:
    """What a network takes for a bone of the finger beside goes to the finger that it lies on.

    Of a finger bone in several pieces each goes to the finger whose bones before and after it are nearest; the smaller
    pieces also heed the largest piece of each finger's bone of their kind. Specks stay.
    """
    pieces = {label: _large(segment) for label, segment in segmentation.bones.items() if segment.bone.digit}
    kept, moved = dict(segmentation.bones), []
    for label, of_bone in pieces.items():
        segment = segmentation.bones[label]
        for piece in of_bone if len(of_bone) > 1 else []:
            rivals = [bone for bone in ANATOMY if bone.digit and bone.segment == segment.bone.segment]
            gaps = {bone.label: _gap(piece, bone, pieces, piece is of_bone[0]) for bone in rivals}
            nearest = min(gaps, key=gaps.__getitem__)
            if gaps[nearest] < gaps[label] < np.inf:
                kept[label] = replace(kept[label], mask=kept[label].mask & ~piece.mask)
                moved.append(replace(segmentation, bones={nearest: replace(piece, bone=ANATOMY[INDEX[nearest]])}))
    if not moved:
        return segmentation
    bones = {label: segment for label, segment in kept.items() if segment.mask.any()}
    return replace(segmentation, bones=bones).united(*moved)


def anatomy(segmentation: Segmentation) -> Segmentation:
    """Bones without pieces that lie where no hand has that bone, as far as the other bones tell where the hand is."""
    spots = _spots(segmentation)
    hands = _hands(spots)
    if not hands:
        return segmentation
    return _with(segmentation, spots, lambda spot: any(hand.expects(spot) for hand in hands))


STEPS: dict[str, Callable[[Segmentation], Segmentation]] = {
    "fingers": fingers,
    "anatomy": anatomy,
    "largest": largest,
    "specks": specks,
    "holes": holes,
}
"""By name, in the order in which they are done."""


def apart(segmentations: Sequence[Segmentation]) -> list[Segmentation]:
    """Hands of one picture, each seen by itself, without what was seen of one of the others beside it.

    A piece goes where it lies nearer to another hand's place of that bone than to its own. Where two of them make out
    the same hand, all stays.
    """
    spots = [_spots(segmentation) for segmentation in segmentations]
    hands = {number: found[0] for number, of_hand in enumerate(spots) if (found := _hands(of_hand))}

    if not all(one.beside(other) for one, other in combinations(hands.values(), 2)):
        return list(segmentations)

    def own(number: int, spot: Spot) -> bool:
        misses = {other: hand.misses(spot) for other, hand in hands.items()}
        return number not in hands or misses[number] <= min(misses.values())

    return [
        _with(segmentation, of_hand, partial(own, number))
        for number, (segmentation, of_hand) in enumerate(zip(segmentations, spots, strict=True))
    ]


def cleaned(segmentation: Segmentation, steps: Sequence[str]) -> Segmentation:
    """A segmentation after some of `STEPS`."""
    for name in steps:
        segmentation = STEPS[name](segmentation)
    return segmentation


def check_steps(names: str | Sequence[str]) -> tuple[str, ...]:
    """The names in the order in which they are done; in one text they have commas between them, `none` is no step.

    Raises `UsageError` for an unknown one.
    """
    if isinstance(names, str):
        names = [] if names == "none" else [word.strip() for word in names.split(",") if word.strip()]
    for name in names:
        if name not in STEPS:
            raise UsageError(f"--clean {name}: must be of {', '.join(STEPS)}")
    return tuple(name for name in STEPS if name in names)


def _each(segmentation: Segmentation, change: Callable[[Mask], Mask]) -> Segmentation:
    bones = {label: replace(segment, mask=change(segment.mask)) for label, segment in segmentation.bones.items()}
    return replace(segmentation, bones=bones)


def _with(segmentation: Segmentation, spots: Spots, wanted: Callable[[Spot], bool]) -> Segmentation:
    """Only the pieces that are wanted."""
    bones = {}
    for label, segment in segmentation.bones.items():
        kept = [piece for spot, piece in spots[label] if wanted(spot)]
        if kept:
            bones[label] = replace(segment, mask=_union(kept)) if len(kept) < len(spots[label]) else segment
    return replace(segmentation, bones=bones)


def _union(pieces: Iterable[Mask]) -> Mask:
    union: Mask = np.logical_or.reduce(list(pieces))
    return union


def _filled(mask: Mask) -> Mask:
    outer, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    full = np.zeros(mask.shape, np.uint8)
    cv2.drawContours(full, outer, -1, 1, cv2.FILLED)
    return full.view(bool)


def _pieces(mask: Mask) -> Iterator[tuple[Mask, npt.NDArray[np.float64]]]:
    """The connected pieces of a mask, each of the mask's shape, and their centres (x, y)."""
    count, pieces, _, centres = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    for piece in range(1, count):
        yield pieces == piece, centres[piece]


def _large(segment: BoneSegment) -> list[BoneSegment]:
    """The pieces of a bone that are no specks, the largest first."""
    pieces = [replace(segment, mask=piece) for piece, _ in _pieces(segment.mask)]
    return sorted((p for p in pieces if p.area >= _SPECK * segment.area), key=lambda piece: -piece.area)


def _gap(piece: BoneSegment, bone: Bone, pieces: dict[str, list[BoneSegment]], joints_only: bool) -> float:
    """Pixels from a piece to the bones before and after `bone` along its finger, and to its largest; else infinity."""
    near = [] if joints_only else pieces.get(bone.label, [])[:1]
    for label in bone.neighbours:
        if ANATOMY[INDEX[label]].digit == bone.digit:
            near = near + pieces.get(label, [])
    return min((float(np.abs(_edge(piece)[:, None] - _edge(other)).min()) for other in near), default=np.inf)


def _edge(piece: BoneSegment) -> npt.NDArray[np.complex128]:
    """Points of a piece's edge as x + iy, in pixels of the picture."""
    outer, _ = cv2.findContours(piece.mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    points = np.concatenate(outer)[:, 0] + (piece.left, piece.top)
    thinned = points[:: len(points) // _EDGE_POINTS + 1]
    return thinned[:, 0] + 1j * thinned[:, 1]


def _hands(spots: Spots) -> list[Hand]:
    """The hands that pieces make up, of each bone the largest few: their pairs are many."""
    largest = [sorted(of_bone, key=lambda pair: -pair[0].area)[:MOST_SPOTS] for of_bone in spots.values()]
    return hands_of([spot for of_bone in largest for spot, _ in of_bone])


def _spots(segmentation: Segmentation) -> Spots:
    return {label: list(_spots_of(segment)) for label, segment in segmentation.bones.items()}


def _spots_of(segment: BoneSegment) -> Iterator[tuple[Spot, Mask]]:
    for piece, centre in _pieces(segment.mask):
        rows, columns = (np.flatnonzero(piece.any(axis=axis)) for axis in (1, 0))
        left, top = columns[0] + segment.left - 0.5, rows[0] + segment.top - 0.5
        right, bottom = columns[-1] + segment.left + 0.5, rows[-1] + segment.top + 0.5
        place = complex(centre[0] + segment.left, centre[1] + segment.top)
        area = float(np.count_nonzero(piece))
        yield Spot(segment.bone.index, place, area, segment.confidence, (left, top, right, bottom)), piece
