"""The quicker gradients of convolutions are the usual ones."""

from typing import Any

import pytest

pytest.importorskip("torch")

import torch
from torch import nn

from handbones.learning.cpu import DenseConv2d, DepthwiseConv2d, quicken

pytestmark = pytest.mark.train


@pytest.mark.parametrize(("size", "stride", "side"), [(3, 1, 12), (3, 2, 12), (5, 1, 9), (5, 2, 12), (5, 2, 13)])
def test_gradients_are_those_of_the_plain_convolution(size: int, stride: int, side: int) -> None:
    torch.manual_seed(0)
    layer = nn.Conv2d(16, 16, size, stride, size // 2, groups=16, bias=False)
    network = nn.Sequential(layer)
    x = torch.randn(2, 16, side, side).contiguous(memory_format=torch.channels_last).requires_grad_()
    expected = torch.autograd.grad(network(x).square().sum(), [x, layer.weight])
    names = list(network.state_dict())
    quicken(network)
    assert isinstance(layer, DepthwiseConv2d) and list(network.state_dict()) == names
    with torch.autocast("cpu", torch.bfloat16):
        y = network(x)
    assert y.dtype == torch.bfloat16
    for ours, theirs in zip(torch.autograd.grad(y.float().square().sum(), [x, layer.weight]), expected, strict=True):
        assert ours.dtype == torch.float32
        torch.testing.assert_close(ours, theirs, atol=0.03 * float(theirs.abs().max()), rtol=0)


@pytest.mark.parametrize("settings", [{"bias": False}, {"stride": 2}, {"padding": (2, 1), "dilation": (2, 1)}])
def test_dense_gradients_are_those_of_the_plain_convolution(
    settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    torch.manual_seed(0)
    layer = nn.Conv2d(32, 8, 3, **{"padding": 1, **settings})
    network = nn.Sequential(layer).to(memory_format=torch.channels_last)
    x = torch.randn(2, 32, 9, 10).contiguous(memory_format=torch.channels_last).requires_grad_()
    leaves = [x, *layer.parameters()]
    expected = network(x).detach(), *torch.autograd.grad(network(x).square().sum(), leaves)
    quicken(network)
    assert isinstance(layer, DenseConv2d)
    torch.testing.assert_close((network(x).detach(), *torch.autograd.grad(network(x).square().sum(), leaves)), expected)
    with torch.autocast("cpu", torch.bfloat16):
        assert network(x).dtype == torch.bfloat16


def test_dense_convolutions_stay_where_they_are_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    layer = nn.Conv2d(32, 8, 3, padding=1)
    quicken(nn.Sequential(layer))
    assert type(layer) is nn.Conv2d


def test_other_convolutions_stay() -> None:
    network = nn.Sequential(
        nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 16, 3, groups=8), nn.Conv2d(8, 8, 1, bias=False)
    )
    quicken(network)
    assert all(type(layer) is nn.Conv2d for layer in network)
