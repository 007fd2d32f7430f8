"""Networks that answer as one: what each says of each view is added to one mean as it comes, and not kept."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, islice

import numpy as np

from handbones.bundle import Bundle
from handbones.encoding import Values, encode
from handbones.inference.backends import Backend, open_backend
from handbones.inference.frame import Gray, Logits
from handbones.inference.looks import Looks
from handbones.inference.view import Blend, Grid, Rectangle, View
from handbones.metadata import UNKNOWN, Metadata


@dataclass(frozen=True)
class Network:
    """A bundle's network, loaded."""

    run: Backend
    size: int
    """Longest side that it sees, in pixels."""
    stride: int
    """Pixels per logit."""
    hand_length: int | None = None
    """Longest that it sees a hand, in pixels."""
    weight: float = 1.0
    inputs: Sequence[str] = ()
    """What it is told beside the picture."""

    @classmethod
    def load(cls, bundle: Bundle, device: str, backend: str, size: int | None, weight: float = 1.0) -> "Network":
        """`size`, where it is given, is what it sees whatever hand is there. Raises as `open_backend`."""
        recipe = bundle.recipe
        run, hand_length = open_backend(bundle, device, backend), None if size else recipe.input.hand_length
        size = size or recipe.input.size
        return cls(run, size, recipe.network.stride, hand_length, weight, recipe.metadata.inputs)

    def side(self, rectangle: Rectangle) -> int:
        """Longest side of a rectangle of a picture on its input, in pixels."""
        return rectangle.side(self.size, self.hand_length)

    def ask(self, seen: Iterable[tuple[Gray, View, Metadata]], batch: int = 1) -> Iterator[Logits]:
        """Logits (29, h, w) of each view of a picture, in order; `batch` at a time where canvases are alike."""
        canvases = ((view.see(picture), view.mirrors, metadata) for picture, view, metadata in seen)
        for _, alike in groupby(canvases, key=lambda canvas: canvas[0].shape):
            while group := list(islice(alike, batch)):
                yield from self.run(np.stack([canvas for canvas, *_ in group])[:, None], *self._told(group))

    def _told(self, group: Iterable[tuple[Gray, bool, Metadata]]) -> list[Values]:
        """What it is told of some canvases, (N, 2 inputs); nothing if it wants nothing."""
        if not self.inputs:
            return []
        told = (metadata.mirrored() if mirrors else metadata for _, mirrors, metadata in group)
        return [np.stack([encode(metadata, self.inputs) for metadata in told])]


@dataclass(frozen=True)
class Scene:
    """A rectangle of a picture that is to be looked at."""

    picture: Gray
    rectangle: Rectangle
    inverted: bool = False
    metadata: Metadata = UNKNOWN


@dataclass(frozen=True)
class Ensemble:
    """One network or several."""

    networks: Sequence[Network]
    looks: Looks
    batch: int = 1

    def grid(self, scene: Scene, *finer: float) -> Grid:
        """Cells for the mean: those of the finest network's plain look, or finer ones, as `Grid.finer` takes it."""
        sides = [(network.side(scene.rectangle), network.stride) for network in self.networks]
        view = View.of(scene.rectangle, scene.picture.shape, *max(sides, key=lambda side: side[0] / side[1]))
        return view.grid.finer(*finer) if finer else view.grid

    def look(
        self, scenes: Sequence[Scene], blends: Sequence[Blend] | None = None, *, fading: bool = False
    ) -> list[Blend]:
        """The mean of all networks and looks for each scene, or added to the `blends` that there are already.

        With `fading`, each look counts less towards its borders.
        """
        blends = blends or [Blend(self.grid(scene), probability=self.looks.mean == "probability") for scene in scenes]
        for network in self.networks:
            views = [(i, view) for i, scene in enumerate(scenes) for view in self._views(scene, network, fading)]
            seen = ((scenes[i].picture, view, scenes[i].metadata) for i, view in views)
            for (i, view), logits in zip(views, network.ask(seen, self.batch), strict=True):
                blends[i].add(view, logits)
        return list(blends)

    def _views(self, scene: Scene, network: Network, fading: bool) -> Iterator[View]:
        shape, size = scene.picture.shape, network.side(scene.rectangle)
        looks = self.looks.views(scene.rectangle, shape, size, network.stride, inverted=scene.inverted)
        return (view.counting(network.weight, fading=fading) for view in looks)
