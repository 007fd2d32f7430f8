"""A model on labelled real radiographs: Dice of every bone, and what turning, mirroring, resizing and padding cost.

    python benchmarks/real_radiographs.py FOLDER [--bundle BUNDLE] [--wrist-bundle BUNDLE] [--variants] [--json FILE]

FOLDER holds pictures with their label JSON beside them. No real radiograph is part of the project.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from handbones import Segmenter, dice, open_collection
from handbones.anatomy import ANATOMY, BONES, GROUPS

Picture = np.ndarray
Masks = np.ndarray


def pad(picture: Picture, width: int, value: int) -> Picture:
    return np.pad(picture, [(0, 0)] * (picture.ndim - 2) + [(width, width)] * 2, constant_values=value)


def resized(picture: Picture, masks: Masks, longest: int) -> tuple[Picture, Masks]:
    scale = longest / max(picture.shape)
    size = round(picture.shape[1] * scale), round(picture.shape[0] * scale)
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    small = [cv2.resize(mask, size, interpolation=cv2.INTER_LINEAR) > 127 for mask in masks * 255]
    return cv2.resize(picture, size, interpolation=how), np.array(small, np.uint8)


VARIANTS: dict[str, Callable[[Picture, Masks], tuple[Picture, Masks]]] = {
    "as it is": lambda p, m: (p, m),
    "turned by 90": lambda p, m: (np.rot90(p).copy(), np.rot90(m, axes=(1, 2)).copy()),
    "turned by 180": lambda p, m: (p[::-1, ::-1].copy(), m[:, ::-1, ::-1].copy()),
    "turned by 270": lambda p, m: (np.rot90(p, 3).copy(), np.rot90(m, 3, axes=(1, 2)).copy()),
    "mirrored": lambda p, m: (p[:, ::-1].copy(), m[:, :, ::-1].copy()),
    "inverted": lambda p, m: (255 - p, m),
    "400 px": lambda p, m: resized(p, m, 400),
    "4000 px": lambda p, m: resized(p, m, 4000),
    "white border": lambda p, m: (pad(p, 200, 255), pad(m, 200, 0)),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--bundle", type=Path)
    parser.add_argument("--wrist-bundle")
    parser.add_argument("--size", type=int)
    parser.add_argument("--variants", action="store_true")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    segmenter = Segmenter(options.bundle, size=options.size, wrist_bundle=options.wrist_bundle)
    results = {}
    for case in open_collection(options.folder).labelled:
        radiograph, labels = case.load()
        assert labels is not None
        truth = labels.masks(radiograph.height, radiograph.width)
        picture = radiograph.to_uint8()
        rows = {}
        for name, vary in VARIANTS.items() if options.variants else [next(iter(VARIANTS.items()))]:
            seen, wanted = vary(picture, truth)
            segmenter.segment(seen)
            start = time.perf_counter()
            found = segmenter.segment(seen)
            seconds = time.perf_counter() - start
            rows[name] = dice(found.masks()[None], wanted[None])[0]
            print(f"{case.name}  {name:14s} mean Dice {rows[name].mean():.4f}  {seconds:.2f} s")
        plain = rows["as it is"]
        for group in GROUPS:
            print(f"  {group:8s} {np.mean([plain[b.index] for b in ANATOMY if b.group == group]):.4f}")
        worst = np.argsort(plain)
        print("  " + "  ".join(f"{BONES[i]} {plain[i]:.3f}" for i in worst))
        results[case.name] = {name: dict(zip(BONES, map(float, row), strict=True)) for name, row in rows.items()}
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
