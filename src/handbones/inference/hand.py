"""Where a hand is, how it is turned, and whether it is one: from bones that a network sees.

Every spot of a bone that the logits show is a candidate. Any two of them fix where all the other bones of a hand
should be, up to mirroring; the hand is the placement that most candidates agree with, by place and by area.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from handbones.anatomy import ANATOMY, BONES, INDEX
from handbones.inference.frame import Logits
from handbones.inference.view import Grid, Rectangle, probabilities
from handbones.raster import Outlines

Complex = npt.NDArray[np.complex128]
Floats = npt.NDArray[np.float64]

# Centre (x, y) and area of the bones of a right hand, upright and straight, in units of the distance from the tip of
# the middle finger (centre of finger-8) to the lunate: means of 40 phantoms. Radius and ulna are cut by the picture
# and tell nothing of this kind.
_LAYOUT = np.array([
    (-0.479, -0.045, 0.0054), (-0.396, 0.078, 0.0111), (-0.251, 0.242, 0.0183), (-0.193, -0.499, 0.0034),
    (-0.180, -0.387, 0.0068), (-0.157, -0.197, 0.0150), (-0.114, 0.123, 0.0245), (0.022, -0.561, 0.0040),
    (0.014, -0.433, 0.0086), (-0.003, -0.216, 0.0164), (-0.015, 0.095, 0.0222), (0.214, -0.467, 0.0038),
    (0.185, -0.345, 0.0074), (0.123, -0.151, 0.0135), (0.071, 0.121, 0.0165), (0.377, -0.272, 0.0026),
    (0.330, -0.190, 0.0044), (0.247, -0.057, 0.0095), (0.145, 0.160, 0.0162), (-0.115, 0.339, 0.0066),
    (-0.071, 0.332, 0.0042), (-0.003, 0.351, 0.0107), (0.067, 0.334, 0.0075), (-0.056, 0.423, 0.0077),
    (0.023, 0.439, 0.0057), (0.100, 0.391, 0.0048), (0.116, 0.394, 0.0031),
])  # fmt: skip
_PLACES: Complex = _LAYOUT[:, 0] + 1j * _LAYOUT[:, 1]
_AREAS: Floats = _LAYOUT[:, 2]
_REACH = np.array([{"distal": 0.17, "middle": 0.13, "proximal": 0.11}.get(b.segment, 0.07) for b in ANATOMY[:27]])
"""How far from its place in the layout a bone may be: fingers and the thumb move."""
_AREA_FACTOR = 4.0
"""How much larger or smaller than in the layout a bone may be."""
_FEWEST_APART = 0.12
"""Two bones nearer than this, in units of the layout, do not tell how the hand lies."""

APART = 0.5
"""Distance of two hands' middles, in hand lengths, from which they are two."""
_FAINT = 0.3
"""Probability above which a pixel counts for a spot."""
MOST_SPOTS = 3
"""Spots of one bone that are looked at, the largest first."""
_ALL = range(len(BONES))
_MIDDLE_FINGER = [bone.index for bone in ANATOMY if bone.digit == 3 and bone.segment != "metacarpal"]
_WRIST = 0.45j
"""Where the forearm begins, in the layout."""
_FOREARM = 0.8
"""How much of the forearm below that a picture may show, in hand lengths; more of it is left out if it is not seen."""
_FOREARM_REACH = 0.3
"""How near to that radius and ulna must come, in hand lengths."""


@dataclass(frozen=True)
class Spot:
    """A connected piece of what the logits show of one bone; all in pixels of the picture."""

    bone: int
    place: complex
    """The centre, x + iy."""
    area: float
    confidence: float
    """Mean probability."""
    box: tuple[float, float, float, float]
    """Left, top, right, bottom, as borders of pixels."""


@dataclass(frozen=True)
class Hand:
    """A hand in a picture."""

    turn: complex
    """Units of the layout to pixels: the length is the scale, the angle that of the hand from upright."""
    centre: complex
    mirrored: bool
    """Whether the thumb is on the right when the fingers point up."""
    spots: Sequence[Spot]
    """The bones that fit, and what is seen of radius and ulna."""

    @property
    def score(self) -> float:
        """The sum of the confidences of the bones that fit; 27 at best, radius and ulna not counted."""
        return sum(spot.confidence for spot in self.spots if spot.bone < len(_PLACES))

    @property
    def axis(self) -> float:
        """Degrees, clockwise from upright, of the line from the forearm to the fingers; -180 to 180."""
        return float(np.degrees(np.angle(-1j * self._downwards)))

    @property
    def _downwards(self) -> complex:
        """The direction from the fingers to the forearm, of length 1."""
        forearm = [spot for spot in self.spots if spot.bone >= len(_PLACES)]
        line = self.turn * 1j
        if forearm:
            fingers = self.places()[_MIDDLE_FINGER].mean()
            line = np.average([s.place for s in forearm], weights=[s.area for s in forearm]) - fingers
        return complex(line / abs(line))

    def places(self) -> Complex:
        """Where the layout has the 27 bones, in the picture."""
        return self.centre + self.turn * (-_PLACES.conj() if self.mirrored else _PLACES)

    def areas(self) -> Floats:
        """What a hand of this size has of each of the 27 bones in the layout, in pixels."""
        return _AREAS * self.length**2

    def misses(self, spot: Spot) -> float:
        """How far a spot lies from where this hand has that bone, in hand lengths, whatever its size."""
        if spot.bone < len(_PLACES):
            return float(abs(spot.place - self.places()[spot.bone])) / self.length
        wrist = self.centre + self.turn * _WRIST
        left, top, right, bottom = spot.box
        nearest = complex(np.clip(wrist.real, left, right), np.clip(wrist.imag, top, bottom))
        return abs(nearest - wrist) / self.length

    def expects(self, spot: Spot) -> bool:
        """Whether a spot lies about where this hand has that bone, whatever its size."""
        reach = 2 * _REACH[spot.bone] if spot.bone < len(_PLACES) else _FOREARM_REACH
        return bool(self.misses(spot) < reach)

    def beside(self, other: "Hand") -> bool:
        """Whether it is another hand than that."""
        return abs(self.centre - other.centre) >= APART * other.length

    @property
    def length(self) -> float:
        """From the middle of the middle finger's last bone to that of the lunate, straightened, in pixels."""
        return abs(self.turn)

    def rectangle(self, degrees: float, margin: float, bones: Collection[int] = _ALL) -> Rectangle:
        """A rectangle turned by `degrees` around bones, seen or expected, with a margin in hand lengths.

        A forearm may go on where nothing was seen of it: there the rectangle is long.
        """
        spots = [spot for spot in self.spots if spot.bone in bones]
        corners = [complex(x, y) for spot in spots for x in spot.box[::2] for y in spot.box[1::2]]
        turn = np.exp(1j * np.radians(degrees))
        expected = self.places()[[bone for bone in bones if bone < len(_PLACES)]]
        if INDEX["Radius"] in bones:
            expected = np.append(expected, self.centre + self.turn * _WRIST + self.length * _FOREARM * self._downwards)
        points = np.concatenate([np.array(corners), expected]) / turn
        room = margin * self.length
        left, right = points.real.min() - room, points.real.max() + room
        top, bottom = points.imag.min() - room, points.imag.max() + room
        centre = complex(left + right, top + bottom) / 2 * turn
        return Rectangle(centre.real, centre.imag, right - left, bottom - top, degrees)


def find_hands(logits: Logits, grid: Grid, fewest: int = 6) -> list[Hand]:
    """The hands that the logits (29, rows, columns) on a grid show, best first, none with less than `fewest` bones."""
    return hands_of(find_spots(logits, grid), fewest)


def hands_of(spots: Sequence[Spot], fewest: int = 6) -> list[Hand]:
    """The hands that spots make up, best first; each spot is at most of one of them."""
    hands: list[Hand] = []
    while hand := _best_hand(spots, fewest):
        hands.append(hand)
        taken = {id(spot) for spot in hand.spots}
        spots = [spot for spot in spots if id(spot) not in taken]
    return sorted(hands, key=lambda hand: -hand.score)


def find_spots(logits: Logits, grid: Grid) -> list[Spot]:
    """All pieces of bones that are worth a look."""
    x, y = 1 / grid.matrix[0, 0], 1 / grid.matrix[1, 1]  # pixels of the picture per cell
    spots = []
    faint = np.float32(np.log(_FAINT / (1 - _FAINT)))
    for bone, plane in enumerate(logits):
        mask = plane > faint
        if not mask.any():
            continue
        _, pieces, stats, centres = cv2.connectedComponentsWithStats(mask.view(np.uint8), connectivity=4)
        order = 1 + np.argsort(-stats[1:, cv2.CC_STAT_AREA])[:MOST_SPOTS]
        for piece in order:
            left, top, width, height, cells = stats[piece].tolist()
            inside = plane[top : top + height, left : left + width][
                pieces[top : top + height, left : left + width] == piece
            ]
            box = np.array([left, top, left + width, top + height]) * [x, y, x, y]
            box += [grid.window.left - 0.5, grid.window.top - 0.5] * 2
            at = (centres[piece] + 0.5) * [x, y] + [grid.window.left - 0.5, grid.window.top - 0.5]
            confidence = float(probabilities(inside).mean())
            spots.append(Spot(bone, complex(*at), cells * x * y, confidence, tuple(box.tolist())))
    return spots


def spots_of(outlines: Outlines) -> list[Spot]:
    """Labelled bones as a network would show them that is sure of each; of several polygons of a bone the largest."""
    spots: dict[int, Spot] = {}
    for bone, polygon in zip(outlines.bones.tolist(), np.split(outlines.points, outlines.sizes.cumsum()), strict=False):
        moments = cv2.moments(polygon.astype(np.float32))
        area = moments["m00"]
        if area > 0 and (bone not in spots or area > spots[bone].area):
            box = (*(polygon.min(axis=0) - 0.5).tolist(), *(polygon.max(axis=0) + 0.5).tolist())
            spots[bone] = Spot(bone, complex(moments["m10"], moments["m01"]) / area, area, 1.0, box)
    return list(spots.values())


def _best_hand(spots: Sequence[Spot], fewest: int) -> Hand | None:
    hand_spots = [spot for spot in spots if spot.bone < len(_PLACES)]
    if len({spot.bone for spot in hand_spots}) < fewest:
        return None
    best = max((_place(hand_spots, mirrored) for mirrored in (False, True)), key=lambda hand: hand.score)
    if len(best.spots) < fewest:
        return None
    forearm = [spot for spot in spots if spot.bone >= len(_PLACES) and best.expects(spot)]
    return Hand(best.turn, best.centre, best.mirrored, [*best.spots, *forearm])


def _place(spots: list[Spot], mirrored: bool) -> Hand:
    """The placement that the spots agree on most."""
    bones = np.array([spot.bone for spot in spots])
    at = np.array([spot.place for spot in spots])
    layout = (-_PLACES.conj() if mirrored else _PLACES)[bones]
    first, second = np.triu_indices(len(spots), 1)
    apart = np.abs(layout[first] - layout[second]) >= _FEWEST_APART
    first, second = first[apart], second[apart]
    if first.size == 0:
        return Hand(1, 0, mirrored, [])
    turn = (at[second] - at[first]) / (layout[second] - layout[first])
    fits = _fits(spots, layout, turn, at[first] - turn * layout[first])
    best = int(fits.sum(axis=1).argmax())
    kept = fits[best] > 0
    for _ in range(3):  # least squares over those that fit, which may make others fit
        if np.unique(bones[kept]).size < 2:
            break
        z, w = layout[kept], at[kept]
        middle, target = z.mean(), w.mean()
        scale = np.vdot(z - middle, w - target) / np.vdot(z - middle, z - middle)
        centre = target - scale * middle
        kept = _fits(spots, layout, np.array([scale]), np.array([centre]))[0] > 0
    else:
        return Hand(complex(scale), complex(centre), mirrored, [s for s, k in zip(spots, kept, strict=True) if k])
    return Hand(1, 0, mirrored, [])


def _fits(spots: list[Spot], layout: Complex, turn: Complex, centre: Complex) -> Floats:
    """Confidence of every spot (columns) that fits a placement (rows), of each bone the one that fits best; else 0."""
    bones = np.array([spot.bone for spot in spots])
    at, area = np.array([spot.place for spot in spots]), np.array([spot.area for spot in spots])
    confidence = np.array([spot.confidence for spot in spots])
    scale = np.maximum(np.abs(turn), 1e-9)[:, None]
    off = np.abs(at - (centre[:, None] + turn[:, None] * layout)) / scale / _REACH[bones]
    larger = area / (_AREAS[bones] * scale**2)
    fits = (off < 1) & (larger < _AREA_FACTOR) & (larger > 1 / _AREA_FACTOR)
    value = np.where(fits, confidence, 0.0)
    for bone in np.flatnonzero(np.bincount(bones) > 1):
        same = np.flatnonzero(bones == bone)
        keep = value[:, same].argmax(axis=1)
        value[:, same] = np.where(np.arange(len(same)) == keep[:, None], value[:, same], 0.0)
    return value


assert len(_LAYOUT) == INDEX["Radius"] and len(BONES) == len(_LAYOUT) + 2
