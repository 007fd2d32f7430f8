"""Several processes that share one prediction, where torchrun starts them: RANK of WORLD_SIZE in the environment."""

import logging
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from handbones.errors import UsageError
from handbones.inference.submission import merge_submissions

logger = logging.getLogger(__name__)

T = TypeVar("T")

_PAUSE_S = 0.2
_NEWS_S = 60.0


@dataclass(frozen=True)
class Shard:
    """The part of this process."""

    rank: int = 0
    count: int = 1

    @classmethod
    def of(cls, environment: Mapping[str, str] = os.environ) -> "Shard":
        """As the environment says; the whole where it says nothing. Raises `UsageError` where it makes no sense."""
        if "TORCHELASTIC_RUN_ID" not in environment:  # schedulers set the others, too, for a process that is alone
            return cls()
        rank, count = environment.get("RANK", "0"), environment.get("WORLD_SIZE", "1")
        if not (rank.isdecimal() and count.isdecimal() and int(rank) < int(count)):
            raise UsageError(f"RANK={rank} WORLD_SIZE={count}: start it with torchrun, or unset both")
        return cls(int(rank), int(count))

    def part(self, items: Sequence[T]) -> Sequence[T]:
        """Its own of some items, which follow each other."""
        return items[len(items) * self.rank // self.count : len(items) * (self.rank + 1) // self.count]

    def place(self, path: Path, rank: int | None = None) -> Path:
        """Where a process puts its part of a file, its own rank's unless given."""
        if self.count == 1:
            return path
        return path.with_name(f"{path.name}.{self.rank if rank is None else rank}-of-{self.count}")

    def merge(self, path: Path, since: float) -> None:
        """Rank 0 waits for the parts of all, made after the time `since`, and joins them; the others go on."""
        if self.count == 1 or self.rank > 0:
            return
        parts = [self.place(path, rank) for rank in range(self.count)]
        news = time.monotonic() + _NEWS_S
        while waiting := [part for part in parts if not _made(part, since)]:
            if time.monotonic() > news:
                logger.info("waiting for %s", waiting[0])
                news += _NEWS_S
            time.sleep(_PAUSE_S)
        merge_submissions(parts, path)


def _made(path: Path, since: float) -> bool:
    try:
        return path.stat().st_mtime >= since
    except FileNotFoundError:
        return False
