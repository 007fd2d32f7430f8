"""Pictures that show no hand, in how many of which a model claims a bone; and phantoms in which it claims none.

    python benchmarks/false_alarms.py [--bundle BUNDLE] [--pictures 50] [--json FILE]

The pictures are noise, gradients, text, stripes, blank exposures, and drawings like other parts of the body.
"""

import argparse
import json
from pathlib import Path

import cv2
import numpy as np

from handbones import BONES, Segmenter
from handbones.phantom import make
from handbones.phantom.decoys import draw_decoy
from handbones.phantom.settings import WILD

SIDE = 768


def noise(rng: np.random.Generator) -> np.ndarray:
    grain = rng.choice([1, 2, 4, 16, 64])
    small = rng.normal(128, 60, (SIDE // grain, SIDE // grain)).clip(0, 255).astype(np.uint8)
    return cv2.resize(small, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)


def gradient(rng: np.random.Generator) -> np.ndarray:
    y, x = np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j]
    turn, bend = rng.uniform(0, 2 * np.pi), rng.uniform(-1, 1)
    plane = np.cos(turn) * x + np.sin(turn) * y + bend * (x**2 + y**2)
    return ((plane - plane.min()) / np.ptp(plane) * rng.uniform(60, 255)).astype(np.uint8)


def text(rng: np.random.Generator) -> np.ndarray:
    page = np.full((SIDE, SIDE), 255 * rng.integers(2), np.uint8)
    letters = [chr(c) for c in range(65, 91)]
    for row in range(40, SIDE, 40):
        line = "".join(rng.choice([*letters, " "], 30))
        cv2.putText(page, line, (20, row), cv2.FONT_HERSHEY_SIMPLEX, 0.9, 255 - int(page[0, 0]), 2, cv2.LINE_AA)
    return page


def body(rng: np.random.Generator) -> np.ndarray:
    return draw_decoy(rng, WILD, SIDE, SIDE)


KINDS = {"noise": noise, "gradient": gradient, "text": text, "body": body, "more bodies": body}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path)
    parser.add_argument("--pictures", type=int, default=50)
    parser.add_argument("--seed", type=int, default=99)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    segmenter = Segmenter(options.bundle)
    rng = np.random.default_rng(options.seed)
    rows = {}
    for name, draw in KINDS.items():
        pictures = [draw(rng) for _ in range(options.pictures // len(KINDS))]
        claimed = sum(bool(found.bones) for found in segmenter.segment_many(pictures))
        rows[name] = {"pictures": len(pictures), "with bones claimed": claimed}
    hands = [make(seed=options.seed + n, settings="realistic", size=SIDE)[0] for n in range(options.pictures)]
    found = [len(segmentation.bones) for segmentation in segmenter.segment_many(hands)]
    rows["realistic phantoms"] = {
        "pictures": len(hands),
        "without any bone claimed": found.count(0),
        "bones claimed, share": sum(found) / len(BONES) / len(found),
    }
    for name, row in rows.items():
        print(f"{name:20}", "  ".join(f"{what} {value:.4g}" for what, value in row.items()))
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
