"""The way of the data against that of the competition's starting code, in one process and in turns.

    python benchmarks/data_path.py [DATA] [--rounds 15] [--json FILE]

DATA is a labelled collection of 2048-pixel radiographs; without it, six synthetic ones are made, and saved as usual
PNGs are, with adaptive filters and zlib's level 6. Ours augments (flip, turn, scale, shear, shift, perspective, bend,
tones, local contrast, shadow, cut-outs, blur, noise), theirs does not.
"""

import argparse
import json
import tempfile
from pathlib import Path

import cv2
import numpy as np
import torch
from document import XRayDataset, validation_dice
from measuring import CLOCKS, Row, compare, in_a_process_of_its_own, milliseconds, peak_memory, report
from torch.utils.data import DataLoader

from handbones.collection import Case, open_collection
from handbones.inference.view import Rectangle, View
from handbones.labels import load_labels
from handbones.learning.batches import Serials
from handbones.learning.cache import PictureCache
from handbones.learning.dataset import TrainingSet, training_loader
from handbones.learning.losses import coverage
from handbones.learning.validation import Item, score
from handbones.radiograph import load_radiograph
from handbones.raster import unpack
from handbones.recipe import Recipe, load_recipe

AUGMENT = (
    "augment={flip: 0.5, rotate: 30, scale: [0.85, 1.15], shear: 4, translate: 0.05, perspective: 0.1, elastic: 0.01,"
    " brightness: 0.1, contrast: 0.25, gamma: 0.4, clahe: 0.2, shadow: 0.1, cutouts: 2, collimation: 0.1, blur: 1,"
    " noise: 0.02}"
)


def recipe(size: int, *overrides: str) -> Recipe:
    return load_recipe("small", [f"input.size={size}", AUGMENT, *overrides])


def samples(cases: list[Case], folder: Path, rounds: int, clock: str) -> list[Row]:
    """Time of a sample: decoded before or not, at three sizes."""
    rows = []
    for size, goal, what in ((512, 25, "warm"), (512, 6, "cold"), (1024, 15, "warm"), (2048, 8, "warm")):
        chosen = recipe(size)
        ours, theirs = TrainingSet(chosen, cases, PictureCache(folder)), XRayDataset(cases, size)
        for serial in range(len(cases)):
            ours[serial]

        def sample(number: int, ours: TrainingSet = ours, cold: bool = what == "cold", chosen: Recipe = chosen) -> None:
            if cold:  # nothing known of any case: a new cache, and labels to be read
                with tempfile.TemporaryDirectory(dir=folder) as empty:
                    TrainingSet(chosen, cases, PictureCache(Path(empty)))[number]
            else:
                ours[number]

        times = milliseconds(sample, theirs.__getitem__, rounds, clock)
        rows.append(compare(f"training sample 2048 -> {size}, cache {what}", *times, "ms", goal))
    files = [case.image for case in cases]
    decoding = milliseconds(
        lambda number: load_radiograph(files[number % len(files)]),
        lambda number: cv2.imread(str(files[number % len(files)]), cv2.IMREAD_GRAYSCALE),
        rounds,
        clock,
    )
    print("    of the cold sample, decoding the picture: {:.0f} ms; as OpenCV does it: {:.0f} ms".format(*decoding))
    return rows


def save_as_usual(cases: list[Case]) -> None:
    """Save the pictures anew as most programs do; phantoms are saved in a quicker way."""
    options = [cv2.IMWRITE_PNG_COMPRESSION, 6, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_DEFAULT]
    options += [cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_ALL_FILTERS]
    for case in cases:
        cv2.imwrite(str(case.image), cv2.imread(str(case.image)), options)


def transport(cases: list[Case], folder: Path) -> list[Row]:
    """What a sample weighs on its way to the device, and what other ways to pack 29 masks would weigh and cost."""
    ours, theirs = TrainingSet(recipe(1024), cases, PictureCache(folder))[0], XRayDataset(cases, 1024)[0]
    sizes = [float(sum(part.nbytes for part in parts)) for parts in (ours.values(), theirs)]
    row = compare("bytes of a sample at 1024, worker to device", *sizes, "bytes", 20)
    words = torch.from_numpy(ours["masks"])[None]
    planes = coverage(words, 1)[0].to(torch.uint8).contiguous()
    bits = torch.from_numpy(np.packbits(planes.numpy(), axis=0))
    ways = {
        "a word a pixel": (words.nbytes, lambda: coverage(words, 1)),
        "bytes, 29 planes": (planes.nbytes, planes.float),
        "packed bits, 4 planes": (bits.nbytes, lambda: _unpack_planes(bits)),
    }
    for name, (size, to_float) in ways.items():
        time, _ = milliseconds(lambda _, work=to_float: work(), lambda _: None, 5)  # type: ignore[misc]
        print(f"    masks as {name}: {size / 2**20:.1f} MiB, {time:.1f} ms to float planes on this processor")
    return [row]


def _unpack_planes(bits: torch.Tensor) -> torch.Tensor:
    """What numpy's packbits along the planes has packed, as float planes."""
    shifts = torch.arange(7, -1, -1, dtype=torch.uint8)[None, :, None, None]
    return (bits[:, None] >> shifts & 1).flatten(0, 1)[:29].float()


def validation(cases: list[Case], rounds: int, clock: str) -> list[Row]:
    """Whole-image Dice of two pictures at 2048 from logits at 512."""
    logits, packed, dense = _logits(cases[:2])
    items = [_item(words) for words in packed]
    scores = np.array([score(one, item, 0.5) for one, item in zip(logits.numpy(), items, strict=True)])
    assert np.abs(scores - validation_dice(logits, dense).numpy()).max() < 1e-6
    times = milliseconds(
        lambda _: [score(one, item, 0.5) for one, item in zip(logits.numpy(), items, strict=True)],
        lambda _: validation_dice(logits, dense),
        max(3, rounds // 3),
        clock,
    )
    return [compare("validation Dice at 2048, a batch of 2", *times, "ms", 10)]


def _logits(cases: list[Case]) -> tuple[torch.Tensor, list[np.ndarray], torch.Tensor]:
    """Logits (N, 29, 512, 512) that nearly find the bones; the truth packed; the truth as float planes."""
    packed = [load_labels(str(case.labels)).packed(2048, 2048) for case in cases]
    dense = torch.from_numpy(np.stack([unpack(words) for words in packed])).float()
    blurred = [cv2.resize(plane.numpy(), (512, 512), interpolation=cv2.INTER_AREA) for plane in dense.flatten(0, 1)]
    noise = np.random.default_rng(0).normal(0, 0.5, (len(blurred), 512, 512)).astype(np.float32)
    logits = 12 * (np.array(blurred) - 0.5) + noise
    return torch.from_numpy(logits.reshape(len(cases), 29, 512, 512)), packed, dense


def _item(words: np.ndarray) -> Item:
    areas = np.array([np.count_nonzero(words & np.uint32(1 << bone)) for bone in range(29)])
    return Item(
        np.zeros((512, 512), np.uint8), View.of(Rectangle.whole(2048, 2048), (2048, 2048), 512, 1), words, areas
    )


def memory(data: Path, folder: Path) -> list[Row]:
    """Peak memory, each in a process of its own."""
    rows = []
    for name, what, goal in (
        ("peak memory of that validation", "validation", 8),
        ("peak memory of a loader at 2048, 4 workers, batch 1", "loader", 5),
    ):
        found = [
            in_a_process_of_its_own(__file__, str(data), "--peak", f"{what}-{whose}", "--cache", str(folder))
            for whose in ("ours", "theirs")
        ]
        rows.append(compare(name, *(one["peak"] for one in found), "MB", goal))
    return rows


def peak(what: str, cases: list[Case], folder: Path) -> float:
    """MB that a validation or a loader takes at its height; the logits are there before."""
    found: list[float] = []
    if what.startswith("validation"):
        logits, packed, dense = _logits(cases[:2])
        if what.endswith("ours"):
            del dense
            items = [_item(words) for words in packed]
            score(logits[0].numpy(), items[0], 0.5)  # load what it needs
            with peak_memory(found):
                for one, item in zip(logits.numpy(), items, strict=True):
                    score(one, item, 0.5)
            return found[0] + sum(words.nbytes for words in packed) / 2**20
        with peak_memory(found):
            validation_dice(logits, dense)
        return found[0] + dense.nbytes / 2**20
    ours = what.endswith("ours")
    chosen = recipe(2048, "training.batch=1")
    ours_loader = training_loader(
        TrainingSet(chosen, cases, PictureCache(folder)), Serials(1, 0, 8), workers=4, on_gpu=False
    )
    theirs_loader = DataLoader(XRayDataset(cases * 4, 2048), batch_size=1, num_workers=4, sampler=range(8))
    with peak_memory(found):
        for _ in ours_loader if ours else theirs_loader:
            pass
    return found[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--clock", choices=CLOCKS, default="wall", help="cpu: on a machine that others use")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--peak", help=argparse.SUPPRESS)
    parser.add_argument("--cache", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peak:
        print(json.dumps({"peak": peak(options.peak, open_collection(options.data).labelled, options.cache)}))
        return
    cv2.setNumThreads(1)  # a loader's workers have one each
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as place:
        data, folder = options.data or Path(place, "data"), Path(place, "cache")
        if options.data is None:
            from handbones.phantom.synthesis import synth

            synth(data, 3, 1, size=2048, test_persons=0)
            save_as_usual(open_collection(data).labelled)
        cases = open_collection(data).labelled
        print(f"{'':58} {'ours':>10} {'theirs':>10} {'':9} {'ratio':>7}")
        rows = samples(cases, folder, options.rounds, options.clock) + transport(cases, folder)
        rows += validation(cases, options.rounds, options.clock)
        report(rows, options.json, clock=options.clock)  # in case what follows takes too much
        rows += memory(data, folder)
    report(rows, options.json, clock=options.clock)


if __name__ == "__main__":
    main()
