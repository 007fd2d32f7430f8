"""A network as a plain function of arrays, for the torch backend of inference."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from handbones.errors import UserError
from handbones.learning.networks import Network


def serve(network: Network, device: str) -> Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.float32]]:
    """A function from (N, 1, H, W) uint8 to (N, 29, h, w) float32 logits; bfloat16 inside on a GPU.

    Raises `UserError` if the device is not there.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("--device cuda: torch sees no GPU on this machine: leave --device out")
    network = network.to(device).to(memory_format=torch.channels_last).eval()

    def run(pictures: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        with torch.inference_mode(), torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
            logits: npt.NDArray[Any] = network(torch.from_numpy(pictures).to(device)).float().cpu().numpy()
        return logits

    return run
