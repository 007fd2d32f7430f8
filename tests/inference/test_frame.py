"""Pictures of any shape fit onto the network's canvas, and their logits come back whole."""

import cv2
import numpy as np
import pytest

from handbones.inference.frame import Frame
from handbones.inference.view import Rectangle, View


def whole(picture: tuple[int, int], size: int, stride: int) -> View:
    """All of a picture (height, width) on a canvas."""
    return View.of(Rectangle.whole(*picture), picture, size, stride)


@pytest.mark.parametrize(
    ("picture", "inner"),
    [((2048, 2048), (384, 384)), ((1883, 1256), (384, 256)), ((1, 1), (384, 384)), ((5, 2000), (2, 384))],
)
@pytest.mark.parametrize("stride", [1, 2])
def test_frame(picture: tuple[int, int], inner: tuple[int, int], stride: int) -> None:
    frame = Frame.fit(*picture, 384, stride)
    assert abs(frame.height - inner[0]) <= 1 and abs(frame.width - inner[1]) <= 1
    assert frame.height % stride == frame.width % stride == 0
    canvas = whole(picture, 384, stride).see(np.full(picture, 200, np.uint8))
    assert canvas.shape[0] % 32 == canvas.shape[1] % 32 == 0
    assert (canvas[: frame.height, : frame.width] == 200).all()
    assert not canvas[frame.height :].any() and not canvas[:, frame.width :].any()
    logits = np.zeros((29, canvas.shape[0] // stride, canvas.shape[1] // stride), np.float32)
    assert frame.cut(logits).shape == (29, frame.height // stride, frame.width // stride)


def test_large_pictures_shrink_by_areas_and_small_ones_grow_smoothly() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (128, 128), np.uint8)
    small, same, large = (whole((128, 128), size, 1).see(picture) for size in (64, 128, 256))
    assert np.array_equal(small, cv2.resize(picture, (64, 64), interpolation=cv2.INTER_AREA))
    assert np.array_equal(large, cv2.resize(picture, (256, 256)))
    assert np.array_equal(same, picture)
