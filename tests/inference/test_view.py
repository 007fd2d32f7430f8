"""What the network sees of a picture comes back to the pixels that it came from."""

from dataclasses import astuple
from typing import Any

import cv2
import numpy as np
import pytest

from handbones.inference.frame import Frame
from handbones.inference.view import Blend, Grid, Rectangle, View, Window

STRIDE = 2


def echo(canvas: np.ndarray) -> np.ndarray:
    """Logits of a network that says what it sees: gray values averaged over cells, for each bone."""
    height, width = canvas.shape
    cells = canvas.reshape(height // STRIDE, STRIDE, width // STRIDE, STRIDE).mean(axis=(1, 3), dtype=np.float32)
    return np.repeat(cells[None], 29, axis=0)


def picture_of(height: int, width: int) -> np.ndarray:
    noise = np.random.default_rng(0).integers(0, 256, (height, width), np.uint8)
    return np.asarray(cv2.GaussianBlur(noise, (0, 0), 2))


@pytest.mark.parametrize(("height", "width"), [(96, 64), (200, 150), (64, 64), (20, 31), (1, 1)])
def test_the_whole_picture_is_resized_into_the_upper_left_of_the_canvas(height: int, width: int) -> None:
    picture = picture_of(height, width)
    view = View.of(Rectangle.whole(height, width), picture.shape, 64, STRIDE)
    frame = Frame.fit(height, width, 64, STRIDE)
    how = cv2.INTER_AREA if frame.height * frame.width < picture.size else cv2.INTER_LINEAR
    resized = cv2.resize(picture, (frame.width, frame.height), interpolation=how)
    np.testing.assert_array_equal(view.see(picture), frame.pad(resized))


@pytest.mark.parametrize("quarters", range(4))
@pytest.mark.parametrize("mirror", [False, True])
def test_quarter_turns_and_mirrors_lose_nothing(quarters: int, mirror: bool) -> None:
    picture = picture_of(96, 64)
    view = View.of(Rectangle.whole(96, 64, quarters), picture.shape, 96, STRIDE, mirror=mirror)
    turned = np.rot90(picture, quarters)  # what points in the direction of `degrees` is seen upright
    np.testing.assert_array_equal(view.see(picture)[: turned.shape[0], : turned.shape[1]], fliplr(turned, mirror))
    blend = Blend(view.grid)
    blend.add(view, echo(view.see(picture)))
    np.testing.assert_array_equal(blend.logits(), echo(picture))


def fliplr(picture: np.ndarray, mirror: bool) -> np.ndarray:
    return picture[:, ::-1] if mirror else picture


def test_a_crop_comes_back_where_it_was() -> None:
    picture = picture_of(120, 100)
    view = View.of(Rectangle(49.5, 59.5, 40, 60, 180), picture.shape, 60, STRIDE)
    assert view.window == Window(30, 30, 60, 40)
    blend = Blend(view.grid)
    blend.add(view, echo(view.see(picture)))
    np.testing.assert_array_equal(blend.logits(), echo(picture[30:90, 30:70]))


@pytest.mark.parametrize("degrees", [30.0, -140.0, 45.0])
def test_any_angle_comes_back_to_within_the_resampling(degrees: float) -> None:
    picture = np.asarray(cv2.GaussianBlur(picture_of(300, 260), (0, 0), 6))
    view = View.of(Rectangle(130, 150, 120, 160, degrees), picture.shape, 160, STRIDE)
    blend = Blend(view.grid)
    blend.add(view, echo(view.see(picture)))
    logits = blend.logits()
    seen = logits[0] > -20
    assert 0.4 < seen.mean() < 0.9  # the corners of the window are none of the rectangle's
    inside = cv2.erode(seen.astype(np.uint8), np.ones((5, 5))) > 0
    window = view.window.cut(picture)
    wanted = cv2.resize(window.astype(np.float32), logits.shape[:0:-1], interpolation=cv2.INTER_AREA)
    assert np.abs(logits[0] - wanted)[inside].max() < 3


def test_tiles_and_scales_agree_on_one_grid() -> None:
    picture = np.asarray(cv2.GaussianBlur(picture_of(128, 128), (0, 0), 4))
    grid = Grid(Window(0, 0, 128, 128), 64, 64)
    whole = View.of(Rectangle.whole(128, 128), picture.shape, 128, STRIDE)
    tiles = [
        View.of(
            Rectangle(x + 31.5, y + 31.5, 64, 64),
            picture.shape,
            64,
            STRIDE,
            tiles=(
                tuple((other - y) // STRIDE for other in (0, 32, 64)),
                tuple((other - x) // STRIDE for other in (0, 32, 64)),
            ),
        )
        for x in (0, 32, 64)
        for y in (0, 32, 64)
    ]
    blend = Blend(grid)
    for view in tiles:
        blend.add(view, echo(view.see(picture)))
    np.testing.assert_allclose(blend.logits(), echo(picture), atol=1e-3)
    half = View.of(Rectangle.whole(128, 128), picture.shape, 64, STRIDE)
    for view in (whole, half):
        blend.add(view, echo(view.see(picture)))
    assert np.abs(blend.logits() - echo(picture)).max() < 3


def test_models_of_different_sizes_count_alike_at_the_border() -> None:
    blend = Blend(Grid(Window(0, 0, 128, 128), 64, 64))
    small, large = (View.of(Rectangle.whole(128, 128), (128, 128), size, STRIDE) for size in (64, 128))
    for view, logit in ((small, -1.0), (large, 3.0)):
        blend.add(view, np.full((29, view.frame.height // STRIDE, view.frame.width // STRIDE), logit, np.float32))
    np.testing.assert_allclose(blend.logits(), 1.0, atol=1e-6)


def test_a_bone_of_few_cells_keeps_its_outline() -> None:
    """The shares of a disc in cells of 16 pixels: cubic interpolation finds it again, bilinear makes it a diamond."""
    y, x = np.mgrid[:512, :512]
    disc = np.hypot(x - 258.5, y - 260.5) < 30
    shares = np.clip(cv2.resize(disc.astype(np.float32), (32, 32), interpolation=cv2.INTER_AREA), 0.01, 0.99)
    coarse = np.log(shares / (1 - shares))
    view = View.of(Rectangle.whole(512, 512), (512, 512), 64, STRIDE)
    grid, logits = view.bring_back(np.repeat(coarse[None], 29, axis=0))
    assert view.grid.rows == 32 and grid.rows == 64 and view.grid.finer(8).rows == 128  # no cell under 4 pixels
    ours, bilinear = (cv2.resize(plane, (512, 512)) > 0 for plane in (logits[0], coarse))
    assert (ours != disc).sum() < 0.75 * (bilinear != disc).sum()


def test_means_of_logits_and_of_probabilities() -> None:
    view = View.of(Rectangle.whole(4, 4), (4, 4), 64, STRIDE)
    triple = view.counting(3, fading=False)
    shape = (29, 32, 32)
    for probability, wanted in ((False, 0.5), (True, np.log(0.375 / 0.625))):
        blend = Blend(view.grid, probability=probability)
        blend.add(view, np.full(shape, 50, np.float32) if probability else np.full(shape, 5, np.float32))
        blend.add(triple, np.full(shape, np.log(1 / 5.0) if probability else -1, np.float32))
        np.testing.assert_allclose(blend.logits(), np.full(shape, wanted), atol=1e-5)


def test_gray_values_are_changed_on_the_canvas() -> None:
    picture = picture_of(64, 64)

    def seen(**tones: Any) -> np.ndarray:
        return View.of(Rectangle.whole(64, 64), (64, 64), 64, STRIDE, **tones).see(picture)

    np.testing.assert_array_equal(seen(inverted=True), 255 - picture)
    assert (seen(gamma=1.5) <= picture).all() and (seen(gamma=0.7) >= picture).all()
    np.testing.assert_array_equal(seen(inverted=True, gamma=2), np.rint((255.0 - picture) ** 2 / 255))


def test_within_keeps_what_the_picture_can_fill() -> None:
    assert Rectangle(50, 49.5, 400, 60).within(100, 200) == Rectangle(99.5, 49.5, 200, 60)
    assert Rectangle(50, 49.8, 400, 60).within(100, 200) == Rectangle(99.5, 50, 200, 61)
    assert Rectangle(10, 49.5, 60, 400, 90).within(100, 200) == Rectangle(99.5, 49.5, 60, 200, 90)
    inside = Rectangle(60, 50, 20, 30, 33)
    np.testing.assert_allclose(astuple(inside.within(100, 200)), astuple(inside))


def test_a_large_hand_is_seen_smaller() -> None:
    assert Rectangle(50, 50, 100, 200).side(768, 512) == 768
    close = Rectangle(50, 50, 100, 200, hand=200)
    assert close.side(768, None) == 768 and close.side(768, 512) == 512 and close.side(384, 512) == 384
    assert close.within(500, 500).hand == close.part(0, 0, 10, 10).hand == 200
