"""The training step: loss, optimiser, learning rate, averaged weights."""

import copy
import math
from collections.abc import Callable
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn

from handbones.learning.batches import Batch, finish_batch
from handbones.learning.losses import SegmentationLoss
from handbones.learning.metadata import EstimateErrors, EstimateLoss
from handbones.learning.networks import Network
from handbones.learning.supervision import Supervision
from handbones.recipe import Recipe
from handbones.recipe.learning import ScheduleSettings, TrainingSettings


class BoneModule(LightningModule):
    """A network in training. `progress()` says how much of the schedule is over, 0 to 1."""

    def __init__(self, network: Network, recipe: Recipe, progress: Callable[[], float]) -> None:
        super().__init__()
        if recipe.training.channels_last:  # weights decide: a picture of one channel looks the same in both layouts
            network.to(memory_format=torch.channels_last)
        self.network = network
        self.recipe = recipe
        self.progress = progress
        self.loss = SegmentationLoss(recipe.loss)
        self.estimates = bool(recipe.metadata.targets)
        self.estimate_loss = EstimateLoss(recipe.metadata)
        self.errors = EstimateErrors(recipe.metadata)
        self.supervision = Supervision(network, recipe.network) if recipe.network.deep_supervision else None
        self.average = Average(network, recipe.training) if recipe.training.ema else None
        if recipe.training.compile:
            network.compile()

    @property
    def model(self) -> Network:
        """The network that counts: the averaged one if the recipe asks for it."""
        return self.average.network if self.average is not None else self.network

    def predict(self, pictures: Tensor, metadata: Tensor | None = None, targets: Tensor | None = None) -> Tensor:
        """Logits of (N, 1, H, W) uint8 gray by the network that counts, at the precision of training.

        What it makes of the `targets` goes into `errors`.
        """
        model = self.model.eval()
        metadata = metadata.to(self.device) if metadata is not None else None
        with self.trainer.precision_plugin.forward_context():
            made = model(pictures.to(self.device), metadata, estimate=self.estimates)
        logits: Tensor
        logits, estimates = made if self.estimates else (made, None)
        if estimates is not None and targets is not None:
            self.errors.add(estimates, targets)
        self.network.train()
        return logits

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        return finish_batch(batch)

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Any]:
        pictures, given = batch["pictures"], {"metadata": batch.get("metadata"), "estimate": self.estimates}
        if self.supervision is None:
            made, inner = self.network(pictures, **given), ()
        else:
            made, inner = self.supervision(self.network, pictures, **given)
        logits, estimates = made if self.estimates else (made, None)
        with torch.autocast(self.device.type, enabled=False):
            loss, parts = self.loss(logits, batch["masks"], inner)
            if estimates is not None:
                part = self.estimate_loss(estimates, batch["targets"])
                loss, parts["metadata"] = loss + self.recipe.metadata.target_loss * part, part.detach()
        return {"loss": loss, "parts": parts}

    def configure_optimizers(self) -> torch.optim.Optimizer:
        settings = self.recipe.optimiser
        options: dict[str, Any] = {"lr": settings.lr, "weight_decay": settings.weight_decay}
        trained = self._trained()
        if settings.name == "sgd":
            return torch.optim.SGD(trained, momentum=0.9, nesterov=True, **options)
        kind = torch.optim.AdamW if settings.name == "adamw" else torch.optim.Adam
        # A fused optimiser takes the scale off fp16 gradients itself, too late for clipping.
        scaler = getattr(self.trainer.precision_plugin, "scaler", None) if self._trainer else None
        return kind(trained, fused=True if scaler is None else None, **options)

    def _trained(self) -> list[nn.Parameter]:
        return [*self.network.parameters(), *(self.supervision.parameters() if self.supervision is not None else ())]

    def on_train_start(self) -> None:
        """Lay out the optimiser's state as the weights are: a resumed run may have saved both in another way."""
        for weight, state in self.trainer.optimizers[0].state.items():
            for name, value in state.items():
                if value.shape == weight.shape and value.stride() != weight.stride():
                    state[name] = torch.empty_like(weight).copy_(value)

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        factor = rate(self.recipe.schedule, self.progress())
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = self.recipe.optimiser.lr * factor
        if self.recipe.training.freeze_norm:
            self.freeze_norm()

    def freeze_norm(self) -> None:
        """Have batch normalisation use the statistics that it has, and keep them."""
        for layer in self.network.modules():
            if isinstance(layer, nn.modules.batchnorm._BatchNorm):
                layer.eval()

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
    weights are soon forgotten. Without that rise good first weights stay part of the average for long.
    """

    def __init__(self, network: Network, settings: TrainingSettings) -> None:
        super().__init__()
        assert settings.ema is not None
        self.network = copy.deepcopy(network).requires_grad_(False)
        self.decay = settings.ema
        self.rise = settings.ema_rise

    @torch.no_grad()
    def update(self, network: Network, step: int) -> None:
        """Move towards the weights that `network` has after `step` steps."""
        weight = 1 - min(self.decay, (1 + step) / (10 + step) if self.rise else 1.0)
        own, new = self.network.state_dict(), network.state_dict()
        floats = [name for name, value in own.items() if value.is_floating_point()]
        torch._foreach_lerp_([own[name] for name in floats], [new[name] for name in floats], weight)
        for name in own.keys() - set(floats):
            own[name].copy_(new[name])


def rate(settings: ScheduleSettings, progress: float) -> float:
    """Learning rate as a share of its highest, when `progress` (0 to 1) of the schedule is over."""
    if progress < settings.warmup:
        return max(progress / settings.warmup, 1e-3)
    if settings.name == "constant":
        return 1.0
    course = (min(progress, 1.0) - settings.warmup) / max(1.0 - settings.warmup, 1e-9)
    return settings.floor + (1 - settings.floor) * 0.5 * (1 + math.cos(math.pi * course))
