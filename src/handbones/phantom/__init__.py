"""Synthetic radiographs with exact labels: skeleton, person, pose, projection, tissue, film, frame.

`make` draws one from a seed, `synth` writes a collection. Both are loaded when first used: the inner loops are
compiled by numba, which takes its time to import.
"""

from importlib import import_module
from typing import Any

_PUBLIC = {
    "make": "handbones.phantom.drawing",
    "synth": "handbones.phantom.synthesis",
}

__all__ = list(_PUBLIC)


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'handbones.phantom' has no attribute {name!r}")
    return getattr(import_module(_PUBLIC[name]), name)
