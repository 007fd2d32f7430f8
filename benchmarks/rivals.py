"""What handbones is measured against on the stick: the starting code, and a script as a competent user writes it.

Each is a training loop of its own for a wall-clock budget, with nothing of handbones in it but the list of bones, the
file of the ImageNet weights and, after the training, the common scoring. No time goes into validation: the last weights
count. A checkpoint every few minutes lets a training that was cut go on.
"""

import json
import math
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import segmentation_models_pytorch as smp
import timm
import torch
from document import XRayDataset
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset
from torchvision.models.segmentation import fcn_resnet50
from torchvision.models.segmentation.fcn import FCNHead

from handbones.anatomy import BONES, INDEX
from handbones.collection import Case
from handbones.files import atomic_path
from handbones.inference.segmentation import Segmentation
from handbones.learning.networks import best_device
from handbones.learning.weights import encoder_weights

SIZE = 512
BATCH = 8
LITE = "tf_efficientnet_lite0"
_SAVE_EVERY = 300.0
"""Seconds between checkpoints."""


class Rival(ABC):
    """A network, its data and its step; `train` and `segment_many` are the same for all."""

    network: nn.Module
    optimiser: torch.optim.Optimizer
    low_precision = False

    def __init__(self, weights: str, size: int = SIZE, batch: int = BATCH) -> None:
        self.device = best_device()
        self.weights = weights
        self.size, self.batch = size, batch

    @abstractmethod
    def samples(self, cases: Sequence[Case]) -> Dataset:
        """What it trains on: pictures (3, size, size) and masks (29, size, size), float32."""

    @abstractmethod
    def loss(self, logits: Tensor, masks: Tensor) -> Tensor:
        """Of logits and masks (N, 29, size, size)."""

    @abstractmethod
    def see(self, file: Path) -> np.ndarray:
        """The network's input (3, size, size) float32 of a picture."""

    def begin(self, progress: float) -> None:  # noqa: B027 not every rival has something to do
        """Before each step, at this share of the budget."""

    def forward(self, pictures: Tensor) -> Tensor:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.low_precision):
            logits: Tensor = self.network(pictures.to(self.device))
        return logits.float()

    def train(
        self, cases: Sequence[Case], minutes: float, seed: int, checkpoint: Path, workers: int | None = None
    ) -> int:
        """Train from the start, or from the checkpoint on; returns the steps done."""
        start = time.monotonic()
        torch.manual_seed(seed)
        cv2.setNumThreads(1)
        step, before = self._resume(checkpoint)
        saved = start
        self.network.to(self.device).train()
        workers = min(8, os.cpu_count() or 1) if workers is None else workers
        loader = DataLoader(self.samples(cases), self.batch, shuffle=True, drop_last=True, num_workers=workers)
        for pictures, masks in _endless(loader):
            seconds = before + time.monotonic() - start
            if seconds >= 60 * minutes:
                break
            self.begin(seconds / (60 * minutes))
            loss = self.loss(self.forward(pictures), masks.to(self.device))
            self.optimiser.zero_grad()
            loss.backward()
            self.optimiser.step()
            step += 1
            if time.monotonic() - saved > _SAVE_EVERY:
                saved = time.monotonic()
                self._save(checkpoint, step, before + saved - start)
        self._save(checkpoint, step, 60 * minutes)
        return step

    def segment_many(self, cases: Iterable[Case]) -> Iterator[Segmentation]:
        """The bones of each case's picture: logits enlarged to its size and cut at 0.5, as the starting code does."""
        self.network.eval()
        for file in (Path(str(case.image)) for case in cases):
            height, width = cv2.imread(str(file), cv2.IMREAD_GRAYSCALE).shape
            with torch.no_grad():
                logits = self.forward(torch.from_numpy(self.see(file))[None])[0]
            yield Segmentation.from_logits(logits.cpu().numpy(), height, width)

    def _save(self, path: Path, step: int, seconds: float) -> None:
        state = {"network": self.network.state_dict(), "optimiser": self.optimiser.state_dict()}
        with atomic_path(path) as temporary:
            torch.save({**state, "step": step, "seconds": seconds}, temporary)

    def _resume(self, path: Path) -> tuple[int, float]:
        if not path.exists():
            return 0, 0.0
        state = torch.load(path, map_location="cpu", weights_only=True)
        self.network.load_state_dict(state["network"])
        self.network.to(self.device)
        self.optimiser.load_state_dict(state["optimiser"])
        return int(state["step"]), float(state["seconds"])


def _endless(loader: DataLoader) -> Iterator[tuple[Tensor, Tensor]]:
    while True:
        yield from loader


class Document(Rival):
    """The starting code: its loader, BCE, Adam at 1e-4; on fcn_resnet50, or the FCN head on another encoder."""

    def __init__(self, weights: str, encoder: str = "resnet50") -> None:
        super().__init__(weights)
        plain = encoder == "resnet50"
        assert not plain or weights == "none", "torchvision's weights are not in any package"
        self.network = (
            fcn_resnet50(weights=None, weights_backbone=None, num_classes=len(BONES)) if plain else FcnLite(weights)
        )
        self.criterion = nn.BCEWithLogitsLoss()
        self.optimiser = torch.optim.Adam(self.network.parameters(), lr=1e-4, weight_decay=1e-6)

    def samples(self, cases: Sequence[Case]) -> Dataset:
        return XRayDataset(list(cases), SIZE)

    def forward(self, pictures: Tensor) -> Tensor:
        logits: Tensor = self.network(pictures.to(self.device))["out"]
        return logits

    def loss(self, logits: Tensor, masks: Tensor) -> Tensor:
        return self.criterion(logits, masks)

    def see(self, file: Path) -> np.ndarray:
        return cv2.resize(cv2.imread(str(file)) / 255.0, (SIZE, SIZE)).transpose(2, 0, 1).astype(np.float32)


class FcnLite(nn.Module):
    """torchvision's FCN with EfficientNet-Lite0, dilated to stride 8 like its ResNet, for the backbone."""

    def __init__(self, weights: str) -> None:
        super().__init__()
        options = dict(encoder_weights(LITE, weights))
        self.backbone = timm.create_model(
            LITE, features_only=True, out_indices=(4,), output_stride=8, pretrained=bool(options), **options
        )
        self.classifier = FCNHead(self.backbone.feature_info.channels()[-1], len(BONES))

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        logits = self.classifier(self.backbone(x)[-1])
        return {"out": functional.interpolate(logits, size=x.shape[-2:], mode="bilinear", align_corners=False)}


class PlainUnet(Rival):
    """segmentation_models_pytorch's U-Net: pictures kept small in memory, usual augmentation, BCE + Dice, cosine."""

    RATE = 1e-3

    def __init__(self, weights: str, size: int = SIZE, batch: int = BATCH) -> None:
        super().__init__(weights, size, batch)
        options = dict(encoder_weights(LITE, weights))
        self.network = smp.Unet(f"tu-{LITE}", encoder_weights=True if options else None, classes=len(BONES), **options)
        self.bce, self.dice = nn.BCEWithLogitsLoss(), smp.losses.DiceLoss("multilabel")
        self.optimiser = torch.optim.AdamW(self.network.parameters(), lr=self.RATE, weight_decay=1e-4)
        self.low_precision = self.device.type == "cuda"  # on processors it is slower: depthwise layers have no kernel

    def samples(self, cases: Sequence[Case]) -> Dataset:
        return SmallPictures(cases, self.size)

    def begin(self, progress: float) -> None:
        for group in self.optimiser.param_groups:
            group["lr"] = self.RATE * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))

    def loss(self, logits: Tensor, masks: Tensor) -> Tensor:
        return self.bce(logits, masks) + self.dice(logits, masks)

    def see(self, file: Path) -> np.ndarray:
        return _normalised(_shrink(cv2.imread(str(file), cv2.IMREAD_GRAYSCALE), self.size))


class SmallPictures(Dataset):
    """Pictures of one size in memory, outlines likewise; each time flipped, turned, scaled and toned by chance."""

    def __init__(self, cases: Sequence[Case], size: int) -> None:
        both = [_read_labelled(case, size) for case in cases]
        self.size = size
        self.pictures, self.outlines = [picture for picture, _ in both], [outlines for _, outlines in both]

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, item: int) -> tuple[Tensor, Tensor]:
        def draw(low: float, high: float) -> float:
            return float(torch.empty(1).uniform_(low, high))

        size = self.size
        matrix = cv2.getRotationMatrix2D((size / 2, size / 2), draw(-15, 15), draw(0.85, 1.15))
        if draw(0, 1) < 0.5:
            matrix = matrix @ np.array([[-1, 0, size - 1], [0, 1, 0], [0, 0, 1]])
        picture = cv2.warpAffine(self.pictures[item], matrix, (size, size)).astype(np.float32)
        picture = np.clip((picture - 128) * draw(0.8, 1.2) + 128 + 255 * draw(-0.1, 0.1), 0, 255)
        masks = np.zeros((len(BONES), size, size), np.uint8)
        for bone, points in self.outlines[item]:
            moved = points @ matrix[:, :2].T + matrix[:, 2]
            cv2.fillPoly(masks[bone], [np.rint(moved).astype(np.int32)], 1)
        return torch.from_numpy(_normalised(picture)), torch.from_numpy(masks).float()


def _shrink(picture: np.ndarray, size: int) -> np.ndarray:
    return cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA)


def _normalised(picture: np.ndarray) -> np.ndarray:
    """As these ImageNet weights expect it."""
    return np.repeat((picture[None].astype(np.float32) / 255 - 0.5) / 0.5, 3, axis=0)


def _read_labelled(case: Case, size: int) -> tuple[np.ndarray, list[tuple[int, np.ndarray]]]:
    picture = cv2.imread(str(case.image), cv2.IMREAD_GRAYSCALE)
    scale = size / np.array(picture.shape[::-1])
    annotations = json.loads(Path(str(case.labels)).read_text())["annotations"]
    return _shrink(picture, size), [
        (INDEX[a["label"]], (np.array(a["points"]) + 0.5) * scale - 0.5) for a in annotations
    ]
