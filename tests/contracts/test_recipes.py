"""Every shipped recipe builds its network and takes a step, at a tiny size."""

import pytest

pytest.importorskip("torch")

import torch

from handbones.learning.module import BoneModule
from handbones.learning.networks import build_network
from handbones.recipe import load_recipe, recipe_names

pytestmark = pytest.mark.train


@pytest.mark.slow
@pytest.mark.parametrize("name", recipe_names())
def test_recipe_builds_its_network_and_steps(name: str) -> None:
    recipe = load_recipe(name, ["patches.size=null"])
    torch.manual_seed(0)
    module = BoneModule(build_network(recipe, pretrained=False), recipe, lambda: 0.5)
    module.train()
    pictures = torch.randint(256, (2, 1, 64, 64), dtype=torch.uint8)
    masks = torch.randint(2**29, (2, 64, 64), dtype=torch.int32)
    loss, _ = module.loss(module.network(pictures), masks)
    loss.backward()
    before = next(module.network.parameters()).clone()
    module.configure_optimizers().step()
    assert torch.isfinite(loss) and not torch.equal(before, next(module.network.parameters()))
