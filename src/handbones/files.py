"""Writing files so that a half-written one never looks whole."""

import csv
import errno
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from handbones.errors import UserError

_UMASK = os.umask(0o022)
os.umask(_UMASK)  # it can only be read by setting it, for all threads: once, before there are any

_REMEDIES = {
    errno.ENOSPC: "the disk is full: free some space or choose another place",
    errno.EDQUOT: "the disk quota is used up: free some space or choose another place",
    errno.EACCES: "no permission: choose a place you may write to, or close the program that holds the file",
    errno.EPERM: "no permission: choose a place you may write to, or close the program that holds the file",
    errno.EROFS: "the file system is read-only: choose another place",
    errno.ENOTDIR: "a part of the path is a file, not a folder: choose another place",
    errno.EISDIR: "it is a folder: give the name of a file",
    errno.ENOENT: "no such file or folder",
}
_LOCKED = "no permission to read it: ask its owner, or change that with chmod"
_PATIENCE_S = 1.0
"""How long a place may be in use before that is an error: a process that was killed is not gone at once."""


def explain(error: OSError, path: str | os.PathLike[str], action: str) -> UserError:
    """Turn an `OSError` into one line: what failed, on which path, and what to do."""
    remedy = _REMEDIES.get(error.errno or 0, error.strerror or str(error))
    if action.startswith("read") and error.errno in (errno.EACCES, errno.EPERM):
        remedy = _LOCKED
    return UserError(f"{path}: cannot {action}: {remedy}")


def is_text(path: Path) -> bool:
    """Whether a name can be written into files; Linux takes any bytes for one, such as those of an old archive."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def same_file(one: Path, other: Path) -> bool:
    """Whether both are there and are one file, by whatever names."""
    return one.exists() and other.exists() and one.samefile(other)


def make_folder(path: str | os.PathLike[str]) -> Path:
    """Create a folder and its parents; an existing one is fine. Raises `UserError`."""
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise UserError(f"{path}: cannot make the folder: a file of that name exists") from None
    except OSError as error:
        raise explain(error, path, "make the folder") from error
    return Path(path)


@contextmanager
def new_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """As `make_folder`, before work whose results it is for: on failure, what is empty and was not there is gone."""
    new = not Path(path).exists()
    folder = make_folder(path)
    try:
        yield folder
    except BaseException:
        if new:
            with suppress(OSError):
                folder.rmdir()
        raise


@contextmanager
def claimed(path: str | os.PathLike[str]) -> Iterator[None]:
    """Be the only process that writes `path` meanwhile. Raises `UserError` where another one does.

    The claim of a process that is killed goes with it.
    """
    path = Path(path)
    make_folder(path.parent)
    lock = FileLock(path.with_name(f".{path.name.lstrip('.')}.lock"), timeout=_PATIENCE_S)
    try:
        lock.acquire()
    except Timeout:
        raise UserError(
            f"{path.parent}: another process is writing there: wait for its end, or choose another place"
        ) from None
    except OSError as error:
        raise explain(error, path, "write") from error
    try:
        yield
    finally:
        with suppress(OSError):  # Windows removes no file that is open
            Path(lock.lock_file).unlink()  # before the release: afterwards it may be another's
        lock.release()


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` on success, delete it on failure.

    The suffix is kept, since writers of pictures choose the format by it. Raises `UserError` where the place cannot
    be written.
    """
    path = Path(path)
    make_folder(path.parent)
    try:
        # A name may be as long as names can be: not all of it fits with what makes it another one.
        handle, name = tempfile.mkstemp(prefix=f".{path.stem[:20]}-", suffix=path.suffix, dir=path.parent)
        os.close(handle)
        temporary = Path(name)
    except OSError as error:
        raise explain(error, path, "write") from error
    try:
        yield temporary
        temporary.chmod(0o666 & ~_UMASK)
        temporary.replace(path)
    except OSError as error:
        raise explain(error, path, "write") from error
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def whole_folder(folder: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a hidden folder inside `folder`; what is in it moves up when all is done, and is gone on failure.

    Raises `UserError` where the place cannot be written.
    """
    unfinished = Path(folder) / ".unfinished"
    with new_folder(folder) as whole, claimed(unfinished):
        shutil.rmtree(unfinished, ignore_errors=True)  # of a run that was killed
        make_folder(unfinished)
        try:
            yield unfinished
            try:
                # what a folder needs beside it comes before it
                for path in sorted(unfinished.iterdir(), key=Path.is_dir):
                    path.replace(whole / path.name)
            except OSError as error:
                raise explain(error, folder, "write") from error
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write UTF-8 text atomically, line ends as given."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="")


def write_csv(path: str | os.PathLike[str], rows: Iterable[Sequence[object]]) -> None:
    """Write rows as a CSV file atomically, the header among them; UTF-8, lines end as on Unix."""
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Write bytes atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)
