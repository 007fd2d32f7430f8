"""Processes that work for another end with it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from filelock import FileLock

from handbones.errors import UserError
from handbones.processes import in_processes

FOR_EVER = """
import sys, time
from filelock import FileLock
from handbones.processes import in_processes

def work(path):
    with FileLock(path + ".lock"):
        open(path, "x").close()
        time.sleep(600)

if __name__ == "__main__":
    list(in_processes(work, sys.argv[1:], 2))
"""


def double_or_die(number: int) -> int:
    if number > 2:
        os.kill(os.getpid(), signal.SIGTERM)
    return 2 * number


def test_results_come_with_their_numbers() -> None:
    assert sorted(in_processes(double_or_die, [2, 0, 1], 2)) == [(0, 4), (1, 0), (2, 2)]


def test_a_killed_process_is_one_line() -> None:
    with pytest.raises(UserError, match="a process was killed, as happens where memory runs out"):
        list(in_processes(double_or_die, [3], 1))


@pytest.mark.skipif(sys.platform == "win32", reason="the parent of a process stays known when it is gone")
def test_nobody_works_on_for_a_process_that_was_killed(tmp_path: Path) -> None:
    script = tmp_path / "for_ever.py"
    script.write_text(FOR_EVER)
    at_work = [tmp_path / "a", tmp_path / "b"]
    with subprocess.Popen([sys.executable, script, *at_work], stderr=subprocess.DEVNULL) as parent:
        deadline = time.monotonic() + 60
        while not all(path.exists() for path in at_work) and time.monotonic() < deadline:
            time.sleep(0.1)
        parent.kill()
    assert all(path.exists() for path in at_work)
    for path in at_work:
        with FileLock(f"{path}.lock", timeout=20):  # the system lets go of the claims of who is gone
            pass
