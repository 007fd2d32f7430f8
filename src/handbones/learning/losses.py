"""What training makes small: parts that judge every bone, summed with the recipe's weights.

A part takes logits, their probabilities and the targets, all (N, 29, h, w) float32, targets 0 to 1 (soft at the
outlines), and returns a loss for each bone, (29,). Bones overlap, so each is a question of its own; but for softmax.
"""

import functools
import operator
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from handbones.anatomy import BONES
from handbones.learning.outlines import REACH, signed_distance, skeleton
from handbones.recipe.learning import LossSettings

_PICTURES_AND_PLACES = (0, 2, 3)
_LINES_SIDE = 96
"""Cells along a side at most where centre lines are looked for: each step of thinning is dear."""
_THINNINGS = 10
"""Those steps: a bone up to twice as many cells wide shrinks to its centre line."""


class Compared(NamedTuple):
    """What a part compares."""

    logits: Tensor
    probabilities: Tensor
    targets: Tensor


def _cross_entropy(of: Compared) -> Tensor:
    return functional.binary_cross_entropy_with_logits(of.logits, of.targets, reduction="none")


def _bce(of: Compared) -> Tensor:
    return _cross_entropy(of).mean(_PICTURES_AND_PLACES)


def _focal(of: Compared) -> Tensor:
    """Lin et al., Focal Loss for Dense Object Detection (2017), gamma 2, as segmentation_models_pytorch takes it."""
    missed = _cross_entropy(of)
    return ((1 - torch.exp(-missed)) ** 2 * missed).mean(_PICTURES_AND_PLACES)


def _overlap(of: Compared, invented: float, missed: float) -> Tensor:
    """1 - the Tversky index: both / (both + invented * false positives + missed * false negatives).

    With weights 1/2 it is Dice's, with 1 Jaccard's. What both have is the smaller of probability and target, so that
    soft targets too are best met exactly (Wang et al., Jaccard Metric Losses, 2023). A bone that no picture shows
    counts as right.
    """
    truth, claimed = of.targets.sum(_PICTURES_AND_PLACES), of.probabilities.sum(_PICTURES_AND_PLACES)
    wrong = (of.probabilities - of.targets).abs().sum(_PICTURES_AND_PLACES)
    both = (truth + claimed - wrong) / 2
    index = both / (both + invented * (claimed - both) + missed * (truth - both)).clamp_min(1e-7)
    return (1 - index) * (truth > 0)


def _tversky(of: Compared) -> Tensor:
    return _overlap(of, 0.3, 0.7)


def _focal_tversky(of: Compared) -> Tensor:
    """Abraham and Khan, A Novel Focal Tversky Loss Function (2019), gamma 4/3: small bones that overlap badly count."""
    return _tversky(of).clamp_min(1e-6) ** 0.75  # its slope at 0 is infinite


def _lovasz(of: Compared) -> Tensor:
    """Berman et al., The Lovasz-Softmax Loss (2018): the hinge for one class, per bone and picture.

    Of the pixels under a cell that lie in the bone, and of those that do not: cutting the share at a half would make
    bones too small by a tenth where cells are coarse, since so many are covered by half.
    """
    logits, shares = of.logits.flatten(2).contiguous(), of.targets.flatten(2).contiguous()
    none = torch.zeros_like(shares)
    errors, order = torch.cat([1 - logits, 1 + logits], -1).sort(dim=-1, descending=True)
    inside = torch.cat([shares, none], -1).gather(-1, order)
    outside = torch.cat([none, 1 - shares], -1).gather(-1, order)
    size = inside.sum(-1, keepdim=True)
    either = size + outside.cumsum(-1)
    jaccard = torch.where(either > 0, 1 - (size - inside.cumsum(-1)) / either.clamp_min(1e-6), 0)
    slopes = jaccard.diff(dim=-1, prepend=torch.zeros_like(size))
    return (errors.relu() * slopes).sum(-1).mean(0)


def _boundary(of: Compared) -> Tensor:
    """Kervadec et al., Boundary loss for highly unbalanced segmentation (2019).

    Mean of probability times signed distance, here less its value at the truth, which is all but the least. Distances
    are those of `signed_distance`, as shares of its reach.
    """
    distance = signed_distance(of.targets > 0.5) / REACH
    return ((of.probabilities - of.targets) * distance).mean(_PICTURES_AND_PLACES)


def _cldice(of: Compared) -> Tensor:
    """Shit et al., clDice (2021), with soft skeletons: each skeleton should lie within the other's bone."""
    cells = -(-max(of.logits.shape[-2:]) // _LINES_SIDE)
    found, truth = (functional.avg_pool2d(shares, cells) for shares in (of.probabilities, of.targets))
    precision = _share_inside(skeleton(found, _THINNINGS), truth)
    sensitivity = _share_inside(skeleton(truth, _THINNINGS), found)
    return 1 - 2 * precision * sensitivity / (precision + sensitivity)


def _share_inside(lines: Tensor, bones: Tensor) -> Tensor:
    return ((lines * bones).sum(_PICTURES_AND_PLACES) + 1) / (lines.sum(_PICTURES_AND_PLACES) + 1)


def _softmax(of: Compared) -> Tensor:
    """Cross-entropy over the 29 logits and a background's of 0, mean over pixels; targets sum to 1 at most.

    What background pixels cost is shared out evenly, so that the mean over bones is the cross-entropy.
    """
    background = functional.pad(of.logits, (0, 0, 0, 0, 0, 1))
    surprise = background.logsumexp(1, keepdim=True)
    nowhere = (1 - of.targets.sum(1, keepdim=True)) * surprise
    return len(BONES) * (of.targets * (surprise - of.logits)).mean(_PICTURES_AND_PLACES) + nowhere.mean()


_PARTS: dict[str, Callable[[Compared], Tensor]] = {
    "bce": _bce,
    "dice": functools.partial(_overlap, invented=0.5, missed=0.5),
    "jaccard": functools.partial(_overlap, invented=1.0, missed=1.0),
    "focal": _focal,
    "tversky": _tversky,
    "focal_tversky": _focal_tversky,
    "lovasz": _lovasz,
    "boundary": _boundary,
    "cldice": _cldice,
    "softmax": _softmax,
}
"""By the name of the recipe's field."""


class SegmentationLoss(nn.Module):
    """The weighted sum of a recipe's parts, each a weighted mean over the bones."""

    bones: Tensor

    def __init__(self, settings: LossSettings) -> None:
        super().__init__()
        self.weights = settings.parts
        bones = torch.tensor(settings.bone_weights)
        self.register_buffer("bones", bones / bones.mean(), persistent=False)

    def forward(self, logits: Tensor, masks: Tensor, inner: Sequence[Tensor] = ()) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss of (N, 29, h, w) logits against packed (N, H, W) masks, H / h whole; also each part, unweighted.

        `inner`: coarser logits, fine to coarse, that count too: each half as much as the one before, all of them
        together with `logits` 1. The parts are those of `logits`.
        """
        if "softmax" in self.weights:
            masks = last_bone(masks)
        targets = coverage(masks, masks.shape[-1] // logits.shape[-1])
        total, parts = self._compare(logits, targets)
        for depth, coarse in enumerate(inner, start=1):
            cells = functional.avg_pool2d(targets, targets.shape[-1] // coarse.shape[-1])
            total = total + self._compare(coarse, cells)[0] / 2**depth
        share = sum(0.5**depth for depth in range(len(inner) + 1))
        return total / share, {name: value.detach() for name, value in parts.items()}

    def _compare(self, logits: Tensor, targets: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        logits = logits.float()
        compared = Compared(logits, logits.sigmoid(), targets)  # the probabilities once for all parts
        parts = {name: (self.bones * _PARTS[name](compared)).mean() for name in self.weights}
        total = torch.stack([self.weights[name] * value for name, value in parts.items()]).sum()
        return total, parts


def last_bone(masks: Tensor) -> Tensor:
    """Packed masks with one bone a pixel: where several lie over each other, the last in the order.

    That is what drawing them into one label map leaves.
    """
    filled = masks
    for step in (1, 2, 4, 8, 16):
        filled = filled | filled >> step
    return filled ^ filled >> 1


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
