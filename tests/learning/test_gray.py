"""Changes of the gray values: each does something, nothing else, and the same again for the same seed."""

import numpy as np
import pytest

from handbones.learning.gray import change_gray, collimate
from handbones.recipe.samples import AugmentSettings

PICTURE = np.add.outer(np.arange(96), np.arange(96)).astype(np.uint8) + np.uint8(30)
CHANGES = {
    "brightness": 0.3, "contrast": 0.5, "gamma": 1.0, "noise": 0.1, "blur": 3.0, "invert": 1.0, "clahe": 1.0,
    "shadow": 0.3, "cutouts": 6,
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_each_change_is_seen_and_comes_again(name: str) -> None:
    settings = AugmentSettings(**{name: CHANGES[name]})
    before = PICTURE.copy()
    first, again, other = (change_gray(np.random.default_rng(seed), PICTURE, settings) for seed in (5, 5, 6))
    assert first.dtype == np.uint8 and first.shape == PICTURE.shape
    assert np.array_equal(first, again)
    assert not np.array_equal(first, PICTURE)
    assert np.array_equal(first, other) == (name == "invert")
    assert np.array_equal(PICTURE, before)


def test_nothing_asked_nothing_changed() -> None:
    assert np.array_equal(change_gray(np.random.default_rng(0), PICTURE, AugmentSettings()), PICTURE)


def test_noise_has_the_spread_that_is_drawn() -> None:
    flat = np.full((200, 200), 128, np.uint8)
    rng = np.random.default_rng(3)
    noisy = change_gray(rng, flat, AugmentSettings(noise=0.1)).astype(float)
    again = np.random.default_rng(3)
    again.random(4)  # gamma, contrast, brightness, inversion
    wanted = again.uniform(0, 25.5)
    assert noisy.std() == pytest.approx(wanted, rel=0.03)
    assert noisy.mean() == pytest.approx(128, abs=0.3)


def test_shutters_take_the_labels_under_them_away() -> None:
    masks = np.full(PICTURE.shape, 5, np.uint32)
    settings = AugmentSettings(collimation=1)
    picture, left = collimate(np.random.default_rng(4), PICTURE, masks, settings)
    shut = left == 0
    assert 0.02 < shut.mean() < 0.6
    assert len(np.unique(picture[shut])) == 1
    assert np.array_equal(picture[~shut], PICTURE[~shut]) and (left[~shut] == 5).all()
    same, all_left = collimate(np.random.default_rng(4), PICTURE, masks, AugmentSettings())
    assert same is PICTURE and all_left is masks


def test_each_border_is_shut_by_itself() -> None:
    masks = np.full(PICTURE.shape, 1, np.uint32)
    insets = []
    for seed in range(60):
        is_open = collimate(np.random.default_rng(seed), PICTURE, masks, AugmentSettings(collimation=1))[1] > 0
        for row in (24, 72):
            columns = np.flatnonzero(is_open[row])
            insets.append((columns[0], 95 - columns[-1]))
    left, right = np.array(insets).T.reshape(2, -1, 2)
    assert np.abs(np.diff(left)).max() < 6 and np.abs(np.diff(right)).max() < 6  # a little askew
    assert abs(np.corrcoef(left[:, 0], right[:, 0])[0, 1]) < 0.5
