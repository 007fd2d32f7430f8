"""What a training step needs, by network and size.

    python benchmarks/memory.py [--sizes 512 1024 2048] [--json FILE]

Counted where there is no GPU: weights, gradients, averages and the optimiser's state, which are there whatever the
batch, and what the forward pass keeps of a picture for the backward pass, which grows with the picture's area. On a
GPU the height of a step as torch tells it is measured, with batches of 1 and 2: their difference is a picture's.
"""

import argparse
from functools import cache
from pathlib import Path
from typing import Any

import torch
from measuring import report

from handbones.learning.module import BoneModule
from handbones.learning.networks import best_device, build_network, count_parameters
from handbones.recipe import Recipe, load_recipe

NETWORKS = {
    "small": ["small", []],
    "small, a logit for every pixel": ["small", ["network.stride=1"]],
    "U-Net on ResNet-34": ["small", ["network.encoder=resnet34", "network.stride=1"]],
    "U-Net on ResNet-50": ["small", ["network.encoder=resnet50", "network.stride=1"]],
    "baseline (FCN on ResNet-50)": ["baseline", []],
    "baseline, bf16": ["baseline", ['training.precision="bf16"']],
}
_COUNTED_AT = 128
"""Side of the pictures for counting; what is kept grows with the area."""


def recipe_of(name: str, size: int, batch: int) -> Recipe:
    recipe, overrides = NETWORKS[name]
    return load_recipe(
        str(recipe), ["network.weights=none", f"input.size={size}", f"training.batch={batch}", *overrides]
    )


def ready(recipe: Recipe) -> tuple[BoneModule, dict[str, torch.Tensor], torch.autocast]:
    """The module on its device, a batch, and the precision of the recipe."""
    device, batch, size = best_device(), recipe.training.batch, recipe.input.size
    module = BoneModule(build_network(recipe, pretrained=False), recipe, lambda: 0.0).to(device).train()
    if recipe.training.channels_last:
        module = module.to(memory_format=torch.channels_last)
    samples = {
        "pictures": torch.zeros((batch, 1, size, size), dtype=torch.uint8, device=device),
        "masks": torch.zeros((batch, size, size), dtype=torch.int32, device=device),
    }
    low = recipe.training.precision != "32"  # also where the processor has no bf16 of its own: it is kept as well
    return module, samples, torch.autocast(device.type, torch.bfloat16, enabled=low)


@cache
def _kept(name: str, pictures: int) -> tuple[float, float]:
    """Bytes that stay whatever the batch, but for what is kept of the weights; bytes kept for the backward pass."""
    module, batch, precision = ready(recipe_of(name, _COUNTED_AT, pictures))
    storages: dict[int, torch.UntypedStorage] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor), precision:
        module.training_step(batch, 0)
    weights = {parameter.untyped_storage().data_ptr() for parameter in module.parameters()}
    copies = 4 + (module.average is not None)  # weights, gradients, Adam's two averages, averaged weights
    kept = sum(storage.nbytes() for place, storage in storages.items() if place not in weights)
    return 4 * copies * count_parameters(module.network), kept


def counted(name: str, size: int) -> tuple[float, float]:
    """MB whatever the batch, and MB for each picture."""
    (fixed, two), (_, four) = _kept(name, 2), _kept(name, 4)  # batch normalisation wants two
    a_picture = (four - two) / 2
    return (fixed + two - 2 * a_picture) / 2**20, a_picture * (size / _COUNTED_AT) ** 2 / 2**20


def measured(name: str, size: int) -> tuple[float, float]:
    """The same from the heights of steps on a GPU."""
    heights = []
    for pictures in (1, 2):
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        module, batch, precision = ready(recipe_of(name, size, pictures))
        optimiser: Any = module.configure_optimizers()
        for _ in range(2):  # the optimiser's state is there after the first
            with precision:
                loss = module.training_step(batch, 0)["loss"]
            loss.backward()
            optimiser.step()
            optimiser.zero_grad()
        heights.append(torch.cuda.max_memory_allocated() / 2**20)
        del module, batch, optimiser, loss
    one, two = heights
    return 2 * one - two, two - one


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[512, 1024, 2048])
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    how = measured if torch.cuda.is_available() else counted
    print(f"{how.__name__}, in GB; bf16 unless said otherwise\n")
    print("| network | whatever the batch |" + "".join(f" {size} px |" for size in options.sizes))
    print("|---|---|" + "---|" * len(options.sizes))
    rows = []
    for name in NETWORKS:
        found = [how(name, size) for size in options.sizes]
        print(f"| {name} | {found[-1][0] / 1024:.2f} |" + "".join(f" {mb / 1024:.2f} |" for _, mb in found), flush=True)
        rows += [
            {"network": name, "size": size, "fixed_mb": fixed, "picture_mb": picture, "how": how.__name__}
            for size, (fixed, picture) in zip(options.sizes, found, strict=True)
        ]
    report(rows, options.json)


if __name__ == "__main__":
    main()
