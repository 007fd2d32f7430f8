"""The people of a synthetic population: what the bones of one person look like, drawn from a random generator."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from handbones.anatomy import ANATOMY, INDEX
from handbones.phantom.settings import Population

Floats = NDArray[np.float64]
Rng = np.random.Generator

WAVES = 5

# Factors on length and width that bring the modelled hand to the mean of real ones: the average areas, lengths and
# widths of 288 hands in `calibration.json`, fitted with `tools/calibrate_phantoms.py`.
MEAN_SCALE: dict[str, tuple[float, float]] = {
    "finger-1": (1.211, 1.647),
    "finger-2": (1.052, 1.367),
    "finger-3": (1.025, 1.140),
    "finger-4": (1.126, 1.236),
    "finger-5": (0.989, 1.081),
    "finger-6": (1.036, 1.059),
    "finger-7": (1.038, 1.056),
    "finger-8": (1.080, 1.210),
    "finger-9": (0.999, 1.152),
    "finger-10": (1.076, 1.037),
    "finger-11": (1.004, 1.069),
    "finger-12": (1.147, 1.396),
    "finger-13": (1.095, 1.196),
    "finger-14": (1.120, 1.090),
    "finger-15": (0.905, 0.983),
    "finger-16": (1.284, 1.485),
    "finger-17": (0.925, 1.221),
    "finger-18": (0.997, 1.149),
    "finger-19": (0.911, 1.049),
    "Trapezium": (1.006, 1.006),
    "Trapezoid": (1.090, 1.090),
    "Capitate": (1.140, 1.140),
    "Hamate": (1.145, 1.145),
    "Scaphoid": (1.124, 1.124),
    "Lunate": (1.022, 1.022),
    "Triquetrum": (0.961, 0.961),
    "Pisiform": (1.130, 1.130),
    "Radius": (1.000, 1.022),
    "Ulna": (1.000, 1.013),
}

# Cortical thickness at the ends and at mid-shaft, mm, by segment (compact bone of adults in hand radiographs).
_CORTEX = {
    "distal": (0.40, 0.80),
    "middle": (0.40, 1.10),
    "proximal": (0.45, 1.60),
    "metacarpal": (0.45, 2.10),
    "carpal": (0.55, 0.55),
    "radius": (0.60, 2.60),
    "ulna": (0.60, 2.40),
}


@dataclass(frozen=True)
class Sesamoid:
    """A small round bone beside a joint; not one of the 29."""

    bone: str
    at: Floats
    """(3,) in the frame of `bone`, mm from its pivot."""
    radii: Floats
    """(3,) mm."""


@dataclass(frozen=True)
class Person:
    """The shape of one person's bones. All arrays have one row a bone, in official order."""

    sex: Literal["F", "M"]
    age: float
    height: float
    """cm"""
    weight: float
    """kg"""
    scale: Floats
    """(29, 3) factors on lateral, long, dorsal."""
    profile: Floats
    """(29, 3) factors on the width at the proximal end, the waist and the distal end."""
    bend: Floats
    """(29, 2) bow of the shaft to lateral and dorsal, mm at its middle."""
    waves: Floats
    """(29, WAVES, 5) smooth relief of the surface: wave vector (rad/mm, 3), phase (rad), height (mm)."""
    cortex: Floats
    """(29, 2) cortical thickness at the ends and at mid-shaft, mm."""
    shift: Floats
    """(29, 3) where a wrist bone sits, against the modelled hand, mm."""
    turn: Floats
    """(29, 3) how it is turned, rotation vector in rad."""
    density: Floats
    """(29,) factor on the attenuation of the bone."""
    sesamoids: tuple[Sesamoid, ...]
    fat: float
    """Factor on the thickness of the soft tissue."""


def draw_person(rng: Rng, settings: Population) -> Person:
    """One person; height, sex and hand size go together as in adults."""
    sex: Literal["F", "M"] = "F" if rng.random() < settings.female else "M"
    age = float(rng.uniform(*settings.age_years))
    height = float(rng.normal(162.0 if sex == "F" else 175.0, 6.0))
    bmi = float(np.clip(rng.normal(22.5 if sex == "F" else 24.0, 3.0), 16.0, 40.0))
    scale = _scales(rng, settings, sex, height)
    return Person(
        sex=sex,
        age=age,
        height=height,
        weight=bmi * (height / 100.0) ** 2,
        scale=scale,
        profile=np.exp(rng.normal(0.0, settings.profile_sd, (29, 3))),
        bend=rng.normal(0.0, settings.bend_mm_sd, (29, 2)) * _long_bones()[:, None],
        waves=_waves(rng, settings),
        cortex=_cortex(rng, settings, age),
        shift=rng.normal(0.0, 1.0, (29, 3)) * _carpal_freedom(settings.carpal_shift_mm_sd),
        turn=np.radians(rng.normal(0.0, 1.0, (29, 3)) * _carpal_turns(settings.carpal_turn_deg_sd)),
        density=np.exp(rng.normal(0.0, settings.density_sd) + rng.normal(0.0, settings.density_sd / 3, 29)),
        sesamoids=_sesamoids(rng, settings),
        fat=float(np.exp(rng.normal(0.0, settings.tissue_sd)) * (bmi / 23.0) ** 0.4),
    )


def _scales(rng: Rng, settings: Population, sex: str, height: float) -> Floats:
    """Size of the hand with height, slenderness with sex, then what digits and bones add of their own."""
    mean = np.array([MEAN_SCALE[b.label] for b in ANATOMY])
    size = (height / 168.5) * np.exp(rng.normal(0.0, settings.size_sd))
    slender = np.exp(rng.normal(-0.015 if sex == "F" else 0.015, settings.width_sd))
    digit = np.exp(rng.normal(0.0, settings.digit_sd, 6))
    length = np.empty(29)
    for bone in ANATOMY:
        length[bone.index] = size * digit[bone.digit or 0]
    length = length * mean[:, 0] * np.exp(rng.normal(0.0, settings.bone_sd, 29))
    common = np.exp(rng.normal(0.0, settings.bone_sd, 29))
    lateral = size * slender * mean[:, 1] * common * np.exp(rng.normal(0.0, settings.bone_sd, 29))
    dorsal = size * slender * mean[:, 1] * common * np.exp(rng.normal(0.0, settings.bone_sd, 29))
    return np.stack([lateral, length, dorsal], 1)


def _long_bones() -> Floats:
    return np.array([0.0 if b.group == "carpals" else 1.0 for b in ANATOMY])


def _waves(rng: Rng, settings: Population) -> Floats:
    """Sinusoids of random direction; their height falls with their wavelength, so that the relief stays smooth."""
    waves = np.zeros((29, WAVES, 5))
    direction = rng.normal(size=(29, WAVES, 3))
    direction /= np.linalg.norm(direction, axis=2, keepdims=True)
    wavelength = rng.uniform(*settings.relief_wavelength_mm, (29, WAVES, 1))
    waves[:, :, :3] = direction * 2.0 * np.pi / wavelength
    waves[:, :, 3] = rng.uniform(0.0, 2.0 * np.pi, (29, WAVES))
    waves[:, :, 4] = rng.normal(0.0, settings.relief_mm, (29, WAVES)) * wavelength[:, :, 0] / 15.0 / np.sqrt(WAVES)
    waves[INDEX["Radius"] :, :, 4] *= 0.5  # the long shafts of the forearm are straight
    return waves


def _cortex(rng: Rng, settings: Population, age: float) -> Floats:
    """Cortex thins by about a fifth from 45 to 80 years."""
    mean = np.array([_CORTEX["carpal" if b.group == "carpals" else b.segment] for b in ANATOMY])
    ageing = 1.0 - 0.2 * np.clip((age - 45.0) / 35.0, 0.0, 1.0)
    common = np.exp(rng.normal(0.0, settings.cortex_sd))
    return np.asarray(mean * ageing * common * np.exp(rng.normal(0.0, settings.cortex_sd / 2, (29, 1))))


def _carpal_freedom(sd: float) -> Floats:
    """Carpals move as told, the pisiform (held by tendons only) twice as far, bases of metacarpals and forearm less."""
    freedom = np.zeros((29, 1))
    for bone in ANATOMY:
        if bone.group == "carpals":
            freedom[bone.index] = sd
        elif bone.group == "forearm" or bone.segment == "metacarpal":
            freedom[bone.index] = 0.4 * sd
    freedom[INDEX["Pisiform"]] = 2.0 * sd
    return freedom


def _carpal_turns(sd: float) -> Floats:
    """The scaphoid flexes and extends more than the others: it looks long in one hand and round in the next."""
    freedom = np.repeat(_carpal_freedom(sd), 3, axis=1)
    freedom[INDEX["Scaphoid"], [0, 2]] *= 1.8
    return freedom


# Where sesamoids sit: bone, chance, (lateral, beyond the joint's centre along the bone, palmar) in mm.
_SESAMOIDS = (
    ("finger-3", 0.97, (5.5, -0.5, 6.5)),
    ("finger-3", 0.97, (-5.0, -0.5, 6.5)),
    ("finger-7", 0.45, (-6.5, 0.0, 6.0)),
    ("finger-19", 0.70, (6.0, 0.0, 6.0)),
    ("finger-2", 0.50, (0.0, 0.5, 4.5)),
    ("finger-11", 0.03, (4.0, 0.0, 6.0)),
)


def _sesamoids(rng: Rng, settings: Population) -> tuple[Sesamoid, ...]:
    found = []
    for bone, chance, (lateral, long, palmar) in _SESAMOIDS:
        if rng.random() < chance * settings.sesamoids:
            radius = rng.uniform(1.5, 3.0) * (0.7 if bone == "finger-2" else 1.0)
            at = np.array([lateral, long, -palmar]) + rng.normal(0.0, 0.8, 3)
            found.append(Sesamoid(bone, at, radius * np.exp(rng.normal(0.0, 0.15, 3))))
    return tuple(found)
