"""Which backend is taken, by what is installed and what the bundle holds."""

import importlib.util
import sys
from dataclasses import replace
from types import SimpleNamespace
from unittest.mock import MagicMock

import numpy as np
import pytest

from handbones.bundle import Bundle, load_bundle
from handbones.errors import UserError
from handbones.inference import backends

CUDA = "CUDAExecutionProvider"
Opened = list[tuple[str, str]]
"""Backends that were opened, each with its device."""


@pytest.fixture
def packaged() -> Bundle:
    """A bundle that is one .onnx file."""
    return load_bundle()


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Opened:
    """A machine with a GPU that torch would see, where opening a backend only notes it."""
    noted: Opened = []
    monkeypatch.setattr(backends, "_torch_sees_gpu", lambda: True)
    for name in ("torch", "onnxruntime"):
        monkeypatch.setattr(backends, f"_{name}", lambda bundle, device, name=name: noted.append((name, device)))
    return noted


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> MagicMock:
    """An onnxruntime with CUDA."""
    fake = MagicMock()
    fake.get_available_providers.return_value = [CUDA]
    fake.InferenceSession.return_value.get_providers.return_value = [CUDA]
    monkeypatch.setitem(sys.modules, "onnxruntime", fake)
    return fake


def without(monkeypatch: pytest.MonkeyPatch, *absent: str) -> None:
    """Let nothing but these be missing."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in absent else SimpleNamespace())


@pytest.mark.parametrize(
    ("absent", "taken"),
    [
        ((), ("torch", "cuda")),
        (("torch",), ("onnxruntime", "cpu")),
        (("timm", "segmentation_models_pytorch"), ("onnxruntime", "cpu")),
        (("onnx",), ("onnxruntime", "cpu")),
    ],
)
def test_auto_takes_torch_only_with_all_that_it_needs(
    absent: tuple[str, ...], taken: tuple[str, str], packaged: Bundle, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    without(monkeypatch, *absent)
    backends.open_backend(packaged)
    assert opened == [taken]


@pytest.mark.parametrize(
    ("absent", "backend"), [((), "torch"), (("torch",), "onnxruntime"), (("timm",), "onnxruntime")]
)
def test_a_gpu_that_was_asked_for_needs_no_torch(
    absent: tuple[str, ...], backend: str, packaged: Bundle, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    without(monkeypatch, *absent)
    backends.open_backend(packaged, "cuda")
    assert opened == [(backend, "cuda")]


def test_torch_that_was_asked_for_names_what_is_missing(packaged: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, "timm", "onnx")
    with pytest.raises(UserError, match=r"^the torch backend needs timm, onnx: .*, or use --backend onnxruntime$"):
        backends.open_backend(packaged, "cpu", "torch")
    weights_alone = replace(packaged, weights=packaged.onnx, onnx=None)
    with pytest.raises(UserError, match=r"^the torch backend needs timm: .*, or use a bundle with model\.onnx$"):
        backends.open_backend(weights_alone, "cpu")


def test_onnxruntime_looks_for_cuda_where_pip_puts_it_first(packaged: Bundle, runtime: MagicMock) -> None:
    backends.open_backend(packaged, "cuda", "onnxruntime")
    calls = [name for name, *_ in runtime.mock_calls]
    assert calls[0] == "preload_dlls" and "InferenceSession" in calls[1:]
    del runtime.preload_dlls  # as in older ones
    backends.open_backend(packaged, "cuda", "onnxruntime")


@pytest.mark.parametrize(("absent", "count", "gpu"), [((), 2, 1), ((), 4, 3), ((), 0, 3), (("torch",), 2, 3)], ids=str)
def test_more_processes_than_gpus_share_them(
    absent: tuple[str, ...], count: int, gpu: int, packaged: Bundle, runtime: MagicMock, monkeypatch: pytest.MonkeyPatch
) -> None:
    without(monkeypatch, *absent)
    monkeypatch.setenv("LOCAL_RANK", "3")
    torch = MagicMock()
    torch.cuda.device_count.return_value = count
    monkeypatch.setitem(sys.modules, "torch", torch)
    backends.open_backend(packaged, "cuda", "onnxruntime")
    assert runtime.InferenceSession.call_args.kwargs["providers"] == [(CUDA, {"device_id": gpu})]


def test_a_gpu_that_is_not_there_is_one_cause_of_two(
    packaged: Bundle, runtime: MagicMock, monkeypatch: pytest.MonkeyPatch
) -> None:
    without(monkeypatch, "torch")
    monkeypatch.setenv("LOCAL_RANK", "3")
    runtime.InferenceSession.return_value.get_providers.return_value = ["CPUExecutionProvider"]
    with pytest.raises(UserError, match=r"CUDA or cuDNN, or there is no GPU 3: install .* no more processes than"):
        backends.open_backend(packaged, "cuda", "onnxruntime")


@pytest.mark.parametrize(
    ("device", "line"),
    [
        ("cpu", "memory is full: lower --size, or look at smaller parts with --tile"),
        ("cuda", "the GPU's memory is full: lower --size, or look at smaller parts with --tile, or use --device cpu"),
    ],
)
def test_full_memory_is_a_line_in_onnxruntime_too(
    device: str, line: str, packaged: Bundle, runtime: MagicMock, monkeypatch: pytest.MonkeyPatch
) -> None:
    class OfItsOwn(Exception):
        """As onnxruntime's, which derive from no other."""

    provider = CUDA if device == "cuda" else "CPUExecutionProvider"
    runtime.get_available_providers.return_value = [provider]
    session = runtime.InferenceSession.return_value
    session.get_providers.return_value = [provider]
    session.run.side_effect = OfItsOwn("[ONNXRuntimeError] : 6 : Failed to allocate memory for requested buffer")
    network = backends.open_backend(packaged, device, "onnxruntime")
    with pytest.raises(UserError, match=f"^{line}$"):
        network(np.zeros((1, 1, 32, 32), np.uint8))
    session.run.side_effect = OfItsOwn("[ONNXRuntimeError] : 2 : INVALID_ARGUMENT")
    with pytest.raises(OfItsOwn):
        network(np.zeros((1, 1, 32, 32), np.uint8))
