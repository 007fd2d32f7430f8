"""The training loop against what it cannot be faster than, and, on a GPU, against the competition's starting code.

    python benchmarks/training.py [DATA] [--steps 40] [--document] [--json FILE]

DATA is a labelled collection of 2048-pixel radiographs; without it, six synthetic ones are made.
"""

import argparse
import contextlib
import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from multiprocessing import active_children
from multiprocessing.process import BaseProcess
from pathlib import Path
from statistics import mean, median

import cv2
import torch
from document import XRayDataset
from measuring import Row, compare, milliseconds, report
from torch import nn
from torch.utils.data import DataLoader

from handbones.collection import Collection, open_collection
from handbones.learning import cpu
from handbones.learning.cache import PictureCache
from handbones.learning.dataset import TrainingSet
from handbones.learning.fit import fit
from handbones.learning.losses import SegmentationLoss
from handbones.learning.module import BoneModule
from handbones.learning.networks import best_device, build_network
from handbones.learning.watch import State, Watch
from handbones.recipe import Recipe, load_recipe

_WARM_UP = 3
"""Steps that are left out of every figure."""
_AGAINST = {
    "fcn_resnet50 at 512": ["input.size=512"],
    "U-Net on ResNet-34 at 1024": [
        "input.size=1024", "network.decoder=unet", "network.encoder=resnet34", "network.channels=1",
    ],
}  # fmt: skip


class Pace(Watch):
    """Times all steps after the warm-up together, as `document_loop` does."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.waits: list[float] = []

    def stepped(self, state: State) -> None:
        if state.step >= _WARM_UP:
            self.times.append(time.perf_counter())
            self.waits.append(state.wait)

    def read(self, batch: int) -> tuple[float, float]:
        """Pictures a second, and the share of the time that the network waited for them."""
        return batch * (len(self.times) - 1) / (self.times[-1] - self.times[0]), mean(self.waits[1:])


class Bare:
    """Forward and backward alone, on tensors that are there: what no training can be faster than."""

    def __init__(self, recipe: Recipe, clock: Callable[[], float] = time.perf_counter, *, quick: bool = True) -> None:
        self.device, self.clock = best_device(), clock
        network = build_network(recipe, pretrained=False).to(self.device).train()
        if recipe.training.channels_last:
            network = network.to(memory_format=torch.channels_last)
        if self.device.type == "cpu":
            cpu.keep_memory()
            if quick:
                cpu.quicken(network)
        self.network, self.loss = network, SegmentationLoss(recipe.loss).to(self.device)
        self.low = self.device.type == "cuda" or cpu.has_bf16()
        batch, size = recipe.training.batch, recipe.input.size
        self.pictures = torch.randint(256, (batch, 1, size, size), dtype=torch.uint8, device=self.device)
        self.masks = torch.randint(2**29, (batch, size, size), dtype=torch.int32, device=self.device)

    def step(self) -> float:
        """Do it once; its seconds."""
        start = self.clock()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.low):
            logits = self.network(self.pictures)
        self.loss(logits, self.masks)[0].backward()
        self.network.zero_grad()
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        return self.clock() - start


class InTurns(Watch):
    """Has a training and bare passes take turns, step by step, so that a machine of changing speed is fair to both."""

    def __init__(self, bare: Bare) -> None:
        self.bare = bare
        self.seconds: list[tuple[float, float]] = []
        """Of a step of the training, and of the bare passes right after it."""
        self.waits: list[float] = []
        self._left: tuple[int, float] | None = None

    def stepped(self, state: State) -> None:
        now = time.perf_counter()
        with stopped(active_children()):
            passes = self.bare.step()
        if self._left is not None and self._left[0] >= _WARM_UP:
            step, left = self._left
            self.seconds.append(((now - left) / (state.step - step), passes))
            self.waits.append(state.wait)
        self._left = state.step, time.perf_counter()


@contextlib.contextmanager
def stopped(workers: list[BaseProcess]) -> Iterator[None]:
    """Meanwhile the workers make no samples: neither do they slow the passes, nor is there more in store after them."""
    for worker in workers:
        os.kill(worker.pid or 0, signal.SIGSTOP)
    try:
        yield
    finally:
        for worker in workers:
            os.kill(worker.pid or 0, signal.SIGCONT)


def loop_and_bare(recipe: Recipe, collection: Collection) -> tuple[float, float, float]:
    """Pictures a second of a training as users run it, of bare passes, and the training's data-wait."""
    turns = InTurns(Bare(recipe))
    with tempfile.TemporaryDirectory() as folder:
        fit(recipe, Path(folder, "run"), collection, watch=turns)
    steps, passes = (median(seconds) for seconds in zip(*turns.seconds, strict=True))
    return recipe.training.batch / steps, recipe.training.batch / passes, mean(turns.waits)


def whole_loop(recipe: Recipe, collection: Collection) -> tuple[float, float]:
    """Pictures a second and data-wait of a training as users run it."""
    pace = Pace()
    with tempfile.TemporaryDirectory() as folder:
        fit(recipe, Path(folder, "run"), collection, watch=pace)
    return pace.read(recipe.training.batch)


def limit(recipe: Recipe, collection: Collection, steps: int) -> dict[str, float]:
    """Milliseconds that one core works on a step: for the passes, the update of the weights, the samples.

    In one thread, by its own time, so that neither waiting for other threads nor other work on the machine counts.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    module = BoneModule(build_network(recipe, pretrained=False), recipe, lambda: 0.0)
    optimiser = module.configure_optimizers()
    for weight in module.network.parameters():
        weight.grad = torch.zeros_like(weight)

    def update(number: int) -> None:
        module.configure_gradient_clipping()
        optimiser.step()
        if module.average is not None:
            module.average.update(module.network, number + 1)

    with tempfile.TemporaryDirectory() as folder:
        samples = TrainingSet(recipe, collection.labelled, PictureCache(Path(folder)))
        for serial in range(2 * len(collection.labelled)):
            samples[serial]
        of_update, of_sample = milliseconds(update, samples.__getitem__, 8 * steps, "cpu")
    bare = Bare(recipe, time.process_time)
    passes = 1e3 * median([bare.step() for _ in range(steps + _WARM_UP)][_WARM_UP:])
    torch.set_num_threads(threads)
    return {"passes": passes, "update": of_update, "samples": recipe.training.batch * of_sample}


def gradients(recipe: Recipe, steps: int) -> Row:
    """Milliseconds of bare passes with our gradients of convolutions and with torch's."""
    ours, theirs = Bare(recipe), Bare(recipe, quick=False)
    times = milliseconds(lambda _: ours.step(), lambda _: theirs.step(), steps)
    return compare("small: passes with our gradients, with torch's", *times, "ms", 1)


def document_loop(recipe: Recipe, collection: Collection, steps: int) -> float:
    """Pictures a second of the starting code: its loader with 8 workers, float32, Adam, BCE."""
    device, batch = best_device(), recipe.training.batch
    network = build_network(recipe, pretrained=False).to(device).train()
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-4, weight_decay=1e-6)
    criterion = nn.BCEWithLogitsLoss()
    dataset = XRayDataset(collection.labelled, recipe.input.size)
    order = torch.arange(batch * (steps + _WARM_UP)).tolist()
    start = 0.0
    for step, (images, masks) in enumerate(DataLoader(dataset, batch, sampler=order, num_workers=8)):
        if step == _WARM_UP:
            start = time.perf_counter()
        # The network normalises for itself and takes one channel, 0 to 255: the same arithmetic as theirs.
        logits = network(255 * images[:, :1].to(device))
        loss = criterion(logits, masks.to(device))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        loss.item()
    return batch * steps / (time.perf_counter() - start)


@contextlib.contextmanager
def gpu_use(found: list[float]) -> Iterator[None]:
    """Append the mean use of the GPU in percent, where the driver's library (nvidia-ml-py) tells."""
    import threading

    values: list[float] = []
    done = threading.Event()

    def look() -> None:
        with contextlib.suppress(Exception):  # no library, no driver: no figure
            while not done.wait(0.1):
                values.append(torch.cuda.utilization())

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()
        found.append(mean(values) if values else float("nan"))


def against_document(collection: Collection, steps: int, overrides: list[str]) -> list[Row]:
    """Pictures a second of whole loops, ours and theirs, with the same network and batch."""
    rows = []
    for name, settings in _AGAINST.items():
        recipe = load_recipe("baseline", [*_short(steps), "network.weights=none", *settings, *overrides])
        quick = recipe.model_dump(mode="json")
        quick["training"] |= {"precision": "auto", "channels_last": True}
        use: list[float] = []
        with gpu_use(use):
            ours, wait = whole_loop(Recipe.model_validate(quick), collection)
        with gpu_use(use):
            theirs = document_loop(recipe, collection, steps)
        rows.append(compare(f"training, {name}", ours, theirs, "images/s", 5, more=True))
        print(f"    waiting for data {100 * wait:.1f} %; use of the GPU {use[0]:.0f} % against {use[1]:.0f} %")
    return rows


def _short(steps: int) -> list[str]:
    """So many steps, the one validation at the end on a single case, nothing written but the bundle."""
    budget = [f"training.steps={steps + _WARM_UP}", "training.minutes=null", "training.epochs=null"]
    due = ["validation.minutes=null", "validation.epochs=null", "validation.limit=1", "data.folds=3"]
    return [*budget, *due, "training.loggers=[]"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--document", action="store_true", help="also against the starting code (always on a GPU)")
    parser.add_argument(
        "--set", action="append", default=[], metavar="FIELD=VALUE", help="change a field of the recipes"
    )
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data = options.data or Path(folder, "data")
        if options.data is None:
            from handbones.phantom.synthesis import synth

            synth(data, 3, 1, size=2048, test_persons=0)
        collection = open_collection(data)
        # The bare passes are of the network alone and of one size, so the loop has no other maps to teach, nor sizes.
        plain = ["network.deep_supervision=0", "input.grow_from=null"]
        small = load_recipe("small", [*plain, *_short(options.steps), *options.set])
        loop, alone, wait = loop_and_bare(small, collection)
        name = "small: whole loop, bare forward and backward"
        rows = [compare(name, loop, alone, "images/s", 0.95, more=True)]
        print(f"    waiting for data {100 * wait:.1f} %")
        work = limit(small, collection, options.steps // 4) if best_device().type == "cpu" else {}
        if work:
            print("    one core's work on a step: " + ", ".join(f"{name} {ms:.0f} ms" for name, ms in work.items()))
            print(f"    so no loop on processors alone is above {work['passes'] / sum(work.values()):.2f}")
            rows.append(gradients(small, options.steps // 4))
        if options.document or torch.cuda.is_available():
            rows += against_document(collection, options.steps, options.set)
    report(rows, options.json, data_wait=wait, milliseconds_of_one_core=work)


if __name__ == "__main__":
    main()
