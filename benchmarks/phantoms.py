"""What a training phantom costs: drawn by a worker alone, or as a scene that is rendered where the network trains.

    python benchmarks/phantoms.py [--size 512] [--batch 16] [--profile wild] [--json FILE]

Workers' times are those of one core, by its own clock, averaged over the same phantoms, with the few that show no hand
or two of them, which workers finish in either way. Rendering is timed on the GPU where there is one, else on the
processor, where nobody would use it.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from measuring import report

from handbones.learning.networks import best_device
from handbones.learning.rendering import Scenes, render
from handbones.phantom.drawing import draw_sample
from handbones.phantom.scene import Scene, draw_scene
from handbones.phantom.settings import PRESETS, PhantomSettings


def worker_ms(draw: Callable[..., Any], settings: PhantomSettings, size: int, rounds: int) -> float:
    """Milliseconds of one core for a phantom, on average."""
    draw(np.random.default_rng(0), settings, size, size)
    start = time.process_time()
    for seed in range(rounds):
        draw(np.random.default_rng(seed), settings, size, size)
    return 1e3 * (time.process_time() - start) / rounds


def scenes_of(settings: PhantomSettings, size: int, count: int) -> list[Scene]:
    """The first so many scenes of hands; what comes finished is left out."""
    found: list[Scene] = []
    for seed in range(2 * count + 10):
        drawn, _ = draw_scene(np.random.default_rng(seed), settings, size, size)
        if isinstance(drawn, Scene):
            found.append(drawn)
    return found[:count]


def render_ms(scenes: list[Scene], device: torch.device, rounds: int) -> float:
    """Milliseconds of the device for a phantom in a batch, the way there included."""
    clock = time.perf_counter if device.type == "cuda" else time.process_time
    times = []
    for _ in range(rounds + 1):
        batch = Scenes.of(scenes)
        start = clock()
        there = Scenes._make(part.to(device) if isinstance(part, torch.Tensor) else part for part in batch)
        pictures, _ = render(there)
        pictures[0, 0, 0, 0].item()  # waits for all of it
        times.append(1e3 * (clock() - start))
    return float(np.median(times[1:])) / len(scenes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--profile", choices=PRESETS, default="wild")
    parser.add_argument("--rounds", type=int, default=100, help="phantoms a worker draws; a tenth as many batches")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    settings, device = PRESETS[options.profile], best_device()
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    rows = [
        {"name": "drawn by a worker", "ms": worker_ms(draw_sample, settings, options.size, options.rounds)},
        {"name": "a worker's share of a scene", "ms": worker_ms(draw_scene, settings, options.size, options.rounds)},
    ]
    scenes = scenes_of(settings, options.size, options.batch)
    rounds = max(1, options.rounds // 10) if device.type == "cuda" else 1
    where = torch.cuda.get_device_name() if device.type == "cuda" else "one core of the processor: there is no GPU"
    name = f"rendering in batches of {options.batch} on {where}"
    rows.append({"name": name, "ms": render_ms(scenes, device, rounds)})
    for row in rows:
        print(f"{row['ms']:8.1f} ms  {row['name']}")
    report(rows, options.json, size=options.size, profile=options.profile)


if __name__ == "__main__":
    main()
