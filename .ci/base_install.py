"""The base install works without torch: every module outside `learning` imports, masks are encoded and scored."""

import importlib
import importlib.util
import pkgutil

import numpy as np

import handbones

assert importlib.util.find_spec("torch") is None, "torch is installed: this must be tried without it"

for module in pkgutil.walk_packages(handbones.__path__, "handbones."):
    if not module.name.startswith("handbones.learning"):
        importlib.import_module(module.name)

rng = np.random.default_rng(0)
mask = rng.integers(0, 2, (48, 64), np.uint8)
assert (handbones.rle_decode(handbones.rle_encode(mask), mask.shape) == mask).all()

logits = rng.normal(size=(29, 16, 16)).astype(np.float32)
found = handbones.Segmentation.from_logits(logits, 48, 64)
assert found.rle() == handbones.logits_to_rle(logits, 48, 64)
assert (handbones.dice(found.masks()[None], found.masks()[None]) == 1).all()

handbones.load_recipe("small")
assert handbones.Segmenter().settings()["wrist_bundle"], "the packaged model's own look at the wrist is not installed"
