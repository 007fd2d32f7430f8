"""How often, and in which ways, a network looks at a rectangle of a picture: flips, scales, tones and tiles."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Literal, get_args

import numpy as np

from handbones.errors import UsageError
from handbones.inference.frame import MULTIPLE
from handbones.inference.view import Rectangle, Starts, View

Mean = Literal["logit", "probability"]


@dataclass(frozen=True)
class Looks:
    """Every combination of what is given is looked at, and the mean is taken."""

    flip: bool = False
    """Mirrored as well: a mirrored hand is a hand."""
    scales: tuple[float, ...] = (1.0,)
    """Factors on the size that the network sees."""
    gammas: tuple[float, ...] = (1.0,)
    """Exponents of the gray values, from 0 to 1: below 1 is lighter."""
    tile: int | None = None
    """Side of square tiles on the network's input, in pixels; None: no tiles, the rectangle is seen as a whole."""
    overlap: float = 0.5
    """Share of a tile's side that the next one covers again, at least."""
    mean: Mean = "logit"
    """What is averaged."""
    wrist: bool = False
    """Look at the wrist once more, enlarged."""

    def __post_init__(self) -> None:
        for name, values in (("scales", self.scales), ("gammas", self.gammas)):
            if not values or not all(0.1 <= value <= 10 for value in values):
                given = ",".join(f"{value:g}" for value in values)
                raise UsageError(f"--{name} {given}: needs numbers from 0.1 to 10")
        if self.tile is not None and (self.tile < MULTIPLE or self.tile % MULTIPLE):
            raise UsageError(f"--tile {self.tile}: must be a multiple of {MULTIPLE} pixels")
        if not 0 <= self.overlap <= 0.9:
            raise UsageError(f"--overlap {self.overlap}: must be from 0 to 0.9")
        if self.mean not in get_args(Mean):
            raise UsageError(f"--mean {self.mean}: must be one of {', '.join(get_args(Mean))}")

    def views(
        self, rectangle: Rectangle, picture: tuple[int, ...], size: int, stride: int, *, inverted: bool = False
    ) -> Iterator[View]:
        """The views of a rectangle of a picture (height, width) whose longest side is `size` where the scale is 1."""
        for scale in self.scales:
            scaled = max(MULTIPLE, round(size * scale))
            parts = tiles(rectangle, scaled, self.tile, self.overlap, stride)
            for (part, beside), gamma, mirror in product(parts, self.gammas, (False, True)[: 1 + self.flip]):
                side = scaled if len(parts) == 1 else round(scaled * _longest(part) / _longest(rectangle))
                yield View.of(
                    *(part, picture, side, stride),
                    mirror=mirror,
                    inverted=inverted,
                    gamma=gamma,
                    tiles=beside,
                )


def tiles(
    rectangle: Rectangle, size: int, tile: int | None, overlap: float, stride: int
) -> list[tuple[Rectangle, tuple[Starts, Starts]]]:
    """Equal parts of a rectangle, `tile` pixels a side where the longest side of all of it has `size`.

    Beside each, where all of them begin, down and across, in logits from its own beginning. They begin at whole logits
    and lie evenly; the side of a rectangle that is shorter than a tile is not divided.
    """
    scale = size / _longest(rectangle)
    if tile is None or tile >= size:
        return [(rectangle, ((0,), (0,)))]
    across, down = (_starts(side * scale, tile, overlap, stride) for side in (rectangle.width, rectangle.height))
    width, height = (min(tile / scale, side) for side in (rectangle.width, rectangle.height))
    return [
        (
            rectangle.part(x * stride / scale, y * stride / scale, width, height),
            (tuple(other - y for other in down), tuple(other - x for other in across)),
        )
        for y in down
        for x in across
    ]


def _starts(length: float, tile: int, overlap: float, stride: int) -> list[int]:
    """Where tiles begin, in logits, along a side of `length` pixels of the canvas."""
    spare = length - tile
    if spare <= 0:
        return [0]
    count = int(np.ceil(spare / (tile * (1 - overlap)) - 1e-9)) + 1
    starts: list[int] = np.rint(np.linspace(0, spare, count) / stride).astype(int).tolist()
    return starts


def _longest(rectangle: Rectangle) -> float:
    return max(rectangle.width, rectangle.height)
