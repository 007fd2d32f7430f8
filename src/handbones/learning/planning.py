"""The recipe for some data, a device and a time budget, from the speed that the device shows."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch

from handbones.errors import UserError
from handbones.learning import cpu
from handbones.learning.fit import precision_here
from handbones.learning.networks import best_device, build_network
from handbones.memory import full_memory
from handbones.recipe import Recipe, load_recipe

SIZES = (256, 320, 384, 512, 640, 768, 1024)
"""Longest sides that a network may see, in pixels."""
_PASSES = 20
_FEWEST = 5000
"""A size is worth its price if every case is seen `_PASSES` times, and so many samples in all."""
_OVERHEAD = 0.8
"""Share of the time that is left for training beside validation and the end."""
_BATCHES = (2, 4, 8, 16, 32)
_AS_FAST = 0.95
"""Share of the speed of a larger batch that a smaller one must have to be preferred."""
_TYPES = {"16-mixed": torch.float16, "bf16-mixed": torch.bfloat16}
"""Of what is multiplied, by Lightning's name of the precision."""
_MEMORY = 0.7
"""Share of a GPU's memory that a step may take."""
Timed = Callable[[int, int], float | None]
"""Samples a second at a size and with a batch; None where memory does not suffice."""


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

    Steps are timed on this device, random pictures and no loader, at the smallest size and then at the largest at which
    the best so far, scaled by pixels, promises as many samples as are wanted: few sizes, since a processor is slow
    with large ones and a GPU prepares itself for each for up to ten seconds. Raises `UserError` where not even the
    smallest fits into memory. Of the overrides those of `network` and the precision are in what is timed.
    """
    device, wanted = best_device(), wanted_samples(cases)
    batches = _BATCHES[:1] if device.type == "cpu" else _BATCHES[::-1]
    timed = partial(_rate, device, settings=list(filter(_is_timed, overrides or [])))
    chosen = _try(timed, batches, SIZES[0], minutes)
    if chosen is None:
        raise UserError(f"{device.type}: not even a batch at {SIZES[0]} px fits into memory")
    trials, larger = [chosen], list(SIZES[1:])
    while promising := [size for size in larger if chosen.samples * (chosen.size / size) ** 2 >= wanted]:
        trial = _try(timed, batches, promising[-1], minutes)
        trials += [trial] if trial else []
        if trial is not None and trial.samples >= wanted:
            chosen = trial
            larger = [size for size in larger if size > promising[-1]]
        else:
            larger = [size for size in larger if size < promising[-1]]
    trials.remove(chosen)
    chosen = _smallest_batch(timed, chosen, minutes)
    trials = sorted([*trials, chosen], key=lambda trial: trial.size)
    settings = [
        f"input.size={chosen.size}",
        f"training.batch={chosen.batch}",
        f"training.minutes={minutes:g}",
        f"validation.minutes={max(1.0, minutes / 12):g}",
        # The average should span about a fiftieth of the steps.
        f"training.ema={min(0.9999, max(0.9, 1 - 50 * chosen.batch / max(chosen.samples, 1))):.4f}",
    ]
    recipe = load_recipe("small", [*settings, *(overrides or [])])
    return Plan(recipe, tuple(trials), cases, minutes, _named(device))


def wanted_samples(cases: int) -> int:
    """Samples that a training on so many cases should see."""
    return max(_FEWEST, _PASSES * cases)


def _try(timed: Timed, batches: Sequence[int], size: int, minutes: float) -> Trial | None:
    """With the first of the batches that fits into memory."""
    for batch in batches:
        rate = timed(size, batch)
        if rate is not None:
            return Trial(size, batch, rate, rate * 60 * minutes * _OVERHEAD)
    return None


def _smallest_batch(timed: Timed, best: Trial, minutes: float) -> Trial:
    """The same with the smallest batch that costs no speed: as many samples in more steps."""
    fastest = best.rate  # small losses, one after the other, are a large one
    for batch in (batch for batch in _BATCHES[::-1] if batch < best.batch):
        trial = _try(timed, (batch,), best.size, minutes)
        if trial is None or trial.rate < _AS_FAST * fastest:
            break
        best, fastest = trial, max(fastest, trial.rate)
    return best


def _rate(device: torch.device, size: int, batch: int, settings: Sequence[str] = ()) -> float | None:
    """Samples a second of forward and backward passes; None where memory does not suffice."""
    recipe = load_recipe("small", [f"input.size={size}", *settings])
    network = build_network(recipe, pretrained=False).train().to(memory_format=torch.channels_last)
    if device.type == "cpu":
        cpu.quicken(network)
    kind = _TYPES.get(precision_here(recipe.training.precision))  # as it will train: not every GPU is made for bf16

    def step() -> None:
        with torch.autocast(device.type, kind, enabled=kind is not None):
            logits = network(pictures)
        logits.float().square().mean().backward()
        if device.type != "cpu":
            torch.accelerator.synchronize()

    try:
        network = network.to(device)
        pictures = torch.randint(0, 256, (batch, 1, size, size), dtype=torch.uint8, device=device)
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        step()
        started, count = time.perf_counter(), 0
        while count < 1 or time.perf_counter() - started < 0.5:
            step()
            count += 1
    except (RuntimeError, MemoryError) as error:
        if full_memory(error) is None:
            raise
        return None
    if device.type == "cuda":
        free = _MEMORY * torch.cuda.get_device_properties(device).total_memory
        if torch.cuda.max_memory_allocated() > free:
            return None
    return batch * count / (time.perf_counter() - started)


def _is_timed(override: str) -> bool:
    """Whether the time of a step depends on it, beside size and batch."""
    field = override.partition("=")[0].strip()
    return field.partition(".")[0] == "network" or field == "training.precision"


def _named(device: torch.device) -> str:
    if device.type == "cpu":
        return f"{torch.get_num_threads()} processor threads"
    return torch.cuda.get_device_name() if device.type == "cuda" else device.type.upper()
