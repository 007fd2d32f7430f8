"""Weights in fewer bits inside an .onnx file: stored small, made float32 again when the file is loaded.

Only weights of two and more axes are changed; biases and batch normalisation are few. Arithmetic stays float32, so
that a small file is as fast as a large one, and every processor can run it.
"""

from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from handbones.errors import UsageError

Precision = Literal["fp32", "fp16", "int8"]

_LARGEST = 127
_SCALE = ".scale"


def check_precision(name: str) -> Precision:
    """Raises `UsageError` for an unknown one."""
    if name not in get_args(Precision):
        raise UsageError(f"--precision {name}: must be one of {', '.join(get_args(Precision))}")
    return name  # type: ignore[return-value] # just checked


def round_weights(network: nn.Module, precision: Precision) -> None:
    """Change a network's weights to what a file of this precision gives back."""
    for parameter in network.parameters():
        if parameter.ndim > 1 and precision == "fp16":
            parameter.data = parameter.data.half().float()
        elif parameter.ndim > 1 and precision == "int8":
            numbers, scale = quantise(parameter.data.numpy())
            parameter.data = torch.from_numpy(numbers * scale)


def quantise(weights: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]:
    """Whole numbers from -127 to 127 and a factor for each output channel, the first axis."""
    largest = np.abs(weights).max(axis=tuple(range(1, weights.ndim)), keepdims=True)
    scale = (np.maximum(largest, np.finfo(np.float32).tiny) / _LARGEST).astype(np.float32)
    return np.rint(weights / scale).astype(np.int8), scale


def store_weights(model: Any, precision: Precision) -> None:
    """Store the weights of an onnx ModelProto in this precision, each with nodes that make it float32 again."""
    from onnx import TensorProto, helper, numpy_helper  # noqa: PLC0415

    nodes, wide, scales = [], {}, []
    for tensor in model.graph.initializer:
        if precision == "fp32" or tensor.data_type != TensorProto.FLOAT or len(tensor.dims) < 2:
            continue
        name, values = tensor.name, numpy_helper.to_array(tensor)
        wide[name] = f"{name}.float32"
        if precision == "fp16":
            tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), name))
            nodes.append(helper.make_node("Cast", [name], [wide[name]], to=TensorProto.FLOAT))
            continue
        numbers, scale = quantise(values)
        tensor.CopyFrom(numpy_helper.from_array(numbers, name))
        scales.append(numpy_helper.from_array(scale, name + _SCALE))
        nodes.append(helper.make_node("Cast", [name], [f"{name}.whole"], to=TensorProto.FLOAT))
        nodes.append(helper.make_node("Mul", [f"{name}.whole", name + _SCALE], [wide[name]]))
    for node in model.graph.node:
        for i, name in enumerate(node.input):
            node.input[i] = wide.get(name, name)
    nodes += model.graph.node
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(scales)


def stored_weights(model: Any) -> dict[str, Tensor]:
    """Weights by name out of an onnx ModelProto of any precision, as float32."""
    from onnx import numpy_helper  # noqa: PLC0415

    tensors = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    state = {}
    for name, values in tensors.items():
        if name.endswith(_SCALE) and name.removesuffix(_SCALE) in tensors:
            continue
        scale = tensors.get(name + _SCALE, np.float32(1))
        state[name] = torch.from_numpy(np.array(values * scale, np.float32))
    return state
