"""How a hand lies on the detector: angles drawn at random, and where that puts each bone."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from handbones.anatomy import ANATOMY, INDEX
from handbones.phantom.contact import settle
from handbones.phantom.person import Person
from handbones.phantom.settings import PoseSettings
from handbones.phantom.skeleton import skeleton

Floats = NDArray[np.float64]
Rng = np.random.Generator

# Direction of each finger bone in the picture when the hand rests, degrees from metacarpal 3 towards the little finger.
# This, `CORRECTION` and `LEAN` are fitted with `tools/fit_pose.py` to the places and overlaps of 288 real hands.
REST = {
    "finger-3": -41.0, "finger-2": -47.5, "finger-1": -37.7,
    "finger-7": -20.1, "finger-6": 0.2, "finger-5": -14.3, "finger-4": -3.1,
    "finger-11": -4.9, "finger-10": 1.8, "finger-9": 5.9, "finger-8": 2.6,
    "finger-15": 4.9, "finger-14": 15.7, "finger-13": 13.4, "finger-12": 18.3,
    "finger-19": 14.1, "finger-18": 36.6, "finger-17": 28.4, "finger-16": 24.8,
}  # fmt: skip

# How far each bone of the thumb leans out of the picture's plane to the palm, degrees.
_THUMB_LEAN = {"finger-3": 22.0, "finger-2": 18.0, "finger-1": 18.0}

# The centre of rotation of the wrist: the head of the capitate, mm from the capitate's pivot in the hand's frame.
_WRIST_CENTRE = np.array([-0.5, 6.5, 0.0])
_PROXIMAL_ROW = ("Scaphoid", "Lunate", "Triquetrum", "Pisiform")

# Corrections of the modelled hand towards the mean of real ones, in the hand's axes: shift in mm, turn in degrees.
CORRECTION: dict[str, tuple[tuple[float, float, float], tuple[float, float, float]]] = {
    "Trapezium": ((-2.87, 2.15, 1.99), (-7.5, 16.3, -3.5)),
    "Trapezoid": ((-1.56, -2.73, 1.26), (16.8, -8.5, -10.1)),
    "Capitate": ((-2.53, -1.29, -0.25), (-3.4, -2.1, -4.2)),
    "Hamate": ((-0.05, -2.47, -1.04), (-20.4, 12.9, -15.9)),
    "Scaphoid": ((0.34, -3.4, -2.3), (6.4, 1.8, -18.7)),
    "Lunate": ((0.41, -2.05, -0.54), (-1.1, -8.2, -9.1)),
    "Triquetrum": ((2.11, -3.88, 0.64), (6.0, 9.5, 13.7)),
    "Pisiform": ((4.71, 2.55, 3.66), (9.4, -11.4, 5.6)),
    "finger-3": ((-2.41, 4.28, -8.39), (0.0, 0.0, 0.0)),
    "finger-7": ((-0.6, -0.44, 1.63), (0.0, 0.0, 0.0)),
    "finger-11": ((-1.94, 0.09, -2.35), (0.0, 0.0, 0.0)),
    "finger-15": ((-3.48, -2.91, -0.11), (0.0, 0.0, 0.0)),
    "finger-19": ((0.35, -3.31, 6.92), (0.0, 0.0, 0.0)),
}
NONE = ((0.0, 0.0, 0.0), (0.0, 0.0, 0.0))

# How far a bone leans out of the picture's plane at rest, degrees: of radius and ulna the end at the wrist, of the
# metacarpals of the fingers the head, positive to the palm. So the rims of their ends lie over their neighbours.
LEAN: dict[str, float] = {
    "finger-7": 14.6, "finger-11": 15.4, "finger-15": 7.6, "finger-19": 8.0, "Radius": -19.0, "Ulna": 0.4,
}  # fmt: skip


@dataclass(frozen=True)
class Pose:
    """Angles in degrees; positive sideways angles point to the little finger's side."""

    tilt: float
    row_share: float
    sideways: Floats
    """(29,) direction of each bone in the picture's plane, against metacarpal 3 (hand) or the vertical (forearm)."""
    flexion: Floats
    """(29,) lean of each bone out of the plane, to the palm."""
    roll: Floats
    """(29,) turn of each bone about its own axis."""
    pronation: float
    gap: Floats
    """(29,) extra width of the joint at the bone's base, mm."""
    forearm_shift: Floats
    """(2, 3) displacement of radius and ulna, mm."""


def draw_pose(rng: Rng, settings: PoseSettings, gap_sd: float = 0.25) -> Pose:
    """Angles of one hand."""
    if settings.tilt_any is not None:
        tilt = rng.uniform(*settings.tilt_any)
    else:
        mean, sd = settings.tilt_deg if rng.random() < settings.tilted else settings.straight_deg
        tilt = rng.normal(mean, sd)
    sideways, flexion, roll = _finger_angles(rng, settings)
    for label in ("Radius", "Ulna"):
        sideways[INDEX[label]] = rng.normal(0.0, 1.5)
        flexion[INDEX[label]] = LEAN[label] + rng.normal(0.0, 2.0)
        roll[INDEX[label]] = rng.normal(0.0, 8.0)
    return Pose(
        tilt=float(tilt),
        row_share=float(rng.uniform(*settings.row_share)),
        sideways=sideways,
        flexion=flexion,
        roll=roll,
        pronation=float(rng.normal(0.0, settings.pronation_deg)),
        gap=rng.normal(0.0, gap_sd, 29),
        forearm_shift=rng.normal(0.0, 1.0, (2, 3)) * np.array([[0.6, 0.6, 0.6], [1.0, 1.4, 1.0]]),
    )


def _finger_angles(rng: Rng, settings: PoseSettings) -> tuple[Floats, Floats, Floats]:
    sideways, flexion, roll = np.zeros(29), np.zeros(29), np.zeros(29)
    spread = rng.uniform(*settings.common_spread)
    lift = rng.normal(0.0, settings.foreshortening_deg)
    turn = {digit: rng.normal(0.0, settings.finger_spread_deg) for digit in range(1, 6)}
    bent = {digit: rng.random() < settings.strong_flexion for digit in range(1, 6)}
    thumb = rng.uniform(*settings.thumb_spread_deg)
    thumb_roll = rng.normal(0.0, settings.thumb_turn_deg)
    flexed = dict.fromkeys(range(1, 6), 0.0)
    # From the palm outwards, since a bent joint carries all that follows.
    for bone in sorted((b for b in ANATOMY if b.digit), key=lambda b: -b.index):
        i, digit = bone.index, bone.digit or 0
        if digit == 1:
            step = rng.uniform(*settings.thumb_flexion_deg) if bone.segment != "metacarpal" else -thumb
            flexed[1] += step
            sideways[i] = REST[bone.label] + flexed[1]
            flexion[i] = _THUMB_LEAN[bone.label] + rng.normal(0.0, 6.0)
            roll[i] = thumb_roll
            continue
        share = 0.25 if bone.segment == "metacarpal" else 1.0
        sideways[i] = REST[bone.label] * (spread if share == 1.0 else 1.0) + share * turn[digit] + rng.normal(0.0, 0.8)
        if bone.segment != "metacarpal":
            flexed[digit] += rng.uniform(*(settings.strong_flexion_deg if bent[digit] else settings.finger_flexion_deg))
        flexion[i] = lift + flexed[digit] + LEAN.get(bone.label, 0.0)
        roll[i] = rng.normal(0.0, 4.0)
    return sideways, flexion, roll


@dataclass(frozen=True)
class Placement:
    """Bones in space: vertex = axes[b] @ local + at[b], mm; the wrist's centre is the origin."""

    axes: Floats
    at: Floats


def _rotation(vector: Floats) -> Floats:
    """Rodrigues' formula: rotation vector (rad) to matrix."""
    angle = float(np.linalg.norm(vector))
    if angle < 1e-12:
        return np.eye(3)
    x, y, z = vector / angle
    k = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    return np.asarray(np.eye(3) + np.sin(angle) * k + (1.0 - np.cos(angle)) * (k @ k))


def _about_z(degrees: float) -> Floats:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])


def _directed(sideways: float, lean: float, roll: float) -> Floats:
    """Columns lateral, long, dorsal of a bone that points so; degrees."""
    a, b = np.radians(sideways), np.radians(lean)
    long = np.array([np.sin(a) * np.cos(b), -np.cos(a) * np.cos(b), np.sin(b)])
    lateral = np.array([np.cos(a), np.sin(a), 0.0])
    dorsal = np.array([lateral[1] * long[2], -lateral[0] * long[2], lateral[0] * long[1] - lateral[1] * long[0]])
    # Roll about the bone's own long axis.
    c, s = np.cos(np.radians(roll)), np.sin(np.radians(roll))
    return np.stack([c * lateral - s * dorsal, long, s * lateral + c * dorsal], 1)


def place_bones(person: Person, pose: Pose) -> Placement:
    """Put every bone of a person where the pose wants it; contact decides the wrist."""
    bones = skeleton().bones
    axes = np.empty((29, 3, 3))
    at = np.stack([b.pivot for b in bones])
    size = float(np.exp(np.mean(np.log(person.scale[:, 1]))))
    centre = bones[INDEX["Capitate"]].pivot + _WRIST_CENTRE
    at = (at - centre) * size
    hand, row = _about_z(pose.tilt), _about_z(pose.tilt * pose.row_share)
    for bone in ANATOMY:
        i = bone.index
        if bone.group == "forearm":
            axes[i] = _directed(pose.sideways[i], pose.flexion[i], pose.roll[i])
            at[i] += pose.forearm_shift[i - INDEX["Radius"]]
            continue
        carried = row if bone.label in _PROXIMAL_ROW else hand
        shift, turn = CORRECTION.get(bone.label, NONE)
        at[i] = carried @ (at[i] + np.array(shift) + person.shift[i])
        if bone.group == "carpals":
            axes[i] = carried @ _rotation(np.radians(turn) + person.turn[i]) @ bones[i].frame.T
        else:
            axes[i] = hand @ _directed(pose.sideways[i], pose.flexion[i], pose.roll[i])
    at = _rest_wrist(person, axes, at)
    _hang_fingers(person, pose, axes, at)
    roll = _rotation(np.array([0.0, np.radians(pose.pronation), 0.0]))
    return Placement(np.einsum("ij,bjk->bik", roll, axes), at @ roll.T)


def _rest_wrist(person: Person, axes: Floats, at: Floats) -> Floats:
    bones = skeleton().bones
    frames = np.stack([b.frame for b in bones])
    turn = np.einsum("bij,bjk->bik", axes, frames)
    # Frames are the hand's axes up to small angles, so factors along them serve as factors along x, y, z.
    return settle(person.scale, turn, at, np.array([CARTILAGE_MM.get(b.label, 0.8) for b in ANATOMY]))


CARTILAGE_MM = {"Triquetrum": 1.4}
"""Cartilage that a bone brings to the joints of the wrist, mm; others 0.8."""
_WIDER = {"finger-1": 1.3, "finger-2": 1.8, "finger-17": 0.5}
"""Joint spaces that the modelled hand has too narrow, mm."""


def _hang_fingers(person: Person, pose: Pose, axes: Floats, at: Floats) -> None:
    """Phalanges follow from their metacarpals: joint centres meet, joint spaces keep their width."""
    for joint in skeleton().joints:
        p, c = INDEX[joint.parent], INDEX[joint.child]
        centre = at[p] + axes[p] @ (joint.in_parent * person.scale[p])
        length_p, length_c = person.scale[p, 1], person.scale[c, 1]
        out = joint.reach * (length_p - length_c) + 1.2 * (1.0 - length_c) + pose.gap[c] + _WIDER.get(joint.child, 0.0)
        at[c] = centre + axes[c][:, 1] * out
