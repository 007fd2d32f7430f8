"""From pictures of any shape to segmentations, by either backend."""

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import handbones
from handbones.anatomy import BONES
from handbones.errors import UsageError, UserError
from handbones.inference.looks import Looks
from handbones.inference.segmenter import Segmenter
from handbones.inference.view import Window
from handbones.radiograph import Radiograph

pytestmark = pytest.mark.train


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    shapes = [(64, 64), (100, 70), (70, 100), (1, 1), (300, 20)]
    return [cv2.GaussianBlur(rng.integers(0, 256, shape, np.uint8), (0, 0), 2) for shape in shapes]


def test_backends_agree_and_logits_cover_the_picture(bundle: Path, pictures: list[np.ndarray]) -> None:
    onnx, torch = (Segmenter(bundle, "cpu", backend) for backend in ("onnxruntime", "torch"))
    both = zip(onnx.answer_many(pictures), torch.answer_many(pictures), strict=True)
    for (radiograph, [(grid, ours)]), (_, [(_, theirs)]) in both:
        np.testing.assert_allclose(ours, theirs, atol=1e-4)
        assert ours.shape == (29, grid.rows, grid.columns)
        assert grid.window == Window(0, 0, radiograph.height, radiograph.width)
    found = list(onnx.segment_many(pictures))
    assert [(one.height, one.width) for one in found] == [picture.shape for picture in pictures]
    assert any(one.bones for one in found)


def test_files_arrays_and_radiographs_are_the_same(bundle: Path, pictures: list[np.ndarray], tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "hand.png"), pictures[1])
    segmenter = Segmenter(bundle)
    wanted = segmenter.segment(pictures[1]).rle()
    assert segmenter.segment(tmp_path / "hand.png").rle() == wanted
    assert segmenter.segment(Radiograph(pictures[1])).rle() == wanted
    assert segmenter.segment(np.repeat(pictures[1][..., None], 3, axis=2)).rle() == wanted
    assert handbones.segment(str(tmp_path / "hand.png"), bundle).rle() == wanted


def test_without_the_flip_a_mirrored_picture_is_seen_anew(bundle: Path, pictures: list[np.ndarray]) -> None:
    plain, flipping = Segmenter(bundle), Segmenter(bundle, looks=Looks(flip=True, wrist=True))
    assert plain.unflipped() is plain
    single = flipping.unflipped()
    assert single.settings() | {"wrist": False} == plain.settings() and flipping.settings()["flip"]
    for segmenter, same in ((flipping, True), (single, False)):
        (_, [(_, one)]), (_, [(_, other)]) = segmenter.answer_many([pictures[1], pictures[1][:, ::-1]])
        assert np.allclose(one, other[..., ::-1], atol=1e-3) == same


def test_a_bundle_that_was_trained_anew_is_loaded_anew(
    bundle: Path, pictures: list[np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(bundle, tmp_path / "run/bundle")
    monkeypatch.chdir(tmp_path)
    wanted = handbones.segment(pictures[0], "run").rle()
    monkeypatch.chdir(tmp_path / "run")
    with pytest.raises(UserError, match="no such bundle"):
        handbones.segment(pictures[0], "run")
    recipe = tmp_path / "run/bundle/recipe.yaml"
    recipe.write_text(recipe.read_text().replace("threshold: 0.5", "threshold: 0.01"))
    assert handbones.segment(pictures[0], tmp_path / "run").rle() == wanted
    card = tmp_path / "run/bundle/card.json"
    os.utime(card, ns=(0, 0))
    assert handbones.segment(pictures[0], tmp_path / "run").rle() != wanted


def test_an_array_may_be_used_again_for_the_next_picture(bundle: Path, pictures: list[np.ndarray]) -> None:
    frames = [pictures[0], pictures[0][::-1], pictures[0][:, ::-1]]
    same = np.empty_like(frames[0])
    stream = (np.copyto(same, frame) or same for frame in frames)
    segmenter = Segmenter(bundle)
    assert [one.rle() for one in segmenter.segment_many(stream)] == [segmenter.segment(frame).rle() for frame in frames]


def test_size_and_threshold_can_be_chosen(bundle: Path, pictures: list[np.ndarray]) -> None:
    radiograph, [(_, logits)] = next(Segmenter(bundle, size=96).answer_many(pictures[:1]))
    assert logits.shape == (29, 48, 48) and radiograph.height == 64
    with pytest.raises(UsageError, match="--threshold 1: no probability is above 1"):
        Segmenter(bundle, threshold=1)
    with pytest.raises(UsageError, match="Ulna could never be found"):
        Segmenter(bundle, threshold=[1.0 if bone == "Ulna" else 0.5 for bone in BONES])
    few, many = (Segmenter(bundle, threshold=threshold).segment(pictures[0]) for threshold in (0.7, 0.3))
    assert sum(bone.area for bone in few.bones.values()) < sum(bone.area for bone in many.bones.values())
    with pytest.raises(UsageError, match="--size 8"):
        Segmenter(bundle, size=8)


def test_single_onnx_file_is_a_bundle_for_both_backends(bundle: Path, pictures: list[np.ndarray]) -> None:
    file = bundle / "model.onnx"
    assert Segmenter(file).segment(pictures[0]).rle() == Segmenter(bundle).segment(pictures[0]).rle()
    assert Segmenter(file, backend="torch").segment(pictures[0]).bones


def test_a_case_is_a_picture_with_what_is_known_of_it(bundle: Path, pictures: list[np.ndarray], tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "hand.png"), pictures[1])
    (case,) = handbones.open_collection(tmp_path).cases
    assert Segmenter(bundle).segment(case).rle() == Segmenter(bundle).segment(pictures[1]).rle()


@pytest.mark.parametrize("picture", [None, [[0, 1]], b"hand.png", 3])
def test_what_is_no_picture_is_told(bundle: Path, picture: Any) -> None:
    kind = type(picture).__name__
    with pytest.raises(UsageError, match=f"must be a path, an array, a Radiograph or a Case, not {kind}"):
        Segmenter(bundle).segment(picture)
    with pytest.raises(UsageError, match=f"not {kind}"):
        handbones.show(picture)


def test_one_picture_is_not_several(bundle: Path, pictures: list[np.ndarray]) -> None:
    for one in ("hand.png", Path("hand.png"), Radiograph(pictures[0])):
        for many in (Segmenter(bundle).segment_many, Segmenter(bundle).segment_hands):
            with pytest.raises(UsageError, match="needs several pictures"):
                list(many(one))


def test_other_kinds_of_arguments_are_told(bundle: Path, pictures: list[np.ndarray]) -> None:
    calls: dict[str, Callable[[], Any]] = {
        "the path of one bundle, not list": lambda: handbones.segment(pictures[0], [bundle]),
        "a bundle must be a path or a Bundle, not int": lambda: Segmenter(3),
        "must be Metadata, not dict": lambda: Segmenter(bundle).segment(pictures[0], {"age": 3}),
        "--threshold a: must be one number": lambda: Segmenter(bundle, threshold="a"),
        "--threshold {'Ulna': 0.5}: must be one number": lambda: Segmenter(bundle, threshold={"Ulna": 0.5}),
        "--clean polish": lambda: Segmenter(bundle, clean="largest,polish"),
    }
    for message, call in calls.items():
        with pytest.raises(UsageError, match=re.escape(message)):
            call()
    assert Segmenter(bundle, clean="largest").clean == ("largest",)


def test_refusals(bundle: Path, tmp_path: Path) -> None:
    for name in ("card.json", "recipe.yaml", "model.safetensors"):
        (tmp_path / name).write_bytes((bundle / name).read_bytes())
    with pytest.raises(UserError, match=r"holds no model\.onnx"):
        Segmenter(tmp_path, "cpu", "onnxruntime")
    with pytest.raises(UsageError, match="--device tpu"):
        Segmenter(bundle, "tpu")
    with pytest.raises(UsageError, match="--hand left"):
        Segmenter(bundle, hand="left")
    (tmp_path / "model.safetensors").write_bytes(b"broken")
    with pytest.raises(UserError, match="not a safetensors file"):
        Segmenter(tmp_path)
    with pytest.raises(UserError, match=r"nothing.png"):
        Segmenter(bundle).segment(tmp_path / "nothing.png")
