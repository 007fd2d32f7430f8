"""Networks: gray pictures in, one map of logits a bone out.

Every network is wrapped in `Network`, which normalises the picture, so that what is trained, exported and run on a
laptop takes the same bytes.
"""

import copy
import difflib
import logging
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from handbones.anatomy import BONES
from handbones.errors import UsageError
from handbones.inference.frame import MULTIPLE
from handbones.learning.decoders import HighResolution
from handbones.learning.licences import refusal
from handbones.learning.metadata import Estimator, Modulation
from handbones.learning.weights import encoder_weights, load_encoder, load_torchvision_weights
from handbones.recipe import Recipe
from handbones.recipe.learning import NetworkSettings
from handbones.recipe.samples import InputSettings, MetadataSettings

logger = logging.getLogger(__name__)

# Input pixels per logit of SMP's decoders as they come, without the enlargement in their heads.
_NATIVE_STRIDE = {
    "unet": 1,
    "unetplusplus": 1,
    "manet": 1,
    "linknet": 1,
    "fpn": 4,
    "pan": 4,
    "pspnet": 8,
    "deeplabv3": 8,
    "deeplabv3plus": 4,
    "upernet": 4,
    "segformer": 4,
    "dpt": 2,
    "hrnet": 4,
}
# Decoders whose last blocks double the resolution one after the other, so that they can be left out.
_TRIMMABLE = {"unet", "manet"}
_WIDTHS_CHOSEN = {"unet", "unetplusplus", "manet"}
_TORCHVISION_STRIDE, _TORCHVISION_CHANNELS = 8, 2048
"""Of the deepest features of its networks on ResNet-50 and ResNet-101."""


class Network(nn.Module):
    """A segmentation network with its normalisation and its stride.

    `body` maps (N, channels, H, W) to (N, 29, H / s, W / s) with s <= `stride`'s native value; the wrapper enlarges
    its logits where the recipe asks for more of them than `body` gives. Where metadata has a part in it, `body` has
    `encoder`, `decoder` and `segmentation_head`, as those of segmentation_models_pytorch do. `exclusive` (training with
    softmax): out of training, a logit tells how far a bone is above the best of the others and of none, so that no two
    are above 0.
    """

    def __init__(self, body: nn.Module, settings: NetworkSettings, picture: InputSettings, enlarge: int = 1) -> None:
        super().__init__()
        self.body: Any = body
        self.stride = settings.stride
        self.channels = settings.channels
        self.enlarge = enlarge
        self.exclusive = False
        self.mean = 255.0 * picture.mean
        self.scale = 1.0 / (255.0 * picture.std)
        self.modulation: Modulation | None = None
        self.estimator: Estimator | None = None

    def add_metadata(self, settings: MetadataSettings, channels: int) -> None:
        """Give metadata a part in it, where the recipe does; `channels` are those of the deepest features."""
        if settings.inputs:
            self.modulation = Modulation(len(settings.inputs), channels)
        if settings.targets:
            self.estimator = Estimator(channels, len(settings.targets))

    def forward(
        self, pictures: Tensor, metadata: Tensor | None = None, *, estimate: bool = False
    ) -> Tensor | tuple[Tensor, Tensor]:
        """(N, 1, H, W) uint8 gray to (N, 29, H / stride, W / stride) logits; H and W are multiples of 32.

        `metadata` (N, 2 inputs) as `encode` makes it, None where nothing is known. With `estimate` also (N, targets)
        estimates, of features that know no metadata.
        """
        x = (pictures.float() - self.mean) * self.scale
        if self.channels > 1:
            x = x.expand(-1, self.channels, -1, -1)
        if self.modulation is None and not estimate:
            return self._enlarged(self.body(x))
        encoded = self.body.encoder(x)
        (*features, deepest), *tokens = encoded if isinstance(encoded, tuple) else (encoded,)  # a transformer's tokens
        modulated = deepest
        if self.modulation is not None:
            if metadata is None:
                metadata = x.new_zeros(len(x), self.modulation.inputs)
            modulated = self.modulation(deepest, metadata)
        logits = self._enlarged(self.body.segmentation_head(self.body.decoder([*features, modulated], *tokens)))
        if not estimate:
            return logits
        assert self.estimator is not None
        return logits, self.estimator(deepest)

    def _enlarged(self, logits: Tensor) -> Tensor:
        if self.enlarge > 1:
            logits = functional.interpolate(logits, scale_factor=float(self.enlarge), mode="bilinear")
        return margins(logits) if self.exclusive and not self.training else logits


def margins(logits: Tensor) -> Tensor:
    """How far each of (N, 29, h, w) logits is above the best of the others and of a background's 0.

    Of two of them one is below 0, also after linear enlargement and averaging, so that a threshold of 1/2 finds what
    argmax finds, and each picture's bones stay apart.
    """
    two = functional.pad(logits, (0, 0, 0, 0, 0, 1)).topk(2, dim=1).values
    best, second = two[:, :1], two[:, 1:]
    return logits - torch.where(logits == best, second, best)


class _Out(nn.Module):
    """The map of logits out of torchvision's dictionary; its parts with SMP's names."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network: Any = network
        self.segmentation_head = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.decoder(self.encoder(x))

    def encoder(self, x: Tensor) -> list[Tensor]:
        return [self.network.backbone(x)["out"]]

    def decoder(self, features: list[Tensor]) -> Tensor:
        logits = self.network.classifier(features[-1])
        return functional.interpolate(logits, scale_factor=float(_TORCHVISION_STRIDE), mode="bilinear")


def build_network(recipe: Recipe, *, pretrained: bool = True) -> Network:
    """The network of a recipe, with the weights that it starts from (`pretrained=False`: random ones).

    Raises `UsageError` on an encoder that is unknown, not free to use or not fit for the decoder, or an impossible
    stride; `UserError` where weights cannot be had.
    """
    settings = recipe.network
    weights = settings.weights if pretrained else "none"
    if settings.decoder.startswith("torchvision-"):
        network, channels = _torchvision(settings, recipe.input, weights), _TORCHVISION_CHANNELS
    else:
        network = _smp(settings, recipe.input, weights)
        channels = network.body.encoder.out_channels[-1]
    network.add_metadata(recipe.metadata, channels)
    if recipe.training.batch == 1 and not recipe.training.freeze_norm:
        _try_alone(network, settings.decoder)
    network.exclusive = recipe.loss.softmax > 0
    return network


def start_head(head: nn.Module, bias: float | None) -> None:
    """Set the bias of the last convolution; None leaves it as it is."""
    if bias is None:
        return
    last = [layer for layer in head.modules() if isinstance(layer, nn.Conv2d)][-1]
    assert last.bias is not None
    nn.init.constant_(last.bias, bias)


def _smp(settings: NetworkSettings, picture: InputSettings, weights: str) -> Network:
    encoder = _known_encoder(settings.encoder)
    refused = refusal(settings.encoder, weights)
    if refused is not None:
        raise UsageError(refused)
    native, stride = _NATIVE_STRIDE[settings.decoder], settings.stride
    if native < stride and settings.decoder not in _TRIMMABLE:
        raise UsageError(
            f"network.stride: {settings.decoder} gives a logit every {native} pixels; set it to {native}, "
            f"or take network.decoder=unet"
        )
    options = _options(settings)
    if encoder.startswith("tu-"):
        options |= encoder_weights(settings.encoder, weights)
    try:
        body = _create(settings, encoder, options)
        if not encoder.startswith("tu-"):
            load_encoder(body.encoder, settings.encoder, weights)
        if native < stride:
            _stop_early(body, settings.decoder_channels[: -(stride.bit_length() - 1)])
        start_head(body.segmentation_head, settings.head_bias)
        network = Network(body, settings, picture, enlarge=max(1, native // stride))
        _try_out(network)
    except (AssertionError, AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
        logger.debug("build", exc_info=error)  # what timm's models raise where they do not fit is up to each of them
        raise UsageError(_unfit(settings)) from None
    return network


def _known_encoder(name: str) -> str:
    """An encoder's name as segmentation_models_pytorch takes it: timm's with a mark, else one of its own."""
    import timm  # noqa: PLC0415
    from segmentation_models_pytorch.encoders import encoders  # noqa: PLC0415 slow

    if timm.is_model(name):
        tags = timm.list_pretrained(name.partition(".")[0] + ".*") if "." in name else [name]
        if name in tags:
            return f"tu-{name}"
        raise UsageError(f"network.encoder: timm has no weights {name!r}{_nearest(name, tags)}")
    own = {encoder for encoder in encoders if not encoder.startswith("timm-")}  # old names of timm's
    if name in own:
        return name
    near = _nearest(name, [*timm.list_models(), *own])
    raise UsageError(f"network.encoder: neither timm nor segmentation_models_pytorch knows {name!r}{near}")


def _options(settings: NetworkSettings) -> dict[str, Any]:
    """Arguments of the decoder, and of the encoder where it is timm's."""
    options: dict[str, Any] = {}
    if settings.encoder.startswith("tf_"):
        # TensorFlow's padding depends on the input's size at run time. Symmetric padding samples the same features,
        # shifted by a pixel, and leaves a graph without shape arithmetic.
        options["pad_type"] = ""
    if settings.encoder.startswith("swin"):
        options["strict_img_size"] = False
    if settings.decoder == "dpt":
        options["dynamic_img_size"] = True
    elif settings.decoder == "hrnet":
        if settings.encoder.startswith("hrnet"):
            options["feature_location"] = ""  # the branches themselves, not what a classifier makes of them
    elif _NATIVE_STRIDE[settings.decoder] > 1:
        options["upsampling"] = 1
    if settings.decoder in _WIDTHS_CHOSEN:
        options["decoder_channels"] = settings.decoder_channels
    return options


def _create(settings: NetworkSettings, encoder: str, options: dict[str, Any]) -> Any:
    import segmentation_models_pytorch as smp  # noqa: PLC0415 slow, and torchvision's networks do without

    common: dict[str, Any] = {
        "encoder_name": encoder,
        "encoder_weights": True if "pretrained_cfg_overlay" in options else None,
        "in_channels": settings.channels,
        "classes": len(BONES),
    }
    if settings.decoder == "hrnet":
        return HighResolution(**common, **options)
    body = smp.create_model(settings.decoder, **common, **options)
    if settings.decoder == "dpt":
        body.segmentation_head = body.segmentation_head.head  # without its enlargement
        indices = body.encoder._output_indices  # layers behind the last of them would be weights that nothing uses
        body.encoder.model.prune_intermediate_layers(indices, prune_norm=True, prune_head=True)
    return body


def _try_out(network: Network) -> None:
    """A picture of odd proportions through the network: not every encoder takes every size, nor every decoder it."""
    training = network.training
    with torch.no_grad():
        network.eval()(torch.zeros((1, 1, 8 * MULTIPLE, 9 * MULTIPLE), dtype=torch.uint8))
    network.train(training)


def _try_alone(network: Network, decoder: str) -> None:
    """A picture as a batch of its own through the network in training: normalisation of pooled features needs more."""
    trained = copy.deepcopy(network).train()
    try:
        with torch.no_grad():
            trained(torch.zeros((1, 1, 8 * MULTIPLE, 9 * MULTIPLE), dtype=torch.uint8))
    except ValueError as error:
        logger.debug("alone", exc_info=error)
        raise UsageError(
            f"training.batch: network.decoder={decoder} needs at least 2; lower input.size instead, "
            "or set training.freeze_norm=true"
        ) from None


def _unfit(settings: NetworkSettings) -> str:
    other = "another" if settings.decoder == "dpt" else "another, or network.decoder=dpt for a plain vision transformer"
    return (
        f"network.encoder: {settings.encoder} does not go with network.decoder={settings.decoder} and pictures of any "
        f"size; take {other}"
    )


def _stop_early(body: nn.Module, channels: tuple[int, ...]) -> None:
    """Leave out the last blocks of a U-Net-like decoder, so that as many stay as there are `channels`."""
    from segmentation_models_pytorch.base import SegmentationHead  # noqa: PLC0415
    from segmentation_models_pytorch.base.initialization import initialize_head  # noqa: PLC0415

    body.decoder.blocks = body.decoder.blocks[: len(channels)]  # type: ignore[union-attr, index]
    body.segmentation_head = SegmentationHead(channels[-1], len(BONES), kernel_size=3)
    initialize_head(body.segmentation_head)


def _torchvision(settings: NetworkSettings, picture: InputSettings, weights: str) -> Network:
    from torchvision.models import segmentation  # noqa: PLC0415

    family = settings.decoder.removeprefix("torchvision-")
    if settings.encoder not in {"resnet50", "resnet101"}:
        raise UsageError(f"network.encoder: torchvision's {family} takes resnet50 or resnet101, not {settings.encoder}")
    if settings.stride != 1 or settings.channels != 3:
        raise UsageError(f"network: torchvision's {family} needs network.stride=1 and network.channels=3")
    build = getattr(segmentation, f"{family}_{settings.encoder}")
    network = build(weights=None, weights_backbone=None, num_classes=len(BONES))
    load_torchvision_weights(network, f"{family}_{settings.encoder}", weights)
    start_head(network.classifier, settings.head_bias)
    return Network(_Out(network), settings, picture)


def _nearest(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def count_parameters(network: nn.Module) -> int:
    """Number of trained values."""
    return sum(parameter.numel() for parameter in network.parameters())


def best_device() -> torch.device:
    """The first accelerator that torch sees, else the CPU."""
    return torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")
