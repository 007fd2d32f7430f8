"""What is not a bundle is told in one line."""

import json
from pathlib import Path

import numpy as np
import pytest

from handbones.anatomy import BONES
from handbones.bundle import card_text, load_bundle, packaged_model, save_cover, trained_on
from handbones.errors import UserError
from handbones.recipe import load_recipe


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "bundle"
    save_cover(folder, load_recipe("small"), {"scores": {"dice": 0.5}})
    (folder / "model.safetensors").write_bytes(b"")
    return folder


def test_folder_run_and_card_round_trip(folder: Path) -> None:
    for place in (folder, folder.parent):
        bundle = load_bundle(place)
        assert bundle.card["scores"]["dice"] == 0.5
        assert bundle.card["bones"] == list(BONES)
        assert bundle.recipe == load_recipe("small")
        assert (bundle.weights, bundle.onnx) == (folder / "model.safetensors", None)


def test_default_is_the_packaged_model_unless_something_has_that_name(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_bundle("default").path == packaged_model()
    folder.rename(tmp_path / "default")
    assert load_bundle("default").path == Path("default")


def test_missing_parts(folder: Path, tmp_path: Path) -> None:
    (folder / "model.safetensors").unlink()
    with pytest.raises(UserError, match=r"neither model.safetensors nor model.onnx"):
        load_bundle(folder)
    (folder / "recipe.yaml").unlink()
    with pytest.raises(UserError, match=r"recipe.yaml: cannot read"):
        load_bundle(folder)
    with pytest.raises(UserError, match="no such bundle"):
        load_bundle(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="not a bundle"):
        load_bundle(tmp_path / "empty")


@pytest.mark.parametrize(
    ("card", "message"),
    [
        ({"bones": ["cat", "dog"]}, "other classes than the 29 bones, for example 'cat'"),
        ({"bones": list(reversed(BONES))}, "in another order"),
        ({"format": 99}, "newer handbones"),
    ],
)
def test_foreign_cards(folder: Path, card: dict, message: str) -> None:
    (folder / "card.json").write_text(json.dumps(json.loads(card_text({})) | card))
    with pytest.raises(UserError, match=message):
        load_bundle(folder)


def test_broken_card_and_recipe(folder: Path) -> None:
    (folder / "recipe.yaml").write_text("network: {decoder: unet, depth: 7}")
    with pytest.raises(UserError, match=r"unknown field 'network.depth'.*the bundle is broken"):
        load_bundle(folder)
    (folder / "card.json").write_text("{")
    with pytest.raises(UserError, match="not JSON"):
        load_bundle(folder)


def test_files_that_are_no_bundle(tmp_path: Path) -> None:
    picture = tmp_path / "hand.png"
    np.zeros(3).tofile(picture)
    with pytest.raises(UserError, match="not a bundle"):
        load_bundle(picture)
    model = tmp_path / "model.onnx"
    model.write_bytes(b"nonsense")
    with pytest.raises(UserError, match=r"not a whole .onnx file"):
        load_bundle(model)


def test_onnx_file_of_somebody_else(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    helper = onnx.helper
    value = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", value[:1], value[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.save(model, tmp_path / "other.onnx")
    with pytest.raises(UserError, match="not written by handbones"):
        load_bundle(tmp_path / "other.onnx")


def test_what_pseudo_labels_taught_was_trained_on(tmp_path: Path) -> None:
    (tmp_path / "cases.json").write_text('{"train": ["A/a.png"], "validation": ["B/b.png"], "pseudo": ["C/c.png"]}')
    assert trained_on(tmp_path) == {"A/a.png", "C/c.png"}
