"""From pictures to a submission, against the loop and encoder of the competition's starting code, in one process.

    python benchmarks/inference.py [--bundle BUNDLE] [--pictures 20] [--rounds 5] [--json FILE]

The bundle (the packaged model unless given) sees whole pictures at 512 pixels in onnxruntime; the starting code runs
fcn_resnet50 at 512 in torch. Pictures are synthetic, 2048 x 2048.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from document import decode_rle_to_mask, encode_mask_to_rle, masks_of_logits, predict_to_csv
from measuring import Row, compare, in_a_process_of_its_own, milliseconds, peak_memory, report
from torch import Tensor

from handbones import Segmenter, load_bundle, load_recipe, logits_to_rle, rle_decode, rle_encode
from handbones.anatomy import BONES
from handbones.inference.submission import SubmissionWriter
from handbones.inference.votes import vote, weights_of
from handbones.learning.export import load_network
from handbones.learning.networks import build_network
from handbones.phantom.drawing import make
from handbones.phantom.synthesis import synth

SIZE, FULL = 512, 2048


def phantom_masks(seed: int) -> np.ndarray:
    """(29, 2048, 2048) uint8."""
    return make(seed, "realistic", FULL)[1].masks(FULL, FULL)


def logits_of(masks: np.ndarray) -> np.ndarray:
    """Logits (29, 512, 512), as a network would say of these masks."""
    return np.stack([cv2.resize(m * 16.0, (SIZE, SIZE), interpolation=cv2.INTER_AREA) - 8 for m in masks]).astype("f4")


def hard_logits(logits: np.ndarray) -> dict[str, np.ndarray]:
    """Logits that are easily got wrong."""
    exact = logits.copy()
    exact[np.abs(exact) < 6] = 0  # sigmoid of 0 is the threshold, and not above it
    return {
        "a phantom": logits,
        "bones at the border": np.roll(logits, 200, axis=(1, 2)),
        "nothing": np.full_like(logits, -8),
        "all": np.full_like(logits, 8),
        "at the threshold": exact,
        "noise": np.random.default_rng(0).normal(size=logits.shape).astype(np.float32),
    }


def encoding(rounds: int) -> list[Row]:
    """Logits or masks to text and back."""
    masks = phantom_masks(1)
    logits = logits_of(masks)

    def document(values: np.ndarray) -> list[str]:
        return [encode_mask_to_rle(mask) for mask in masks_of_logits(torch.from_numpy(values)[None], FULL)[0]]

    for name, values in hard_logits(logits).items():
        assert logits_to_rle(values, FULL, FULL) == document(values), f"{name}: another RLE"
    times = milliseconds(lambda _: logits_to_rle(logits, FULL, FULL), lambda _: document(logits), rounds)
    rows = [compare("logits 29 x 512 x 512 to 29 RLE at 2048, the same text", *times, "ms", 20)]
    texts = [rle_encode(mask) for mask in masks]
    assert texts == [encode_mask_to_rle(mask) for mask in masks]
    times = milliseconds(
        lambda _: [rle_encode(mask) for mask in masks], lambda _: [encode_mask_to_rle(mask) for mask in masks], rounds
    )
    rows.append(compare("RLE of 29 masks, encoding", *times, "ms", 10))
    ours, theirs = milliseconds(
        lambda _: [rle_decode(text, (FULL, FULL)) for text in texts],
        lambda _: [decode_rle_to_mask(text, FULL, FULL) for text in texts],
        rounds,
    )
    rows.append(compare("RLE of 29 masks, decoding, against encoding there", ours, times[1], "ms", 10))
    rows.append(compare("RLE of 29 masks, decoding, against decoding there", ours, theirs, "ms", 1))
    return rows


def baseline() -> Callable[[Tensor], Tensor]:
    """fcn_resnet50 with random weights that say, as a trained one would, that most pixels are none."""
    torch.manual_seed(0)
    network = build_network(load_recipe("baseline", ["network.weights=none", "network.head_bias=-4"])).eval()

    def run(images: Tensor) -> Tensor:
        return network((images[:, :1] * 255).to(torch.uint8))

    return run


def ours_to_csv(segmenter: Segmenter, files: Sequence[Path], path: Path) -> None:
    with SubmissionWriter(path) as writer:
        for file, found in zip(files, segmenter.segment_many(files), strict=True):
            writer.write(file.name, found.rle())


def whole_predictions(bundle: Path | None, files: list[Path], folder: Path) -> list[Row]:
    """PNG to CSV."""
    network = load_network(load_bundle(bundle))

    def same(images: Tensor) -> Tensor:
        return network((images[:, :1] * 255).to(torch.uint8))

    rows = []
    contests = (
        ("PNG to CSV, ours in onnxruntime, fcn_resnet50 there", "onnxruntime", baseline(), 15),
        ("PNG to CSV, the same network in torch", "torch", same, 1.5),
    )
    for name, backend, theirs, goal in contests:
        segmenter = Segmenter(bundle, "cpu", backend, size=SIZE, hand="whole", wrist_bundle="none")
        segmenter.segment(files[0])
        seconds = []
        for work in (
            lambda path, s=segmenter: ours_to_csv(s, files, path),
            lambda path, n=theirs: predict_to_csv(n, files, SIZE, path),
        ):
            start = time.perf_counter()
            work(folder / "x.csv")
            seconds.append((time.perf_counter() - start) / len(files))
        rows.append(compare(name, *seconds, "s/picture", goal))
    return rows


def memory(bundle: Path | None, picture: Path) -> list[Row]:
    """Peaks above model and input, each in a process of its own."""
    arguments = ["--bundle", str(bundle)] if bundle else []
    found = {
        what: in_a_process_of_its_own(__file__, *arguments, "--peak", what, "--picture", str(picture))["peak"]
        for what in ("ours", "theirs", "five")
    }
    return [
        compare("peak memory of predicting a picture of 2048", found["ours"], found["theirs"], "MB", 10),
        compare("peak memory of 5 models averaged, against one", found["five"], found["ours"], "MB", 1 / 1.1),
    ]


def peak(what: str, bundle: Path | None, picture: Path) -> float:
    """MB that a prediction takes at its height; the models are in memory before."""
    found: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        if what == "theirs":
            network = baseline()
            warm = torch.zeros(1, 3, 64, 64)
            network(warm)
            with peak_memory(found):
                predict_to_csv(network, [picture], SIZE, Path(folder, "x.csv"))
        else:
            bundles = [bundle] * (5 if what == "five" else 1)
            segmenter = Segmenter(bundles, "cpu", "onnxruntime", size=SIZE, hand="whole", wrist_bundle="none")
            segmenter.segment(np.zeros((64, 64), np.uint8))
            logits_to_rle(np.full((len(BONES), 4, 4), 8, np.float32), 8, 8)  # loads the compiler of our loops
            with peak_memory(found):
                ours_to_csv(segmenter, [picture], Path(folder, "x.csv"))
    return found[0]


def voting(folder: Path, pictures: int = 288) -> list[Row]:
    """Five whole submissions into one; the limits stand for theirs."""
    texts = [[rle_encode(np.roll(mask, 3 * i, axis=1)) for mask in phantom_masks(2)] for i in range(5)]
    paths = [folder / f"{i}.csv" for i in range(5)]
    for path, rle in zip(paths, texts, strict=True):
        with SubmissionWriter(path) as writer:
            for number in range(pictures):
                writer.write(f"image{number:04d}.png", rle)
    found: list[float] = []
    start = time.perf_counter()
    with peak_memory(found), SubmissionWriter(folder / "vote.csv") as writer:
        rows = [row.rle for row in vote(paths, weights_of("hard", 5), FULL * FULL)]
        for number in range(pictures):
            writer.write(f"image{number:04d}.png", rows[29 * number : 29 * (number + 1)])
    seconds = time.perf_counter() - start
    assert len(rows) == pictures * len(BONES)
    return [
        compare("hard vote of 5 x 288 x 29 rows, against the limit", seconds, 60, "s", 1),
        compare("its memory, against the limit", found[0], 1024, "MB", 1),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path)
    parser.add_argument("--pictures", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--peak", help=argparse.SUPPRESS)
    parser.add_argument("--picture", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peak:
        print(json.dumps({"peak": peak(options.peak, options.bundle, options.picture)}))
        return
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        synth(folder / "data", max(1, (options.pictures + 1) // 2), 1, size=FULL, test_persons=0)
        files = sorted((folder / "data").rglob("*.png"))[: options.pictures]
        print(f"{'':58} {'ours':>10} {'theirs':>10} {'':9} {'ratio':>7}")
        rows = encoding(options.rounds) + memory(options.bundle, files[0]) + voting(folder)
        rows += whole_predictions(options.bundle, files, folder)
    report(rows, options.json, pictures=len(files))


if __name__ == "__main__":
    main()
