"""The quicker gradients of depthwise convolutions are the usual ones."""

import pytest

pytest.importorskip("torch")

import torch
from torch import nn

from handbones.learning.cpu import DepthwiseConv2d, quicken_depthwise

pytestmark = pytest.mark.train


@pytest.mark.parametrize(("size", "stride", "side"), [(3, 1, 12), (3, 2, 12), (5, 1, 9), (5, 2, 12), (5, 2, 13)])
def test_gradients_are_those_of_the_plain_convolution(size: int, stride: int, side: int) -> None:
    torch.manual_seed(0)
    layer = nn.Conv2d(16, 16, size, stride, size // 2, groups=16, bias=False)
    network = nn.Sequential(layer)
    x = torch.randn(2, 16, side, side).contiguous(memory_format=torch.channels_last).requires_grad_()
    expected = torch.autograd.grad(network(x).square().sum(), [x, layer.weight])
    names = list(network.state_dict())
    quicken_depthwise(network)
    assert isinstance(layer, DepthwiseConv2d) and list(network.state_dict()) == names
    with torch.autocast("cpu", torch.bfloat16):
        y = network(x)
    assert y.dtype == torch.bfloat16
    for ours, theirs in zip(torch.autograd.grad(y.float().square().sum(), [x, layer.weight]), expected, strict=True):
        assert ours.dtype == torch.float32
        torch.testing.assert_close(ours, theirs, atol=0.03 * float(theirs.abs().max()), rtol=0)


def test_other_convolutions_stay() -> None:
    network = nn.Sequential(
        nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 16, 3, groups=8), nn.Conv2d(8, 8, 1, bias=False)
    )
    quicken_depthwise(network)
    assert all(type(layer) is nn.Conv2d for layer in network)
