"""Fixtures for everything that learns or predicts, and the same examples for the properties each time."""

from pathlib import Path

import pytest
from hypothesis import settings

from drawn import write_collection

# A change is judged by what it alters, not by luck. To look for more: pytest --hypothesis-profile search.
settings.register_profile("same", derandomize=True)
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
