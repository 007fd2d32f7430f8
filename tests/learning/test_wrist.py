"""The hand turned about the wrist: outlines and pixels agree, nothing folds, the tilt becomes what was asked for."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from handbones.affine import resizing
from handbones.labels import Labels
from handbones.learning.augmentation import draw_warp
from handbones.learning.warp import Warp
from handbones.learning.wrist import Hinge
from handbones.metric import dice_from_counts, packed_counts
from handbones.raster import Outlines, grow, rasterise
from handbones.recipe.samples import AugmentSettings
from handbones.sides import wrist_tilt
from hands import SIZE, hand

BENT = AugmentSettings(wrist=1, wrist_tilt=(-60, 60), wrist_turn=60)


def hinge_of(labels: Labels) -> Hinge:
    hinge = Hinge.of(labels)
    assert hinge is not None
    return hinge


def large_hand(seed: int) -> Labels:
    return hand(seed, left=bool(seed % 2)).map(lambda points: np.rint((points + 0.5) * 8 - 0.5))


def came_from(warp: Warp) -> tuple[np.ndarray, np.ndarray]:
    """Where the pixels of a canvas lie in the picture: x and y."""
    x, y = (axis.astype(np.float32) for axis in np.meshgrid(np.arange(warp.width), np.arange(warp.height)))
    inverse = np.linalg.inv(warp.matrix).astype(np.float32)
    u, v = (row[0] * x + row[1] * y + row[2] for row in inverse[:2])
    assert warp.turn is not None
    warp.turn.undo(u, v)
    return u, v


@pytest.mark.parametrize("seed", range(4))
def test_masks_of_turned_outlines_are_the_turned_masks(seed: int) -> None:
    labels, side = large_hand(seed), 8 * SIZE
    words = labels.packed(side, side)
    outlines = Outlines.of([[grow(polygon) for polygon in bone] for bone in labels.by_bone()])
    warp = draw_warp(np.random.default_rng(seed), side, side, side // 2, BENT, hinge=hinge_of(labels))
    ours = rasterise(warp.outlines(outlines), side // 2, side // 2)
    columns, rows = (np.floor(at + 0.5).astype(int) for at in came_from(warp))
    inside = (columns >= 0) & (rows >= 0) & (columns < side) & (rows < side)
    theirs = np.where(inside, words[np.clip(rows, 0, side - 1), np.clip(columns, 0, side - 1)], 0).astype(np.uint32)
    assert (dice_from_counts(*packed_counts(ours, theirs)) >= 0.99).all()
    bone = np.uint32(1 << int(seed % 29))
    seen = (warp.pixels(np.where(words & bone, np.uint8(255), np.uint8(0))) > 127) * bone
    assert dice_from_counts(*packed_counts(ours & bone, seen))[seed % 29] >= 0.99


@settings(max_examples=30, deadline=None)
@example(seed=63, before=56, after=56, most=2)  # a hand whose axis lies far from straight on
@given(seed=st.integers(0, 99), before=st.floats(-60, 60), after=st.floats(-90, 90), most=st.floats(1, 60))
def test_no_turn_folds_and_each_is_undone(seed: int, before: float, after: float, most: float) -> None:
    labels = hand(seed)
    first = hinge_of(labels).bend_to(before, 60)
    assert first is not None
    turn = hinge_of(labels.map(first.points)).bend_to(after, most) or first
    rng = np.random.default_rng(seed)
    points = rng.uniform(-100, SIZE + 100, (400, 2))
    moved = turn.points(points)
    x, y = (moved[:, k : k + 1].astype(np.float32) for k in (0, 1))
    turn.undo(x, y)
    np.testing.assert_allclose(np.hstack([x, y]), points, atol=1e-3)
    # The Jacobian from the sides of tiny triangles.
    tiny = 1e-4
    across, down = (turn.points(points + np.array(step) * tiny) - moved for step in ((1, 0), (0, 1)))
    assert ((across[:, 0] * down[:, 1] - across[:, 1] * down[:, 0]) / tiny**2).min() > 0.2


@pytest.mark.parametrize("left", [False, True])
@pytest.mark.parametrize("tilt", [-20.0, 0.0, 35.0, 45.0])
def test_the_tilt_is_the_one_asked_for(tilt: float, left: bool) -> None:
    labels = hand(3, left=left)
    hinge = hinge_of(labels)
    turn = hinge.bend_to(tilt, 60)
    assert turn is not None
    turned = labels.map(turn.points)
    assert wrist_tilt(turned) == pytest.approx(tilt, abs=2)
    assert hinge.tilt_after(turn) == pytest.approx(tilt)
    for bone in ("Radius", "Ulna"):  # the forearm stays
        before, after = labels.polygons[bone][0], turned.polygons[bone][0]
        lower = before[:, 1] > before[:, 1].mean()
        assert np.abs(after - before)[lower].max() < 1
    for tip in ("finger-4", "finger-8"):  # fingers turn as they are
        before, after = (one.polygons[tip][0] - one.polygons[tip][0][0] for one in (labels, turned))
        np.testing.assert_allclose(np.hypot(*before.T), np.hypot(*after.T), atol=0.01)


def test_turns_keep_to_their_limits() -> None:
    labels = hand(1)
    hinge = hinge_of(labels)
    turn = hinge.bend_to(50, 10)
    assert turn is not None and abs(np.degrees(turn.by)) == pytest.approx(10)
    assert Hinge.of(Labels({k: v for k, v in labels.polygons.items() if k != "Lunate"})) is None
    off = AugmentSettings(rotate=20)
    one, two = (draw_warp(np.random.default_rng(0), SIZE, SIZE, 64, off, hinge=each) for each in (None, hinge))
    assert np.array_equal(one.matrix, two.matrix) and two.turn is None
    # The hand comes back to the middle, across the forearm alone.
    bent = draw_warp(np.random.default_rng(0), SIZE, SIZE, SIZE, BENT, hinge=hinge)
    middles = bent.points(hinge.bones) @ (-hinge.wrist.forearm[1], hinge.wrist.forearm[0])
    before = hinge.bones @ (-hinge.wrist.forearm[1], hinge.wrist.forearm[0])
    assert middles.max() + middles.min() == pytest.approx(before.max() + before.min(), abs=1)
    assert np.array_equal(bent.matrix[:2, :2], resizing(SIZE, SIZE, SIZE, SIZE)[:2, :2])
