"""A network as a plain function of arrays, for the torch backend of inference."""

from typing import Any

import numpy.typing as npt
import torch

from handbones.encoding import Values
from handbones.errors import UserError
from handbones.inference.backends import Backend, BatchLogits, Pictures, own_gpu
from handbones.learning.networks import Network
from handbones.memory import memory_errors_in_prediction


def serve(network: Network, device: str) -> Backend:
    """A function from (N, 1, H, W) uint8 to (N, 29, h, w) float32 logits; bfloat16 inside on a GPU that knows it.

    Raises `UserError` if the device is not there or its memory is full, and so does the function.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("--device cuda: torch sees no GPU on this machine: leave --device out")
    place = torch.device(device, own_gpu()) if device == "cuda" else torch.device(device)
    with memory_errors_in_prediction(device):
        half = device == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        network = network.to(place).to(memory_format=torch.channels_last).eval()

    def run(pictures: Pictures, metadata: Values | None = None, /) -> BatchLogits:
        with (
            memory_errors_in_prediction(device, len(pictures)),
            torch.inference_mode(),
            torch.autocast(device, torch.bfloat16, enabled=half),
        ):
            given = [torch.from_numpy(array).to(place) for array in (pictures, metadata) if array is not None]
            logits: npt.NDArray[Any] = network(*given).float().cpu().numpy()
        return logits

    return run
