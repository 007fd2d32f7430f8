"""Ctrl-C and SIGTERM end a training after the step at hand."""

import gc
import signal
import threading
import time
from contextlib import suppress
from typing import Any, Self

from lightning.pytorch import Callback, LightningModule, Trainer

from handbones.learning.course import Course
from handbones.learning.watch import Watch

_ECHO_S = 2.0
"""Seconds in which torchrun repeats to its processes what a terminal or a scheduler has told them, too."""


def collect_garbage() -> None:
    """Free what is unreachable, and let Ctrl-C wait: what is raised in a weak reference's callback Python drops."""
    before, asked = signal.getsignal(signal.SIGINT), False

    def wait(*_: object) -> None:
        nonlocal asked
        asked = True

    if not callable(before) or threading.current_thread() is not threading.main_thread():  # signals are others' then
        gc.collect()
        return
    signal.signal(signal.SIGINT, wait)
    try:
        gc.collect()
    finally:
        signal.signal(signal.SIGINT, before)
    if asked:
        before(signal.SIGINT, None)


class Stopping(Callback):
    """A context and a callback of the training: the first signal asks the course to stop, the second stops at once."""

    def __init__(self, course: Course, watch: Watch) -> None:
        self.course = course
        self.watch = watch
        self._before: dict[signal.Signals, Any] = {}
        self._asked = 0.0

    def __enter__(self) -> Self:
        self._before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        self._listen()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with suppress(ValueError):
            for number, handler in self._before.items():
                signal.signal(number, handler)
        if kind is not None and issubclass(kind, SystemExit):  # Lightning's answer to KeyboardInterrupt
            raise KeyboardInterrupt from None

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        """Lightning has put its own answer to SIGTERM before ours, which would leave no model."""
        self._listen()

    def _listen(self) -> None:
        with suppress(ValueError):  # not in the main thread, where signals are somebody else's
            for number in self._before:
                signal.signal(number, self._stop)

    def _stop(self, *_: object) -> None:
        if not self.course.stop_asked:
            self.course.stop_asked = True
            self._asked = time.monotonic()
            alone = self.course.world.size == 1  # others would wait for what this process leaves out
            what = "in this validation" if self.course.validating and alone else "after this step"
            self.watch.said(f"stopping {what}; once more stops at once")
        elif self.course.world.size == 1 or time.monotonic() - self._asked > _ECHO_S:
            raise KeyboardInterrupt
