"""Whole predictions that look for the hand, with a network that reads bones off their gray values."""

from pathlib import Path

import numpy as np
import pytest

from handbones.anatomy import INDEX
from handbones.bundle import Bundle
from handbones.inference.looks import Looks
from handbones.inference.segmenter import Segmenter
from handbones.metric import dice
from handbones.phantom.drawing import draw
from handbones.phantom.settings import CLEAN
from handbones.raster import unpack
from handbones.recipe import load_recipe

SIZE = 384
_STEP = 8


def painted(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A picture (384, 384) in which each bone has a gray value of its own, and the masks that it shows."""
    masks = unpack(draw(np.random.default_rng(seed), CLEAN.with_tilted(0), SIZE, SIZE, side="right").packed)
    picture = np.zeros((SIZE, SIZE), np.uint8)
    for bone, mask in enumerate(masks):
        picture[mask > 0] = _STEP * (bone + 1)
    return picture, np.stack([picture == _STEP * (bone + 1) for bone in range(29)])


def read_gray(canvases: np.ndarray) -> np.ndarray:
    """Logits at half the resolution: positive where the gray value is a bone's."""
    gray = canvases.astype(np.float32)
    logits = np.maximum(6 - 4 * np.abs(gray - _STEP * np.arange(1, 30, dtype=np.float32)[:, None, None]), -6)
    count, bones, height, width = logits.shape
    return logits.reshape(count, bones, height // 2, 2, width // 2, 2).mean(axis=(3, 5))


@pytest.fixture
def segmenter(monkeypatch: pytest.MonkeyPatch) -> Segmenter:
    return open_segmenter(monkeypatch)


def open_segmenter(monkeypatch: pytest.MonkeyPatch, *, size: int = 512, wrist: bool = False) -> Segmenter:
    """One whose network is `read_gray`."""
    monkeypatch.setattr("handbones.inference.ensemble.open_backend", lambda *_: read_gray)
    bundle = Bundle(Path("nowhere"), load_recipe("small"), {}, None, None)
    return Segmenter(bundle, hand="find", size=size, looks=Looks(wrist=wrist))


def test_every_turn_and_mirror_gives_the_same_masks(segmenter: Segmenter) -> None:
    picture, truth = painted(3)
    upright = segmenter.segment(picture).masks()
    assert dice(upright[None], truth[None]).mean() > 0.7
    for quarters in range(1, 4):
        turned = segmenter.segment(np.rot90(picture, quarters)).masks()
        assert dice(turned[None], np.rot90(upright, quarters, axes=(1, 2))[None]).mean() > 0.95
    mirrored = segmenter.segment(picture[:, ::-1]).masks()[:, :, ::-1]
    assert dice(mirrored[None], upright[None]).mean() > 0.95


def test_borders_and_black_films_cost_little(segmenter: Segmenter) -> None:
    picture, truth = painted(3)
    framed, masks = (np.pad(x, [(0, 0)] * (x.ndim - 2) + [(300, 100), (50, 400)]) for x in (picture, truth))
    found = segmenter.segment(framed)
    assert (found.height, found.width) == framed.shape
    assert dice(found.masks()[None], masks[None]).mean() > 0.6


def test_inverted_pictures_are_turned_round(segmenter: Segmenter) -> None:
    picture, truth = painted(3)
    found = segmenter.segment(255 - picture)
    assert dice(found.masks()[None], truth[None]).mean() > 0.7


def test_two_hands_are_both_found(segmenter: Segmenter) -> None:
    picture, truth = painted(3)
    both, masks = (np.concatenate([x, x[..., ::-1]], axis=-1) for x in (picture, truth))
    found = segmenter.segment(both)
    assert dice(found.masks()[None], masks[None]).mean() > 0.6
    assert found.bones["Capitate"].mask.shape[1] > SIZE // 2


def test_a_wrist_is_looked_at_again(monkeypatch: pytest.MonkeyPatch) -> None:
    picture, truth = painted(3)
    both = [open_segmenter(monkeypatch, size=256, wrist=wrist) for wrist in (False, True)]
    carpals = slice(INDEX["Trapezium"], INDEX["Pisiform"] + 1)
    plain, closer = (dice(s.segment(picture).masks()[None], truth[None])[0, carpals].mean() for s in both)
    assert closer > plain + 0.01


def test_no_hand_no_bones(segmenter: Segmenter) -> None:
    found = segmenter.segment(np.random.default_rng(0).integers(0, 256, (200, 300), np.uint8))
    assert not found.found and found.reason == "no hand was found"
    assert found.rle() == [""] * 29
