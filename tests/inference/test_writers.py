"""Files are exactly in their formats, and whole or not there; the overlay shows what it should."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from handbones.anatomy import ANATOMY, BONES
from handbones.errors import UserError
from handbones.inference.overlay import draw_overlay, place_names
from handbones.inference.segmentation import Segmentation
from handbones.inference.submission import SubmissionWriter
from handbones.inference.writers import write_bone_masks, write_indexed, write_label_json, write_overlay
from handbones.labels import load_labels
from handbones.rle import rle_decode
from shapes import random_labels

GOLDEN = Path(__file__).parents[1] / "golden" / "submission.csv"


def segmentation(seed: int = 0) -> Segmentation:
    masks = np.zeros((29, 12, 10), np.float32)
    for bone in range(0, 29, 2):
        masks[bone, bone // 3 : bone // 3 + 2, seed : seed + 3] = 1
    return Segmentation.from_logits(masks * 8 - 4, 12, 10)


def write_two(path: Path) -> None:
    with SubmissionWriter(path) as writer:
        writer.write("image1.png", segmentation().rle())
        writer.write("image2, left_L.png", segmentation(2).rle())


def test_golden_submission(tmp_path: Path) -> None:
    write_two(tmp_path / "submission.csv")
    assert (tmp_path / "submission.csv").read_bytes() == GOLDEN.read_bytes()


def test_pandas_reads_the_submission_as_the_competition_does(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    write_two(tmp_path / "submission.csv")
    frame = pandas.read_csv(tmp_path / "submission.csv")
    assert list(frame.columns) == ["image_name", "class", "rle"]
    assert frame["class"].tolist() == [*BONES, *BONES]
    assert set(frame["image_name"]) == {"image1.png", "image2, left_L.png"}
    decoded = np.stack([rle_decode(rle, (12, 10)) for rle in frame["rle"][:29]])
    np.testing.assert_array_equal(decoded, segmentation().masks())


def test_an_interrupted_submission_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "submission.csv"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), SubmissionWriter(path) as writer:
        writer.write("image1.png", [""] * 29)
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["submission.csv"]


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="file"), SubmissionWriter(tmp_path / "file" / "submission.csv"):
        pass


def test_label_json_of_a_segmentation(tmp_path: Path) -> None:
    write_label_json(tmp_path / "image1.json", segmentation(), "image1.png")
    labels = load_labels(tmp_path / "image1.json", (12, 10))
    assert labels.document["filename"] == "image1.png"
    np.testing.assert_array_equal(labels.packed(12, 10), segmentation().packed())


@pytest.mark.parametrize("size", [600, 2048])
def test_overlay_outlines_bones_in_their_colours_and_leaves_the_rest(size: int, tmp_path: Path) -> None:
    labels = random_labels(1, size, size)
    gray = np.full((size, size), 60, np.uint8)
    gray[0, 0] = 255
    picture = draw_overlay(gray, labels)
    assert picture.shape == (size, size, 3)
    assert picture.dtype == np.uint8
    far = cv2.dilate((labels.packed(size, size) > 0).astype(np.uint8), np.ones((9, 9))) == 0
    assert (picture[far].min(axis=-1) == picture[far].max(axis=-1)).all()
    for bone in ANATOMY:
        x, y = labels.polygons[bone.label][0].astype(int).T
        assert np.median(np.abs(picture[y, x].astype(int) - bone.colour).max(axis=1)) < 70
    write_overlay(tmp_path / "overlay.png", gray, labels)
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "overlay.png"))[..., ::-1], picture)


def test_overlay_takes_a_segmentation_and_an_odd_picture() -> None:
    assert draw_overlay(np.zeros((12, 10), np.uint8), segmentation(), names=True).shape == (12, 10, 3)
    nothing = Segmentation(1, 1, {})
    assert draw_overlay(np.zeros((1, 1), np.uint8), nothing, names=True).shape == (1, 1, 3)


def test_names_do_not_collide_and_stay_in_the_picture() -> None:
    boxes = [name.box for name in place_names([random_labels(4, 2048, 1500).polygons], 2048, 1500)]
    assert len(boxes) == 29
    for i, (left, top, right, bottom) in enumerate(boxes):
        assert 0 <= left < right <= 1500
        assert 0 <= top < bottom <= 2048
        assert not any(left < r and right > l0 and top < b and bottom > t for l0, t, r, b in boxes[:i])


def test_indexed_png_holds_numbers_and_colours(tmp_path: Path) -> None:
    found = segmentation()
    write_indexed(tmp_path / "x.png", found)
    image = pytest.importorskip("PIL.Image").open(tmp_path / "x.png")
    assert image.mode == "P" and image.size == (10, 12)
    palette = np.array(image.getpalette()).reshape(-1, 3)
    assert [tuple(colour) for colour in palette[: 1 + len(ANATOMY)].tolist()] == [
        (0, 0, 0),
        *(b.colour for b in ANATOMY),
    ]
    numbers, masks = np.array(image), found.masks()
    np.testing.assert_array_equal(numbers > 0, masks.any(axis=0))
    for bone in np.unique(numbers[numbers > 0]) - 1:
        assert masks[bone][numbers == bone + 1].all()


def test_a_mask_for_every_bone_that_was_found(tmp_path: Path) -> None:
    found = segmentation()
    write_bone_masks(tmp_path / "x", found)
    assert {path.stem for path in (tmp_path / "x").iterdir()} == set(found.bones)
    mask = cv2.imread(str(tmp_path / "x" / "finger-3.png"), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(mask, found.masks()[2] * 255)


def test_a_name_may_be_as_long_as_names_can_be(tmp_path: Path) -> None:
    path = tmp_path / f"{'한' * 83}x.json"  # 255 bytes
    write_label_json(path, segmentation(), "x.png")
    assert list(tmp_path.iterdir()) == [path]


def test_masks_of_an_earlier_answer_go(tmp_path: Path) -> None:
    found = segmentation()
    write_bone_masks(tmp_path, found)
    write_bone_masks(tmp_path, replace(found, bones={}))
    assert not list(tmp_path.iterdir())
