"""Which hand it is and how far the wrist is bent: from the name, the labels or the picture."""

import re
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from handbones.anatomy import ANATOMY
from handbones.labels import Labels

Side = Literal["left", "right"]
_SMALL = 256
"""Longest side of the picture in which the hand's silhouette is looked for."""
_FINGERS_FROM = 1.6
"""Fingers begin at this distance from the middle of the palm, in radii of the largest circle in it."""
_LONG_FROM = 0.75
"""The long fingers are what reaches farther than this share of the farthest finger tip."""
_WIDEST_DEGREES = 105
"""No thumb lies farther from the direction of the fingers; the forearm does."""
_LEAST_DIFFERENCE_DEGREES = 3
_SLENDER = 1.2
"""A bone whose area spreads so many times as far along its axis as across it tells a direction."""
_AHEAD = 0.5
"""Cosine between the forearm and the direction to the hand, at least: no wrist is bent so far."""
BENT_DEGREES = 20
"""A wrist tilted by more counts as bent: between the two heaps that the competition's hands fall into."""

Vector = npt.NDArray[np.float64]


def side_from_name(stem: str) -> Side | None:
    """The side that a file name without its ending tells by `_L` or `_R`, as some of the competition's do."""
    match = re.search(r"[_-]([lr])$", stem, re.IGNORECASE)
    if match is None:
        return None
    return "left" if match[1].lower() == "l" else "right"


def side_from_labels(labels: Labels) -> Side | None:
    """The side of a PA radiograph (palm on the film): seen with the fingers up, a right thumb is on the left."""
    up, across = _upwards(labels), _across(labels)
    if up is None or across is None:
        return None
    return "right" if _cross(up, across) > 0 else "left"


def detect_side(pixels: npt.NDArray[np.uint8]) -> Side | None:
    """The side of a PA radiograph with the fingers up, told from the picture (height, width) alone.

    Around the middle of the palm, seen along the long fingers, the thumb lies at a wider angle than the little
    finger, however much the wrist is bent. None where there is no such difference.
    """
    silhouette = _silhouette(pixels)
    if silhouette is None:
        return None
    row, column, palm = _palm(silhouette)
    height, width = silhouette.shape
    rightwards, upwards = np.meshgrid(np.arange(width) - column, row - np.arange(height))
    reach = np.hypot(rightwards, upwards)
    outside = (silhouette > 0) & (reach > _FINGERS_FROM * palm)
    _, pieces = cv2.connectedComponents(outside.astype(np.uint8))
    fingers = outside & ~np.isin(pieces, pieces[-1:])  # the forearm leaves through the lower border
    if not fingers.any():
        return None
    long = fingers & (reach > _LONG_FROM * reach[fingers].max())
    ahead = np.arctan2(rightwards[long].mean(), upwards[long].mean())
    angles = np.degrees(np.arctan2(rightwards, upwards)[outside] - ahead)
    angles = (angles + 180) % 360 - 180
    angles = angles[np.abs(angles) < _WIDEST_DEGREES]
    to_left, to_right = -np.percentile(angles, 1), np.percentile(angles, 99)
    if abs(to_left - to_right) < _LEAST_DIFFERENCE_DEGREES:
        return None
    return "right" if to_left > to_right else "left"


def _palm(silhouette: npt.NDArray[np.uint8]) -> tuple[int, int, float]:
    """Row, column and radius of the largest circle in the hand, gaps between the metacarpals closed."""
    closed = cv2.morphologyEx(silhouette, cv2.MORPH_CLOSE, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (11, 11)))
    depth = cv2.distanceTransform(np.pad(closed, 1), cv2.DIST_L2, 5)[1:-1, 1:-1]
    row, column = divmod(int(depth.argmax()), depth.shape[1])
    return row, column, float(depth[row, column])


def _silhouette(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8] | None:
    """The hand with its soft tissue, 1 on 0, in a picture of `_SMALL` pixels without its border."""
    scale = _SMALL / max(pixels.shape)
    if round(min(pixels.shape) * scale) < 1:
        return None
    small = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    border = _SMALL // 40
    if min(small.shape) < 4 * border:
        return None
    small = cv2.GaussianBlur(small[border:-border, border:-border], (0, 0), 1.5)
    mask = (small > _darkest_of_three(small)).astype(np.uint8)
    count, pieces, facts, _ = cv2.connectedComponentsWithStats(mask, connectivity=4)
    if count < 2:
        return None
    largest = 1 + facts[1:, cv2.CC_STAT_AREA].argmax()
    return np.equal(pieces, largest).astype(np.uint8)


def _darkest_of_three(pixels: npt.NDArray[np.generic]) -> float:
    """The threshold between the darkest and the middle of three classes (Otsu): background, soft tissue, bone."""
    bins = 64
    share = np.histogram(pixels, bins, (0, 256))[0] / pixels.size
    weight, moment = (np.r_[0, np.cumsum(v)] for v in (share, share * np.arange(bins)))

    def spread(start: npt.NDArray[np.intp], end: npt.NDArray[np.intp]) -> npt.NDArray[np.float64]:
        inside = np.maximum(weight[end] - weight[start], 1e-12)
        between: npt.NDArray[np.float64] = (moment[end] - moment[start]) ** 2 / inside
        return between

    low, high = np.triu_indices(bins, 1)
    best = (spread(low * 0, low) + spread(low, high) + spread(high, high * 0 + bins)).argmax()
    return float(low[best]) * 256 / bins


@dataclass(frozen=True)
class Wrist:
    """How hand and forearm lie to each other; vectors point towards the fingers and have length 1."""

    forearm: Vector
    """Along the forearm."""
    hand: Vector
    """Along metacarpal 3."""
    little: Literal[-1, 1]
    """1 where a turn of the hand from x to y, clockwise on the screen, leads to the little finger's side, else -1."""

    @property
    def tilt(self) -> float:
        """Degrees from the forearm to the hand, positive towards the little finger."""
        angle = np.degrees(np.arctan2(_cross(self.forearm, self.hand), self.forearm @ self.hand))
        return float(self.little * angle)


def forearm_axis(labels: Labels, bone: str, hand: Vector) -> Vector | None:
    """Unit vector along radius or ulna (`bone`, which is there) towards the hand, of which a point (x, y) is given.

    None for a stub that is wider than long, or hardly longer, and does not tell where the forearm points.
    """
    outline = _largest(labels, bone)
    to_hand = hand - _centroid(outline)
    axis = _axis(outline, to_hand)
    tells = _slenderness(outline) >= _SLENDER and axis @ to_hand >= _AHEAD * np.hypot(*to_hand)
    return axis if tells else None


def wrist_of(labels: Labels) -> Wrist | None:
    """None where the middle metacarpal, the fingers that tell the side, or a forearm that is no stub are missing."""
    metacarpal = centre_of(labels, "finger-11")
    across = _across(labels)
    bones = [bone for bone in ("Radius", "Ulna") if bone in labels.polygons]
    if metacarpal is None or across is None or not bones:
        return None
    axes = [forearm_axis(labels, bone, metacarpal) for bone in bones]
    forearm = np.sum([np.zeros(2), *(axis for axis in axes if axis is not None)], axis=0)
    length = float(np.hypot(*forearm))
    if length < 1e-9:
        return None
    hand = _axis(_largest(labels, "finger-11"), forearm)
    return Wrist(forearm / length, hand, 1 if _cross(forearm, across) > 0 else -1)


def wrist_tilt(labels: Labels, tall: float = 1.0) -> float | None:
    """Degrees from the axis of the forearm to that of metacarpal 3, positive towards the little finger.

    `tall`: how many times as high as wide a pixel is. None where the middle metacarpal, the forearm or the fingers
    that tell the side are missing.
    """
    wrist = wrist_of(labels if tall == 1 else labels.map(lambda points: points * (1.0, tall)))
    return None if wrist is None else wrist.tilt


def is_bent(tilt: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    """Whether wrists of these tilts in degrees count as bent, in the shape of `tilt`; one of NaN does not."""
    return np.asarray(np.abs(tilt) > BENT_DEGREES)


def _upwards(labels: Labels) -> Vector | None:
    """From the wrist or the forearm to the metacarpals and fingers."""
    fingers = [centre_of(labels, bone.label) for bone in ANATOMY if bone.group == "fingers" and bone.digit != 1]
    others = [centre_of(labels, bone.label) for bone in ANATOMY if bone.group != "fingers"]
    return _difference(fingers, others)


def _across(labels: Labels) -> Vector | None:
    """From the thumb (or the index finger) to the little (or the ring) finger."""
    digits = {digit: [centre_of(labels, b.label) for b in ANATOMY if b.digit == digit] for digit in (1, 2, 4, 5)}
    for thumb_side, little_side in ((1, 5), (2, 5), (1, 4), (2, 4)):
        difference = _difference(digits[little_side], digits[thumb_side])
        if difference is not None:
            return difference
    return None


def _difference(ends: list[Vector | None], starts: list[Vector | None]) -> Vector | None:
    there = [[point for point in points if point is not None] for points in (ends, starts)]
    if not there[0] or not there[1]:
        return None
    difference: Vector = np.mean(there[0], axis=0) - np.mean(there[1], axis=0)
    return difference


def centre_of(labels: Labels, bone: str) -> Vector | None:
    """The middle (x, y) of a bone's largest outline, if there is one."""
    return _centroid(_largest(labels, bone)) if bone in labels.polygons else None


def _largest(labels: Labels, bone: str) -> npt.NDArray[np.float32]:
    polygons = [polygon.astype(np.float32) for polygon in labels.polygons[bone]]
    return max(polygons, key=cv2.contourArea)


def _centroid(polygon: npt.NDArray[np.float32]) -> Vector:
    centroid: Vector = polygon.mean(axis=0, dtype=np.float64)
    return centroid


def _axis(polygon: npt.NDArray[np.float32], towards: Vector) -> Vector:
    """Unit vector along the greatest extent of the area of a polygon, the way round that points `towards`."""
    axis: Vector = np.linalg.eigh(_spread(polygon))[1][:, 1]
    return axis if axis @ towards >= 0 else -axis


def _slenderness(polygon: npt.NDArray[np.float32]) -> float:
    """How many times as far the area of a polygon spreads along its axis as across it."""
    across, along = np.linalg.eigvalsh(_spread(polygon))
    return float(np.sqrt(along / max(across, 1e-9)))


def _spread(polygon: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Central second moments (2, 2) of the area of a polygon."""
    moments = cv2.moments(polygon)
    return np.array([[moments["mu20"], moments["mu11"]], [moments["mu11"], moments["mu02"]]])


def _cross(a: Vector, b: Vector) -> float:
    return float(a[0] * b[1] - a[1] * b[0])
