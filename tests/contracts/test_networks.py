"""Every decoder that a recipe can name fulfils the contract of networks."""

import os
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

pytest.importorskip("torch")

import onnx
import torch
from safetensors.torch import load_file

from handbones.errors import UserError
from handbones.learning.export import export_onnx, onnx_state, save_weights
from handbones.learning.losses import SegmentationLoss
from handbones.learning.networks import Network, build_network, start_head
from handbones.recipe import Recipe, load_recipe
from handbones.recipe.learning import Decoder
from handbones.recipe.samples import MetadataSettings

pytestmark = pytest.mark.train


class NetworkContract:
    """What a network has to fulfil; its test class inherits this and names its recipe.

    Forward at several sizes, overlap kept, save and load, export parity, a step lowers the loss.
    """

    overrides: tuple[str, ...] = ()
    recipe_name = "small"
    side = 64
    """Of the test pictures; some decoders pool deep features and need a minimum."""

    exported = False
    """Whether the export is tested always, and not only with ALL_EXPORTS=1: it takes seconds a network."""

    @pytest.fixture
    def recipe(self) -> Recipe:
        tiny = ["network.encoder=test_efficientnet.r160_in1k", "network.weights=none", "network.head_bias=null"]
        tiny += ["network.deep_supervision=0"]
        return load_recipe(self.recipe_name, [*(tiny if self.recipe_name == "small" else []), *self.overrides])

    @pytest.fixture
    def network(self, recipe: Recipe) -> Network:
        torch.manual_seed(0)
        return build_network(recipe).eval()

    def pictures(self, *shape: int) -> torch.Tensor:
        return torch.from_numpy(np.random.default_rng(0).integers(0, 256, shape, np.uint8))

    @torch.no_grad()
    def test_forward_at_several_sizes(self, network: Network) -> None:
        side, stride = self.side, network.stride
        for height, width in ((side, side), (side + 32, side), (side, side + 96)):
            logits = network(self.pictures(2, 1, height, width))
            assert logits.shape == (2, 29, height // stride, width // stride)
            assert logits.dtype == torch.float32 and logits.isfinite().all()

    def test_bones_may_overlap(self, network: Network) -> None:
        """Each bone is a question of its own: raising one bone's logit moves no other's."""
        picture = self.pictures(1, 1, self.side, self.side)
        last = [layer for layer in network.modules() if isinstance(layer, torch.nn.Conv2d)][-1]
        with torch.no_grad():
            before = network(picture)
            last.bias[3] += 5
            after = network(picture)
            last.bias[3] -= 5
        torch.testing.assert_close(after[:, 3], before[:, 3] + 5)
        others = [i for i in range(29) if i != 3]
        assert torch.equal(after[:, others], before[:, others])

    def test_weights_survive_the_disk(self, network: Network, recipe: Recipe, tmp_path: Path) -> None:
        save_weights(tmp_path, network)
        other = build_network(recipe, pretrained=False).eval()
        other.load_state_dict(load_file(tmp_path / "model.safetensors"))
        picture = self.pictures(1, 1, self.side, self.side)
        with torch.no_grad():
            assert torch.equal(network(picture), other(picture))

    @pytest.mark.slow
    def test_export_agrees_and_gives_the_weights_back(self, network: Network, recipe: Recipe, tmp_path: Path) -> None:
        if not (self.exported or os.environ.get("ALL_EXPORTS")):
            pytest.skip("only with ALL_EXPORTS=1")
        assert export_onnx(network, recipe, {}, tmp_path / "model.onnx") < 1e-4
        graph = onnx.load(tmp_path / "model.onnx").graph
        constant = {"", *(tensor.name for tensor in graph.initializer)}
        for node in graph.node:
            if constant.issuperset(node.input):
                constant.update(node.output)
        # Only then does onnxruntime join them with what follows.
        assert all(constant.issuperset(node.input[1:]) for node in graph.node if node.op_type == "Conv")
        state = onnx_state(tmp_path / "model.onnx")
        own = {name: value for name, value in network.state_dict().items() if not name.endswith("num_batches_tracked")}
        assert all(torch.equal(state[name], value) for name, value in own.items())

    def test_metadata_starts_as_nothing_and_is_learnt(self, network: Network, recipe: Recipe) -> None:
        torch.manual_seed(0)
        told = build_network(with_metadata(recipe)).eval()
        picture, known = self.pictures(2, 1, self.side, self.side), torch.randn(2, 4)
        with torch.no_grad():
            assert torch.equal(told(picture, known), network(picture))
            torch.nn.init.normal_(told.modulation.layers[-1].weight)
            assert torch.equal(told(picture), told(picture, torch.zeros(2, 4)))
            assert not torch.equal(told(picture, known), told(picture))
        logits, estimates = told(picture, known, estimate=True)
        assert estimates.shape == (2, 3)
        (logits.mean() + estimates.mean()).backward()
        assert all(layer.weight.grad.any() for layer in (told.modulation.layers[0], told.estimator.layer))

    def test_one_step_lowers_the_loss(self, recipe: Recipe) -> None:
        torch.manual_seed(0)
        network, loss = build_network(recipe, pretrained=False), SegmentationLoss(recipe.loss)
        for layer in network.modules():
            if isinstance(layer, torch.nn.Dropout | torch.nn.Dropout2d):
                layer.p = 0.0
            elif hasattr(layer, "drop_prob"):  # timm's stochastic depth
                layer.drop_prob = 0.0
        pictures = self.pictures(2, 1, self.side, self.side)
        masks = torch.where(pictures[:, 0] > 128, 2**29 - 1, 0).int()
        before, _ = loss(network(pictures), masks)
        before.backward()
        used = [parameter for parameter in network.parameters() if parameter.grad is not None]
        length = torch.stack([parameter.grad.norm() for parameter in used]).norm()
        with torch.no_grad():
            for parameter in used:
                parameter.sub_(1e-3 * parameter.grad / length)
        assert loss(network(pictures), masks)[0] < before


def with_metadata(recipe: Recipe) -> Recipe:
    metadata = MetadataSettings(inputs=("age", "side"), targets=("height", "sex", "tilt"))
    return recipe.model_copy(update={"metadata": metadata})


class TestUnet(NetworkContract):
    overrides = ("network.decoder=unet", "network.stride=1")


class TestUnetStride2(NetworkContract):
    overrides = ("network.decoder=unet", "network.stride=2")
    exported = True


class TestUnetStride4(NetworkContract):
    overrides = ("network.decoder=unet", "network.stride=4", "network.channels=3")


class TestUnetPlusPlus(NetworkContract):
    overrides = ("network.decoder=unetplusplus", "network.stride=1")


class TestManet(NetworkContract):
    overrides = ("network.decoder=manet", "network.stride=2")


class TestLinknet(NetworkContract):
    overrides = ("network.decoder=linknet", "network.stride=1")


class TestFpn(NetworkContract):
    overrides = ("network.decoder=fpn", "network.stride=4")


class TestPan(NetworkContract):
    overrides = ("network.decoder=pan", "network.stride=4")
    side = 256


class TestPspnet(NetworkContract):
    # It uses three stages of the encoder, and timm's EfficientNets keep the others, which an .onnx file does not hold.
    overrides = ("network.decoder=pspnet", "network.stride=8", "network.encoder=test_resnet.r160_in1k")


class TestDeepLabV3(NetworkContract):
    overrides = ("network.decoder=deeplabv3", "network.stride=8")


class TestDeepLabV3Plus(NetworkContract):
    overrides = ("network.decoder=deeplabv3plus", "network.stride=4")


class TestUperNet(NetworkContract):
    overrides = ("network.decoder=upernet", "network.stride=4")


class TestSegformer(NetworkContract):
    overrides = ("network.decoder=segformer", "network.stride=2")


class TestDpt(NetworkContract):
    overrides = ("network.decoder=dpt", "network.stride=2", "network.encoder=test_vit.r160_in1k")


class TestHighResolution(NetworkContract):
    overrides = ("network.decoder=hrnet", "network.stride=4", "network.encoder=test_resnet.r160_in1k")


class TestConvNext(NetworkContract):
    overrides = ("network.decoder=unet", "network.stride=2", "network.encoder=test_convnext.r160_in1k")
    exported = True


class TestSoftmax(NetworkContract):
    overrides = ("network.decoder=unet", "network.stride=4", "loss.softmax=1", "loss.bce=0", "loss.dice=0")

    def test_bones_may_overlap(self, network: Network) -> None:
        """They may not: where a logit is above 0 it is the largest, in training as it comes, and all others below."""
        picture = self.pictures(2, 1, self.side, self.side)
        with torch.no_grad():
            margins = network(picture)
            network.exclusive = False
            logits = network(picture)
        claimed = margins > 0
        assert claimed.sum(1).max() == 1
        assert torch.equal(claimed, (logits > 0) & (logits == logits.amax(1, keepdim=True)))


@pytest.mark.slow
class TestHrnet(NetworkContract):
    overrides = ("network.decoder=hrnet", "network.stride=4", "network.encoder=hrnet_w18_small")
    exported = True


@pytest.mark.slow
class TestResNet(NetworkContract):
    overrides = ("network.decoder=unet", "network.stride=2", "network.encoder=resnet18")


@pytest.mark.slow
class TestEfficientNet(NetworkContract):
    overrides = ("network.decoder=unet", "network.stride=2", "network.encoder=efficientnet_b0")


@pytest.mark.slow
class TestOwnEfficientNet(NetworkContract):
    """An encoder that segmentation_models_pytorch has and timm has not."""

    overrides = ("network.decoder=unet", "network.stride=2", "network.encoder=efficientnet-b0")


@pytest.mark.slow
class TestSwin(NetworkContract):
    overrides = ("network.decoder=unet", "network.stride=4", "network.encoder=swin_tiny_patch4_window7_224")


class TestTorchvisionFcn(NetworkContract):
    recipe_name = "baseline"
    overrides = ("network.weights=none",)


@pytest.mark.slow
class TestTorchvisionDeepLabV3(NetworkContract):
    recipe_name = "baseline"
    overrides = ("network.weights=none", "network.decoder=torchvision-deeplabv3")


def test_no_decoder_is_left_out() -> None:
    tested = {
        override.removeprefix("network.decoder=")
        for contract in NetworkContract.__subclasses__()
        for override in contract.overrides
    }
    assert set(get_args(Decoder)) <= tested | {"torchvision-fcn"}


@pytest.mark.parametrize("encoder", ["mobilevit_xxs", "mobilevitv2_050"])
def test_what_torch_would_export_for_hours_is_refused(encoder: str, tmp_path: Path) -> None:
    recipe = load_recipe("small", ["network.weights=none", f"network.encoder={encoder}"])
    with pytest.raises(UserError, match=f"not written: unet on {encoder} rounds the sizes"):
        export_onnx(build_network(recipe), recipe, {}, tmp_path / "model.onnx")


def test_logits_that_are_no_numbers_are_not_exported(tmp_path: Path) -> None:
    tiny = ["network.encoder=test_efficientnet.r160_in1k", "network.weights=none", "input.size=64"]
    network = build_network(recipe := load_recipe("small", tiny))
    start_head(network, float("nan"))
    with pytest.raises(UserError, match="not written: its logits are no numbers"):
        export_onnx(network, recipe, {}, tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())
