"""The processes that train together, one a device, as `torchrun` starts them."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed

from handbones.errors import UserError

T = TypeVar("T")


@dataclass(frozen=True)
class World:
    """Where this process stands among those that train together. By itself it is the only one."""

    rank: int = 0
    size: int = 1
    nodes: int = 1
    _groups: list[Any] = field(default_factory=list, repr=False, compare=False)

    @classmethod
    def of_environment(cls, environment: Mapping[str, str] = os.environ) -> "World":
        """From the variables that `torchrun` sets. Raises `UserError` where nodes have different numbers of them."""
        size = int(environment.get("WORLD_SIZE") or 1)
        if size == 1 or "TORCHELASTIC_RUN_ID" not in environment:
            return cls()
        on_this_node = int(environment["LOCAL_WORLD_SIZE"])
        if size % on_this_node:
            raise UserError(
                f"torchrun: {size} processes do not fill nodes of {on_this_node}: start equally many on each"
            )
        return cls(int(environment["RANK"]), size, size // on_this_node)

    @property
    def writes(self) -> bool:
        """Whether this process writes files and speaks; only one does."""
        return self.rank == 0

    def largest(self, values: Iterable[float]) -> list[float]:
        """The largest of what the processes have, value by value; all must ask."""
        if self.size == 1:
            return list(values)
        # By way of the processor: asking the accelerator would have it finish its work first.
        shared = torch.tensor(list(values), dtype=torch.float64)
        distributed.all_reduce(shared, distributed.ReduceOp.MAX, group=self._beside())
        return [float(value) for value in shared]

    def gather(self, own: T) -> list[T]:
        """What each of the processes has, in their order, for all of them; all must ask."""
        if self.size == 1:
            return [own]
        found: list[Any] = [None] * self.size
        distributed.all_gather_object(found, own, group=self._beside())
        return found

    def spread(self, tensors: Iterable[Tensor]) -> None:
        """Overwrite tensors with those of the first process; all must ask."""
        if self.size > 1:
            for tensor in tensors:
                distributed.broadcast(tensor, 0)

    def _beside(self) -> Any:
        """A group that talks from processor to processor, whatever the training uses."""
        if not self._groups:
            self._groups.append(distributed.new_group(backend="gloo"))
        return self._groups[0]
