"""Every way of looking ends in the same mean, at the same place."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from handbones.errors import UsageError
from handbones.inference.backends import Backend
from handbones.inference.ensemble import Ensemble, Network, Scene
from handbones.inference.looks import Looks, tiles
from handbones.inference.segmenter import Segmenter
from handbones.inference.view import Blend, Rectangle

STRIDE = 2


def echo(canvases: np.ndarray) -> np.ndarray:
    """A network whose logits are the gray values, averaged over cells."""
    count, _, height, width = canvases.shape
    cells = canvases.reshape(count, height // STRIDE, STRIDE, width // STRIDE, STRIDE)
    return np.repeat(cells.mean(axis=(2, 4), dtype=np.float32)[:, None], 29, axis=1)


def smooth(height: int, width: int) -> np.ndarray:
    noise = np.random.default_rng(0).integers(0, 256, (height, width), np.uint8)
    return np.asarray(cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 8), None, 0, 255, cv2.NORM_MINMAX))


@pytest.mark.parametrize(
    "looks",
    [
        Looks(flip=True),
        Looks(tile=64),
        Looks(tile=64, overlap=0),
        Looks(tile=96, flip=True),
        Looks(scales=(1.0, 1.5)),
        Looks(flip=True, scales=(0.75, 1.0), tile=64),
    ],
)
@pytest.mark.parametrize("quarters", [0, 1])
def test_all_looks_of_an_echo_agree(looks: Looks, quarters: int) -> None:
    picture = smooth(192, 128)
    scene = Scene(picture, Rectangle.whole(192, 128, quarters))
    network = Network(echo, 192, STRIDE)
    plain = Ensemble([network], Looks()).look([scene])[0].logits()
    np.testing.assert_array_equal(plain[0], echo(picture[None, None])[0, 0])
    exact = looks.scales == (1.0,)
    np.testing.assert_allclose(
        Ensemble([network], looks).look([scene])[0].logits(), plain, atol=0.01 if exact else 12, rtol=0
    )


def test_tiles_lie_evenly_on_whole_logits() -> None:
    whole = Rectangle.whole(1000, 2000)
    parts = [part for part, _ in tiles(whole, 1024, 256, 0.5, STRIDE)]
    lefts = sorted({round((part.x - (part.width - 1) / 2) * 1024 / 2000, 3) for part in parts})
    assert len(parts) == 7 * 3 and len(lefts) == 7
    assert max(np.diff(lefts)) <= 128 + STRIDE
    assert all(part.width == pytest.approx(500) for part in parts)
    alone = (0,), (0,)
    assert tiles(whole, 512, 512, 0.5, STRIDE) == tiles(whole, 512, None, 0.5, STRIDE) == [(whole, alone)]


@pytest.mark.parametrize(
    "looks", [Looks(tile=64, overlap=overlap) for overlap in (0, 0.5, 0.75)] + [Looks(flip=True, tile=96)]
)
def test_tiles_count_as_one_look_everywhere(looks: Looks) -> None:
    """A network that is tiled and one that sees the whole have the same say in the middle and at the borders."""
    scene = Scene(smooth(128, 192), Rectangle.whole(128, 192))

    def always(value: float) -> Backend:
        return lambda canvases: np.full_like(echo(canvases), value)

    networks = [Network(always(1), 192, STRIDE), Network(always(-1), 64, STRIDE, weight=3)]
    mean = Ensemble(networks, looks).look([scene])[0].logits()
    np.testing.assert_allclose(mean[:, 3:-3, 3:-3], -0.5, atol=1e-5)


def test_networks_are_averaged_with_their_weights_and_sizes() -> None:
    scene = Scene(smooth(128, 128), Rectangle.whole(128, 128))
    fine, coarse = Network(echo, 128, STRIDE), Network(lambda c: echo(c) + 30, 64, STRIDE, weight=3.0)
    mean = Ensemble([fine, coarse], Looks()).look([scene])[0]
    assert mean.grid.rows == 64
    alone = Ensemble([fine], Looks()).look([scene])[0].logits()
    assert np.abs(mean.logits() - (alone + 22.5)).max() < 12


def test_a_close_hand_is_seen_smaller_and_comes_back() -> None:
    close = Scene(smooth(128, 128), Rectangle(63.5, 63.5, 128, 128, hand=100))
    mean = Ensemble([Network(echo, 128, STRIDE, hand_length=50)], Looks()).look([close])[0]
    assert mean.grid.rows == mean.grid.columns == 32
    far = Scene(close.picture, Rectangle.whole(128, 128))
    assert Ensemble([Network(echo, 128, STRIDE, hand_length=50)], Looks()).look([far])[0].grid.rows == 64


def test_batches_change_nothing_and_hold_alike_pictures() -> None:
    shapes: list[tuple[int, ...]] = []

    def counting(canvases: np.ndarray) -> np.ndarray:
        shapes.append(canvases.shape)
        return echo(canvases)

    scenes = [Scene(smooth(64, width), Rectangle.whole(64, width)) for width in (64, 64, 64, 32, 64)]
    networks = [Network(counting, 64, STRIDE)]
    batched = Ensemble(networks, Looks(), batch=2).look(scenes)
    assert [shape[0] for shape in shapes] == [2, 1, 1, 1]
    for ours, theirs in zip(batched, Ensemble(networks, Looks()).look(scenes), strict=True):
        np.testing.assert_array_equal(ours.logits(), theirs.logits())


def test_a_closer_look_adds_to_what_is_there() -> None:
    picture = smooth(512, 512)
    ensemble = Ensemble([Network(echo, 128, STRIDE)], Looks())
    scene = Scene(picture, Rectangle.whole(512, 512))
    blend = Blend(ensemble.grid(scene, 2))
    ensemble.look([scene], [blend])
    before = blend.logits()
    ensemble.look([Scene(picture, Rectangle(255.5, 255.5, 256, 256))], [blend], fading=True)
    after = blend.logits()
    assert after.shape == (29, 128, 128)
    np.testing.assert_array_equal(after[:, :30], before[:, :30])
    wanted = cv2.resize(picture.astype(np.float32), (128, 128), interpolation=cv2.INTER_AREA)
    sharp = np.abs(after[0] - wanted)[40:88, 40:88].mean()
    assert sharp < 0.9 * np.abs(before[0] - wanted)[40:88, 40:88].mean()


@pytest.mark.parametrize(
    ("wrong", "flag"),
    [
        ({"scales": (0.0,)}, "--scales"),
        ({"gammas": ()}, "--gammas"),
        ({"tile": 100}, "--tile"),
        ({"overlap": 1.0}, "--overlap"),
        ({"mean": "median"}, "--mean"),
    ],
)
def test_wrong_looks(wrong: dict, flag: str) -> None:
    with pytest.raises(UsageError, match=flag):
        Looks(**wrong)


@pytest.mark.train
def test_segmenter_of_several_bundles(bundle: Path) -> None:
    pictures = [smooth(64, 64), smooth(100, 70)]
    one = [found.rle() for found in Segmenter(bundle).segment_many(pictures)]
    for same in (
        Segmenter([bundle, bundle], weights=[1, 2]),
        Segmenter([bundle], batch=4),
        Segmenter(bundle, threshold=[0.5] * 29),
    ):
        assert [found.rle() for found in same.segment_many(pictures)] == one
    flipped = Segmenter(bundle, looks=Looks(flip=True))
    mirrored = [found.masks()[:, :, ::-1] for found in flipped.segment_many([p[:, ::-1] for p in pictures])]
    for ours, theirs in zip(flipped.segment_many(pictures), mirrored, strict=True):
        assert (ours.masks() != theirs).mean() < 1e-4
    assert Segmenter(bundle, hand="find").segment(np.zeros((50, 60), np.uint8)).reason == "no hand was found"
    with pytest.raises(UsageError, match=r"--wrist-bundle .* does not see wrists alone"):
        Segmenter(bundle, wrist_bundle=bundle)
    with pytest.raises(UsageError, match="--weights"):
        Segmenter([bundle, bundle], weights=[1])
    with pytest.raises(UsageError, match="--batch"):
        Segmenter(bundle, batch=0)
