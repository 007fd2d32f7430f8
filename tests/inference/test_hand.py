"""Hands are found from their bones, wherever they lie, and only hands are."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest

from handbones.anatomy import BONES
from handbones.inference.hand import Hand, find_hands
from handbones.inference.search import Ask, Sighting, search
from handbones.inference.view import Grid, View, Window
from handbones.phantom.drawing import draw
from handbones.phantom.settings import CLEAN
from handbones.raster import Packed, unpack

SIZE = 256


@pytest.fixture(scope="module")
def hand() -> Packed:
    """A right hand of (256, 256), fingers up, its wrist straight."""
    rng = np.random.default_rng(3)
    return draw(rng, CLEAN.with_tilted(0.0), SIZE, SIZE, side="right").packed


def logits_of(packed: Packed) -> np.ndarray:
    return np.where(unpack(packed)[:, ::2, ::2], np.float32(4), np.float32(-8))


def degrees_of(hand: Hand) -> float:
    """How far it is turned, clockwise from upright."""
    return float(np.degrees(np.angle(hand.turn)))


def grid_of(packed: Packed) -> Grid:
    height, width = packed.shape
    return Grid(Window(0, 0, height, width), height // 2, width // 2)


@pytest.mark.parametrize("quarters", range(4))
@pytest.mark.parametrize("mirror", [False, True])
def test_turn_and_side_are_told(hand: Packed, quarters: int, mirror: bool) -> None:
    picture = np.rot90(hand[:, ::-1] if mirror else hand, -quarters)
    best, *others = find_hands(logits_of(picture), grid_of(picture))
    assert not others
    assert best.score > 24 and {spot.bone for spot in best.spots} >= {27, 28}
    assert abs((degrees_of(best) - 90 * quarters + 180) % 360 - 180) < 15
    assert abs((best.axis - 90 * quarters + 180) % 360 - 180) < 15
    assert best.mirrored == mirror


def test_the_rectangle_holds_all_bones(hand: Packed) -> None:
    best = find_hands(logits_of(hand), grid_of(hand))[0]
    for degrees in (0, 40):
        rectangle = best.rectangle(degrees, 0.02)
        view = View.of(rectangle, hand.shape, SIZE, 2)
        seen = view.see((hand > 0).astype(np.uint8) * 255)
        assert (seen > 127).sum() == pytest.approx((hand > 0).sum() * abs(np.linalg.det(view.matrix[:2, :2])), rel=0.03)


def test_two_hands_are_two(hand: Packed) -> None:
    picture = np.concatenate([hand, hand[:, ::-1]], axis=1)
    hands = find_hands(logits_of(picture), grid_of(picture))
    assert [found.mirrored for found in sorted(hands, key=lambda found: found.centre.real)] == [False, True]
    assert len(hands) == 2 and all(found.score > 24 for found in hands)


def test_misplaced_bones_do_not_count(hand: Packed) -> None:
    logits = logits_of(hand)
    good = find_hands(logits, grid_of(hand))[0].score
    shuffled = logits[np.random.default_rng(0).permutation(29)]
    assert max((found.score for found in find_hands(shuffled, grid_of(hand))), default=0) < 8
    moved = logits.copy()
    moved[BONES.index("finger-7")] = np.roll(logits[BONES.index("finger-7")], 60, axis=1)
    assert find_hands(moved, grid_of(hand))[0].score == pytest.approx(good - 0.98, abs=0.05)


def network_that_knows(truth: Packed, quarters: int, inverted: bool) -> Ask:
    """Sees the bones of pictures that are turned and inverted like this, and nothing in others."""

    def ask(_: np.ndarray, views: Sequence[View]) -> Iterator[np.ndarray]:
        for view in views:
            turn = -np.degrees(np.arctan2(view.matrix[1, 0], view.matrix[0, 0]))
            bones = [replace(view, inverted=False).see(plane * 255)[::2, ::2] > 127 for plane in unpack(truth)]
            sees = round(turn) % 360 == 90 * quarters and view.inverted == inverted
            yield np.where(np.stack(bones) & sees, np.float32(4), np.float32(-8))

    return ask


@pytest.mark.parametrize(("quarters", "inverted"), [(0, False), (3, False), (0, True), (2, True)])
def test_the_search_turns_and_inverts(hand: Packed, quarters: int, inverted: bool) -> None:
    truth = np.ascontiguousarray(np.rot90(hand, -quarters))
    [sighting] = search(np.zeros(truth.shape, np.uint8), network_that_knows(truth, quarters, inverted), 2)
    assert sighting.inverted == inverted
    rectangle = sighting.rectangle()
    assert rectangle.degrees % 360 == 90 * quarters
    assert rectangle.hand == sighting.hand.length


def film_of_two(hand: Packed) -> Packed:
    """Both hands, small, in opposite corners."""
    film = np.zeros((4 * SIZE, 4 * SIZE), np.uint32)
    film[:SIZE, :SIZE], film[-SIZE:, -SIZE:] = hand, hand[:, ::-1]
    return film


def test_both_small_hands_of_a_large_film_are_found(hand: Packed) -> None:
    film = film_of_two(hand)
    knows = network_that_knows(film, 0, inverted=False)

    def sees_large_hands(picture: np.ndarray, views: Sequence[View]) -> Iterator[np.ndarray]:
        for view, logits in zip(views, knows(picture, views), strict=True):
            large = np.hypot(*view.matrix[:2, 0]) > 0.4
            yield logits if large else np.full_like(logits, -8)

    found = search(film.astype(np.uint8), sees_large_hands, 2)
    assert sorted(sighting.hand.mirrored for sighting in found) == [False, True]


def test_a_hand_that_is_hardly_seen_does_not_hide_the_one_beside_it(hand: Packed) -> None:
    film = film_of_two(hand)
    knows = network_that_knows(film, 0, inverted=False)

    def sees_little(picture: np.ndarray, views: Sequence[View]) -> Iterator[np.ndarray]:
        for view, logits in zip(views, knows(picture, views), strict=True):
            if np.hypot(*view.matrix[:2, 0]) < 0.4:
                logits[8:] = -8
                logits[:, logits.shape[1] // 2 :] = -8
            yield logits

    found = search(film.astype(np.uint8), sees_little, 2)
    assert sorted(sighting.hand.mirrored for sighting in found) == [False, True]


def test_nothing_is_nothing() -> None:
    empty = np.zeros((256, 256), np.uint32)
    assert search(empty.astype(np.uint8), network_that_knows(empty, 0, False), 2) == []


def test_a_leaning_hand_can_be_set_upright(hand: Packed) -> None:
    best = find_hands(logits_of(hand), grid_of(hand))[0]
    fingers = [spot for spot in best.spots if spot.bone < 27]
    for lean, seen, quarters in ((10, 0, 0), (50, 0, 0), (50, 90, 90), (100, 0, 90), (-70, 0, -90), (-170, 180, 180)):
        turn = best.turn * np.exp(1j * np.radians(lean - degrees_of(best)))
        sighting = Sighting(replace(best, turn=turn, spots=fingers), degrees=seen)
        assert sighting.rectangle().degrees == quarters
        assert sighting.rectangle(upright=True).degrees == pytest.approx(lean)
