"""Weights and ONNX files out of a network in memory, and back."""

import copy
import logging
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import save

from handbones.bundle import ONNX, WEIGHTS, Bundle, Card, card_text
from handbones.errors import UserError
from handbones.files import atomic_path, write_bytes
from handbones.inference.frame import MULTIPLE
from handbones.learning.networks import Network, build_network
from handbones.learning.plain import plain
from handbones.learning.precision import Precision, round_weights, store_weights, stored_weights
from handbones.learning.weights import State, read_state
from handbones.recipe import Recipe

logger = logging.getLogger(__name__)

OPSET = 18
TOLERANCE = 1e-4
"""Largest difference of logits between torch and onnxruntime, as a share of the largest logit (at least 1)."""

_COUNTER = "num_batches_tracked"


def save_weights(folder: Path, network: Network) -> None:
    """Write model.safetensors; a model.onnx of older weights goes."""
    (folder / ONNX).unlink(missing_ok=True)
    state = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    write_bytes(folder / WEIGHTS, save(state))


def load_network(bundle: Bundle) -> Network:
    """The network of a bundle, in evaluation mode on the CPU. Raises `UserError` if the weights are not its."""
    network = build_network(bundle.recipe, pretrained=False)
    start_from(network, bundle)
    return network.eval()


def start_from(network: Network, bundle: Bundle) -> None:
    """Load a bundle's weights into a network of the same build. Raises `UserError` where the builds differ.

    What the bundle has not learnt of metadata keeps the weights that it has.
    """
    state = read_state(bundle.weights) if bundle.weights is not None else onnx_state(bundle.onnx)
    own, settings = network.state_dict(), bundle.recipe.metadata
    for name, value in own.items():
        unlearnt = name.startswith("modulation.") and not settings.inputs
        # An .onnx file has no estimator.
        unlearnt |= name.startswith("estimator.") and (name not in state or state[name].shape != value.shape)
        if unlearnt or name.endswith(_COUNTER):
            state.setdefault(name, value)
        elif name not in state or state[name].shape != value.shape:
            raise UserError(f"{bundle.path}: its weights are those of another network: {name} is missing or differs")
    network.load_state_dict({name: state[name] for name in own})


def average_with(network: Network, recipe: Recipe, bundle: Bundle) -> None:
    """Move a network's weights half way to those of a bundle, one of which went on from the other.

    The mean of a model and of what it became on other data is often better on a third kind than both (Wortsman et al.,
    Robust fine-tuning of zero-shot models, 2022). Raises `UserError` where the builds differ,
    and where the two are for other pictures or answer otherwise.
    """
    own = {name: value.clone() for name, value in network.state_dict().items()}
    start_from(network, bundle)
    _refuse_unlike(recipe, bundle)
    for name, value in network.state_dict().items():
        if value.is_floating_point():
            value.lerp_(own[name], 0.5)


def _refuse_unlike(recipe: Recipe, bundle: Bundle) -> None:
    ours, theirs = (
        {
            "input.hand": of.hand,
            "input.mean": of.input.mean,
            "input.std": of.input.std,
            "metadata.inputs": of.metadata.inputs,
            "loss.softmax": of.loss.softmax > 0,
        }
        for of in (recipe, bundle.recipe)
    )
    for field, value in ours.items():
        if value != theirs[field]:
            raise UserError(f"{bundle.path}: has {field} {theirs[field]}, the other {value}: they have no average")


def onnx_state(path: Path | None) -> State:
    """Weights by name out of an .onnx file that `export_onnx` wrote, as float32."""
    import onnx  # noqa: PLC0415

    assert path is not None
    return stored_weights(onnx.load(str(path)))


def export_onnx(network: Network, recipe: Recipe, card: Card, path: Path, precision: Precision = "fp32") -> float:
    """Write a network as one .onnx file with recipe and card inside; returns how far its logits are from torch's.

    Input `pictures` (N, 1, H, W) uint8 gray, H and W multiples of 32; output `logits` (N, 29, H / stride, W / stride)
    float32; N, H and W are free. Where the recipe has inputs of metadata, a second input `metadata` (N, 2 inputs)
    float32, as `encode` makes it. Weights keep their names and batch normalisation stays apart, so that the file can
    be trained on. `precision` is that of the stored weights; arithmetic is float32. Raises `UserError`, and writes
    nothing, if onnxruntime's logits differ by more than `TOLERANCE` from torch's with weights rounded in this way.
    """
    kind = f"{recipe.network.decoder} on {recipe.network.encoder}"
    if _rounds_sizes(network):
        raise UserError(f"{path}: not written: {kind} rounds the sizes of its maps, which torch cannot export")
    network = copy.deepcopy(network).cpu().eval()
    round_weights(network, precision)
    try:
        model = _convert(plain(network))
    except Exception as error:  # torch has many kinds; what was trained is not to be lost by one
        logger.debug("export", exc_info=error)
        reason = type(error).__name__
        raise UserError(f"{path}: not written: torch cannot export {kind} to ONNX ({reason})") from None
    store_weights(model, precision)
    for key, value in {"recipe": recipe.to_yaml(), "card": card_text(card)}.items():
        model.metadata_props.add(key=key, value=value)
    with atomic_path(path) as temporary:
        temporary.write_bytes(model.SerializeToString())
        difference = _disagreement(network, temporary)
        if np.isnan(difference):
            raise UserError(f"{path}: not written: its logits are no numbers: train again with a lower optimiser.lr")
        if difference > TOLERANCE:
            raise UserError(f"{path}: not written: onnxruntime's logits differ from torch's by {difference:.1e}")
    logger.info("%s agrees with torch to %.1e", path, difference)
    return difference


def _convert(network: Network) -> Any:
    """The network as an onnx ModelProto."""
    from onnxscript import optimizer  # noqa: PLC0415 slow to load
    from torch.export import Dim  # noqa: PLC0415

    rows, columns = Dim("rows", min=4, max=256), Dim("columns", min=4, max=256)
    batch = Dim("batch", min=1)
    examples = [torch.zeros((2, 1, 256, 192), dtype=torch.uint8)]
    shapes = [{0: batch, 2: MULTIPLE * rows, 3: MULTIPLE * columns}]
    if network.modulation is not None:
        examples.append(torch.zeros((2, network.modulation.inputs)))
        shapes.append({0: batch})
    names = ["pictures", "metadata"][: len(examples)]
    program = torch.onnx.export(
        torch.export.export(network, tuple(examples), dynamic_shapes=dict(zip(names, shapes, strict=True))),
        dynamo=True,
        optimize=False,  # it would fold batch normalisation into the weights
        opset_version=OPSET,
        input_names=names,
        output_names=["logits"],
        verbose=False,
    )
    assert program is not None
    model = program.model_proto
    # What is left of torch's shape arithmetic would keep onnxruntime from joining layers: a third of the speed.
    # Weights stay what they are.
    weights = network.state_dict().keys()
    optimizer.fold_constants(model, input_size_limit=64, should_fold=lambda node: _no_weight(node, weights))
    optimizer.remove_unused_nodes(model)
    model.producer_name = "handbones"
    for part in (model, model.graph, *model.graph.node, *model.graph.value_info, *model.graph.input):
        del part.metadata_props[:]  # where in torch's source each node comes from
    for node in model.graph.node:
        node.doc_string = ""
    return model


def _rounds_sizes(network: Network) -> bool:
    """Whether there are blocks of MobileViT in it: torch.export would reason for hours when their sizes are even."""
    from timm.models.mobilevit import MobileVitBlock, MobileVitV2Block  # noqa: PLC0415 slow to load

    return any(isinstance(layer, MobileVitBlock | MobileVitV2Block) for layer in network.modules())


def _no_weight(node: Any, weights: Collection[str]) -> bool | None:
    """What a weight goes into is left to onnxruntime; None leaves the decision on other nodes to the optimiser."""
    return False if any(value is not None and value.name in weights for value in node.inputs) else None


def _disagreement(network: Network, path: Path) -> float:
    """Largest difference of logits on noise of two sizes, as a share of the largest logit (at least 1).

    NaN where the logits are not finite, infinite where onnxruntime fails.
    """
    import onnxruntime  # noqa: PLC0415

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(0)
    worst = 0.0
    for shape in ((1, 1, 256, 256), (2, 1, 160, 288)):
        given: dict[str, npt.NDArray[Any]] = {"pictures": rng.integers(0, 256, shape, np.uint8)}
        if network.modulation is not None:
            given["metadata"] = rng.normal(size=(shape[0], network.modulation.inputs)).astype(np.float32)
        try:
            ours: npt.NDArray[np.float32] = session.run(None, given)[0]
        except Exception:  # onnxruntime has exceptions of its own without a common base
            return float("inf")
        with torch.no_grad():
            theirs = network(**{name: torch.from_numpy(array) for name, array in given.items()}).numpy()
        if not (np.isfinite(ours).all() and np.isfinite(theirs).all()):
            return float("nan")
        worst = max(worst, float(np.abs(ours - theirs).max() / max(1.0, np.abs(theirs).max())))
    return worst
