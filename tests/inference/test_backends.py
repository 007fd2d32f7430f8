"""Which backend is taken, by what is installed and what the bundle holds."""

import importlib.util
from dataclasses import replace
from types import SimpleNamespace

import pytest

from handbones.bundle import Bundle, load_bundle
from handbones.errors import UserError
from handbones.inference import backends

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
    with pytest.raises(UserError, match=r"^torch needs timm, onnx: .*\[train\]', or use --backend onnxruntime$"):
        backends.open_backend(packaged, "cpu", "torch")
    weights_alone = replace(packaged, weights=packaged.onnx, onnx=None)
    with pytest.raises(UserError, match=r"^torch needs timm: .*, or use a bundle with model\.onnx$"):
        backends.open_backend(weights_alone, "cpu")
