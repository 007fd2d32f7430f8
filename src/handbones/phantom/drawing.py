"""One phantom: a person, a pose, a camera, the beam, the film; pixels and labels come from the same surfaces."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from handbones.anatomy import ANATOMY, INDEX
from handbones.errors import UsageError
from handbones.labels import Labels
from handbones.metadata import UNKNOWN, Metadata
from handbones.phantom.contents import Contents, draw_contents
from handbones.phantom.decoys import draw_decoy
from handbones.phantom.exposure import draw_exposure, draw_finish
from handbones.phantom.film import expose, finish, transmit
from handbones.phantom.frame import Bars, add_frame, draw_bars
from handbones.phantom.person import Person, draw_person
from handbones.phantom.pose import Pose, draw_pose, place_bones
from handbones.phantom.projection import Body, Camera, bone_integral, build_body, masks
from handbones.phantom.settings import REALISTIC, Matter, PhantomSettings, find_preset
from handbones.phantom.tissue import tissue_thickness
from handbones.phantom.view import draw_camera
from handbones.radiograph import Radiograph

Rng = np.random.Generator


@dataclass(frozen=True)
class Phantom:
    """A synthetic radiograph with all that is known of it."""

    pixels: NDArray[np.uint8]
    """(h, w), bone bright unless inverted."""
    packed: NDArray[np.uint32]
    """(h, w) packed masks of the 29 bones."""
    side: Literal["left", "right"]
    person: Person
    pose: Pose
    camera: Camera
    nails: bool
    """Whether finger nails show."""
    tilt: float
    """Degrees from forearm to hand, positive towards the little finger, as the bones lie."""

    @property
    def metadata(self) -> Metadata:
        """What could be known of it beside the picture."""
        return metadata_of(self)


def metadata_of(hand: "Phantom | Geometry") -> Metadata:
    """What could be known of a hand beside its picture."""
    return replace(_metadata(hand.person), side=hand.side, tilt=hand.tilt)


def _metadata(person: Person) -> Metadata:
    return Metadata(person.age, person.sex, person.weight, person.height)


def draw(
    rng: Rng,
    settings: PhantomSettings = REALISTIC,
    height: int = 512,
    width: int = 512,
    *,
    person: Person | None = None,
    side: str | None = None,
) -> Phantom:
    """One phantom of the given size; a person and a side can be given to draw the same hand again."""
    bare = draw_geometry(rng, settings, height, width, person=person, side=side)
    pixels, nails = _expose(rng, [bare], settings)
    return Phantom(pixels, bare.packed, bare.side, bare.person, bare.pose, bare.camera, nails, bare.tilt)


@dataclass(frozen=True)
class Geometry:
    """A phantom before its exposure: bones in space and camera; masks without sesamoids and shutters."""

    body: Body
    side: Literal["left", "right"]
    person: Person
    pose: Pose
    camera: Camera
    bars: Bars

    @cached_property
    def packed(self) -> NDArray[np.uint32]:
        """(h, w) masks; the exposure changes them."""
        return masks(self.body, self.camera)

    @property
    def tilt(self) -> float:
        """Degrees from forearm to hand, between the bones that `wrist_tilt` takes from labels.

        The pose's tilt turns a hand whose middle metacarpal leans by itself.
        """
        ahead = self.body.placement.axes[:, :2, 1] @ (1, 1j)
        hand, radius, ulna = (ahead[INDEX[label]] for label in ("finger-11", "Radius", "Ulna"))
        return float(np.degrees(np.angle(hand / (radius / abs(radius) + ulna / abs(ulna)))))


def draw_geometry(
    rng: Rng,
    settings: PhantomSettings,
    height: int,
    width: int,
    *,
    person: Person | None = None,
    side: str | None = None,
) -> Geometry:
    """Everything but the picture; `draw` with the same arguments shows the same hand."""
    person = person or draw_person(rng, settings.population)
    pose = draw_pose(rng, settings.pose, settings.population.joint_gap_mm_sd)
    body = build_body(person, place_bones(person, pose))
    view = settings.view if side is None else settings.view.model_copy(update={"left": float(side == "left")})
    bars = draw_bars(rng, settings.frame)
    camera = draw_camera(rng, body, pose.tilt, view, bars, height, width)
    return Geometry(body, "left" if camera.mirror < 0 else "right", person, pose, camera, bars)


def _expose(rng: Rng, hands: Sequence[Geometry], settings: PhantomSettings) -> tuple[NDArray[np.uint8], bool]:
    """The picture of hands that lie side by side on one film, and whether nails show.

    Their `packed` gain the sesamoids that are labelled and lose what shutters and bars hide.
    """
    contents = [draw_contents(rng, hand.body, hand.camera, settings) for hand in hands]
    beams = [_attenuate(hand, inside) for hand, inside in zip(hands, contents, strict=True)]
    line, bone, soft = (np.hstack(arrays) for arrays in zip(*beams, strict=True))
    px_per_mm = hands[0].camera.px_per_mm
    exposure = draw_exposure(rng, settings.matter, settings.film, px_per_mm, *line.shape)
    grey = expose(line, bone, soft, exposure)
    hidden = add_frame(rng, grey, settings.frame, hands[0].side, hands[0].bars)
    for hand, part in zip(hands, np.array_split(hidden, len(hands), axis=1), strict=True):
        hand.packed[part] = 0
    pixels = finish(grey, draw_finish(rng, settings.film, *grey.shape))
    return pixels, any(inside.things.nails for inside in contents)


def _attenuate(
    hand: Geometry, inside: Contents
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """What a hand takes from the beam: of all, of bone, of soft tissue, (h, w) each."""
    bone, bulk = bone_integral(hand.body, hand.camera, inside.bones)
    _add_sesamoids(hand, inside.sesamoids, bone, bulk)
    tissue = tissue_thickness(inside.tissue, hand.camera.height, hand.camera.width)
    line, soft = transmit(bone, bulk, tissue, inside.soft)
    inside.things.put_on(line)
    return line, bone, soft


def _add_sesamoids(
    hand: Geometry, ellipses: NDArray[np.float64], bone: NDArray[np.float32], bulk: NDArray[np.float32]
) -> None:
    """To `bone` and `bulk`, and to the hand's masks where a labelled one touches the bone that it belongs to."""
    for x, y, *radii, depth, density, label in ellipses:
        thickness = _ellipsoid(hand.camera, x, y, np.array(radii), depth)
        if thickness is None:
            continue
        box, mm = thickness
        bone[box] += np.float32(density) * mm
        bulk[box] += mm
        own = np.uint32(label)
        covered = mm > 0.0
        if (hand.packed[box][covered] & own).any():
            hand.packed[box][covered] |= own


def _ellipsoid(
    camera: Camera, x: float, y: float, radii: NDArray[np.float64], depth: float
) -> tuple[tuple[slice, slice], NDArray[np.float32]] | None:
    """Thickness of an ellipsoid around pixel (x, y), mm, in its box; None outside the picture."""
    reach = radii + 2.0
    x0, x1 = max(0, int(x - reach[0])), min(camera.width, int(x + reach[0]) + 2)
    y0, y1 = max(0, int(y - reach[1])), min(camera.height, int(y + reach[1]) + 2)
    if x0 >= x1 or y0 >= y1:
        return None
    gy, gx = np.mgrid[y0:y1, x0:x1]
    inside = 1.0 - ((gx - x) / radii[0]) ** 2 - ((gy - y) / radii[1]) ** 2
    return (slice(y0, y1), slice(x0, x1)), (depth * np.sqrt(np.maximum(inside, 0.0))).astype(np.float32)


def check_numbers(seed: int, size: int) -> None:
    """Raise `UsageError` for a seed, or a side of pictures in pixels, that cannot be."""
    if seed < 0:
        raise UsageError(f"--seed {seed}: must be 0 or more")
    if not 64 <= size <= 8192:
        raise UsageError(f"--size {size}: pictures can be 64 to 8192 pixels a side")


def make(seed: int, settings: PhantomSettings | str = REALISTIC, size: int = 2048) -> tuple[Radiograph, Labels]:
    """The phantom of a seed: a (size, size) uint8 radiograph and its labels in the pixels of that radiograph.

    `settings` can be the name of a preset. Raises `UsageError` for an unknown one, and for impossible numbers.
    """
    check_numbers(seed, size)
    phantom = draw(np.random.default_rng(seed), find_preset(settings), size, size)
    return Radiograph(phantom.pixels, None, None), trace(phantom.packed)


Sample = tuple[NDArray[np.uint8], NDArray[np.uint32], Metadata]
"""Pixels and packed masks (height, width), and what is known beside them."""


def draw_sample(rng: Rng, settings: PhantomSettings, height: int, width: int) -> Sample:
    """A training sample. Now and then no hand is there, or both are."""
    rare = draw_rarity(rng, settings, height, width)
    if rare is not None:
        return rare
    phantom = draw(rng, settings, height, width)
    return phantom.pixels, phantom.packed, phantom.metadata


def draw_rarity(rng: Rng, settings: PhantomSettings, height: int, width: int) -> Sample | None:
    """A picture of no hand or of two, as often as the settings want it; else None, for one hand."""
    if rng.random() < settings.not_a_hand:
        return draw_decoy(rng, settings, height, width), np.zeros((height, width), np.uint32), UNKNOWN
    if settings.two_hands and rng.random() < settings.two_hands:
        return draw_both(rng, settings, height, width)
    return None


def draw_both(rng: Rng, settings: PhantomSettings, height: int, width: int) -> Sample:
    """Both hands of a person on one film, each whole in its half: pixels and packed masks, (height, width).

    `width` is even. Seen from the back, as on a PA film, the left hand lies at the left and the thumbs meet.
    """
    upright = {"mode": "frame", "zoomed": 0.0, "rotation_any": 0.0, "rotation_deg": 4.0}
    view = settings.view.model_copy(update={**upright, "margin": (0.0, 0.1), "forearm_mm": (12.0, 40.0)})
    frame = settings.frame.model_copy(update={"letterbox": 0.0})
    drawn = {name: rng.uniform(*ends) for name, ends in settings.matter}
    matter = Matter(**{name: (value, value) for name, value in drawn.items()})  # one person in one beam
    settings = settings.model_copy(update={"view": view, "frame": frame, "matter": matter})
    person = draw_person(rng, settings.population)
    hands = [draw_geometry(rng, settings, height, width // 2, person=person, side=side) for side in ("left", "right")]
    pixels, _ = _expose(rng, hands, settings)
    return pixels, np.hstack([hand.packed for hand in hands]), _metadata(person)


OUTLINE_TOLERANCE_PX = 0.75
"""How far an outline may lie from the mask that it is traced from."""
_CRUMB_PX, _SMALL_PX = 12.0, 512
"""Area under which a piece is none, and the picture's side under which it is less."""


def trace(packed: NDArray[np.uint32]) -> Labels:
    """Outlines of packed masks, as an annotator would leave them: integer points on the bones' outermost pixels."""
    polygons: dict[str, list[NDArray[np.float64]]] = {}
    crumb = _CRUMB_PX * min(1.0, min(packed.shape) / _SMALL_PX) ** 2
    for bone in ANATOMY:
        mask = ((packed >> np.uint32(bone.index)) & 1).astype(np.uint8)
        outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        # Crumbs at a border or behind a shutter's corner are nothing an annotator would draw.
        large = sorted((o for o in outlines if cv2.contourArea(o) >= crumb), key=cv2.contourArea, reverse=True)
        simple = [cv2.approxPolyDP(o, OUTLINE_TOLERANCE_PX, True)[:, 0].astype(np.float64) for o in large]
        if kept := [o for o in simple if len(o) >= 3]:
            polygons[bone.label] = kept
    return Labels(polygons=polygons)
