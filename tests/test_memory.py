"""What is taken for memory that ran out, and what is said of it."""

import pytest

from handbones.memory import explain_memory, full_memory
from tiny import tiny


@pytest.mark.parametrize(
    "text",
    [
        "Allocation on device 0 would exceed allowed memory.",
        "CUDA error: out of memory",
        "CUDA driver error: out of memory",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
        "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED",
        "MPS backend out of memory (MPS allocated: 8.00 GB, other allocations: 1.00 GB)",
        "NCCL error: unhandled cuda error\nLast error:\nCuda failure 2 'out of memory'",
    ],
)
def test_a_full_gpu_is_known_by_what_it_says(text: str) -> None:
    assert full_memory(RuntimeError(text)) == "the GPU's memory"


@pytest.mark.parametrize(
    "text", ["CUDA error: invalid device ordinal", "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR", "shapes cannot be added"]
)
def test_other_errors_are_not_of_memory(text: str) -> None:
    assert full_memory(RuntimeError(text)) is None
    assert explain_memory(RuntimeError(text), tiny(), validating=False, workers=0) is None


def test_a_worker_that_ended_says_what_may_be_wrong() -> None:
    error = RuntimeError("DataLoader worker (pid(s) 7) exited unexpectedly")
    line = explain_memory(error, tiny(), validating=False, workers=3)
    assert line is not None and "training.workers (now 3)" in line and "__main__" in line


@pytest.mark.parametrize(("precision", "told"), [("32", True), ("bf16", False), ("auto", False)])
def test_precision_is_left_to_the_gpu(precision: str, told: bool) -> None:
    recipe = tiny(f'training.precision="{precision}"')
    line = explain_memory(RuntimeError("CUDA out of memory."), recipe, validating=False, workers=0)
    assert line is not None and ("set training.precision=auto" in line) is told
