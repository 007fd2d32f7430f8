"""Fixtures for everything that learns or predicts, and the same examples for the properties each time."""

from pathlib import Path

import pytest
from hypothesis import settings

from drawn import write_collection
from handbones.metadata import Metadata, write_metadata
from pictures import labels, picture

# A change is judged by what it alters, not by luck. To look for more: pytest --hypothesis-profile search.
settings.register_profile("same", derandomize=True, deadline=None)
settings.register_profile("search", max_examples=2000, deadline=None)
settings.load_profile("same")


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Root of a drawn collection: 3 people with labels, 1 without; pictures of 64 x 64."""
    return write_collection(tmp_path_factory.mktemp("drawn"))


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with the random weights of a tiny network at 64 pixels, which says something of most bones."""
    torch = pytest.importorskip("torch")
    from handbones.bundle import save_cover
    from handbones.learning.export import export_onnx, save_weights
    from handbones.learning.networks import build_network
    from handbones.recipe import load_recipe

    tiny = ["network.encoder=test_efficientnet.r160_in1k", "network.weights=none", "input.size=64"]
    recipe = load_recipe("small", [*tiny, "network.head_bias=0"])
    torch.manual_seed(0)
    network = build_network(recipe).eval()
    folder = tmp_path_factory.mktemp("run") / "bundle"
    save_weights(folder, network)
    save_cover(folder, recipe, {})
    export_onnx(network, recipe, {}, folder / "model.onnx")
    return folder


@pytest.fixture
def competition(tmp_path: Path) -> Path:
    """Three people with both hands and labels, one without labels, and the table."""
    root = tmp_path / "data"
    for person in ("ID001", "ID002", "ID010"):
        for name in (f"image{person[2:]}", f"image{person[2:]}_R"):
            picture(root / "train/DCM" / person / f"{name}.png")
            labels(root / "train/outputs_json" / person / f"{name}.json")
    picture(root / "test/DCM/ID003/image9_L.png")
    write_metadata(root / "meta_data.xlsx", [(1, Metadata(30, "F")), (3, Metadata(40, "M"))])
    return root
