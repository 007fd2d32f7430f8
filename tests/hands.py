"""Hands of ellipses where real hands have their bones: quick to make, and alike enough to be learned from."""

import json
from importlib.resources import files
from pathlib import Path

import cv2
import numpy as np

from handbones.anatomy import BONES
from handbones.labels import Labels, save_labels
from handbones.metadata import Metadata, write_metadata

SIZE = 256


def hand(seed: int, *, left: bool = False) -> Labels:
    """Labels in a picture of 256 x 256: turned, moved and scaled a little, each bone a bit its own way."""
    rng = np.random.default_rng(seed)
    table = json.loads((files("handbones.phantom") / "calibration.json").read_text(encoding="utf-8"))["bones"]
    angle, scale, move = rng.normal(0, 0.05), rng.normal(1, 0.03), rng.normal(0, 2, 2)
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    turns = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    polygons = {}
    for label in BONES:
        bone = table[label]
        centre = np.array([bone["centroid_px"]["x_mean"], bone["centroid_px"]["y_mean"]])
        radii = np.array([bone["width_px"]["median"], bone["length_px"]["median"]]) / 2 * rng.normal(1, 0.02, 2)
        if label in ("Radius", "Ulna"):
            radii[1] = 1.05 * (2047 - centre[1])  # cut by the picture
        points = centre + rng.normal(0, 6, 2) + np.stack([np.cos(turns), np.sin(turns)], 1) * radii
        points = ((points - 1024) @ turn.T + 1024) * SIZE / 2048 + move
        points[:, 0] = SIZE - 1 - points[:, 0] if left else points[:, 0]
        polygons[label] = [np.clip(points, 0, SIZE - 1)]
    return Labels(polygons)


def picture_of(labels: Labels, seed: int) -> np.ndarray:
    """Gray (256, 256): bright bones in a darker hand, with a grain of its own."""
    picture = np.full((SIZE, SIZE), 15, np.uint8)
    for polygons in labels.polygons.values():
        cv2.polylines(picture, [np.rint(p).astype(np.int32) for p in polygons], True, 60, 16)
    for polygons in labels.polygons.values():
        cv2.fillPoly(picture, [np.rint(p).astype(np.int32) for p in polygons], 170)
    grain = np.random.default_rng(seed).normal(0, 6, picture.shape)
    blotches = cv2.GaussianBlur(np.random.default_rng(seed + 1).normal(0, 60, picture.shape), (0, 0), 3)
    return np.clip(cv2.GaussianBlur(picture, (0, 0), 0.7) + grain + blotches, 0, 255).astype(np.uint8)


def write_hands(root: Path, people: int = 20, test_people: int = 4) -> Path:
    """A collection in the competition's layout: two hands a person, all labelled, and a table of people."""
    rows = []
    for person in range(people + test_people):
        split = "train" if person < people else "test"
        for side in "RL":
            seed = 10 * person + (side == "L")
            labels, stem = hand(seed, left=side == "L"), f"image{1000 + person}_{side}"
            image = root / split / "DCM" / f"ID{person + 1:03d}" / f"{stem}.png"
            image.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(image), picture_of(labels, seed))
            path = root / split / "outputs_json" / image.parent.name / f"{stem}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            save_labels(labels, path)
        remark = "네일있음" if person % 7 == 0 else None
        rows.append((person + 1, Metadata(20 + person, "FM"[person % 2], 60, 150 + 2 * person, remark)))
    write_metadata(root / "meta_data.xlsx", rows)
    return root
