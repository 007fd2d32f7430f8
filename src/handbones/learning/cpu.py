"""What makes training on a processor bearable, where torch's defaults are slow.

Measured on two cores with AVX-512, EfficientNet-Lite0 U-Net at 384 pixels, batch 8, in core-seconds for a step: 3.8 as
it comes, 3.5 with `keep_memory`, 2.5 with `DepthwiseConv2d` as well. With AVX2 alone, at 320 pixels and half the
resolution, two cores take 3.7 seconds with `DenseConv2d` instead of 4.1 (`benchmarks/training.py --set
training.batch=8`).
"""

import ctypes
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

_Shape = tuple[list[int], list[int], list[int]]
"""Stride, padding and dilation of a convolution."""
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_WIDE = 32
"""Channels from which a convolution's weights gain more by another layout than making it costs."""


def has_bf16() -> bool:
    """Whether the processor multiplies bfloat16 itself; otherwise float32 is faster."""
    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, check, bool)() for check in checks)


def keep_memory() -> None:
    """Have the allocator keep freed memory: getting each large tensor's pages anew costs a tenth of a step."""
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # glibc's
        if mallopt is not None:
            mallopt(_M_MMAP_THRESHOLD, 1 << 30)
            mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1)


def release_memory() -> None:
    """Give back what `keep_memory` has kept, before other work than training's takes pieces of other sizes."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's
        if trim is not None:
            trim(0)


def quicken(network: nn.Module) -> None:
    """Give the convolutions of a network quicker gradients where there are some; names and results stay."""
    for layer in network.modules():
        if type(layer) is nn.Conv2d and _is_depthwise(layer):
            layer.__class__ = DepthwiseConv2d
        elif type(layer) is nn.Conv2d and _is_dense(layer) and torch.backends.cpu.get_cpu_capability() == "AVX2":
            layer.__class__ = DenseConv2d


def _is_depthwise(layer: nn.Conv2d) -> bool:
    size, stride = layer.kernel_size[0], layer.stride[0]
    plain = layer.bias is None and layer.dilation == (1, 1) and layer.padding_mode == "zeros"
    square = layer.kernel_size == (size, size) and layer.stride == (stride, stride)
    centred = size % 2 == 1 and layer.padding == (size // 2, size // 2)
    return plain and square and centred and 1 < layer.groups == layer.in_channels == layer.out_channels


def _is_dense(layer: nn.Conv2d) -> bool:
    """Whether it has so much to sum up that other layouts of its tensors are worth making."""
    plain = layer.groups == 1 and layer.padding_mode == "zeros" and not isinstance(layer.padding, str)
    return plain and min(layer.kernel_size) > 1 and layer.in_channels >= _WIDE


def _learns(layer: nn.Module, x: Tensor) -> bool:
    return layer.training and torch.is_grad_enabled() and x.device.type == "cpu"


class DepthwiseConv2d(nn.Conv2d):
    """nn.Conv2d that takes its gradients from `_Depthwise` under bfloat16 autocast on a processor."""

    def forward(self, input: Tensor) -> Tensor:
        low = torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") == torch.bfloat16
        if not (low and _learns(self, input)):
            return super().forward(input)
        x, weight = input.bfloat16(), self.weight.bfloat16()
        output: Tensor = _Depthwise.apply(x, weight, self.stride[0])
        return output


class DenseConv2d(nn.Conv2d):
    """nn.Conv2d that takes its gradients from `_Dense` in float32 on a processor."""

    def forward(self, input: Tensor) -> Tensor:
        if not _learns(self, input) or torch.is_autocast_enabled("cpu"):
            return super().forward(input)
        shape = list(self.stride), list(self.padding), list(self.dilation)
        output: Tensor = _Dense.apply(input, self.weight, self.bias, shape)
        return output


class _Dense(torch.autograd.Function):
    """A convolution whose weights get their gradient from tensors in the channels-first layout.

    In channels-last, the quicker layout for all else, the AVX2 kernel of oneDNN takes up to three times as long.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, shape: _Shape) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.shape = shape
        stride, padding, dilation = shape
        return functional.conv2d(x, weight, bias, stride, padding, dilation)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None, None]:
        x, weight = ctx.saved_tensors
        wanted_x, wanted_weight, wanted_bias, _ = ctx.needs_input_grad
        grad_x = grad_weight = grad_bias = None
        if wanted_x:
            grad_x = _gradients(grad, x, weight, ctx.shape, 1, [True, False, False])[0]
        if wanted_weight:
            tensors = grad.contiguous(), x.contiguous(), weight.contiguous()
            grad_weight = _gradients(*tensors, ctx.shape, 1, [False, True, False])[1]
        if wanted_bias:
            grad_bias = grad.sum((0, 2, 3))
        return grad_x, grad_weight, grad_bias, None


def _gradients(
    grad: Tensor, x: Tensor, weight: Tensor, shape: _Shape, groups: int, wanted: list[bool]
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """torch's, of input, weight and bias."""
    made: tuple[Tensor | None, Tensor | None, Tensor | None] = torch.ops.aten.convolution_backward(
        grad, x, weight, None, *shape, False, [0, 0], groups, wanted
    )
    return made


class _Depthwise(torch.autograd.Function):
    """A depthwise convolution whose backward pass goes around two slow spots of oneDNN in bfloat16."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride = stride
        return _convolve(x, weight, stride)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x, weight = ctx.saved_tensors
        grad_x = grad_weight = None
        if ctx.needs_input_grad[0]:
            grad_x = _grad_input(grad, x, weight, ctx.stride)
        if ctx.needs_input_grad[1]:
            grad_weight = _grad_weight(grad, x, weight, ctx.stride)
        return grad_x, grad_weight, None


def _convolve(x: Tensor, weight: Tensor, stride: int) -> Tensor:
    return functional.conv2d(x, weight, None, stride, weight.shape[-1] // 2, 1, len(weight))


def _grad_input(grad: Tensor, x: Tensor, weight: Tensor, stride: int) -> Tensor:
    """The forward convolution with the kernel turned round, of the gradients set apart by `stride`."""
    if stride > 1:
        apart = torch.empty_like(x).zero_()
        apart[:, :, ::stride, ::stride] = grad
        grad = apart
    return _convolve(grad, weight.flip(2, 3), 1)


def _grad_weight(grad: Tensor, x: Tensor, weight: Tensor, stride: int) -> Tensor:
    size = weight.shape[-1]
    if size > 3:
        return _grad_large_weight(grad, x, size, stride)
    shape = [stride] * 2, [size // 2] * 2, [1, 1]
    grad_weight = _gradients(grad, x, weight, shape, len(weight), [False, True, False])[1]
    assert grad_weight is not None
    return grad_weight.bfloat16()


def _grad_large_weight(grad: Tensor, x: Tensor, size: int, stride: int) -> Tensor:
    """Our own loop, whose time hardly grows with the kernel's size; the pictures are shared among threads."""
    from handbones.kernels import depthwise_gradient  # noqa: PLC0415 takes a moment to load

    count = min(torch.get_num_threads(), len(x))
    sums = np.zeros((count, size, size, x.shape[1]), np.float32)
    parts = zip(_bits(x, count), _bits(grad, count), sums, strict=True)
    waiting = [_threads(count).submit(depthwise_gradient, one, other, stride, total) for one, other, total in parts]
    for future in waiting:
        future.result()
    return torch.from_numpy(sums.sum(0)).permute(2, 0, 1)[:, None].bfloat16()


def _bits(tensor: Tensor, parts: int) -> list[npt.NDArray[np.uint16]]:
    """A bfloat16 tensor (N, C, H, W) as numpy sees it, (N, H, W, C), in parts of whole pictures."""
    rows = tensor.permute(0, 2, 3, 1).contiguous()
    return np.array_split(rows.view(torch.int16).numpy().view(np.uint16), parts)


@cache
def _threads(count: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(count)
