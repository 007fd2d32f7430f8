"""The training step by itself: averaged weights, frozen statistics, an optimiser that fits the precision."""

from types import SimpleNamespace

import pytest

pytest.importorskip("torch")

import torch

from handbones.learning.module import Average, BoneModule
from handbones.learning.networks import Network, build_network
from handbones.recipe import Recipe, load_recipe

pytestmark = pytest.mark.train


def tiny(*overrides: str) -> Recipe:
    network = ["network.encoder=test_efficientnet.r160_in1k", "network.weights=none", "input.size=64"]
    return load_recipe("small", [*network, *overrides])


@pytest.mark.parametrize(("rise", "moved"), [(True, 9 / 11), (False, 0.1)])
def test_an_average_that_does_not_rise_keeps_its_good_start(rise: bool, moved: float) -> None:
    recipe = tiny("training.ema=0.9", f"training.ema_rise={str(rise).lower()}")
    network = Network(torch.nn.Conv2d(1, 29, 1), recipe.network, recipe.input)
    average = Average(network, recipe.training)
    before = network.body.weight.clone()
    torch.nn.init.zeros_(network.body.weight)
    average.update(network, 1)
    torch.testing.assert_close(average.network.body.weight, before * (1 - moved))


@pytest.mark.parametrize(("scaler", "fused"), [(object(), None), (None, True)])
def test_what_scales_gradients_takes_the_scale_off_before_they_are_clipped(scaler: object, fused: bool | None) -> None:
    recipe = tiny()
    module = BoneModule(build_network(recipe, pretrained=False), recipe, lambda: 0.5)
    module._trainer = SimpleNamespace(precision_plugin=SimpleNamespace(scaler=scaler))  # type: ignore[assignment]
    assert module.configure_optimizers().defaults["fused"] is fused


def test_frozen_normalisation_keeps_its_statistics() -> None:
    recipe = tiny("training.freeze_norm=true")
    module = BoneModule(build_network(recipe, pretrained=False), recipe, lambda: 0.5).train()
    module.freeze_norm()
    before = {name: value.clone() for name, value in module.network.named_buffers()}
    module.network(torch.randint(256, (2, 1, 64, 64), dtype=torch.uint8))
    assert all(torch.equal(value, before[name]) for name, value in module.network.named_buffers())
