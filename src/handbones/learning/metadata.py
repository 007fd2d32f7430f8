"""Metadata in a network: told to it by FiLM, told by it from the picture."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from handbones.collection import Case, metadata_from_labels
from handbones.encoding import CHOICES, SCALES
from handbones.errors import UserError
from handbones.learning.world import World
from handbones.recipe.samples import MetadataSettings

_WIDTH = 64
_SOURCES = {
    ("inputs", "side"): "file names that end in _L or _R",
    ("targets", "side"): "labels of fingers on both sides",
    ("targets", "tilt"): "labels of the fingers and the forearm",
}


class Modulation(nn.Module):
    """Feature-wise linear modulation (FiLM; Perez et al., AAAI 2018): scale and shift of each channel by metadata.

    At the start it changes nothing.
    """

    def __init__(self, fields: int, channels: int) -> None:
        super().__init__()
        self.inputs = 2 * fields
        last = nn.Linear(_WIDTH, 2 * channels)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.layers = nn.Sequential(nn.Linear(self.inputs, _WIDTH), nn.ReLU(), last)

    def forward(self, features: Tensor, metadata: Tensor) -> Tensor:
        """(N, channels, h, w) features by (N, 2 fields) metadata of `encode`."""
        scale, shift = self.layers(metadata)[:, :, None, None].chunk(2, dim=1)
        modulated: Tensor = features * (1 + scale) + shift
        return modulated


class Estimator(nn.Module):
    """An estimate of each target from the mean of the deepest features."""

    def __init__(self, channels: int, targets: int) -> None:
        super().__init__()
        self.layer = nn.Linear(channels, targets)

    def forward(self, features: Tensor) -> Tensor:
        """(N, channels, h, w) to (N, targets): numbers as `encode` scales them, logits of choices."""
        estimates: Tensor = self.layer(features.mean(dim=(2, 3)))
        return estimates


class EstimateLoss(nn.Module):
    """Squared error of numbers, binary cross-entropy of choices; the mean over what is known."""

    choices: Tensor
    """(T,) bool, which targets are choices."""

    def __init__(self, settings: MetadataSettings) -> None:
        super().__init__()
        choices = torch.tensor([name in CHOICES for name in settings.targets])
        self.register_buffer("choices", choices, persistent=False)

    def forward(self, estimates: Tensor, targets: Tensor) -> Tensor:
        """Of (N, T) estimates against (N, 2 T) targets of `encode`; 0 where nothing is known."""
        values, known = targets.chunk(2, dim=1)
        estimates = estimates.float()
        of_choices = functional.binary_cross_entropy_with_logits(estimates, (values + 1) / 2, reduction="none")
        losses = torch.where(self.choices, of_choices, (estimates - values) ** 2)
        return (losses * known).sum() / known.sum().clamp(min=1)


class EstimateErrors:
    """Mean errors of estimates over a validation, by target: in its unit, or the share of wrong choices."""

    def __init__(self, settings: MetadataSettings) -> None:
        self.names = settings.targets
        self.choices = torch.tensor([name in CHOICES for name in self.names])
        self.scales = torch.tensor([SCALES[name][1] if name in SCALES else 1.0 for name in self.names])
        self.restart()

    def restart(self) -> None:
        self.sums = torch.zeros(2, len(self.names), dtype=torch.float64)

    def add(self, estimates: Tensor, targets: Tensor) -> None:
        """(N, T) estimates and (N, 2 T) targets of `encode`, as in `EstimateLoss`."""
        estimates = estimates.cpu().double()  # in this order: Apple's GPUs have no float64
        values, known = targets.double().cpu().chunk(2, dim=1)
        errors = torch.where(self.choices, (estimates * values <= 0).double(), self.scales * (estimates - values).abs())
        self.sums += torch.stack([(errors * known).sum(dim=0), known.sum(dim=0)])

    def means(self, world: World) -> dict[str, float]:
        """`<target>_error` of all processes' pictures; NaN where nobody knows."""
        if not self.names:
            return {}
        total, count = torch.stack(world.gather(self.sums)).sum(dim=0)
        return {f"{name}_error": float(total[i] / count[i]) for i, name in enumerate(self.names)}


def describe_errors(errors: dict[str, float]) -> str:
    """What `EstimateErrors.means` found, in words."""
    words = []
    for key, error in errors.items():
        name = key.removesuffix("_error")
        words.append(
            f"{name} wrong in {error:.0%}" if name in CHOICES else f"{name} off by {error:.1f} {SCALES[name][2]}"
        )
    return ", ".join(words)


def refuse_unknown(settings: MetadataSettings, cases: Sequence[Case], *, inputs: bool = True) -> None:
    """Raise `UserError` where no case knows one of the fields that the recipe asks for.

    Without `inputs` those need not be known: a model that has learned to do without goes on.
    """
    for field, names in (("inputs", settings.inputs if inputs else ()), ("targets", settings.targets)):
        for name in names:
            known = (case.known if field == "inputs" else metadata_from_labels(case) for case in cases)
            if all(getattr(metadata, name) is None for metadata in known):
                source = _SOURCES.get((field, name), "a column of meta_data.xlsx")
                raise UserError(
                    f"metadata.{field}: {name} is known of none of the cases: it comes from {source}; or leave it out"
                )
