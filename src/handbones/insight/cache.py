"""Facts kept between runs, a small file for each case; no pickle."""

import hashlib
import logging
import os
import sys
import zipfile
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, cast, get_args, get_type_hints

import numpy as np
import numpy.typing as npt

from handbones import __version__
from handbones.collection import Case
from handbones.errors import UserError
from handbones.files import atomic_path

logger = logging.getLogger(__name__)

_FORMAT = 5
"""Raised when facts change their meaning, so that old ones are not read."""

T = TypeVar("T")


def cache_folder() -> Path | None:
    """Where facts are kept between runs: HANDBONES_CACHE, else the user's cache folder; None if there is no home."""
    named = os.environ.get("HANDBONES_CACHE")
    if named:
        return Path(named).expanduser()
    try:
        home = Path.home()
    except RuntimeError:
        return None
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA", home / "AppData" / "Local"))
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache")
    return base / "handbones"


def recall(entry: Path | None, kind: type[T]) -> T | None:
    """Facts that are kept, a dataclass of the given kind; None if they are not there."""
    if entry is None:
        return None
    try:
        with np.load(entry, allow_pickle=False) as stored:
            facts: T = _unflatten(kind, {name: stored[name] for name in stored.files})
            return facts
    except (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile):
        return None


def remember(entry: Path | None, facts: Any) -> None:
    """Keep facts, if that can be."""
    if entry is None:
        return
    try:
        with atomic_path(entry) as temporary, temporary.open("wb") as file:
            np.savez(file, allow_pickle=False, **flatten(facts))
    except UserError as error:  # a cache is a comfort, not a need
        logger.debug("facts not kept: %s", error)


def entry(folder: Path | None, case: Case) -> Path | None:
    """The file for the facts of a case, another one after its files, or this package, have changed.

    None where nothing is kept, or a file is gone.
    """
    if folder is None:
        return None
    stamp = [__version__, str(_FORMAT)]
    for path in (case.image, case.labels):
        if path is not None:
            try:
                status = path.stat()
            except OSError:
                return None
            stamp += [str(path.resolve()), str(status.st_size), str(status.st_mtime_ns)]
    return folder / "facts" / f"{hashlib.sha256('|'.join(stamp).encode()).hexdigest()[:32]}.npz"


def flatten(thing: Any, prefix: str = "") -> dict[str, Any]:
    """The arrays, numbers and texts in nested dataclasses as arrays by dotted name; None is left out."""
    flat: dict[str, Any] = {}
    for field in fields(thing):
        value = getattr(thing, field.name)
        if is_dataclass(value):
            flat |= flatten(value, f"{prefix}{field.name}.")
        elif value is not None:
            flat[prefix + field.name] = np.asarray(value)
    return flat


def _unflatten(kind: type, flat: dict[str, npt.NDArray[Any]], prefix: str = "") -> Any:
    hints = get_type_hints(kind)
    values: dict[str, Any] = {}
    for field in fields(kind):
        name = prefix + field.name
        value = flat.get(name)
        if any(key.startswith(f"{name}.") for key in flat):
            kinds = (hints[field.name], *get_args(hints[field.name]))  # the last for `Part | None`
            part = cast(type, next(kind for kind in kinds if is_dataclass(kind)))
            values[field.name] = _unflatten(part, flat, f"{name}.")
        else:
            values[field.name] = value if value is None or value.ndim else value.item()
    return kind(**values)
