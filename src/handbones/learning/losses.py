"""What training makes small: torch's and segmentation_models_pytorch's losses, summed with the recipe's weights."""

import functools
import operator
from collections.abc import Callable

import segmentation_models_pytorch.losses as smp
import torch
from torch import Tensor, nn

from handbones.anatomy import BONES
from handbones.recipe import LossSettings

# By the name of the recipe's field. "multilabel": bones overlap, so each is a question of its own.
_OF_LOGITS: dict[str, Callable[[], nn.Module]] = {
    "bce": nn.BCEWithLogitsLoss,
    "focal": lambda: smp.FocalLoss("multilabel", gamma=2.0),
    "lovasz": lambda: smp.LovaszLoss("multilabel", per_image=True),
}
_OF_PROBABILITIES: dict[str, Callable[[], nn.Module]] = {
    "dice": lambda: smp.DiceLoss("multilabel", from_logits=False),
    "jaccard": lambda: smp.JaccardLoss("multilabel", from_logits=False),
    "tversky": lambda: smp.TverskyLoss("multilabel", from_logits=False, alpha=0.3, beta=0.7),
}


class SegmentationLoss(nn.Module):
    """The weighted sum of a recipe's parts."""

    def __init__(self, settings: LossSettings) -> None:
        super().__init__()
        self.weights = {name: weight for name, weight in settings.model_dump().items() if weight > 0}
        self.parts = nn.ModuleDict({name: (_OF_LOGITS | _OF_PROBABILITIES)[name]() for name in self.weights})

    def forward(self, logits: Tensor, masks: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss of (N, 29, h, w) logits against packed (N, H, W) masks, H / h whole; also each part, unweighted."""
        targets = coverage(masks, masks.shape[-1] // logits.shape[-1])
        logits = logits.float()
        probabilities = logits.sigmoid()  # once for all parts
        parts = {
            name: part(probabilities if name in _OF_PROBABILITIES else logits, targets)
            for name, part in self.parts.items()
        }
        total = torch.stack([self.weights[name] * value for name, value in parts.items()]).sum()
        return total, {name: value.detach() for name, value in parts.items()}


def coverage(masks: Tensor, stride: int) -> Tensor:
    """Share of every bone in every cell of stride x stride pixels.

    (N, H, W) int32 packed masks to (N, 29, H / stride, W / stride) float32, 0 to 1, in channels-last memory. Soft
    edges tell a coarse map of logits where inside a cell the outline runs.
    """
    # Bit by bit in bytes: a quarter of the memory traffic of doing it in words.
    octets = masks.contiguous().view(torch.uint8).view(*masks.shape, 4, 1)
    bits = torch.arange(8, dtype=torch.uint8, device=masks.device)
    cells = [(octets[:, y::stride, x::stride] >> bits) & 1 for y in range(stride) for x in range(stride)]
    counts: Tensor = functools.reduce(operator.add, cells)
    return (counts.flatten(3)[..., : len(BONES)].float() / stride**2).permute(0, 3, 1, 2)
