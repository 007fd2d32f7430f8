"""What the benchmarks share: medians, peak memory, the machine, rows of ours against theirs as a table and as JSON."""

import json
import os
import platform
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

Row = dict[str, Any]


def compare(name: str, ours: float, theirs: float, unit: str, goal: float, *, more: bool = False) -> Row:
    """A row; `more`: where more of the unit is better. A larger ratio is better for ours."""
    ratio = ours / theirs if more else theirs / ours
    print(f"{name:58} {ours:10.4g} {theirs:10.4g} {unit:9} {ratio:7.2f}  (goal {goal:g})", flush=True)
    return {"name": name, "ours": ours, "theirs": theirs, "unit": unit, "ratio": ratio, "goal": goal}


CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


def milliseconds(
    ours: Callable[[int], Any], theirs: Callable[[int], Any], rounds: int, clock: str = "wall"
) -> tuple[float, float]:
    """Median times of both, taken in turns so that other work on the machine meets both; the first round is left out.

    The round's number is handed to them. The clock `cpu` counts this process's own time, for a machine that is busy.
    """
    now = CLOCKS[clock]
    times: tuple[list[float], list[float]] = ([], [])
    for number in range(rounds + 1):
        for work, taken in zip((ours, theirs), times, strict=True):
            start = now()
            work(number)
            taken.append(1e3 * (now() - start))
    return median(times[0][1:]), median(times[1][1:])


@contextmanager
def peak_memory(found: list[float]) -> Iterator[None]:
    """Append the highest memory in MB that this process and its children held beyond what they hold now (Linux)."""
    before, highest, done = _held(), 0.0, threading.Event()

    def look() -> None:
        nonlocal highest
        while not done.wait(0.02):
            highest = max(highest, _held() - before)

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()
        found.append(highest)


def _held() -> float:
    """Proportional set size of this process and all its children, in MB: what is shared is counted once."""
    total, waiting = 0, [os.getpid()]
    while waiting:
        process = waiting.pop()
        try:
            for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1])
            for children in Path(f"/proc/{process}/task").glob("*/children"):
                waiting += [int(child) for child in children.read_text().split()]
        except OSError:
            continue  # it has ended
    return total / 1024


def in_a_process_of_its_own(script: str, *arguments: str) -> dict[str, float]:
    """Run a script and return what its last line holds as JSON: memory of others does not mix in."""
    command = [sys.executable, script, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def machine() -> dict[str, Any]:
    """Processor, cores, memory, accelerator, load and versions."""
    import cv2
    import numpy as np
    import torch

    cpu = next((line for line in _lines("/proc/cpuinfo") if line.startswith("model name")), platform.processor())
    memory = next((line for line in _lines("/proc/meminfo") if line.startswith("MemTotal")), "MemTotal: 0").split()[1]
    return {
        "processor": cpu.partition(":")[2].strip() or cpu,
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gb": round(int(memory) / 2**20),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "load": [round(value, 1) for value in os.getloadavg()],
        "python": platform.python_version(),
        "torch": torch.__version__,
        "opencv": cv2.__version__,
        "numpy": np.__version__,
    }


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines() if Path(path).exists() else []


def report(rows: list[Row], file: Path | None, **more: Any) -> None:
    """Write the JSON, where one is wanted."""
    if file is not None:
        file.write_text(json.dumps({"machine": machine(), "rows": rows, **more}, indent=1) + "\n")
