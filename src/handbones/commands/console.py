"""What commands show while they work: a live line on a terminal, plain lines in a pipe."""

import importlib.util
import math
import os
import shlex
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from handbones.anatomy import ANATOMY, GROUPS
from handbones.collection import Case, Collection, open_collection, refuse_damaged
from handbones.errors import UserError
from handbones.learning.watch import State, Watch
from handbones.radiograph import FORMATS

_MOMENT_S = 2.0
"""What takes no longer needs no bar."""


def need_torch() -> None:
    """Raise `UserError` if what training needs is not installed."""
    missing = [name for name in ("torch", "lightning", "segmentation_models_pytorch") if not installed(name)]
    if missing:
        raise UserError(f"training needs {', '.join(missing)}: pip install 'handbones[train]'")


def counted(number: int, what: str, several: str | None = None) -> str:
    """As `1 picture` or `2 pictures`; `several` is for a word whose plural has no mere s."""
    return f"{number} {what}" if number == 1 else f"{number} {several or f'{what}s'}"


def quoted(path: Path | str) -> str:
    """A path as a shell takes it, for commands that a user may copy."""
    return subprocess.list2cmdline([str(path)]) if os.name == "nt" else shlex.quote(str(path))


def collection_of(data: Path, *, skip_bad: bool, labels_wanted: bool = True) -> Collection:
    """Open a collection; with `skip_bad` without the cases that have problems, of which a line tells.

    Then every picture is decoded first: what is damaged inside would stop the work that should leave it out.
    """
    collection = opened(data, strict=not skip_bad, deep=skip_bad, labels_wanted=labels_wanted)
    say_left_out(collection)
    return collection


def opened(data: Path, **how: Any) -> Collection:
    """`open_collection`, which shows how far it is where that takes long."""
    first = os.environ.get("RANK", "0") == "0"  # of several processes one speaks for all
    with counting_if_long("cases checked") as progress:
        return open_collection(data, **how, seen=progress if first else None)


def decode_first(collection: Collection, cases: Sequence[Case], *, skip_bad: bool) -> None:
    """Raise `UserError` for cases of `collection_of` whose pictures are damaged inside, all at once.

    For work that takes far longer than decoding and would lose all at such a picture. With `skip_bad` they are left
    out already.
    """
    if not skip_bad:
        with counting("pictures decoded", len(cases)) as progress:
            refuse_damaged(collection.root, cases, seen=progress)


def say_left_out(collection: Collection, most: int = 3) -> None:
    """Print how many cases are left out, and the paths of the first; nothing if none are."""
    cases = collection.left_out
    files = {path for case in cases for path in (case.image, case.labels)}
    others = dict.fromkeys(problem.path for problem in collection.problems if problem.path not in files)
    paths = [*(case.image for case in cases), *others]
    if paths:
        what = [counted(len(few), name) for few, name in ((cases, "case"), (others, "other file")) if few]
        more = f" and {len(paths) - most} more" if len(paths) > most else ""
        print(
            f"left out: {' and '.join(what)} with problems (handbones check --deep {collection.root} lists them): "
            f"{', '.join(map(str, paths[:most]))}{more}"
        )
    say_unread(collection)


def say_unread(collection: Collection, most: int = 3) -> None:
    """Print which files are passed over since their format is not read; nothing if none are."""
    if paths := collection.unread:
        more = f" and {len(paths) - most} more" if len(paths) > most else ""
        print(f"passed over, since not {FORMATS}: {', '.join(map(str, paths[:most]))}{more}")


@contextmanager
def counting(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar on standard error that counts up to `total`; in a pipe, a line at each tenth. Yields what moves it on."""
    console = Console(stderr=True, highlight=False)
    bar = Progress(
        TextColumn(what),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    task = bar.add_task(what, total=total)
    done = 0

    def advance(by: int) -> None:
        nonlocal done
        before, done = done, done + by
        bar.update(task, completed=done)
        if bar.disable and total and 10 * done // total > 10 * before // total:
            console.print(f"{done} of {total} {what}")

    with bar:
        yield advance


@contextmanager
def counting_if_long(what: str) -> Iterator[Callable[[int, int], None]]:
    """As `counting`, of work that is mostly over in a moment: shown after one, if more than another is left.

    Yields what is told how many are done, and of how many.
    """
    begun, shown = 0.0, 0
    advance: Callable[[int], None] | None = None

    def seen(done: int, total: int) -> None:
        nonlocal begun, shown, advance
        begun = begun or time.monotonic()  # after the first: what only that one waits for tells nothing of the others
        took = time.monotonic() - begun
        if advance is None and min(took, took * (total - done) / done) > _MOMENT_S:
            advance = stack.enter_context(counting(what, total))
        if advance is not None:
            advance(done - shown)
            shown = done

    with ExitStack() as stack:
        yield seen


class TrainingConsole(Watch):
    """Shows a training: progress, loss, speed, Dice."""

    PLAIN_SECONDS = 15.0
    """Between two lines where there is no terminal."""

    def __init__(self) -> None:
        self.console = Console(highlight=False, soft_wrap=True)
        self.live = self.console.is_terminal
        self.progress = Progress(
            TextColumn("training"),
            BarColumn(bar_width=24),
            TextColumn("{task.percentage:>3.0f} %  {task.description}"),
            TimeElapsedColumn(),
            console=self.console,
            disable=not self.live,
        )
        self.task: TaskID | None = None
        self._last_line = time.monotonic() - self.PLAIN_SECONDS / 2  # the first comes sooner

    def __enter__(self) -> Self:
        self.progress.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.progress.__exit__(kind, error, trace)

    def said(self, text: str) -> None:
        """A line that stays."""
        self.console.print(text)

    def stepped(self, state: State) -> None:
        """Bring the bar, or every now and then a line, up to date."""
        text = describe(state)
        if self.live:
            self._show(text, state.progress)
        elif state.progress >= 1 or time.monotonic() - self._last_line >= self.PLAIN_SECONDS:
            self._last_line = time.monotonic()
            self.console.print(f"{100 * state.progress:3.0f} %  {state.minutes:.1f} min  {text}")

    def examined(self, done: int, total: int) -> None:
        """How far a validation is, if it takes its time."""
        text = f"validating: {done} of {total} pictures"
        if self.live:
            self._show(text)
        elif time.monotonic() - self._last_line >= self.PLAIN_SECONDS:
            self._last_line = time.monotonic()
            self.console.print(text)

    def validated(self, state: State, bones: dict[str, float]) -> None:
        """A line with the Dice of a validation."""
        groups = ", ".join(f"{group} {_mean(bones, group):.3f}" for group in GROUPS)
        if self.live:
            self._show(describe(state), state.progress)
        best = ", the best so far" if state.dice >= state.best else f", best {state.best:.4f}"
        self.console.print(f"step {state.step}, {state.minutes:.1f} min: Dice {state.dice:.4f} ({groups}){best}")

    def _show(self, text: str, completed: float | None = None) -> None:
        if self.task is None:
            self.task = self.progress.add_task(text, total=1.0)
        self.progress.update(self.task, completed=completed, description=text)


def describe(state: State) -> str:
    """Step, loss, speed and Dice in one line."""
    parts = [f"step {state.step}"]
    if state.step:  # there is neither before the first
        parts += [f"loss {state.loss:.3f}", f"{state.rate:.1f} pictures/s"]
    if state.wait >= 0.05:
        parts.append(f"waiting {100 * state.wait:.0f} %")
    if not math.isnan(state.dice):
        parts.append(f"Dice {state.dice:.4f}")
    return "  ".join(parts)


def _mean(bones: dict[str, float], group: str) -> float:
    values = [bones[bone.label] for bone in ANATOMY if bone.group == group]
    return sum(values) / len(values)


def installed(name: str) -> bool:
    """Whether a package is there, without loading it."""
    return importlib.util.find_spec(name) is not None
