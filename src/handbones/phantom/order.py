"""One person of a synthetic collection: both hands drawn and written."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from handbones.files import atomic_path
from handbones.labels import Labels, save_labels
from handbones.metadata import Metadata
from handbones.phantom.drawing import Phantom, draw, trace
from handbones.phantom.person import Person, draw_person
from handbones.phantom.settings import PhantomSettings

NAMED_SIDE = 0.6
"""Share of pictures whose file name ends in _R or _L, as only some do in the competition."""


@dataclass(frozen=True)
class Order:
    """One person to draw: two pictures, right and left hand."""

    out: Path
    number: int
    split: str
    seed: int
    size: int
    settings: PhantomSettings
    labelled: bool
    bones_of: int | None = None
    """Number of another person to take the bones from; for planted defects."""

    @property
    def pictures(self) -> Path:
        """Folder of the person's pictures."""
        return self.out / self.split / "DCM" / f"ID{self.number:03d}"

    @property
    def labels(self) -> Path:
        """Folder of the person's label files."""
        return self.out / self.split / "outputs_json" / f"ID{self.number:03d}"


def draw_pair(order: Order) -> tuple[int, Metadata]:
    """Both hands of one person, written; returns the person's number and metadata."""
    varnish = False
    for name, phantom in draw_hands(order):
        write_hand(order, name, phantom)
        varnish |= phantom.nails
    return order.number, _metadata(phantom.person, varnish)


def draw_hands(order: Order) -> Iterator[tuple[str, Phantom]]:
    """The right and the left hand of one person, each with the stem of its file."""
    rng = np.random.default_rng([order.seed, order.number])
    person = draw_person(rng, order.settings.population)
    if order.bones_of is not None:
        person = draw_person(np.random.default_rng([order.seed, order.bones_of]), order.settings.population)
    stamp = 1661130828152 + order.number * 30_000_000 + int(rng.integers(20_000_000))
    for side in ("right", "left"):
        stamp += int(rng.integers(20_000, 90_000))
        name = f"image{stamp}" + (f"_{side[0].upper()}" if rng.random() < NAMED_SIDE else "")
        yield name, draw(rng, order.settings, order.size, order.size, person=person, side=side)


def write_hand(order: Order, name: str, phantom: Phantom) -> None:
    """Write the picture and, if they are wanted, the labels of one hand."""
    write_picture(order.pictures / f"{name}.png", phantom.pixels)
    if order.labelled:
        save_labels(with_document(trace(phantom.packed), name, order.size), order.labels / f"{name}.json")


def with_document(labels: Labels, name: str, size: int) -> Labels:
    """Labels with the other fields that the competition's files have; `filename` ends in .jpg there, too."""
    document = {
        "attributes": {},
        "file_id": name.removeprefix("image"),
        "filename": f"{name}.jpg",
        "parent_path": "/",
        "last_modifier_id": "handbones",
        "metadata": {"width": size, "height": size},
        "last_workers": [],
    }
    return Labels(labels.polygons, document)


def write_picture(path: Path, pixels: NDArray[np.uint8]) -> None:
    """An 8-bit PNG of three equal channels, atomically."""
    with atomic_path(path) as temporary:
        options = [cv2.IMWRITE_PNG_COMPRESSION, 3, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE]
        coded = cv2.imencode(".png", cv2.merge([pixels, pixels, pixels]), options)[1]
        temporary.write_bytes(coded.tobytes())


def _metadata(person: Person, varnish: bool) -> Metadata:
    return Metadata(
        age=float(round(person.age)),
        sex=person.sex,
        weight=float(round(person.weight)),
        height=float(round(person.height)),
        remark="네일있음" if varnish else None,
    )
