"""Worker processes of a training."""

import subprocess
import sys

import pytest

pytest.importorskip("torch")

from torch.utils.data import DataLoader

from handbones.learning.workers import Spawning, worker_options
from handbones.learning.world import World

SCRIPT = """
import multiprocessing, os, signal, threading
from torch.utils.data import DataLoader
from handbones.learning.workers import worker_options
from handbones.learning.world import World

if __name__ == "__main__":
    multiprocessing.set_start_method("{method}")
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: print("asked to end", flush=True))
        threading.Timer(0.3, os.killpg, (os.getpgrp(), number)).start()
    loader = DataLoader(list(range(4)), **worker_options(1, World(0, {processes})))
    print([int(number) for number in loader])
"""


def test_processes_that_talk_to_others_do_not_fork_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("multiprocessing.get_start_method", lambda: "fork")
    assert isinstance(worker_options(3, World(0, 2))["multiprocessing_context"], Spawning)
    assert worker_options(0, World(0, 2))["multiprocessing_context"] is None
    assert worker_options(3, World())["multiprocessing_context"] is None


def test_no_fork_server_stands_between_a_training_and_its_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("multiprocessing.get_start_method", lambda: "forkserver")
    assert isinstance(worker_options(1)["multiprocessing_context"], Spawning)


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_a_worker_that_its_training_ends_has_not_failed() -> None:
    """Else torch complains when a script leaves with a loader in its hands."""
    batches = iter(DataLoader(list(range(4)), **worker_options(1)))
    next(batches)
    (worker,) = batches._workers
    worker.terminate()
    worker.join()
    assert worker.exitcode == 0


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="process groups of POSIX")
@pytest.mark.parametrize(("method", "processes"), [("fork", 2), ("forkserver", 1)])
def test_a_signal_for_all_processes_ends_no_worker_that_is_just_starting(method: str, processes: int) -> None:
    command = [sys.executable, "-c", SCRIPT.format(method=method, processes=processes)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, start_new_session=True)
    assert done.stdout.count("asked to end") == 2 and "[0, 1, 2, 3]" in done.stdout, done.stderr[-2000:]
