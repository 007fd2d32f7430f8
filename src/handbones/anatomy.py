"""The 29 bones of a hand radiograph: the one source of truth, in the official order of the competition.

Masks, logits, tables and submission rows all use this order. Imports nothing of the package.
"""

import colorsys
from dataclasses import dataclass
from typing import Literal

Group = Literal["fingers", "carpals", "forearm"]
GROUPS: tuple[Group, ...] = ("fingers", "carpals", "forearm")


@dataclass(frozen=True, slots=True)
class Bone:
    """One of the 29 classes."""

    index: int
    """Position in the official order, 0 to 28; also the bit in a packed mask."""
    label: str
    """Name in the label files, for example `finger-1`."""
    name: str
    """Anatomical name, for example `distal phalanx of the thumb`."""
    group: Group
    digit: int | None
    """1 (thumb) to 5 (little finger) for finger bones, else None."""
    segment: str
    """`distal`, `middle`, `proximal`, `metacarpal` for finger bones, else the label in lower case."""
    colour: tuple[int, int, int]
    """RGB, 0 to 255."""
    neighbours: tuple[str, ...]
    """Labels of the bones that it forms a joint with."""


_DIGITS = {1: "thumb", 2: "index finger", 3: "middle finger", 4: "ring finger", 5: "little finger"}
_CARPALS = ("Trapezium", "Trapezoid", "Capitate", "Hamate", "Scaphoid", "Lunate", "Triquetrum", "Pisiform")

# Joints of the carpus and the forearm; those along a finger follow from the order of its bones.
_JOINTS = (
    ("finger-3", "Trapezium"),
    ("finger-7", "Trapezium"),
    ("finger-7", "Trapezoid"),
    ("finger-7", "Capitate"),
    ("finger-7", "finger-11"),
    ("finger-11", "Capitate"),
    ("finger-11", "finger-15"),
    ("finger-15", "Capitate"),
    ("finger-15", "Hamate"),
    ("finger-15", "finger-19"),
    ("finger-19", "Hamate"),
    ("Trapezium", "Trapezoid"),
    ("Trapezium", "Scaphoid"),
    ("Trapezoid", "Capitate"),
    ("Trapezoid", "Scaphoid"),
    ("Capitate", "Hamate"),
    ("Capitate", "Scaphoid"),
    ("Capitate", "Lunate"),
    ("Hamate", "Lunate"),
    ("Hamate", "Triquetrum"),
    ("Scaphoid", "Lunate"),
    ("Scaphoid", "Radius"),
    ("Lunate", "Triquetrum"),
    ("Lunate", "Radius"),
    ("Triquetrum", "Pisiform"),
    ("Radius", "Ulna"),
)

# A hue a digit and a brightness a bone along it; carpals and forearm get hues of their own, so that no two
# neighbours look alike, also side by side in an overlay.
_DIGIT_HUES = {1: 0.00, 2: 0.09, 3: 0.33, 4: 0.53, 5: 0.74}
_SEGMENT_TONES = {"distal": (0.45, 1.00), "middle": (0.75, 0.95), "proximal": (0.60, 1.00), "metacarpal": (0.90, 0.90)}
_OTHER_TONES = {
    "Trapezium": (0.15, 0.85, 1.00),
    "Trapezoid": (0.92, 0.60, 1.00),
    "Capitate": (0.50, 0.80, 1.00),
    "Hamate": (0.06, 0.75, 1.00),
    "Scaphoid": (0.60, 0.60, 1.00),
    "Lunate": (0.22, 0.80, 0.95),
    "Triquetrum": (0.83, 0.55, 1.00),
    "Pisiform": (0.40, 0.75, 1.00),
    "Radius": (0.57, 0.85, 1.00),
    "Ulna": (0.13, 0.70, 1.00),
}


def _rgb(hue: float, saturation: float, value: float) -> tuple[int, int, int]:
    red, green, blue = colorsys.hsv_to_rgb(hue, saturation, value)
    return round(red * 255), round(green * 255), round(blue * 255)


def _neighbours(label: str, chain: list[str]) -> tuple[str, ...]:
    at = chain.index(label) if label in chain else None
    along = [] if at is None else [chain[i] for i in (at - 1, at + 1) if 0 <= i < len(chain)]
    across = [b if a == label else a for a, b in _JOINTS if label in (a, b)]
    return tuple(along + across)


def _build() -> tuple[Bone, ...]:
    bones: list[Bone] = []
    for digit, finger in _DIGITS.items():
        segments = ("distal", "proximal", "metacarpal") if digit == 1 else tuple(_SEGMENT_TONES)
        chain = [f"finger-{len(bones) + i + 1}" for i in range(len(segments))]
        for label, segment in zip(chain, segments, strict=True):
            name = f"metacarpal {digit}" if segment == "metacarpal" else f"{segment} phalanx of the {finger}"
            colour = _rgb(_DIGIT_HUES[digit], *_SEGMENT_TONES[segment])
            bones.append(Bone(len(bones), label, name, "fingers", digit, segment, colour, _neighbours(label, chain)))
    for label in (*_CARPALS, "Radius", "Ulna"):
        group: Group = "carpals" if label in _CARPALS else "forearm"
        colour = _rgb(*_OTHER_TONES[label])
        low = label.lower()
        bones.append(Bone(len(bones), label, low, group, None, low, colour, _neighbours(label, [])))
    return tuple(bones)


ANATOMY: tuple[Bone, ...] = _build()
"""The 29 bones with all that is known of them, in order."""

BONES: tuple[str, ...] = tuple(bone.label for bone in ANATOMY)
"""The 29 labels in order."""

INDEX: dict[str, int] = {bone.label: bone.index for bone in ANATOMY}
"""Label to position in the order."""
