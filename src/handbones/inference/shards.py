"""Several processes that share one prediction, where torchrun starts them: RANK of WORLD_SIZE in the environment."""

import hashlib
import logging
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from handbones.errors import UsageError
from handbones.files import write_text
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

    def clear(self, path: Path) -> None:
        """Remove what an earlier run left for its part of a file; that of the others is theirs to remove."""
        if self.count > 1:
            self.place(path).unlink(missing_ok=True)
            self._stamp(path, self.rank).unlink(missing_ok=True)

    def merge(self, path: Path, since: float, work: str) -> None:
        """Say that this part is made; rank 0 waits for those of all and joins them, the others go on.

        `work` tells model, options and pictures: parts that an earlier run made of others are not taken, nor are those
        from before the time `since`.
        """
        if self.count == 1:
            return
        digest = hashlib.sha256(work.encode()).hexdigest()
        write_text(self._stamp(path, self.rank), digest)
        if self.rank > 0:
            return
        stamps = [self._stamp(path, rank) for rank in range(self.count)]
        news = time.monotonic() + _NEWS_S
        while waiting := [stamp for stamp in stamps if not _made(stamp, since, digest)]:
            if time.monotonic() > news:
                logger.info("waiting for %s", waiting[0].with_suffix(""))
                news += _NEWS_S
            time.sleep(_PAUSE_S)
        merge_submissions([self.place(path, rank) for rank in range(self.count)], path)
        for stamp in stamps:
            stamp.unlink()

    def _stamp(self, path: Path, rank: int) -> Path:
        """What says that a part is whole, and of which work."""
        part = self.place(path, rank)
        return part.with_name(f"{part.name}.made")


def _made(stamp: Path, since: float, digest: str) -> bool:
    try:
        return stamp.stat().st_mtime >= since and stamp.read_text(encoding="utf-8") == digest
    except FileNotFoundError:
        return False
