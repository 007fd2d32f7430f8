"""Finding hands in a picture of which nothing is known: any turn, any size, bones bright or dark, or no hand at all."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import product
from typing import NamedTuple

from handbones.anatomy import ANATOMY
from handbones.inference.frame import Gray, Logits
from handbones.inference.hand import Hand, find_hands, hands_of, spots_of
from handbones.inference.view import Blend, Rectangle, View
from handbones.raster import Outlines

Ask = Callable[[Gray, Sequence[View]], Iterable[Logits]]
"""What a network says of views of a picture: logits (29, h, w) of each canvas, one after the other."""

COARSE = 256
"""Longest side that the network sees while it searches, in pixels."""
_CERTAIN, _SURE, LEAST = 21.0, 14.0, 6.0
"""Scores of a hand, 27 at best: enough not to look for dark bones; not to turn the picture; below this it is none."""
_SECOND = 0.6
"""Score of a further hand, as a share of the best one's, from which it counts."""
_FAR = 60.0
"""Degrees by which a hand may lean; networks learn less, but where one saw it so, it knows it so."""
_MARGIN = 0.1
"""Room around the bones, in hand lengths."""
_WRIST = frozenset(bone.index for bone in ANATOMY if bone.group == "carpals")
_WRIST_MARGIN = 0.12
"""Room around the carpal bones, in hand lengths."""


class Sighting(NamedTuple):
    """A hand, and how the picture was looked at when it was seen: inverted or not, and turned."""

    hand: Hand
    inverted: bool = False
    degrees: float = 0.0

    def rectangle(self, *, upright: bool = False) -> Rectangle:
        """Around the hand, turned as it was seen, or by the nearest quarters if it leans far then.

        With `upright`, turned just so that the hand is.
        """
        axis = self.hand.axis
        far = abs((axis - self.degrees + 180) % 360 - 180) > _FAR
        quarters = 90.0 * round(axis / 90) if far else self.degrees
        rectangle = self.hand.rectangle(axis if upright else quarters, _MARGIN)
        return replace(rectangle, hand=self.hand.length)


def search(picture: Gray, ask: Ask, stride: int) -> list[Sighting]:
    """The hands in a picture (height, width), best first; none where nothing looks like one.

    `stride` is that of the network's logits.
    """
    seen: list[Sighting] = []
    for looks, enough in _stages(picture.shape[0], picture.shape[1]):
        views = [View.of(rectangle, picture.shape, COARSE, stride, inverted=inverted) for rectangle, inverted in looks]
        for (rectangle, inverted), view, logits in zip(looks, views, ask(picture, views), strict=True):
            blend = Blend(view.grid)
            blend.add(view, logits)
            seen += [Sighting(hand, inverted, rectangle.degrees) for hand in find_hands(blend.logits(), view.grid)]
        seen.sort(key=lambda sighting: -sighting.hand.score)
        if seen and seen[0].hand.score >= enough:
            break
    return _distinct([sighting for sighting in seen if sighting.hand.score >= LEAST])


def rectangle_of(outlines: Outlines, height: int, width: int, *, wrist: bool = False) -> Rectangle:
    """What prediction would look at of a picture (height, width) if every bone were seen as it is labelled.

    With `wrist`, in its second look. The whole picture where the labels make no hand.
    """
    hands = hands_of(spots_of(outlines))
    if not hands:
        return Rectangle.whole(height, width)
    rectangle = Sighting(hands[0]).rectangle()
    if wrist:
        rectangle = wrist_rectangle(hands[0], rectangle.degrees)
    return rectangle.within(height, width)


def wrist_rectangle(hand: Hand, degrees: float) -> Rectangle:
    """A rectangle turned by `degrees` around the carpal bones."""
    return hand.rectangle(degrees, _WRIST_MARGIN, _WRIST)


def _stages(height: int, width: int) -> Iterator[tuple[list[tuple[Rectangle, bool]], float]]:
    """Where to look, with black and white swapped or not, and the score that is enough then; the likely first."""
    whole, *turned = [Rectangle.whole(height, width, quarters) for quarters in range(4)]
    yield [(whole, False)], _CERTAIN
    yield [(whole, True)], _SURE  # a network may know dark bones a little: which are better?
    yield list(product(turned, (False, True))), _SURE
    # A small hand on a large film, or one of several, which all look faint where the film is seen whole.
    parts = [
        Rectangle(x * (width - 1), y * (height - 1), width / 2, height / 2)
        for y in (0.25, 0.5, 0.75)
        for x in (0.25, 0.5, 0.75)
    ]
    yield list(product(parts, (False, True))), LEAST


def _distinct(seen: Sequence[Sighting]) -> list[Sighting]:
    """The best sighting of each hand."""
    hands: list[Sighting] = []
    for sighting in seen:
        hand = sighting.hand
        if all(hand.beside(other) for other, *_ in hands) and hand.score >= _SECOND * seen[0].hand.score:
            hands.append(sighting)
    return hands
