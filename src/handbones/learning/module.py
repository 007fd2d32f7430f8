"""The training step: loss, optimiser, learning rate, averaged weights."""

import copy
import math
from collections.abc import Callable
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn

from handbones.learning.dataset import Batch
from handbones.learning.losses import SegmentationLoss
from handbones.learning.networks import Network
from handbones.learning.supervision import Supervision
from handbones.recipe import Recipe, ScheduleSettings


class BoneModule(LightningModule):
    """A network in training. `progress()` says how much of the budget is used up, 0 to 1."""

    def __init__(self, network: Network, recipe: Recipe, progress: Callable[[], float]) -> None:
        super().__init__()
        self.network = network
        self.recipe = recipe
        self.progress = progress
        self.loss = SegmentationLoss(recipe.loss)
        self.supervision = Supervision(network, recipe.network) if recipe.network.deep_supervision else None
        self.average = Average(network, recipe.training.ema) if recipe.training.ema else None
        if recipe.training.compile:
            network.compile()

    @property
    def model(self) -> Network:
        """The network that counts: the averaged one if the recipe asks for it."""
        return self.average.network if self.average is not None else self.network

    def predict(self, pictures: Tensor) -> Tensor:
        """Logits of (N, 1, H, W) uint8 gray by the network that counts, at the precision of training."""
        model = self.model.eval()
        with self.trainer.precision_plugin.forward_context():
            logits: Tensor = model(_layout(pictures.to(self.device), self.recipe))
        self.network.train()
        return logits

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Any]:
        pictures, inner = _layout(batch["pictures"], self.recipe), ()
        if self.supervision is None:
            logits = self.network(pictures)
        else:
            logits, inner = self.supervision(self.network, pictures)
        with torch.autocast(self.device.type, enabled=False):
            loss, parts = self.loss(logits, batch["masks"], inner)
        return {"loss": loss, "parts": parts}

    def configure_optimizers(self) -> torch.optim.Optimizer:
        settings = self.recipe.optimiser
        options: dict[str, Any] = {"lr": settings.lr, "weight_decay": settings.weight_decay}
        trained = self._trained()
        if settings.name == "sgd":
            return torch.optim.SGD(trained, momentum=0.9, nesterov=True, **options)
        kind = torch.optim.AdamW if settings.name == "adamw" else torch.optim.Adam
        # A fused optimiser takes the scale off fp16 gradients itself, too late for clipping.
        fused = self.recipe.training.precision != "16"
        return kind(trained, fused=fused, **options)

    def _trained(self) -> list[nn.Parameter]:
        return [*self.network.parameters(), *(self.supervision.parameters() if self.supervision is not None else ())]

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        factor = rate(self.recipe.schedule, self.progress())
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = self.recipe.optimiser.lr * factor

    def configure_gradient_clipping(self, *args: Any, **kwargs: Any) -> None:
        if self.recipe.optimiser.clip is not None:  # Lightning's own clipping refuses fused optimisers
            nn.utils.clip_grad_norm_(self._trained(), self.recipe.optimiser.clip)

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        super().optimizer_step(*args, **kwargs)
        if self.average is not None:
            self.average.update(self.network, self.trainer.global_step + 1)


class Average(nn.Module):
    """Exponential moving average of a network's weights and buffers.

    The decay rises with the number of steps n as (1 + n) / (10 + n) up to its value, so that the first, random
    weights are soon forgotten.
    """

    def __init__(self, network: Network, decay: float) -> None:
        super().__init__()
        self.network = copy.deepcopy(network).requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def update(self, network: Network, step: int) -> None:
        """Move towards the weights that `network` has after `step` steps."""
        weight = 1 - min(self.decay, (1 + step) / (10 + step))
        own, new = self.network.state_dict(), network.state_dict()
        floats = [name for name, value in own.items() if value.is_floating_point()]
        torch._foreach_lerp_([own[name] for name in floats], [new[name] for name in floats], weight)
        for name in own.keys() - set(floats):
            own[name].copy_(new[name])


def rate(settings: ScheduleSettings, progress: float) -> float:
    """Learning rate as a share of its highest, when `progress` (0 to 1) of the budget is used up."""
    if progress < settings.warmup:
        return max(progress / settings.warmup, 1e-3)
    if settings.name == "constant":
        return 1.0
    course = (min(progress, 1.0) - settings.warmup) / max(1.0 - settings.warmup, 1e-9)
    return settings.floor + (1 - settings.floor) * 0.5 * (1 + math.cos(math.pi * course))


def _layout(pictures: Tensor, recipe: Recipe) -> Tensor:
    return pictures.contiguous(memory_format=torch.channels_last) if recipe.training.channels_last else pictures
