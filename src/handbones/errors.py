"""The two exceptions that a user can cause; everything else that is raised is a bug.

The message is one line that names the file, label, field or flag and the remedy. The command line prints it
without a traceback and leaves with `exit_code`.
"""

KILLED = "a process was killed, as happens where memory runs out: free some, or give fewer --workers"
"""What to say of a process of ours that is gone."""


class UserError(Exception):
    """Work failed because of something that the user can mend: a file, a label, a full disk."""

    exit_code = 1


class UsageError(UserError):
    """The request itself makes no sense: an unknown flag value, recipe or field."""

    exit_code = 2


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
