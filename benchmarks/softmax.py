"""What one label a pixel costs where bones overlap: the best Dice that softmax and argmax can reach, without training.

    python benchmarks/softmax.py [--phantoms 200] [--size 512] [--json FILE]

On the exact masks of realistic phantoms (without sesamoids and shutters). A pixel of several bones goes to one of them
only: to the last in the order (what drawing all bones into one label map leaves), to the larger, to the smaller, or so
that the mean over the bones is as high as it can be. Everything else is taken as found perfectly.
"""

import argparse
import heapq
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from measuring import report
from numpy.typing import NDArray

from handbones.anatomy import BONES
from handbones.metric import dice_from_counts
from handbones.phantom.drawing import draw_geometry
from handbones.phantom.settings import REALISTIC

Counts = NDArray[np.int64]


def members(word: int) -> list[int]:
    return [bone for bone in range(len(BONES)) if word >> bone & 1]


def hand_out(words: NDArray[np.uint32], counts: Counts, chosen: Callable[[list[int], Counts], int]) -> Counts:
    """Pixels that each bone keeps, (29,), where every combination of bones goes to one of them as a whole."""
    sizes, kept = sizes_of(words, counts), np.zeros(len(BONES), np.int64)
    for word, count in zip(words.tolist(), counts.tolist(), strict=True):
        if word:
            kept[chosen(members(word), sizes)] += count
    return kept


def sizes_of(words: NDArray[np.uint32], counts: Counts) -> Counts:
    return np.array([counts[words >> np.uint32(bone) & 1 == 1].sum() for bone in range(len(BONES))])


def hand_out_best(words: NDArray[np.uint32], counts: Counts) -> Counts:
    """Pixel by pixel to the bone whose Dice rises most.

    The best there is: each Dice, 2 kept / (kept + size), rises ever less, and who may take which pixels is a matter of
    independent choices, so that no later pixel makes an earlier one wrong.
    """
    sizes, kept = sizes_of(words, counts), np.zeros(len(BONES), np.int64)
    left = dict(zip(words.tolist(), counts.tolist(), strict=True))
    shared = {word: members(word) for word in left if word.bit_count() > 1}
    for word, count in left.items():
        if word.bit_count() == 1:
            kept[word.bit_length() - 1] += count

    def gain(bone: int) -> float:
        return float(2 * sizes[bone] / (kept[bone] + sizes[bone]) ** 2)

    queue = [(-gain(bone), bone, word) for word, bones in shared.items() for bone in bones]
    heapq.heapify(queue)
    while queue:
        said, bone, word = heapq.heappop(queue)
        if left[word] == 0:
            continue
        if -said <= gain(bone) * (1 + 1e-12):
            left[word] -= 1
            kept[bone] += 1
        heapq.heappush(queue, (-gain(bone), bone, word))
    return kept


RULES: dict[str, Callable[[NDArray[np.uint32], Counts], Counts]] = {
    "last": lambda words, counts: hand_out(words, counts, lambda bones, sizes: bones[-1]),
    "larger": lambda words, counts: hand_out(words, counts, lambda bones, sizes: max(bones, key=sizes.__getitem__)),
    "smaller": lambda words, counts: hand_out(words, counts, lambda bones, sizes: min(bones, key=sizes.__getitem__)),
    "best": hand_out_best,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--phantoms", type=int, default=200)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found: dict[str, list[NDArray[np.float64]]] = {name: [] for name in RULES}
    several, start = [], time.monotonic()
    for seed in range(options.phantoms):
        packed = draw_geometry(np.random.default_rng(seed), REALISTIC, options.size, options.size).packed
        words, counts = np.unique(packed, return_counts=True)
        sizes = sizes_of(words, counts)
        for name, rule in RULES.items():
            kept = rule(words, counts)
            found[name].append(dice_from_counts(kept, kept, sizes))
        several.append(sum(n for word, n in zip(words.tolist(), counts.tolist(), strict=True) if word.bit_count() > 1))
        if (seed + 1) % 20 == 0:
            print(f"{seed + 1} of {options.phantoms} phantoms, {time.monotonic() - start:.0f} s", flush=True)
    dice = {name: np.mean(values, axis=0) for name, values in found.items()}
    share = float(np.mean(several)) / options.size**2
    print(f"\npixels of several bones: {100 * share:.2f} %\n\n| bone | " + " | ".join(RULES) + " |")
    print("|---|" + "---|" * len(RULES))
    rows = {"mean of 29": {name: float(values.mean()) for name, values in dice.items()}}
    worst_first = sorted(range(len(BONES)), key=lambda bone: dice["last"][bone])
    rows |= {BONES[bone]: {name: float(values[bone]) for name, values in dice.items()} for bone in worst_first}
    for bone, values in rows.items():
        print(f"| {bone} | " + " | ".join(f"{value:.4f}" for value in values.values()) + " |")
    report([{"name": bone, **values} for bone, values in rows.items()], options.json, several=share)


if __name__ == "__main__":
    main()
