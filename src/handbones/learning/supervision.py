"""Deep supervision: inner maps of a decoder learn the masks too (Lee et al., Deeply-Supervised Nets, 2015)."""

from typing import Any

import torch
from torch import Tensor, nn

from handbones.anatomy import BONES
from handbones.errors import UsageError
from handbones.inference.frame import MULTIPLE
from handbones.learning.networks import Network, start_head
from handbones.recipe.learning import NetworkSettings


class Supervision(nn.Module):
    """Heads on the blocks of a decoder before its last.

    They learn with the network and stay outside of it: bundles and predictions know nothing of them.
    """

    def __init__(self, network: Network, settings: NetworkSettings) -> None:
        """Raises `UsageError` where the decoder has fewer inner maps than the recipe asks for."""
        super().__init__()
        self.count = settings.deep_supervision
        there = len(_blocks(network)) - 1
        if self.count > there:
            raise UsageError(
                f"network.deep_supervision: {settings.decoder} with network.stride={settings.stride} has {there} inner "
                f"maps, not {self.count}"
            )
        training = network.training
        with torch.no_grad():
            _, maps = self._run(network.eval(), torch.zeros((1, 1, 2 * MULTIPLE, 2 * MULTIPLE), dtype=torch.uint8))
        network.train(training)
        self.heads = nn.ModuleList(nn.Conv2d(inner.shape[1], len(BONES), 1) for inner in maps)
        for head in self.heads:
            start_head(head, settings.head_bias)

    def forward(self, network: Network, pictures: Tensor, **given: Any) -> tuple[Any, list[Tensor]]:
        """What `network` makes of pictures and what else it is given; the logits of its inner maps.

        Those come fine to coarse, each half as large as the one before.
        """
        made, maps = self._run(network, pictures, **given)
        return made, [head(inner) for head, inner in zip(self.heads, maps, strict=True)]

    def _run(self, network: Network, pictures: Tensor, **given: Any) -> tuple[Any, list[Tensor]]:
        maps: list[Tensor] = []

        def keep(block: nn.Module, inputs: Any, output: Tensor) -> None:
            maps.insert(0, output)

        # For this call only: a hook that stays would be copied and exported with the network.
        hooks = [block.register_forward_hook(keep) for block in _blocks(network)[-1 - self.count : -1]]
        try:
            return network(pictures, **given), maps
        finally:
            for hook in hooks:
                hook.remove()


def _blocks(network: Network) -> nn.ModuleList:
    blocks = network.body.decoder.blocks
    assert isinstance(blocks, nn.ModuleList)
    return blocks
