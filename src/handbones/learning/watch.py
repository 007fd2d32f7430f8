"""What a training tells whoever looks on."""

from dataclasses import dataclass


@dataclass(frozen=True)
class State:
    """Where a training is."""

    step: int
    epoch: float
    """Passes over the training cases; 0 where there are only phantoms."""
    minutes: float
    progress: float
    """Share of the budget that is used up, 0 to 1."""
    loss: float
    """Mean since the last report; NaN before the first step."""
    rate: float
    """Training pictures a second since the last report."""
    wait: float
    """Share of that time that the network waited for samples."""
    dice: float
    """Mean Dice of the latest validation; NaN before the first."""
    best: float
    """Highest mean Dice so far; NaN before the first validation."""


class Watch:
    """What a training tells; this one keeps quiet."""

    def said(self, text: str) -> None:
        """Something worth a line."""

    def stepped(self, state: State) -> None:
        """The network has learnt a little more; called at most twice a second."""

    def examined(self, done: int, total: int) -> None:
        """So many pictures of a validation are done; of several processes, those of the first."""

    def validated(self, state: State, bones: dict[str, float]) -> None:
        """Mean Dice by bone of a validation that is over."""
