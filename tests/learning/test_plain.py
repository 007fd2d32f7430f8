"""The network that is exported says what the one that was trained says."""

import pytest
import torch
from torch import nn

from handbones.learning.networks import build_network
from handbones.learning.plain import _FilteredSmall, plain
from handbones.recipe import load_recipe


@pytest.mark.parametrize("stride", [1, 2])
def test_a_u_net_filtered_before_it_is_enlarged_gives_the_same_logits(stride: int) -> None:
    settings = [f"network.stride={stride}", "network.weights=none", "network.decoder_channels=[128, 128, 32, 16, 16]"]
    network = build_network(load_recipe("small", settings), pretrained=False).eval()
    torch.manual_seed(0)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.normal_()  # type: ignore[union-attr, operator] # buffers
            layer.running_var.uniform_(0.5, 2)  # type: ignore[union-attr, operator]
            nn.init.uniform_(layer.weight, 0.5, 2)
    pictures = torch.randint(0, 256, (2, 1, 96, 64), dtype=torch.uint8)
    other = plain(network)
    with torch.no_grad():
        expected, given = network(pictures), other(pictures)
    torch.testing.assert_close(given, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))
    assert dict(other.state_dict()).keys() == dict(network.state_dict()).keys()
    assert sum(isinstance(layer, _FilteredSmall) for layer in other.modules()) == (5 if stride == 1 else 4)
