"""Polygons become the masks that geometry and OpenCV say, and masks become polygons that draw them again."""

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.ndimage import binary_fill_holes

from handbones.anatomy import BONES
from handbones.errors import UserError
from handbones.raster import Points, fill, grow, outlines, pack, rasterise, signed_area, unpack
from shapes import random_labels, star

seeds = st.integers(0, 10_000)
HEIGHT, WIDTH = 48, 61


def winding(polygon: Points, height: int, width: int) -> npt.NDArray[np.int64]:
    """Winding number of every pixel centre, edge by edge, as in the textbook."""
    y, x = np.mgrid[:height, :width]
    number = np.zeros((height, width), np.int64)
    for (x0, y0), (x1, y1) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        if y0 == y1:
            continue
        crosses = (min(y0, y1) <= y) & (y < max(y0, y1)) & (x0 + (y - y0) * (x1 - x0) / (y1 - y0) <= x)
        number += np.where(crosses, 1 if y1 > y0 else -1, 0)
    return number


@given(seeds)
def test_inside_is_where_the_winding_number_is_not_nought(seed: int) -> None:
    rng = np.random.default_rng(seed)
    polygon = rng.uniform((-20, -20), (WIDTH + 20, HEIGHT + 20), (rng.integers(3, 12), 2))  # wild: it crosses itself
    bone = int(rng.integers(29))
    words = rasterise([[polygon] if i == bone else [] for i in range(29)], HEIGHT, WIDTH)
    np.testing.assert_array_equal(words, (winding(polygon, HEIGHT, WIDTH) != 0).astype(np.uint32) << np.uint32(bone))


@given(seeds)
def test_polygons_of_one_bone_are_united_either_way_round(seed: int) -> None:
    rng = np.random.default_rng(seed)
    first, second = (star(rng, (x, 24.0), 13.0) for x in (20.0, 32.0))
    union = rasterise([[first]], HEIGHT, WIDTH) | rasterise([[second]], HEIGHT, WIDTH)
    np.testing.assert_array_equal(rasterise([[first, second[::-1]]], HEIGHT, WIDTH), union)


def test_bones_overlap_without_losing_anything() -> None:
    labels = random_labels(3, 200, 160)
    words = rasterise(labels.by_bone(), 200, 160)
    for bone, polygons in enumerate(labels.by_bone()):
        alone = rasterise([polygons], 200, 160)
        np.testing.assert_array_equal((words >> np.uint32(bone)) & 1, alone)


@pytest.mark.parametrize("polygons", [[], [[]], [[np.zeros((2, 2))]], [[np.full((3, 2), 4.0)]], [[np.eye(3, 2) - 9]]])
def test_nothing_to_draw_is_an_empty_picture(polygons: list[list[Points]]) -> None:
    assert not rasterise(polygons, 8, 8).any()


@given(seeds)
def test_fill_is_what_opencv_draws(seed: int) -> None:
    rng = np.random.default_rng(seed)
    polygons = [star(rng, (rng.uniform(0, WIDTH), rng.uniform(0, HEIGHT)), 14.0) for _ in range(2)]
    expected = np.zeros((HEIGHT, WIDTH), np.uint8)
    for polygon in polygons:
        cv2.fillPoly(expected, [np.rint(polygon).astype(np.int32)], 1)
    np.testing.assert_array_equal(fill([[], polygons], HEIGHT, WIDTH), expected.astype(np.uint32) << np.uint32(1))


@given(seeds)
def test_a_grown_polygon_is_drawn_as_opencv_draws_the_polygon(seed: int) -> None:
    rng = np.random.default_rng(seed)
    polygon = np.rint(star(rng, (128.0, 128.0), 70.0, corners=int(rng.integers(5, 60))))
    theirs = fill([[polygon]], 256, 256) > 0
    # Whole-number vertices make pixels that lie exactly half a pixel from an edge; OpenCV takes some of them.
    narrow, wide = (rasterise([[grow(polygon, by)]], 256, 256) > 0 for by in (0.499, 0.501))
    assert not (narrow & ~theirs).any()
    assert not (theirs & ~wide).any()
    exact = rasterise([[grow(polygon)]], 256, 256)
    assert abs(int(exact.sum()) - int(theirs.sum())) <= 0.005 * theirs.sum()


@given(arrays(np.float64, (3, 2), elements=st.integers(2, 28)))
@example(np.array([[2.0, 25.0], [28.0, 2.0], [2.0, 2.0]]))  # an edge passes through the middle of a pixel
def test_a_triangle_grows_alike_either_way_round_and_keeps_its_tips(triangle: Points) -> None:
    assume(signed_area(triangle) != 0)
    for by in (0.5, 0.501):  # borders to the right and below are outside, so by half a pixel tips may be on them
        one, other = (rasterise([[grow(points, by)]], 32, 32) for points in (triangle, triangle[::-1]))
        np.testing.assert_array_equal(one, other)
    assert one[tuple(triangle.T[::-1].astype(int))].all()


@given(seeds)
def test_grown_polygons_have_no_bias_at_a_quarter_of_the_size(seed: int) -> None:
    rng = np.random.default_rng(seed)
    polygon = np.rint(star(rng, (512.0, 512.0), 300.0, corners=80))
    area = fill([[polygon]], 1024, 1024).sum()
    quarter = rasterise([[(grow(polygon) + 0.5) / 4 - 0.5]], 256, 256).sum() * 16
    assert abs(int(quarter) - int(area)) < 0.003 * area


@pytest.mark.parametrize("polygon", [np.array([[5.0, 5.0]]), np.array([[5.0, 5.0], [9.0, 7.0]])])
def test_a_point_and_a_stroke_grow_to_an_area(polygon: Points) -> None:
    assert cv2.contourArea(grow(polygon).astype(np.float32)) >= 0.5


@given(arrays(bool, (17, 24)))
def test_outlines_draw_the_mask_again_with_holes_filled(mask: npt.NDArray[np.bool_]) -> None:
    polygons = outlines(mask)
    assert all(len(polygon) >= 3 for polygon in polygons)
    filled = fill([polygons], *mask.shape).astype(bool)
    np.testing.assert_array_equal(filled, binary_fill_holes(mask))


def test_simplified_outlines_stay_within_the_tolerance() -> None:
    mask = fill([[star(np.random.default_rng(1), (200.0, 200.0), 120.0)]], 400, 400)
    (exact,), (simple,) = outlines(mask), outlines(mask, tolerance=0.5)
    assert len(simple) < len(exact)
    distance = [abs(cv2.pointPolygonTest(simple.astype(np.float32), tuple(p), True)) for p in exact]
    assert max(distance) <= 0.51


@given(arrays(np.uint8, (len(BONES), 6, 16), elements=st.integers(0, 3)))
def test_pack_and_unpack(masks: npt.NDArray[np.uint8]) -> None:
    np.testing.assert_array_equal(unpack(pack(masks)), masks != 0)


def test_pack_refuses_another_number_of_bones() -> None:
    with pytest.raises(UserError, match=r"\(29, height, width\), not \(28, 4, 4\)"):
        pack(np.zeros((28, 4, 4)))


def test_a_point_grows_however_often_it_is_said() -> None:
    point = np.array([[5.0, 7.0]])
    np.testing.assert_array_equal(grow(np.repeat(point, 4, axis=0)), grow(point))
