"""Memory that runs out: one line that names what to lower."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from handbones.errors import UserError, full_memory
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


def explain_memory(error: Exception, recipe: Recipe, *, validating: bool, workers: int) -> str | None:
    """What ran out and what to lower, in one line; None if the error is of another kind."""
    text = str(error)
    in_worker = "DataLoader worker" in text
    if in_worker and "Bus error" in text:
        return f"/dev/shm is full: lower training.workers (now {workers}), or enlarge it (docker run --shm-size=8g)"
    if in_worker and "signal: Killed" in text:
        return f"a worker was killed, as happens where memory runs out: lower training.workers (now {workers})"
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
