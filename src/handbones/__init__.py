"""Every bone of a hand radiograph: 29 overlapping masks from one picture.

The public names below are loaded when first used, so that `import handbones` stays quick.
"""

from importlib import import_module
from typing import Any

from handbones.anatomy import ANATOMY, BONES
from handbones.errors import UsageError, UserError

__version__ = "0.1.0"

_PUBLIC = {
    "dice": "handbones.metric",
    "rle_encode": "handbones.rle",
    "rle_decode": "handbones.rle",
    "Labels": "handbones.labels",
    "load_labels": "handbones.labels",
    "save_labels": "handbones.labels",
    "Radiograph": "handbones.radiograph",
    "load_radiograph": "handbones.radiograph",
    "Metadata": "handbones.metadata",
    "Collection": "handbones.collection",
    "open_collection": "handbones.collection",
    "Recipe": "handbones.recipe",
    "load_recipe": "handbones.recipe",
    "Bundle": "handbones.bundle",
    "load_bundle": "handbones.bundle",
    "logits_to_rle": "handbones.inference.masks",
    "Segmentation": "handbones.inference.segmentation",
    "Segmenter": "handbones.inference.segmenter",
    "segment": "handbones.inference.segmenter",
    "show": "handbones.insight.portrait",
    "measure": "handbones.insight.measure",
}

__all__ = ["ANATOMY", "BONES", "UsageError", "UserError", "__version__", *_PUBLIC]  # noqa: PLE0604 names of a table


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'handbones' has no attribute {name!r}")
    value = getattr(import_module(_PUBLIC[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
