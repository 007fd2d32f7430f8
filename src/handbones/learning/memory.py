"""Memory that runs out: one line that names what to lower."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from handbones.errors import UserError
from handbones.recipe import Recipe


@contextmanager
def plain_memory_errors(recipe: Recipe, validating: Callable[[], bool], workers: int) -> Iterator[None]:
    """Turn what torch, numpy and dead workers say of memory into a `UserError`; let everything else pass."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        remedy = explain_memory(error, recipe, validating=validating(), workers=workers)
        if remedy is None:
            raise
        raise UserError(remedy) from error


@contextmanager
def plain_gpu_errors(remedy: str) -> Iterator[None]:
    """Turn what is said of a GPU's full memory into a `UserError` with this remedy; let everything else pass."""
    try:
        yield
    except RuntimeError as error:
        if not gpu_is_full(error):
            raise
        raise UserError(f"the GPU's memory is full: {remedy}") from error


def explain_memory(error: Exception, recipe: Recipe, *, validating: bool, workers: int) -> str | None:
    """What ran out and what to lower, in one line; None if the error is of another kind."""
    text = str(error)
    in_worker = "DataLoader worker" in text
    if in_worker and "Bus error" in text:
        return f"/dev/shm is full: lower training.workers (now {workers}), or enlarge it (docker run --shm-size=8g)"
    if in_worker and "signal: Killed" in text:
        return f"a worker was killed, as happens where memory runs out: lower training.workers (now {workers})"
    if gpu_is_full(error):
        place = "the GPU's memory is full"
    elif isinstance(error, MemoryError) or "can't allocate memory" in text or "MemoryError" in text:
        place = "memory is full"
    else:
        return None
    if in_worker:
        return f"{place}: lower training.workers (now {workers})"
    if validating:
        batch, size = recipe.validation.batch, recipe.input.size
        return f"{place} in validation: lower " + (
            f"validation.batch (now {batch})" if batch > 1 else f"input.size (now {size})"
        )
    batch = recipe.training.batch
    parts = [f"lower training.batch (now {batch}; raise training.accumulate to make up for it)"] if batch > 1 else []
    side = "patches.size" if recipe.patches.size else "input.size"
    parts.append(f"lower {side} (now {recipe.patches.size or recipe.input.size})")
    if recipe.training.precision == "32":
        parts.append("set training.precision=auto")
    if recipe.patches.size is None:
        parts.append("train on parts of the pictures (patches.size)")
    return f"{place}: " + ", or ".join(parts)


def gpu_is_full(error: Exception) -> bool:
    """Whether torch, CUDA, MPS or a library of theirs says so; cuDNN has words of its own, new ones since 9."""
    words = "out of memory", "_ALLOC_FAILED", "_ALLOCATION_FAILED"
    return isinstance(error, torch.OutOfMemoryError) or any(part in str(error) for part in words)
