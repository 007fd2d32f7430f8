"""Collections to test with: pictures and labels of noise."""

from pathlib import Path

import cv2
import numpy as np

from handbones.labels import save_labels
from shapes import random_labels

SIZE = 64, 48
PNG, JSON, TABLE = "train/DCM/ID001/image001.png", "train/outputs_json/ID001/image001.json", "meta_data.xlsx"
"""Files of the fixture `competition`."""


def picture(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.random.default_rng(1).integers(0, 255, SIZE, np.uint8))
    return path


def labels(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    save_labels(random_labels(0, *SIZE), path, filename=path.name)
    return path


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])
