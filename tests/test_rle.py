"""RLE: the text is exactly the competition's, and every mask survives the round trip."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from handbones.errors import UserError
from handbones.rle import parse_runs, rle_decode, rle_encode, runs_of, runs_of_crop

GOLDEN = Path(__file__).parent / "golden"

shapes = st.tuples(st.integers(0, 24), st.integers(1, 24))
masks = shapes.flatmap(lambda shape: arrays(np.uint8, shape, elements=st.integers(0, 1)))


def usual_encode(mask: npt.NDArray[np.uint8]) -> str:
    """The encoder of the competition's starting code."""
    pixels = np.concatenate([[0], mask.flatten(), [0]])
    runs = np.where(pixels[1:] != pixels[:-1])[0] + 1
    runs[1::2] -= runs[::2]
    return " ".join(str(x) for x in runs)


@given(masks)
def test_text_equals_the_usual_encoder_and_decodes_back(mask: npt.NDArray[np.uint8]) -> None:
    text = rle_encode(mask)
    assert text == usual_encode(mask)
    decoded = rle_decode(text, mask.shape)
    assert decoded.dtype == np.uint8
    np.testing.assert_array_equal(decoded, mask)


@given(masks, st.sampled_from([bool, np.uint8, np.int32, np.float32]), st.integers(1, 255))
def test_any_dtype_and_any_nonzero_value_is_inside(mask: npt.NDArray[np.uint8], dtype: type, value: int) -> None:
    assert rle_encode((mask * np.uint8(value)).astype(dtype)) == usual_encode(mask)


@given(masks)
def test_views_that_are_not_contiguous(mask: npt.NDArray[np.uint8]) -> None:
    assert rle_encode(mask[::-1, ::2]) == usual_encode(mask[::-1, ::2])


@pytest.mark.parametrize("width", [64, 61])
def test_wide_masks_of_both_word_layouts(width: int) -> None:
    mask = np.zeros((50, width), np.uint8)
    mask[3:40, 5:9] = 1
    mask[20:22, :] = 1  # whole rows, which run on into each other
    assert rle_encode(mask) == usual_encode(mask)


def test_empty_mask_is_the_empty_string_and_back() -> None:
    assert rle_encode(np.zeros((8, 8))) == ""
    for empty in ("", None, float("nan")):
        assert not rle_decode(empty, (8, 8)).any()


def test_golden_rows() -> None:
    mask = np.zeros((6, 8), np.uint8)
    mask[0, 0] = mask[1, 7] = mask[2, :3] = mask[5, 7] = 1
    assert rle_encode(mask) == (GOLDEN / "mask.rle").read_text().strip() == "1 1 16 4 48 1"


def test_agrees_with_pycocotools_which_counts_by_columns() -> None:
    coco = pytest.importorskip("pycocotools.mask")
    mask = np.random.default_rng(0).integers(0, 2, (37, 53), np.uint8)
    encoded = coco.encode(np.asfortranarray(mask.T))  # columns of the transposed are our rows
    np.testing.assert_array_equal(coco.decode(encoded).T, rle_decode(rle_encode(mask), mask.shape))
    assert coco.area(encoded) == runs_of(mask)[:, 1].sum()


def test_runs_of_a_crop_are_those_of_the_whole() -> None:
    mask = np.zeros((20, 16), bool)
    mask[4:9, :] = True
    mask[12:15, 3:7] = True
    np.testing.assert_array_equal(runs_of_crop(mask[4:15], 4, 0, 16), runs_of(mask))


@pytest.mark.parametrize(
    ("rle", "message"),
    [
        ("1 2 3", "pairs of start and length"),
        ("1 x", "whole numbers"),
        ("\uff11 \uff13", "whole numbers"),
        ("1 2.5", "whole numbers"),
        ("99999999999999999999 1", "whole numbers"),
        ("0 1", r"run '0 1' lies outside"),
        ("5 0", r"run '5 0' lies outside"),
        ("1 3 16 2", r"run '16 2' lies outside a mask of 16 pixels"),
        (3.5, "must be text"),
    ],
)
def test_bad_text_is_one_line(rle: str | float, message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        parse_runs(rle, 16)
    assert "\n" not in str(error.value)


def test_a_stack_of_masks_is_refused() -> None:
    with pytest.raises(UserError, match=r"\(29, 4, 4\).*one bone at a time"):
        rle_encode(np.zeros((29, 4, 4)))
