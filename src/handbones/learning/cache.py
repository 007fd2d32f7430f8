"""Decoded gray pictures on disk, mapped into memory, so that each is decoded once in a training."""

import errno
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from handbones.collection import Case
from handbones.errors import UserError
from handbones.files import atomic_path, explain, write_text
from handbones.learning.warp import Gray
from handbones.radiograph import load_radiograph

_SHARED_BY = 256
"""Processes that fill a folder at the same time; each counts it anew when it has written this part of the room."""


def _most_open() -> int:
    """Pictures that a process keeps mapped: half of the files that it may have open."""
    try:
        import resource  # noqa: PLC0415 not on Windows
    except ImportError:
        return 256
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return limit // 2 if limit != resource.RLIM_INFINITY else 4096


class PictureCache:
    """Decoded gray pictures in a folder; `None` for a folder keeps nothing.

    A picture's file has the digest of its original's content for a name and is renamed into place when it is whole.
    So several processes, runs and machines can share the folder, and a copied original is not decoded again. A small
    file beside it, named by path, size and times of the original, saves reading it: whoever changes the content of a
    file changes its times.
    """

    def __init__(self, folder: Path | None, limit: float | None = None) -> None:
        """`limit`: bytes that the folder may hold; what does not fit any more is decoded each time."""
        self.folder = folder
        self.limit = limit
        self._full = False
        self._spare = 0.0
        """Bytes that may be written until the folder is counted again."""
        self._open: dict[Path, tuple[str, Gray]] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open": {}}  # a map would travel to another process as a copy

    def load(self, case: Case) -> Gray:
        """The picture (height, width) of a case. Raises `UserError` if it or the cache cannot be read or written."""
        if self.folder is None:
            return load_radiograph(case.image).to_uint8()
        try:
            facts = case.image.stat()
        except OSError as error:
            raise explain(error, case.image, "read") from error
        state = f"{case.image.resolve()}|{facts.st_size}|{facts.st_mtime_ns}|{facts.st_ctime_ns}"
        known, picture = self._open.get(case.image, ("", None))
        if picture is None or known != state:
            picture = self._find(case, state)
            if isinstance(picture, np.memmap):
                if len(self._open) >= _most_open():
                    self._open.clear()
                self._open[case.image] = state, picture
        return picture

    def _find(self, case: Case, state: str) -> Gray:
        assert self.folder is not None
        try:
            note = self.folder / f"{_digest(state.encode())}.txt"
            content = None
            if note.exists():
                name = note.read_text()
            else:
                content = case.image.read_bytes()
                name = _digest(content)
                with _unless_there(note):
                    write_text(note, name)
            file = self.folder / f"{name}.npy"
            if not file.exists():
                picture = load_radiograph(case.image, content).to_uint8()
                if not self._has_room(picture.nbytes):
                    return picture
                with _unless_there(file), atomic_path(file) as temporary:
                    np.save(temporary, picture)
            mapped: Gray = np.load(file, mmap_mode="r")
        except (OSError, UserError) as error:
            raise self._explain(error, case) from error
        return mapped

    def _has_room(self, size: int) -> bool:
        assert self.folder is not None
        if self.limit is not None and not self._full:
            self._spare -= size
            if self._spare < 0:
                with os.scandir(self.folder) as entries:
                    room = self.limit - size - sum(_size(entry) for entry in entries)
                self._full = room < 0
                self._spare = room / _SHARED_BY
        return not self._full

    def _explain(self, error: OSError | UserError, case: Case) -> UserError:
        cause = error.__cause__ if isinstance(error, UserError) else error
        # NumPy names no error where it could write a part of an array alone.
        if isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT, None):
            return UserError(
                f"{self.folder}: the disk is full: free some space, choose another data.cache_folder, "
                f"set data.cache_limit, or do without: data.cache=false"
            )
        return error if isinstance(error, UserError) else explain(error, case.image, "read")


@contextmanager
def _unless_there(path: Path) -> Iterator[None]:
    """Let it pass that `path` cannot be written where a process that was faster has put the same there.

    Windows replaces no file that is open or mapped.
    """
    try:
        yield
    except UserError:
        if not path.exists():
            raise


def _size(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat().st_size
    except FileNotFoundError:  # another process has just given the file its name
        return 0


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:32]  # processors have instructions for it
