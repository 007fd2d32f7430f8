"""The same network out of operations that ONNX has, and that run fast on a processor."""

import copy

import torch
from segmentation_models_pytorch.decoders.unet.decoder import UnetDecoderBlock
from torch import Tensor, nn
from torch.nn import functional

from handbones.learning.networks import Network

_WIDE = 100
"""Channels from which it pays to filter before enlarging: to fewer, putting pixels in their order costs as much."""


def plain(network: Network) -> Network:
    """A copy to be traced, of a network on the CPU in evaluation mode; weights keep their names."""
    network = copy.deepcopy(network)
    for layer in network.modules():
        if getattr(layer, "inplace", False):
            layer.inplace = False  # type: ignore[assignment] # tracing works in-place activations off one by one
        if type(layer) is nn.AdaptiveAvgPool2d and layer.output_size != 1:
            layer.__class__ = _PoolByMatrices
        elif type(layer) is UnetDecoderBlock and _has_plain_filters(layer):
            layer.__class__ = _FilteredSmall
    return network


class _PoolByMatrices(nn.AdaptiveAvgPool2d):
    """Adaptive pooling as two products of matrices: ONNX has no such pooling of pictures of any size."""

    def forward(self, input: Tensor) -> Tensor:
        size = self.output_size
        rows, columns = size if isinstance(size, tuple) else (size, size)
        height, width = input.shape[-2:]
        return _cells(rows or height, height) @ input @ _cells(columns or width, width).T


def _cells(count: int, length: int) -> Tensor:
    """(count, length), the weight of each position in the mean of each cell, as torch divides them."""
    cell = torch.arange(count)
    start, end = cell * length // count, ((cell + 1) * length + count - 1) // count
    position = torch.arange(length)
    inside = (position >= start[:, None]) & (position < end[:, None])
    return inside.float() / (end - start)[:, None]


def _has_plain_filters(block: UnetDecoderBlock) -> bool:
    convolution, norm, _ = block.conv1
    return (
        block.interpolation_mode == "nearest"
        and isinstance(block.attention1.attention, nn.Identity)
        and isinstance(norm, nn.BatchNorm2d)
        and convolution.kernel_size == (3, 3)
    )


class _FilteredSmall(UnetDecoderBlock):  # type: ignore[misc] # untyped
    """A U-Net's block that filters what comes from below and what comes from beside apart, and sums.

    Nothing is joined, and wide maps from below are filtered before they are enlarged.
    """

    def forward(
        self, feature_map: Tensor, target_height: int, target_width: int, skip_connection: Tensor | None = None
    ) -> Tensor:
        if skip_connection is None or not skip_connection.shape[1]:  # some encoders have no map of stride 2
            unchanged: Tensor = super().forward(feature_map, target_height, target_width)
            return unchanged
        convolution, norm, activation = self.conv1
        channels = [feature_map.shape[1], skip_connection.shape[1]]
        below, beside = convolution.weight.split(channels, dim=1)
        below = below * (norm.weight * torch.rsqrt(norm.running_var + norm.eps))[:, None, None, None]
        if channels[0] < _WIDE:
            enlarged = functional.conv2d(functional.interpolate(feature_map, scale_factor=2.0), below, padding=1)
        else:
            enlarged = _filtered_small(feature_map, below)
        mixed = activation(norm(functional.conv2d(skip_connection, beside, padding=1)) + enlarged)
        filtered: Tensor = self.attention2(self.conv2(mixed))
        return filtered


def _filtered_small(maps: Tensor, weights: Tensor) -> Tensor:
    """What filters (out, in, 3, 3) make of maps (N, in, h, w) enlarged by repetition, (N, out, 2 h, 2 w).

    Three neighbours then have two values: each of the four pixels of a cell is a filter of 2 x 2 cells, 4 products
    in place of 9.
    """
    pixels = []
    for row in range(2):
        for column in range(2):
            padded = functional.pad(maps, (1 - column, column, 1 - row, row))
            pixels.append(functional.conv2d(padded, _FALL[row] @ weights @ _FALL[column].T))
    return functional.pixel_shuffle(torch.stack(pixels, dim=2).flatten(1, 2), 2)


_FALL = torch.tensor([[[1.0, 0, 0], [0, 1, 1]], [[1, 1, 0], [0, 0, 1]]])
"""For the first and the second pixel of a cell: which of three weights fall on each of two cells, (2, 2, 3)."""
