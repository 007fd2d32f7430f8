"""The recipe for some data, a device and a time budget, from the speed that the device shows."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from handbones.errors import UserError
from handbones.learning import cpu
from handbones.learning.networks import best_device, build_network
from handbones.recipe import Recipe, load_recipe

SIZES = (256, 320, 384, 512, 640, 768, 1024)
"""Longest sides that a network may see, in pixels."""
_PASSES = 20
_FEWEST = 5000
"""A size is worth its price if every case is seen `_PASSES` times, and so many samples in all."""
_OVERHEAD = 0.8
"""Share of the time that is left for training beside validation and the end."""
_BATCHES = (8, 16, 32)
_MEMORY = 0.7
"""Share of a GPU's memory that a step may take."""


@dataclass(frozen=True)
class Trial:
    """What a training step at one size costs on this device."""

    size: int
    batch: int
    rate: float
    """Samples a second."""
    samples: float
    """Seen within the budget."""


@dataclass(frozen=True)
class Plan:
    """A recipe and the reasons for it."""

    recipe: Recipe
    trials: tuple[Trial, ...]
    cases: int
    minutes: float
    device: str

    def __str__(self) -> str:
        """As a table to print."""
        wanted = wanted_samples(self.cases)
        lines = [f"plan for {self.cases} cases in {self.minutes:g} minutes on {self.device}, {wanted} samples wanted:"]
        for trial in self.trials:
            chosen = "  <- chosen" if trial.size == self.recipe.input.size else ""
            lines.append(
                f"  {trial.size:5} px  batch {trial.batch:2}  {trial.rate:7.1f} samples/s  {trial.samples:9.0f} samples"
                f"{chosen}"
            )
        return "\n".join(lines)


def plan(cases: int, minutes: float, overrides: list[str] | None = None) -> Plan:
    """Choose size and batch for `cases` training cases (0: phantoms alone), and lay `overrides` over the result.

    From small to large, steps are timed on this device, random pictures and no loader, until a size no longer allows
    as many samples as are wanted; the largest one that does is taken, or the smallest at all. Raises `UserError` where
    not even that fits into memory.
    """
    device = best_device()
    trials: list[Trial] = []
    for trial in _trials(device, minutes):
        if trials and trial.samples < wanted_samples(cases):
            break
        trials.append(trial)
    if not trials:
        raise UserError(f"{device.type}: not even a batch at {SIZES[0]} px fits into memory")
    chosen = trials[-1]
    settings = [
        f"input.size={chosen.size}",
        f"training.batch={chosen.batch}",
        f"training.minutes={minutes:g}",
        f"validation.minutes={max(1.0, minutes / 12):g}",
        # The average should span about a fiftieth of the steps.
        f"training.ema={max(0.9, 1 - 50 * chosen.batch / max(chosen.samples, 1)):.4f}",
    ]
    recipe = load_recipe("small", [*settings, *(overrides or [])])
    name = torch.cuda.get_device_name() if device.type == "cuda" else f"{torch.get_num_threads()} processor threads"
    return Plan(recipe, tuple(trials), cases, minutes, name)


def wanted_samples(cases: int) -> int:
    """Samples that a training on so many cases should see."""
    return max(_FEWEST, _PASSES * cases)


def _trials(device: torch.device, minutes: float) -> Iterator[Trial]:
    for size in SIZES:
        best: Trial | None = None
        for batch in _BATCHES if device.type == "cuda" else _BATCHES[:1]:
            rate = _rate(device, size, batch)
            if rate is None:
                break
            if best is None or rate > 1.05 * best.rate:
                best = Trial(size, batch, rate, rate * 60 * minutes * _OVERHEAD)
        if best is None:
            return
        yield best


def _rate(device: torch.device, size: int, batch: int) -> float | None:
    """Samples a second of forward and backward passes; None where memory does not suffice."""
    network = build_network(load_recipe("small", [f"input.size={size}"]), pretrained=False).to(device).train()
    network = network.to(memory_format=torch.channels_last)
    if device.type == "cpu":
        cpu.quicken_depthwise(network)
    pictures = torch.randint(0, 256, (batch, 1, size, size), dtype=torch.uint8, device=device)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()

    def step() -> None:
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type != "cpu" or cpu.has_bf16()):
            logits = network(pictures)
        logits.float().square().mean().backward()
        if device.type == "cuda":
            torch.cuda.synchronize()

    try:
        step()
        started, count = time.perf_counter(), 0
        while count < 2 or time.perf_counter() - started < 0.5:
            step()
            count += 1
    except (torch.OutOfMemoryError, MemoryError):
        return None
    if device.type == "cuda":
        free = _MEMORY * torch.cuda.get_device_properties(device).total_memory
        if torch.cuda.max_memory_allocated() > free:
            return None
    return batch * count / (time.perf_counter() - started)
