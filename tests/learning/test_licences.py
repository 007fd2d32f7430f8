"""Encoders start from weights that everyone may use, or not at all."""

import pytest

pytest.importorskip("torch")

import timm
from segmentation_models_pytorch.encoders import encoders

from handbones.errors import UsageError
from handbones.learning.licences import NOT_PERMISSIVE, PERMISSIVE, refusal, weights_licence
from handbones.learning.networks import build_network
from handbones.recipe import load_recipe

pytestmark = pytest.mark.train

EVERY = [*timm.list_models(), *timm.list_pretrained(), *(name for name in encoders if not name.startswith("timm-"))]


def test_no_encoder_is_accepted_with_weights_that_are_not_permissive() -> None:
    for name in EVERY:
        licence = weights_licence(name)
        assert licence in PERMISSIVE | NOT_PERMISSIVE | {"none"}, f"{name}: decide on {licence}"
        for weights in ("imagenet", "weights.safetensors"):
            assert refusal(name, weights) is not None or licence in PERMISSIVE | {"none"}, name
    assert not PERMISSIVE & NOT_PERMISSIVE


def test_what_timm_says_of_its_weights_counts() -> None:
    said = {name: timm.get_pretrained_cfg(name).license for name in timm.list_pretrained()}
    accepted = {name for name in said if refusal(name, "imagenet") is None}
    assert accepted <= {name for name, licence in said.items() if licence in PERMISSIVE}
    assert len(accepted) > 1400  # and not everything is refused


@pytest.mark.parametrize(
    "name",
    [
        "convnextv2_tiny",
        "convnextv2_nano.fcmae_ft_in1k",
        "convnext_tiny.dinov3_lvd1689m",
        "resnet50.fb_swsl_ig1b_ft_in1k",
        "swsl_resnet18",  # an old name of such weights
        "regnety_320.seer",
        "hiera_tiny_224",
        "gcvit_tiny",
        "mobileone_s0",
        "fastvit_t8",
        "mobilevit_s",
        "vit_base_patch16_224.mae",
        "res2net50_26w_4s",
        "resnext101_32x48d",
    ],
)
def test_encumbered_weights_are_refused_and_the_architecture_is_not(name: str) -> None:
    for weights in ("imagenet", "/some/file.pth"):
        with pytest.raises(UsageError, match=r"network.weights: .* licence .*network.weights=none"):
            build_network(load_recipe("small", [f"network.encoder={name}", f"network.weights={weights}"]))
    assert refusal(name, "none") is None


@pytest.mark.parametrize("name", ["mit_b0", "convit_tiny"])
def test_encumbered_code_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match=f"network.encoder: the code of {name}"):
        build_network(load_recipe("small", [f"network.encoder={name}", "network.weights=none"]))


@pytest.mark.parametrize(
    "name",
    ["hrnet_w18", "hrnet_w48", "resnet34", "convnext_tiny", "efficientnet-b0", "se_resnet50", "tf_efficientnet_lite0"],
)
def test_usual_encoders_are_free(name: str) -> None:
    assert refusal(name, "imagenet") is None
