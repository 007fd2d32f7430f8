"""How a training goes between two reports."""

import math
import time

import numpy as np
import torch


class Meter:
    """Loss, speed and waiting since the last report. Losses stay on their device until they are asked for."""

    EVERY = 0.5
    """Seconds between reports."""

    def __init__(self) -> None:
        self.last = (math.nan, 0.0, 0.0)
        self.restart()

    def restart(self, waited: float = 0.0) -> None:
        self.start, self.waited = time.monotonic(), waited
        self.losses: list[torch.Tensor] = []
        self.samples = 0

    def end(self, loss: torch.Tensor, samples: int, accumulate: int) -> None:
        self.losses.append(loss.detach() * accumulate)  # Lightning has divided it
        self.samples += samples

    def due(self) -> bool:
        return time.monotonic() - self.start >= self.EVERY

    def read(self, waited: float) -> tuple[float, float, float]:
        """Mean loss, samples a second, share of the time spent waiting; those of the last report if there are none."""
        if self.losses:
            loss = float(np.mean([float(value) for value in self.losses]))  # waits until a GPU has done its steps
            passed = max(time.monotonic() - self.start, 1e-9)
            self.last = (loss, self.samples / passed, min(1.0, (waited - self.waited) / passed))
        return self.last
