"""What runs a bundle's network: onnxruntime, or torch where it is installed."""

import importlib.util
import os
import shutil
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

import numpy as np
import numpy.typing as npt

from handbones.bundle import Bundle
from handbones.encoding import Values
from handbones.errors import UsageError, UserError
from handbones.memory import memory_errors_in_prediction

Pictures = npt.NDArray[np.uint8]
"""(N, 1, height, width) gray, height and width multiples of 32."""
BatchLogits = npt.NDArray[np.float32]
"""(N, 29, height / stride, width / stride)."""


class Backend(Protocol):
    """A network to call with pictures and, where its recipe has inputs of metadata, with (N, 2 inputs) of those."""

    def __call__(self, pictures: Pictures, metadata: Values | None = None, /) -> BatchLogits: ...


BackendName = Literal["auto", "onnxruntime", "torch"]
Device = Literal["auto", "cpu", "cuda"]


def open_backend(bundle: Bundle, device: str = "auto", backend: str = "auto") -> Backend:
    """Load a bundle's network.

    `auto` takes torch on a GPU if both are there, else onnxruntime on the processor, else torch there; onnxruntime on
    a GPU is for who asks for one and has no torch. Raises `UsageError` on an unknown name, `UserError` where the bundle
    or the machine lacks what was asked for.
    """
    for flag, value, known in (("--device", device, get_args(Device)), ("--backend", backend, get_args(BackendName))):
        if value not in known:
            raise UsageError(f"{flag} {value}: must be one of {', '.join(known)}")
    torch_runs = not _torch_lacks(bundle)
    if device == "auto":
        device = "cuda" if backend != "onnxruntime" and torch_runs and _torch_sees_gpu() else "cpu"
    if backend == "auto":
        backend = "onnxruntime" if bundle.onnx is not None and (device == "cpu" or not torch_runs) else "torch"
    return _torch(bundle, device) if backend == "torch" else _onnxruntime(bundle, device)


def _onnxruntime(bundle: Bundle, device: str) -> Backend:
    import onnxruntime  # noqa: PLC0415 slow to load

    if bundle.onnx is None:
        raise UserError(f"{bundle.path}: holds no model.onnx: make it with handbones export {bundle.path}")
    provider = "CPUExecutionProvider" if device == "cpu" else "CUDAExecutionProvider"
    if device == "cuda" and hasattr(onnxruntime, "preload_dlls"):  # from 1.21 on
        onnxruntime.preload_dlls()  # it does not look by itself where pip puts CUDA and cuDNN
    if provider not in onnxruntime.get_available_providers():
        torch = "--backend torch (pip install 'handbones[train]')"
        raise UserError(f"--device cuda: this onnxruntime has no CUDA: install onnxruntime-gpu, or use {torch}")
    settings = {} if device == "cpu" else {"device_id": own_gpu()}
    session = _session(bundle.onnx, provider, settings)
    if provider not in session.get_providers():  # it goes on with the processor then, and says so in its log alone
        raise UserError(
            f"--device cuda: onnxruntime could not load CUDA or cuDNN, or there is no GPU {settings['device_id']}: "
            "install those that it names above, or start no more processes than there are GPUs"
        )

    def run(pictures: Pictures, metadata: Values | None = None, /) -> BatchLogits:
        given = {"pictures": pictures} if metadata is None else {"pictures": pictures, "metadata": metadata}
        with memory_errors_in_prediction(device, len(pictures)):
            logits: BatchLogits = session.run(["logits"], given)[0]
        return logits

    return run


def _session(path: Path, provider: str, settings: dict[str, int]) -> Any:
    import onnxruntime  # noqa: PLC0415

    options = onnxruntime.SessionOptions()
    # Idle threads sleep instead of spinning: the cores are wanted for reading pictures and drawing results.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if provider == "CPUExecutionProvider":  # one arena for all networks of an ensemble, which run in turn
        _share_arena()
        options.add_session_config_entry("session.use_env_allocators", "1")
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=[(provider, settings)])
    except Exception as error:  # onnxruntime has exceptions of its own without a common base
        raise UserError(f"{path}: onnxruntime cannot load it: {str(error).splitlines()[0]}") from None


@lru_cache(maxsize=1)
def _share_arena() -> None:
    """Register the memory that sessions on the processor have in common, once a process."""
    import onnxruntime  # noqa: PLC0415

    kind = onnxruntime.OrtMemoryInfo(
        "Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
    )
    onnxruntime.create_and_register_allocator(kind, None)


def _torch(bundle: Bundle, device: str) -> Backend:
    if lacking := _torch_lacks(bundle):
        other = "a bundle with model.onnx" if bundle.onnx is None else "--backend onnxruntime"
        raise UserError(f"the torch backend needs {', '.join(lacking)}: pip install 'handbones[train]', or use {other}")
    from handbones.learning.export import load_network  # noqa: PLC0415 needs torch
    from handbones.learning.serving import serve  # noqa: PLC0415

    return serve(load_network(bundle), device)


def _torch_lacks(bundle: Bundle) -> list[str]:
    """What is not installed of all that a bundle takes to run in torch, which is often there for others, and alone."""
    needs = ["torch", "torchvision", "timm", "segmentation_models_pytorch", "safetensors"]
    if bundle.weights is None:  # they are read out of the .onnx file
        needs.append("onnx")
    return [name for name in needs if importlib.util.find_spec(name) is None]


def own_gpu() -> int:
    """Of the GPUs of this machine, the one of this process among those that torchrun started; the first without it.

    More processes than GPUs share them in turns, where torch is there to count them.
    """
    rank = int(os.environ.get("LOCAL_RANK", "0"))
    if rank == 0 or importlib.util.find_spec("torch") is None:
        return rank
    import torch  # noqa: PLC0415

    count = torch.cuda.device_count()
    return rank % count if count else rank  # a torch for processors alone sees none


def _torch_sees_gpu() -> bool:
    """Whether there is a GPU for torch, which is installed, without loading it on machines that have none."""
    if shutil.which("nvidia-smi") is None:
        return False
    import torch  # noqa: PLC0415

    return torch.cuda.is_available()
