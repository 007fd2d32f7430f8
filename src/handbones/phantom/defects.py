"""Known mistakes planted in a synthetic collection, and the list of them: what an audit is measured on."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from handbones.files import write_csv
from handbones.labels import Labels, load_labels, save_labels
from handbones.phantom.order import Order, draw_hands, write_hand, write_picture
from handbones.phantom.settings import PhantomSettings, Things
from handbones.phantom.spoil import SPOILERS

Rng = np.random.Generator

TABLE = "defects.csv"
COLUMNS = ("kind", "split", "person", "image", "bones", "other")
_SESAMOID_CHANGES = 0.01
"""Share of the area of finger-3 that a sesamoid must add before leaving it out is a mistake."""


@dataclass(frozen=True)
class Hand:
    """One picture of a written collection."""

    order: Order
    picture: Path
    right: bool

    @property
    def labels(self) -> Path:
        return self.order.labels / f"{self.picture.stem}.json"

    @property
    def name(self) -> str:
        return f"{self.picture.parent.name}/{self.picture.name}"


@dataclass(frozen=True)
class Defect:
    """One row of `defects.csv`."""

    kind: str
    hand: Hand
    bones: Sequence[str] = ()
    other: Hand | None = None


def spotless(settings: PhantomSettings) -> PhantomSettings:
    """The same without what the planted defects are: foreign objects, and sesamoids that are left out by chance."""
    nothing = Things(**dict.fromkeys(Things.model_fields, 0.0))
    return settings.model_copy(update={"things": nothing, "sesamoid_in_metacarpal": 1.0})


def plant(orders: Sequence[Order], share: float, seed: int, *, labels_only: bool = False) -> None:
    """Spoil a share of the pictures of a collection that was written to order, all kinds in turn; lists them.

    One person has one mistake at most. Kinds that need a test split are left out where there is none; with
    `labels_only`, all that concern more than the labels of one picture.
    """
    rng = np.random.default_rng([seed, 0xDEFEC7])
    train = [order for order in rng.permutation(np.array(orders, object)) if order.split == "train"]
    test = [order for order in rng.permutation(np.array(orders, object)) if order.split == "test"]
    kinds = [*SPOILERS] if labels_only else [*SPOILERS, *_PLANTERS]
    kinds = [str(kind) for kind in rng.permutation([kind for kind in kinds if test or kind != "leak"])]
    wanted, turn = round(share * 2 * len(orders)), 0
    defects: list[Defect] = []
    while len(defects) < wanted and len(train) > 1:
        kind = kinds[turn % len(kinds)]
        turn += 1
        if kind == "leak" and not test:
            continue
        if kind in SPOILERS:
            defects += _spoil(kind, _some_hand(train.pop(), rng), rng)
        else:
            defects += _PLANTERS[kind](train, test, rng)
    _write(orders[0].out / TABLE, defects)


def _hands(order: Order) -> list[Hand]:
    """The right and the left hand of a person, as they lie on disk."""
    right, left = sorted(order.pictures.glob("*.png"))
    return [Hand(order, right, True), Hand(order, left, False)]


def _some_hand(order: Order, rng: Rng) -> Hand:
    return _hands(order)[int(rng.integers(2))]


def _spoil(kind: str, hand: Hand, rng: Rng) -> list[Defect]:
    """A mistake in the labels; none where the picture shows no two bones."""
    labels = load_labels(hand.labels)
    if len(labels.bones) < 2:
        return []
    labels, bones = SPOILERS[kind](labels, hand.order.size, rng)
    _save(labels, hand)
    return [Defect(kind, hand, bones)]


def _plant_side(train: list[Order], test: list[Order], rng: Rng) -> list[Defect]:
    """The labels of the two hands exchanged, or the wrong letter in the name of one."""
    right, left = _hands(train.pop())
    named = [hand for hand in (right, left) if hand.picture.stem[-2:] in ("_R", "_L")]
    if named and rng.random() < 0.5:
        return [Defect("side", _renamed(named[0]))]
    labels = load_labels(right.labels), load_labels(left.labels)
    _save(labels[1], right)
    _save(labels[0], left)
    return [Defect("side", right), Defect("side", left)]


def _renamed(hand: Hand) -> Hand:
    stem = hand.picture.stem[:-1] + ("L" if hand.picture.stem.endswith("R") else "R")
    labels = hand.labels
    renamed = replace(hand, picture=hand.picture.rename(hand.picture.with_stem(stem)))
    labels.rename(renamed.labels)
    return renamed


def _plant_sesamoid(train: list[Order], test: list[Order], rng: Rng) -> list[Defect]:
    """The same hand with its sesamoid drawn in the picture but not in the labels."""
    while train:
        hand = _some_hand(train.pop(), rng)
        before = _area(load_labels(hand.labels), "finger-3")
        redrawn = _redraw(hand, hand.order.settings.model_copy(update={"sesamoid_in_metacarpal": 0.0}))
        if before > (1 + _SESAMOID_CHANGES) * _area(redrawn, "finger-3"):
            return [Defect("sesamoid", hand, ["finger-3"])]
    return []


def _plant_thing(thing: str) -> Callable[[list[Order], list[Order], Rng], list[Defect]]:
    def plant_it(train: list[Order], test: list[Order], rng: Rng) -> list[Defect]:
        hand = _some_hand(train.pop(), rng)
        settings = hand.order.settings
        shown = settings.things.model_copy(update={thing: 1.0})
        _redraw(hand, settings.model_copy(update={"things": shown}))
        return [Defect(thing, hand)]

    return plant_it


def _plant_duplicate(train: list[Order], test: list[Order], rng: Rng) -> list[Defect]:
    """A picture of one person also under another one's ID, from another export."""
    original, copy = _some_hand(train.pop(), rng), _some_hand(train.pop(), rng)
    _copy(original, copy, rng)
    return [Defect("duplicate", copy, other=original)]


def _plant_leak(train: list[Order], test: list[Order], rng: Rng) -> list[Defect]:
    """A picture of the training also in the test."""
    original, copy = _some_hand(train.pop(), rng), _some_hand(test.pop(), rng)
    _copy(original, copy, rng)
    return [Defect("leak", original, other=copy)]


def _plant_person(train: list[Order], test: list[Order], rng: Rng) -> list[Defect]:
    """One person photographed twice, under two IDs."""
    first, second = train.pop(), train.pop()
    hands = _hands(second)
    for hand, (_, phantom) in zip(hands, draw_hands(replace(second, bones_of=first.number)), strict=True):
        write_hand(second, hand.picture.stem, phantom)
    return [Defect("person", hands[0], other=_hands(first)[0])]


_PLANTERS: dict[str, Callable[[list[Order], list[Order], Rng], list[Defect]]] = {
    "side": _plant_side,
    "sesamoid": _plant_sesamoid,
    "ring": _plant_thing("ring"),
    "nails": _plant_thing("nails"),
    "duplicate": _plant_duplicate,
    "leak": _plant_leak,
    "person": _plant_person,
}


def _redraw(hand: Hand, settings: PhantomSettings) -> Labels:
    """The same hand drawn again with other settings, written; returns its labels."""
    right, left = draw_hands(replace(hand.order, settings=settings))
    write_hand(hand.order, hand.picture.stem, (right if hand.right else left)[1])
    return load_labels(hand.labels)


def _copy(original: Hand, copy: Hand, rng: Rng) -> None:
    """The original's picture and labels under the copy's name: other tones, moved a little, through a JPEG."""
    size = original.order.size
    pixels = cv2.imread(str(original.picture), cv2.IMREAD_GRAYSCALE)
    assert pixels is not None
    step = rng.uniform(-0.006, 0.006, 2) * size
    moved = cv2.warpAffine(
        pixels, np.array([[1, 0, step[0]], [0, 1, step[1]]]), (size, size), borderMode=cv2.BORDER_REPLICATE
    )
    tones = (255 * rng.uniform(0.85, 1.0) * (np.arange(256) / 255) ** rng.uniform(0.8, 1.25)).astype(np.uint8)
    coded = cv2.imencode(".jpg", tones[moved], [cv2.IMWRITE_JPEG_QUALITY, 75])[1]
    again: NDArray[np.uint8] = np.asarray(cv2.imdecode(coded, cv2.IMREAD_GRAYSCALE), np.uint8)
    write_picture(copy.picture, again)
    if copy.order.labelled and original.order.labelled:
        labels = load_labels(original.labels).map(lambda points: np.clip(np.rint(points + step), 0, size - 1))
        _save(labels, copy)


def _save(labels: Labels, hand: Hand) -> None:
    save_labels(labels, hand.labels, filename=f"{hand.picture.stem}.jpg")


def _area(labels: Labels, bone: str) -> float:
    return sum(cv2.contourArea(polygon.astype(np.float32)) for polygon in labels.polygons.get(bone, []))


def _write(path: Path, defects: Sequence[Defect]) -> None:
    rows = [COLUMNS]
    for defect in sorted(defects, key=lambda d: (d.hand.name, d.kind)):
        hand, other = defect.hand, defect.other.name if defect.other else ""
        bones = " ".join(defect.bones)
        rows.append((defect.kind, hand.order.split, hand.picture.parent.name, hand.picture.name, bones, other))
    write_csv(path, rows)
