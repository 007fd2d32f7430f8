"""What the torch backend says where memory is full."""

from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from torch import Tensor, nn

from handbones.errors import UserError
from handbones.learning.serving import serve

pytestmark = pytest.mark.train


class Failing(nn.Module):
    """A network that has room for itself, and then none."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def forward(self, pictures: Tensor) -> Tensor:
        raise self.error


@pytest.mark.parametrize(("count", "less"), [(1, "--size"), (2, "--batch or --size")])
def test_full_memory_is_a_line_that_names_what_to_lower(count: int, less: str) -> None:
    network: Any = Failing(RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"))
    with pytest.raises(UserError, match=rf"^memory is full: lower {less}, or look at smaller parts with --tile$"):
        serve(network, "cpu")(np.zeros((count, 1, 32, 32), np.uint8))


def test_a_gpu_without_room_for_the_network_is_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    network: Any = Failing(torch.OutOfMemoryError("CUDA out of memory."))

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("CUDA error: out of memory")

    monkeypatch.setattr(network, "to", fail)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: True)
    with pytest.raises(UserError, match=r"^the GPU's memory is full: free some of it, or use --device cpu$"):
        serve(network, "cuda")


def test_other_errors_stay_what_they_are() -> None:
    network: Any = Failing(RuntimeError("shapes cannot be added"))
    with pytest.raises(RuntimeError, match="shapes"):
        serve(network, "cpu")(np.zeros((1, 1, 32, 32), np.uint8))
