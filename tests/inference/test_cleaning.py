"""Each step changes what it should, and nothing else."""

import inspect

import numpy as np
import pytest

from handbones.anatomy import BONES
from handbones.commands.options import open_segmenter
from handbones.errors import UsageError
from handbones.inference.cleaning import STEPS, apart, check_steps, cleaned
from handbones.inference.segmentation import Segmentation
from handbones.inference.segmenter import Segmenter
from handbones.phantom.drawing import draw
from handbones.phantom.settings import CLEAN
from handbones.raster import unpack


@pytest.fixture(scope="module")
def hand() -> np.ndarray:
    """Masks (29, 256, 256)."""
    return unpack(draw(np.random.default_rng(3), CLEAN, 256, 256, side="left").packed)


def of_masks(masks: np.ndarray) -> Segmentation:
    return Segmentation.from_logits(masks.astype(np.float32) * 8 - 4, *masks.shape[1:])


def spoilt(hand: np.ndarray) -> np.ndarray:
    """With a hole in the capitate, a speck beside the lunate, and a second hamate in a corner."""
    masks = hand.copy()
    for label, value in (("Capitate", 0), ("Lunate", 1)):
        plane = masks[BONES.index(label)]
        y, x = (int(np.median(place)) for place in np.nonzero(plane))
        if value:
            x = int(np.nonzero(plane)[1].max()) + 4
        plane[y, x] = value
    masks[BONES.index("Hamate"), 2:22, 2:32] = 1
    return masks


@pytest.mark.parametrize(
    ("step", "mended"),
    [
        ("holes", {"Capitate"}),
        ("specks", {"Lunate"}),
        ("anatomy", {"Hamate"}),
        ("largest", {"Lunate"}),  # the false hamate is the larger piece
    ],
)
def test_steps(hand: np.ndarray, step: str, mended: set[str]) -> None:
    bad = spoilt(hand)
    masks = cleaned(of_masks(bad), [step]).masks()
    for bone, label in enumerate(BONES):
        if label in mended:
            np.testing.assert_array_equal(masks[bone], hand[bone], err_msg=label)
        elif label in ("Capitate", "Lunate"):
            np.testing.assert_array_equal(masks[bone], bad[bone], err_msg=label)
    assert masks[BONES.index("Hamate"), 10, 10] == (step != "anatomy")


def test_a_finger_takes_back_what_was_taken_for_the_next(hand: np.ndarray) -> None:
    bad = hand.copy()
    tip, beside, whole, other = (BONES.index(f"finger-{n}") for n in (8, 12, 17, 13))
    rows = np.flatnonzero(hand[tip].any(axis=1))
    half = hand[tip].copy()
    half[rows[len(rows) // 2] :] = 0
    bad[beside] |= half
    bad[tip] &= ~half & 1
    bad[other] |= hand[whole]  # all of a bone, so that nothing is left of it
    bad[whole] = 0
    np.testing.assert_array_equal(cleaned(of_masks(bad), ["fingers"]).masks(), hand)


def test_fingers_leaves_a_true_hand_and_two_of_them_alone(hand: np.ndarray) -> None:
    two = np.concatenate([hand, hand[..., ::-1]], axis=2)
    for masks in (hand, two):
        np.testing.assert_array_equal(cleaned(of_masks(masks), ["fingers"]).masks(), masks)


def test_fingers_stays_out_of_what_it_cannot_tell(hand: np.ndarray) -> None:
    """A metacarpal in two pieces, whose finger is not on the picture."""
    masks = hand.copy()
    for label in ("finger-4", "finger-5", "finger-6"):
        masks[BONES.index(label)] = 0
    bone = masks[BONES.index("finger-7")]
    rows = np.flatnonzero(bone.any(axis=1))
    bone[rows[len(rows) // 3] : rows[len(rows) // 3] + 4] = 0
    np.testing.assert_array_equal(cleaned(of_masks(masks), ["fingers"]).masks(), masks)


@pytest.mark.parametrize(
    ("hand_policy", "asked", "done"),
    [
        ("find", None, ("fingers",)),
        ("whole", None, ()),
        ("find", "none", ()),
        ("whole", "holes, largest", ("largest", "holes")),
    ],
)
def test_fingers_is_done_where_hands_are_found_unless_asked(
    hand_policy: str, asked: str | None, done: tuple[str, ...]
) -> None:
    assert Segmenter("default", hand=hand_policy, clean=asked).clean == done


def test_the_help_names_every_step() -> None:
    told = inspect.signature(open_segmenter).parameters["clean"].annotation.__metadata__[0].help
    assert ",".join(STEPS) in told


def test_all_steps_mend_all(hand: np.ndarray) -> None:
    steps = check_steps(["holes", "largest", "anatomy"])
    assert steps == ("anatomy", "largest", "holes") == check_steps("holes,largest, anatomy")
    assert check_steps("none") == check_steps([]) == ()
    masks = cleaned(of_masks(spoilt(hand)), steps).masks()
    for label in ("Capitate", "Lunate", "Hamate"):
        np.testing.assert_array_equal(masks[BONES.index(label)], hand[BONES.index(label)])


def test_nothing_stays_nothing_and_unknown_steps_are_told() -> None:
    empty = Segmentation(5, 5, {})
    assert cleaned(empty, check_steps(list(STEPS))).bones == {}
    with pytest.raises(UsageError, match="--clean polish"):
        check_steps(["polish"])


def test_a_bone_of_specks_alone_keeps_the_largest() -> None:
    masks = np.zeros((29, 256, 256), np.uint8)
    masks[4, 2:200:4, 2:200:8] = 1
    masks[4, 3, 2] = 1
    kept = cleaned(of_masks(masks), ["specks", "holes"]).masks()[4]
    assert kept.sum() == 2 and kept[2:4, 2].all()


def test_a_hand_keeps_nothing_of_the_one_beside_it(hand: np.ndarray) -> None:
    empty = np.zeros_like(hand)
    left, right = np.concatenate([hand, empty], axis=2), np.concatenate([empty, hand[..., ::-1]], axis=2)
    thumb = [BONES.index(label) for label in ("finger-1", "finger-2", "Trapezium", "Radius")]
    seen = left.copy(), right.copy()
    seen[0][thumb] |= right[thumb]
    seen[1][thumb] |= left[thumb]
    found = apart([of_masks(masks) for masks in seen])
    for masks, own in zip(found, (left, right), strict=True):
        np.testing.assert_array_equal(masks.masks(), own)
    both = seen[0] | right  # all of the other hand: which is whose?
    assert [one.masks().sum() for one in apart([of_masks(both), of_masks(both)])] == [both.sum()] * 2
    nothing = Segmentation(256, 512, {})
    assert [one.found for one in apart([found[0], nothing])] == [True, False]
