"""The competition's starting code, as its document describes it, written afresh: loader, training loop, validation."""

import json
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.data import Dataset

from handbones.anatomy import BONES, INDEX
from handbones.collection import Case


class XRayDataset(Dataset[tuple[Tensor, Tensor]]):
    """Picture (3, size, size) and masks (29, size, size), both float32."""

    def __init__(self, cases: list[Case], size: int) -> None:
        self.cases = cases
        self.size = size

    def __len__(self) -> int:
        return len(self.cases)

    def __getitem__(self, item: int) -> tuple[Tensor, Tensor]:
        case = self.cases[item % len(self.cases)]
        image = cv2.imread(str(case.image)) / 255.0
        label = np.zeros((*image.shape[:2], len(BONES)), np.uint8)
        for annotation in json.loads(Path(str(case.labels)).read_text())["annotations"]:
            of_class = np.zeros(image.shape[:2], np.uint8)
            cv2.fillPoly(of_class, [np.array(annotation["points"], np.int32)], 1)
            label[..., INDEX[annotation["label"]]] = of_class
        image, label = resize(image, label, self.size)
        return torch.from_numpy(image.transpose(2, 0, 1)).float(), torch.from_numpy(label.transpose(2, 0, 1)).float()


def resize(image: np.ndarray, label: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """As albumentations' Resize does it: linear for the picture, nearest for the masks, four channels at a time."""
    if image.shape[:2] == (size, size):
        return image, label
    parts = [
        cv2.resize(label[..., start : start + 4], (size, size), interpolation=cv2.INTER_NEAREST)
        for start in range(0, label.shape[2], 4)
    ]
    label = np.dstack([part if part.ndim == 3 else part[..., None] for part in parts])
    return cv2.resize(image, (size, size), interpolation=cv2.INTER_LINEAR), label


def validation_dice(logits: Tensor, masks: Tensor, threshold: float = 0.5) -> Tensor:
    """Dice (N, 29) of logits (N, 29, h, w) against float masks (N, 29, H, W), at the size of the masks."""
    outputs = functional.interpolate(logits, size=masks.shape[-2:], mode="bilinear")
    outputs = torch.sigmoid(outputs)
    outputs = (outputs > threshold).detach().cpu()
    y_true, y_pred = masks.flatten(2), outputs.flatten(2)
    intersection = torch.sum(y_true * y_pred, -1)
    eps = 0.0001
    return (2.0 * intersection + eps) / (torch.sum(y_true, -1) + torch.sum(y_pred, -1) + eps)
