"""One warp for pixels and polygons; gray values change, sizes do not."""

import cv2
import numpy as np
import pytest

from handbones.learning.augmentation import draw_warp
from handbones.learning.gray import change_gray
from handbones.raster import pack, rasterise, unpack
from handbones.recipe.samples import AugmentSettings

WILD = AugmentSettings(
    flip=0.5, rotate=180, scale=(0.7, 1.4), shear=10, translate=0.1, zoom=0.5, brightness=0.2, contrast=0.5, gamma=1,
    noise=0.1, blur=2, invert=0.5,
)  # fmt: skip


def test_without_augmentation_a_picture_is_only_resized() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (500, 400), np.uint8)
    warp = draw_warp(np.random.default_rng(0), 500, 400, 250, AugmentSettings())
    canvas = warp.pixels(picture)
    assert np.array_equal(canvas[:, :200], cv2.resize(picture, (200, 250), interpolation=cv2.INTER_AREA))
    assert not canvas[:, 200:].any()
    corners = np.array([[-0.5, -0.5], [399.5, 499.5]])
    np.testing.assert_allclose(warp.points(corners), [[-0.5, -0.5], [199.5, 249.5]])


def test_fine_stripes_shrink_to_gray() -> None:
    stripes = np.tile(np.array([0, 255], np.uint8), (512, 256))
    warp = draw_warp(np.random.default_rng(3), 512, 512, 64, AugmentSettings(rotate=20))
    inside = warp.pixels(stripes)[20:44, 20:44]
    assert abs(inside.astype(int) - 127).max() <= 2


def test_a_flip_keeps_the_bones_where_the_picture_has_them() -> None:
    picture = np.zeros((64, 64), np.uint8)
    picture[10:20, 5:15] = 255
    warp = draw_warp(np.random.default_rng(0), 64, 64, 64, AugmentSettings(flip=1))
    box = np.array([[4.5, 9.5], [14.5, 9.5], [14.5, 19.5], [4.5, 19.5]])
    mask = rasterise([[warp.points(box)]], 64, 64) != 0
    assert np.array_equal(mask, warp.pixels(picture) > 127)
    assert mask[10:20, 49:59].all()


@pytest.mark.parametrize("settings", [WILD, AugmentSettings()])
def test_gray_values_change_reproducibly(settings: AugmentSettings) -> None:
    picture = np.arange(256, dtype=np.uint8).reshape(16, 16)
    first, again = (change_gray(np.random.default_rng(5), picture, settings) for _ in range(2))
    assert np.array_equal(first, again) and first.dtype == np.uint8
    assert np.array_equal(first, picture) == (settings == AugmentSettings())


def test_zoom_shows_a_part_of_the_picture() -> None:
    settings = AugmentSettings(zoom=1, zoom_window=(0.5, 0.5))
    for seed in range(20):
        warp = draw_warp(np.random.default_rng(seed), 100, 60, 64, settings)
        inverse = np.linalg.inv(warp.matrix)
        corners = np.array([[-0.5, -0.5, 1], [63.5, 63.5, 1]]) @ inverse.T
        assert (corners[0, :2] >= -0.5 - 1e-9).all()
        assert corners[1, 1] <= 99.5 + 1e-9
        np.testing.assert_allclose(np.diff(corners[:, :2], axis=0), 50)


def test_packed_masks_keep_overlaps() -> None:
    square = np.array([[2.0, 2.0], [9.0, 2.0], [9.0, 9.0], [2.0, 9.0]])
    bones = [[square], [square + 3], *[[] for _ in range(27)]]
    words = rasterise(bones, 16, 16)
    assert (words == 3).any()
    assert np.array_equal(pack(unpack(words)), words)
