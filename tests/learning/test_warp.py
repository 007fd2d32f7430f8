"""The one map: masks of moved outlines are the moved masks, pixels are averages of what they cover."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handbones.learning.augmentation import cut_patch, draw_patch, draw_warp
from handbones.learning.warp import Bend, Warp
from handbones.metric import dice_from_counts, packed_counts
from handbones.raster import Outlines, grow, rasterise, unpack
from handbones.recipe.samples import AugmentSettings, PatchSettings
from shapes import random_labels

WILD = AugmentSettings(
    flip=0.5, rotate=180, scale=(0.7, 1.4), shear=10, translate=0.1, zoom=0.5, perspective=0.3, elastic=0.03
)  # fmt: skip


def looked_up(warp: Warp, fine: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Where the pixels of a window, or fine x fine points of each, lie in the picture: x and y (rows, columns)."""
    x, y = (
        start + (np.arange(length * fine) + 0.5) / fine - 0.5
        for start, length in zip(warp.corner, (warp.width, warp.height), strict=True)
    )
    u, v = np.meshgrid(x, y)
    if warp.bend is not None:
        down, across = warp.bend.basis(y, 0), warp.bend.basis(x, 1)
        u, v = (at + down @ warp.bend.vectors[..., c] @ across.T for c, at in enumerate((u, v)))
    a, b, c = (row[0] * u + row[1] * v + row[2] for row in np.linalg.inv(warp.matrix))
    return a / c, b / c


def nearest(picture: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    columns, rows = np.floor(x + 0.5).astype(int), np.floor(y + 0.5).astype(int)
    inside = (columns >= 0) & (rows >= 0) & (columns < picture.shape[1]) & (rows < picture.shape[0])
    return np.where(inside, picture[np.where(inside, rows, 0), np.where(inside, columns, 0)], 0)


def scores(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """Dice of each bone that lies wholly in the window."""
    both, pred, truth = packed_counts(ours, theirs)
    rim = np.bitwise_or.reduce(np.concatenate([theirs[0], theirs[-1], theirs[:, 0], theirs[:, -1]]))
    whole = (rim >> np.arange(29) & 1) == 0
    return dice_from_counts(both, pred, truth)[whole & (truth > 0)]


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), height=st.integers(1000, 1400), width=st.integers(1000, 1400))
def test_masks_of_moved_outlines_are_the_moved_masks(seed: int, height: int, width: int) -> None:
    labels = random_labels(seed, height, width)
    words = labels.packed(height, width)
    warp = draw_warp(np.random.default_rng(seed), height, width, 512, WILD)
    outlines = Outlines.of([[grow(polygon) for polygon in bone] for bone in labels.by_bone()])
    ours = rasterise(warp.outlines(outlines), 512, 512)
    of_each_bone = scores(ours, nearest(words, *looked_up(warp)).astype(np.uint32))
    assert (of_each_bone >= 0.99).all()

    bone = np.uint32(1 << int(seed % 29))
    seen = warp.pixels(np.where(words & bone, np.uint8(255), np.uint8(0))) > 127
    assert (scores(ours & bone, seen * bone) >= 0.99).all()


@pytest.mark.parametrize("size", [64, 100, 128, 200, 400, 600])
def test_pixels_are_averages_of_what_they_cover(size: int) -> None:
    rng = np.random.default_rng(size)
    picture = cv2.resize(rng.integers(0, 256, (40, 40), np.uint8), (400, 400), interpolation=cv2.INTER_CUBIC)
    picture = cv2.add(picture, rng.integers(0, 40, (400, 400), np.uint8))
    whole = draw_warp(rng, 400, 400, size, AugmentSettings(rotate=30, perspective=0.1, elastic=0.01))
    warp = whole.window(size // 3, size // 3, 24, 24)
    covered = nearest(picture, *looked_up(warp, fine=8)).reshape(24, 8, 24, 8).mean(axis=(1, 3))
    error = warp.pixels(picture) - covered
    assert abs(error.mean()) < 1
    assert error.std() < 6


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_the_steepest_bend_is_undone_exactly(seed: int) -> None:
    rng = np.random.default_rng(seed)
    bend = Bend.draw(rng, 0.04 * 300, 5, 300)
    points = rng.uniform(-20, 320, (200, 2))
    back = bend.undo(points)
    down, across = bend.basis(back[:, 1], 0), bend.basis(back[:, 0], 1)
    again = back + np.einsum("ni,ijc,nj->nc", down, bend.vectors, across)
    np.testing.assert_allclose(again, points, atol=1e-5)


def test_long_edges_are_cut_and_the_outline_stays() -> None:
    square = np.array([[0.0, 0.0], [100, 0], [100, 100], [0, 100]])
    outlines = Outlines.of([[square], [square + 7, square * 0.01], *[[] for _ in range(27)]])
    finer = outlines.subdivide(10)
    assert finer.sizes.tolist() == [40, 40, 4]
    edges = finer.points[finer.following()] - finer.points
    assert np.hypot(*edges.T).max() <= 10 + 1e-9
    assert np.array_equal(rasterise(finer, 120, 120), rasterise(outlines, 120, 120))


def test_a_patch_is_a_part_of_the_whole() -> None:
    labels = random_labels(3, 800, 800)
    picture = np.random.default_rng(0).integers(0, 256, (800, 800), np.uint8)
    settings = AugmentSettings(rotate=20, elastic=0.02)
    outlines = Outlines.of(labels.by_bone())
    whole = draw_warp(np.random.default_rng(1), 800, 800, 512, settings)
    patch = draw_patch(np.random.default_rng(2), whole, outlines, PatchSettings(size=128))
    left, top = patch.corner
    part = slice(top, top + 128), slice(left, left + 128)
    assert np.abs(patch.pixels(picture).astype(int) - whole.pixels(picture)[part]).max() <= 1
    masks = rasterise(whole.outlines(outlines), 512, 512)
    assert np.array_equal(rasterise(patch.outlines(outlines), 128, 128), masks[part])


@pytest.mark.parametrize("name", ["Pisiform", "carpals", "finger-5"])
def test_patches_show_the_bones_that_are_wanted(name: str) -> None:
    labels = random_labels(5, 512, 512)
    outlines = Outlines.of(labels.by_bone())
    warp = draw_warp(np.random.default_rng(0), 512, 512, 512, AugmentSettings(rotate=10, elastic=0.01))
    wanted = PatchSettings(size=128, centred=1, bones=(name,))
    bits = sum(1 << i for i in ([*range(19, 27)] if name == "carpals" else [{"Pisiform": 26, "finger-5": 4}[name]]))
    for seed in range(12):
        patch = draw_patch(np.random.default_rng(seed), warp, outlines, wanted)
        assert (rasterise(patch.outlines(outlines), 128, 128) & bits).any()
        picture, masks = cut_patch(
            np.random.default_rng(seed), np.zeros((512, 512), np.uint8), labels.packed(512, 512), wanted
        )
        assert picture.shape == masks.shape == (128, 128)
        assert (masks & bits).any()
    assert unpack(masks).shape == (29, 128, 128)
