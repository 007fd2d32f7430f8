"""Drawn hands: a tiny collection in the competition's layout, quick to learn."""

import json
from pathlib import Path

import cv2
import numpy as np

from handbones.anatomy import BONES


def draw_case(seed: int, size: int = 64) -> tuple[np.ndarray, dict]:
    """A gray picture (size, size) with 29 bright ellipses of their own brightness, and its label document."""
    rng = np.random.default_rng(seed)
    picture = np.full((size, size), 20, np.uint8)
    annotations = []
    for i, bone in enumerate(BONES):
        row, column = divmod(i, 6)
        centre = (np.array([column + 0.5, row + 0.5]) / 6 + rng.uniform(-0.02, 0.02, 2)) * size
        turns = np.linspace(0, 2 * np.pi, 12, endpoint=False)
        points = centre + np.stack([np.cos(turns), np.sin(turns)], 1) * rng.uniform(0.06, 0.075, 2) * size
        points = np.clip(np.rint(points), 0, size - 1).astype(int)
        cv2.fillPoly(picture, [points.astype(np.int32)], 90 + 5 * i)
        annotations.append(
            {"id": str(i), "type": "poly_seg", "attributes": {}, "points": points.tolist(), "label": bone}
        )
    return picture, {"annotations": annotations, "filename": "x.jpg"}


def write_collection(root: Path, people: int = 3, size: int = 64, test_people: int = 1) -> Path:
    """The competition's layout: two pictures a person."""
    for person in range(people + test_people):
        split = "train" if person < people else "test"
        for side in "RL":
            picture, document = draw_case(10 * person + (side == "L"), size)
            folder, stem = f"ID{person + 1:03d}", f"image{1000 + person}_{side}"
            image = root / split / "DCM" / folder / f"{stem}.png"
            image.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(image), picture)
            if split == "train":
                labels = root / "train" / "outputs_json" / folder / f"{stem}.json"
                labels.parent.mkdir(parents=True, exist_ok=True)
                labels.write_text(json.dumps(document))
    return root
