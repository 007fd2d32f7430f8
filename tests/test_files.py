"""Places are written by one process at a time, and failures leave nothing behind."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from handbones.errors import UserError
from handbones.files import claimed, explain, new_folder, whole_folder

_HOLD = """
import sys, time
from handbones.files import claimed
with claimed(sys.argv[1]):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_claim_dies_with_its_process(tmp_path: Path) -> None:
    place = tmp_path / "out" / "thing.csv"
    with subprocess.Popen([sys.executable, "-c", _HOLD, str(place)], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(UserError, match="another process is writing there"), claimed(place):
            pass
        other.send_signal(signal.SIGKILL if os.name != "nt" else signal.SIGTERM)
    with claimed(place):
        pass
    assert not list(place.parent.iterdir())


def test_a_failure_leaves_no_empty_folder(tmp_path: Path) -> None:
    new, old = tmp_path / "new", tmp_path / "old"
    old.mkdir()
    for folder in (new, old):
        with pytest.raises(UserError), new_folder(folder):
            raise UserError("no")
        with pytest.raises(UserError), whole_folder(folder) as unfinished:
            (unfinished / "half.txt").touch()
            raise UserError("no")
    assert [path.name for path in tmp_path.iterdir()] == ["old"] and not list(old.iterdir())
    with pytest.raises(UserError), new_folder(new):
        (new / "done.txt").touch()
        raise UserError("no")
    assert (new / "done.txt").exists()


def test_what_may_not_be_read_gets_no_advice_on_writing() -> None:
    error = PermissionError(errno.EACCES, "Permission denied")
    assert "choose a place" in str(explain(error, "a.png", "write"))
    assert "choose a place" not in str(explain(error, "a.png", "read"))
