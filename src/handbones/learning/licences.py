"""Whose encoders may be used: the licences of their code and of their published weights.

timm says of each set of weights under which licence it was published; what it does not say, or says wrongly, is
written out here. `refusal` is asked before an encoder is built.
"""

from fnmatch import fnmatchcase
from functools import cache

PERMISSIVE = {"apache-2.0", "mit", "bsd-3-clause", "cc-by-4.0"}

NOT_PERMISSIVE = {
    "apple-amlr",
    "apple-ascl",
    "cc-by-nc-4.0",
    "cc-by-nc-sa-4.0",
    "cvnets-license",
    "dinov3-license",
    "fair-noncommercial-research-license",
    "fastvit-license",
    "gemma",
    "mobileone-license",
    "nvidia-open-model-license",
    "qwen-community-1.0",
    "sapiens2-license",
    "seer-license",
    "unknown",
}
"""Not for everyone and every use, or with terms of their own. A test holds that timm knows no others."""

_CODE = {
    "mit_b*": "NVIDIA Source Code License, not for commercial use",
    "convit*": "cc-by-nc",
}
"""Encoders whose code itself is not for every use, as its first lines say; the rest is Apache 2.0 (timm) and MIT."""

_WEIGHTS = {
    # timm's own field says apache-2.0, the first lines of its file otherwise.
    "gcvit*": "cc-by-nc-sa-4.0",
    # Those that segmentation_models_pytorch has for itself, by their origins.
    "se_resn*": "apache-2.0",
    "inceptionresnetv2": "apache-2.0",
    "inceptionv4": "apache-2.0",
    "efficientnet-b?": "apache-2.0",
    "mobilenet_v2": "bsd-3-clause",
    "resnext101_32x48d": "cc-by-nc-4.0",
}
"""Licences of weights that timm does not tell."""


def refusal(encoder: str, weights: str) -> str | None:
    """Why an encoder may not start from `weights` ("imagenet", "none" or a file), in one line; None where it may.

    A file counts as what the encoder's name stands for: `timm`'s default weights, or those of the tag after the dot.
    """
    code = _lookup(_CODE, encoder)
    if code is not None:
        return f"network.encoder: the code of {encoder} is not under a permissive licence ({code}); take another"
    licence = weights_licence(encoder)
    if weights == "none" or licence in PERMISSIVE | {"none"}:  # where none are published, a file holds the user's own
        return None
    return (
        f"network.weights: those published for {encoder} are not under a permissive licence ({licence}); start without "
        f"by --set network.weights=none, or take another encoder"
    )


def weights_licence(encoder: str) -> str:
    """Licence of the published weights of an encoder: "unknown" where nobody says, "none" where there are none."""
    known = _lookup(_WEIGHTS, encoder)
    if known is not None:
        return known
    import timm  # noqa: PLC0415

    if encoder.partition(".")[0] not in _current_names():
        return "unknown"  # a name that timm gave up: it may stand for any weights
    if not timm.models.is_model_pretrained(encoder):
        return "none"
    source = timm.get_pretrained_cfg(encoder)
    return (source.license if source is not None else None) or "unknown"


@cache
def _current_names() -> frozenset[str]:
    import timm  # noqa: PLC0415

    return frozenset(timm.list_models())


def _lookup(table: dict[str, str], encoder: str) -> str | None:
    return next((licence for pattern, licence in table.items() if fnmatchcase(encoder, pattern)), None)
