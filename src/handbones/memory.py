"""Memory that runs out: how it is known, and one line that names what to lower."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from handbones.errors import UserError

if TYPE_CHECKING:
    from handbones.recipe import Recipe

_GPU_IS_FULL = "out of memory", "would exceed allowed memory", "_ALLOC_FAILED", "_ALLOCATION_FAILED"
"""Words of torch, CUDA, MPS and their libraries; cuDNN has new ones since 9."""
_MEMORY_IS_FULL = "can't allocate memory", "Failed to allocate memory", "MemoryError", "bad_alloc"
"""Words of torch and onnxruntime, and of numpy in a worker of torch's."""


def full_memory(error: Exception) -> str | None:
    """Which memory an exception of any library says is full, in words; None if it speaks of something else."""
    text = str(error)
    if any(words in text for words in _GPU_IS_FULL):
        return "the GPU's memory"
    return "memory" if isinstance(error, MemoryError) or any(words in text for words in _MEMORY_IS_FULL) else None


@contextmanager
def memory_errors_in_prediction(device: str, pictures: int = 0) -> Iterator[None]:
    """Turn what onnxruntime and torch say of full memory into a `UserError`; let everything else pass.

    `pictures` are those that are looked at together; 0: the network itself has no room.
    """
    try:
        yield
    except Exception as error:  # onnxruntime has exceptions of its own without a common base
        if full_memory(error) is None:
            raise
        place = "the GPU's memory" if device == "cuda" else "memory"
        less = "lower --batch or --size" if pictures > 1 else "lower --size"
        remedies = [less, "look at smaller parts with --tile"] if pictures else ["free some of it"]
        if device == "cuda":
            remedies.append("use --device cpu")
        raise UserError(f"{place} is full: {', or '.join(remedies)}") from None


@contextmanager
def memory_errors_in_training(recipe: "Recipe", validating: Callable[[], bool], workers: int) -> Iterator[None]:
    """Turn what torch, numpy and dead workers say of memory into a `UserError`; let everything else pass."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        remedy = explain_memory(error, recipe, validating=validating(), workers=workers)
        if remedy is None:
            raise
        raise UserError(remedy) from error


def explain_memory(error: Exception, recipe: "Recipe", *, validating: bool, workers: int) -> str | None:
    """What ran out and what to lower, in one line; None if the error is of another kind."""
    text = str(error)
    in_worker = "DataLoader worker" in text
    if in_worker and (ended := _end_of_worker(text, workers)):
        return ended
    which = full_memory(error)
    if which is None:
        return None
    place = f"{which} is full"
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


def _end_of_worker(text: str, workers: int) -> str | None:
    if "Bus error" in text:
        return f"/dev/shm is full: lower training.workers (now {workers}), or enlarge it (docker run --shm-size=8g)"
    if "signal: Killed" in text:
        return f"a worker was killed, as happens where memory runs out: lower training.workers (now {workers})"
    if "exited unexpectedly" in text:  # all that Windows tells, or a start that failed
        return (
            f"a worker has ended: by what it says above; where memory ran out, lower training.workers (now {workers}); "
            "in a script of your own, train under if __name__ == '__main__'"
        )
    return None
