"""Changes of a segmentation after the network, each off unless asked for."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

import cv2
import numpy as np
import numpy.typing as npt

from handbones.errors import UsageError
from handbones.inference.hand import Spot, hands_of
from handbones.inference.masks import Mask
from handbones.inference.segmentation import BoneSegment, Segmentation

_SPECK = 0.02
"""A piece smaller than this share of its bone is a speck."""


def largest(segmentation: Segmentation) -> Segmentation:
    """Of each bone only the largest piece."""
    return _each(segmentation, lambda mask: max((piece for piece, _ in _pieces(mask)), key=np.count_nonzero))


def holes(segmentation: Segmentation) -> Segmentation:
    """Bones without holes."""
    return _each(segmentation, _filled)


def specks(segmentation: Segmentation) -> Segmentation:
    """Bones without pieces of less than a fiftieth of their area."""

    def without(mask: Mask) -> Mask:
        least = _SPECK * np.count_nonzero(mask)
        return _union(piece for piece, _ in _pieces(mask) if np.count_nonzero(piece) >= least)

    return _each(segmentation, without)


def anatomy(segmentation: Segmentation) -> Segmentation:
    """Bones without pieces that lie where no hand has that bone, as far as the other bones tell where the hand is."""
    spots = {segment.bone.label: list(_spots(segment)) for segment in segmentation.bones.values()}
    hands = hands_of([spot for of_bone in spots.values() for spot, _ in of_bone])
    if not hands:
        return segmentation
    bones = {}
    for label, segment in segmentation.bones.items():
        kept = [piece for spot, piece in spots[label] if any(hand.expects(spot) for hand in hands)]
        if kept:
            bones[label] = replace(segment, mask=_union(kept))
    return replace(segmentation, bones=bones)


STEPS: dict[str, Callable[[Segmentation], Segmentation]] = {
    "anatomy": anatomy,
    "largest": largest,
    "specks": specks,
    "holes": holes,
}
"""By name, in the order in which they are done."""


def cleaned(segmentation: Segmentation, steps: Sequence[str]) -> Segmentation:
    """A segmentation after some of `STEPS`."""
    for name in steps:
        segmentation = STEPS[name](segmentation)
    return segmentation


def check_steps(names: Sequence[str]) -> tuple[str, ...]:
    """The names in the order in which they are done. Raises `UsageError` for an unknown one."""
    for name in names:
        if name not in STEPS:
            raise UsageError(f"--clean {name}: must be of {', '.join(STEPS)}")
    return tuple(name for name in STEPS if name in names)


def _each(segmentation: Segmentation, change: Callable[[Mask], Mask]) -> Segmentation:
    bones = {label: replace(segment, mask=change(segment.mask)) for label, segment in segmentation.bones.items()}
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


def _spots(segment: BoneSegment) -> Iterator[tuple[Spot, Mask]]:
    for piece, centre in _pieces(segment.mask):
        rows, columns = (np.flatnonzero(piece.any(axis=axis)) for axis in (1, 0))
        left, top = columns[0] + segment.left - 0.5, rows[0] + segment.top - 0.5
        right, bottom = columns[-1] + segment.left + 0.5, rows[-1] + segment.top + 0.5
        place = complex(centre[0] + segment.left, centre[1] + segment.top)
        area = float(np.count_nonzero(piece))
        yield Spot(segment.bone.index, place, area, segment.confidence, (left, top, right, bottom)), piece
