"""The decoder that segmentation_models_pytorch has not."""

from collections.abc import Sequence
from typing import Any

from segmentation_models_pytorch.base import SegmentationHead, SegmentationModel
from segmentation_models_pytorch.encoders import get_encoder
from torch import Tensor, nn
from torch.nn import functional

_WIDEST = 1024


class HighResolution(SegmentationModel):  # type: ignore[misc]
    """The head of HRNetV2 (Sun et al., High-Resolution Representations for Labeling Pixels and Regions, 2019).

    All scales from a quarter of the picture's size down are enlarged to that quarter, put side by side and mixed by
    one 1x1 convolution; a second one gives the logits. Takes any encoder; HRNet's own branches are what it is for.
    """

    requires_divisible_input_shape = True

    def __init__(
        self, encoder_name: str, encoder_weights: bool | None, in_channels: int, classes: int, **options: Any
    ) -> None:
        super().__init__()
        self.encoder = get_encoder(encoder_name, in_channels=in_channels, weights=encoder_weights, **options)
        self.decoder = _Mix(self.encoder.out_channels[2:])
        self.segmentation_head = SegmentationHead(self.decoder.width, classes, kernel_size=1)
        self.classification_head = None
        self.initialize()


class _Mix(nn.Module):
    """As wide as all scales together, up to `_WIDEST`.

    Enlarging and a 1x1 convolution may change places, and that over scales side by side is a sum of one over each: so
    every scale is mixed at its own size, which needs neither the memory nor the time of the wide map.
    """

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.width = min(sum(channels), _WIDEST)
        self.scales = nn.ModuleList(nn.Conv2d(count, self.width, 1, bias=False) for count in channels)
        self.norm = nn.BatchNorm2d(self.width)
        self.activation = nn.ReLU(inplace=True)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        first, *coarser = (mix(scale) for mix, scale in zip(self.scales, features[2:], strict=True))
        for scale in coarser:
            first = first + functional.interpolate(scale, size=first.shape[-2:], mode="bilinear")
        result: Tensor = self.activation(self.norm(first))
        return result
