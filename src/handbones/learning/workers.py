"""Worker processes, which make samples while the network learns."""

import multiprocessing
import os
import signal
from multiprocessing.context import SpawnContext, SpawnProcess
from typing import Any

import cv2
import torch
from threadpoolctl import threadpool_limits

from handbones.learning.world import World
from handbones.processes import leave_with_parent

_ENDING = {signal.SIGINT, signal.SIGTERM}
"""Signals that end a training. Workers leave the answer to it."""


class SpawnedWorker(SpawnProcess):
    """A worker that no signal for the whole process group ends before it is ready for one."""

    def start(self) -> None:
        if not hasattr(signal, "pthread_sigmask"):
            super().start()
            return
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)  # which a new process inherits
        try:
            super().start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


class Spawning(SpawnContext):
    """Starts worker processes anew instead of forking them."""

    Process = SpawnedWorker


def worker_count(wanted: int | None, trainings: int = 1) -> int:
    """The recipe's number of workers, or one for each core up to 16, shared by the `trainings` on this machine."""
    if wanted is not None:
        return wanted
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(16, cores // trainings))


def worker_options(count: int, world: World | None = None) -> dict[str, Any]:
    """What a `DataLoader` must be told to have `count` worker processes.

    Those of processes that train together must not be forked: the threads by which these talk may hold a lock of
    Python's at that moment, and a worker that inherits it waits for ever. (Python before 3.12 frees it too late.)
    """
    together = world is not None and world.size > 1
    # A fork server, which Python from 3.14 on takes for itself on Linux, would stand between the two: neither learns of
    # the other's end then, and a signal for the process group ends it.
    anew = count > 0 and (together or multiprocessing.get_start_method() != "fork")
    return {
        "num_workers": count,
        "persistent_workers": count > 0,
        "multiprocessing_context": Spawning() if anew else None,
        "worker_init_fn": _start,
    }


def _start(_: int) -> None:
    """One thread a worker, since there are as many of them as cores; what ends the training is for it to answer."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(os, "setpgrp"):  # SLURM, timeout and others signal the whole process group
        os.setpgrp()
    if hasattr(signal, "pthread_sigmask"):
        # What came for the group in the meantime is dropped. Torch's own answer to SIGTERM stays, which does not call
        # it a failure when it ends a worker.
        while waiting := signal.sigpending() & _ENDING:
            signal.sigwait(waiting)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)
    leave_with_parent()
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    threadpool_limits(1, user_api="blas")
