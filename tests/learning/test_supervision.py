"""Inner maps learn in training and leave no trace outside of it."""

import pytest

pytest.importorskip("torch")

import torch

from handbones.errors import UsageError
from handbones.learning.module import BoneModule
from handbones.learning.networks import build_network
from handbones.recipe import Recipe, load_recipe

pytestmark = pytest.mark.train


def recipe_of(*overrides: str) -> Recipe:
    tiny = ["network.encoder=test_efficientnet.r160_in1k", "network.weights=none", "network.deep_supervision=2"]
    return load_recipe("small", [*tiny, *overrides])


@pytest.mark.parametrize("decoder", ["unet", "manet", "linknet"])
def test_inner_maps_learn_and_the_network_stays_as_it_is(decoder: str) -> None:
    recipe = recipe_of(f"network.decoder={decoder}", "network.stride=1")
    module = BoneModule(build_network(recipe), recipe, lambda: 0.0)
    plain = build_network(recipe_of(f"network.decoder={decoder}", "network.stride=1", "network.deep_supervision=0"))
    assert module.model.state_dict().keys() == plain.state_dict().keys()
    assert module.supervision is not None and module.average is not None
    pictures = torch.randint(0, 256, (2, 1, 64, 96), dtype=torch.uint8)
    logits, inner = module.supervision(module.network, pictures)
    assert [tuple(maps.shape) for maps in inner] == [(2, 29, 32, 48), (2, 29, 16, 24)]
    assert logits.shape == (2, 29, 64, 96)
    assert not any(layer._forward_hooks for layer in module.modules())
    masks = torch.zeros((2, 64, 96), dtype=torch.int32)
    module.training_step({"pictures": pictures, "masks": masks}, 0)["loss"].backward()
    assert all(parameter.grad is not None for parameter in module.supervision.parameters())
    learning = {id(value) for group in module.configure_optimizers().param_groups for value in group["params"]}
    assert learning == {id(value) for value in module.parameters() if value.requires_grad}


def test_more_maps_than_there_are() -> None:
    recipe = recipe_of("network.stride=4", "network.deep_supervision=3")
    with pytest.raises(UsageError, match=r"unet with network.stride=4 has 2 inner maps, not 3"):
        BoneModule(build_network(recipe), recipe, lambda: 0.0)


@pytest.mark.parametrize(
    ("override", "message"),
    [("network.decoder=fpn", "needs one of the decoders unet"), ("training.compile=true", "does not go with")],
)
def test_what_it_does_not_go_with(override: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        recipe_of(override)
