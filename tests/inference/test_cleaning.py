"""Each step changes what it should, and nothing else."""

import numpy as np
import pytest

from handbones.anatomy import BONES
from handbones.errors import UsageError
from handbones.inference.cleaning import check_steps, cleaned
from handbones.inference.segmentation import Segmentation
from handbones.labels import unpack
from handbones.phantom.drawing import draw
from handbones.phantom.settings import CLEAN


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


def test_all_steps_mend_all(hand: np.ndarray) -> None:
    steps = check_steps(["holes", "largest", "anatomy"])
    assert steps == ("anatomy", "largest", "holes")
    masks = cleaned(of_masks(spoilt(hand)), steps).masks()
    for label in ("Capitate", "Lunate", "Hamate"):
        np.testing.assert_array_equal(masks[BONES.index(label)], hand[BONES.index(label)])


def test_nothing_stays_nothing_and_unknown_steps_are_told() -> None:
    empty = Segmentation(5, 5, {})
    assert cleaned(empty, check_steps(["anatomy", "largest", "specks", "holes"])) == empty
    with pytest.raises(UsageError, match="--clean polish"):
        check_steps(["polish"])
