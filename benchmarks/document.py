"""The competition's starting code, as its document describes it, written afresh: loader, training loop, validation."""

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

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


def encode_mask_to_rle(mask: np.ndarray) -> str:
    """Run lengths of a mask (height, width), in row-major order from 1."""
    pixels = np.concatenate([[0], mask.flatten(), [0]])
    runs = np.where(pixels[1:] != pixels[:-1])[0] + 1
    runs[1::2] -= runs[::2]
    return " ".join(str(x) for x in runs)


def decode_rle_to_mask(rle: str, height: int, width: int) -> np.ndarray:
    """A mask (height, width) of run lengths."""
    words = rle.split()
    starts, lengths = (np.asarray(x, dtype=int) for x in (words[::2], words[1::2]))
    starts -= 1
    mask = np.zeros(height * width, np.uint8)
    for low, high in zip(starts, starts + lengths, strict=True):
        mask[low:high] = 1
    return mask.reshape(height, width)


def masks_of_logits(logits: Tensor, size: int, threshold: float = 0.5) -> np.ndarray:
    """Masks (N, 29, size, size) of logits (N, 29, h, w)."""
    outputs = functional.interpolate(logits, size=(size, size), mode="bilinear")
    outputs = torch.sigmoid(outputs)
    return (outputs > threshold).detach().cpu().numpy()


class PictureDataset(Dataset[tuple[Tensor, str]]):
    """Picture (3, size, size) float32 and the name of its file."""

    def __init__(self, files: list[Path], size: int) -> None:
        self.files = files
        self.size = size

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, item: int) -> tuple[Tensor, str]:
        image = cv2.resize(cv2.imread(str(self.files[item])) / 255.0, (self.size, self.size))
        return torch.from_numpy(image.transpose(2, 0, 1)).float(), self.files[item].name


def predict_to_csv(network: Callable[[Tensor], Tensor], files: list[Path], size: int, path: Path) -> None:
    """The loop over the test pictures (2048 x 2048), two at a time, and its CSV."""
    loader = DataLoader(PictureDataset(files, size), batch_size=2, num_workers=2)
    rles, filename_and_class = [], []
    with torch.no_grad():
        for images, names in loader:
            for output, name in zip(masks_of_logits(network(images), 2048), names, strict=True):
                for bone, segm in zip(BONES, output, strict=True):
                    rles.append(encode_mask_to_rle(segm))
                    filename_and_class.append(f"{bone}_{name}")
    classes, filename = zip(*[x.split("_", 1) for x in filename_and_class], strict=True)
    pd.DataFrame({"image_name": filename, "class": classes, "rle": rles}).to_csv(path, index=False)
