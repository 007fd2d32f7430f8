"""How a training is stopped."""

import gc
import os
import signal
import sys
import weakref

import pytest

pytest.importorskip("torch")

from handbones.learning.stopping import collect_garbage


class _Garbage:
    """What only the collector finds."""

    def __init__(self) -> None:
        self.itself = self


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_a_stop_is_not_lost_while_garbage_is_collected() -> None:
    before = signal.getsignal(signal.SIGINT)
    gc.collect()
    reference = weakref.ref(_Garbage(), lambda _: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        collect_garbage()
    assert reference() is None and signal.getsignal(signal.SIGINT) is before
