"""Other processes that work for this one."""

import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

import cv2

from handbones.errors import UserError

Item = TypeVar("Item")
Result = TypeVar("Result")

_MOST = 61
"""Processes of a pool: Windows waits for no more."""
_LOOK_S = 1.0
"""Seconds between looks whether the parent is there."""


def in_processes(work: Callable[[Item], Result], items: Sequence[Item], count: int) -> Iterator[tuple[int, Result]]:
    """The number of each item and what `work` makes of it in one of `count` processes, as they come.

    Raises what `work` raises, and `UserError` where a process was killed.
    """
    if sys.platform == "win32":
        count = min(count, _MOST)
    # Forked processes would inherit OpenCV's threads as they stand, and wait for them for ever.
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(count, mp_context=spawn, initializer=_begin) as pool:
        number_of = {pool.submit(work, item): number for number, item in enumerate(items)}
        try:
            for future in as_completed(number_of):
                yield number_of.pop(future), future.result()
        except BrokenProcessPool:
            remedy = "free some, or give fewer --workers"
            raise UserError(f"a process was killed, as happens where memory runs out: {remedy}") from None
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def leave_with_parent() -> None:
    """End this process when the one that started it has gone: who is killed cannot say so, and this would wait on."""
    parent = multiprocessing.parent_process()
    assert parent is not None, "only a process of multiprocessing's has one that it works for"

    def watch() -> None:
        # Both: Windows does not tell that a parent is gone; of forked processes one may hold what tells another.
        while parent.is_alive() and (sys.platform == "win32" or os.getppid() == parent.pid):
            time.sleep(_LOOK_S)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _begin() -> None:
    cv2.setNumThreads(1)
    leave_with_parent()
