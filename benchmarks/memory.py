"""What a training step needs, by network and size: on a GPU as torch counts it, else as the system counts the process.

    python benchmarks/memory.py [--sizes 512 1024 2048] [--limit GB] [--json FILE]

Batches of 1 and 2 are measured, each in a process of its own; the difference is what a picture adds. Sizes that would
need more than --limit (default: half of what is free) are not tried but worked out from smaller ones: what a picture
needs grows with its area.
"""

import argparse
import json
from pathlib import Path

import torch
from measuring import in_a_process_of_its_own, machine

from handbones.learning import cpu
from handbones.learning.module import BoneModule
from handbones.learning.networks import best_device, build_network, count_parameters
from handbones.recipe import Recipe, load_recipe

NETWORKS = {
    "small": ["small", []],
    "small, stride 1": ["small", ["network.stride=1"]],
    "unet resnet34": ["small", ["network.encoder=resnet34", "network.stride=1"]],
    "unet resnet50": ["small", ["network.encoder=resnet50", "network.stride=1"]],
    "baseline (fcn_resnet50, float32)": ["baseline", []],
    "baseline, bf16": ["baseline", ["training.precision=bf16"]],
}
_STEPS = 2
"""The optimiser's state is there after the first."""


def recipe_of(name: str, size: int, batch: int) -> Recipe:
    recipe, overrides = NETWORKS[name]
    return load_recipe(recipe, ["network.weights=none", f"input.size={size}", f"training.batch={batch}", *overrides])


def step_memory(recipe: Recipe) -> float:
    """MB at the height of a step, beyond what the process holds before there is a network."""
    device, training = best_device(), recipe.training
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    before = _highest()
    network = build_network(recipe, pretrained=False).to(device)
    if device.type == "cpu":
        cpu.quicken_depthwise(network)
    if training.channels_last:
        network = network.to(memory_format=torch.channels_last)
    module = BoneModule(network, recipe, lambda: 0.0).to(device).train()
    optimiser = module.configure_optimizers()
    shape = training.batch, recipe.input.size, recipe.input.size
    batch = {
        "pictures": torch.zeros((training.batch, 1, *shape[1:]), dtype=torch.uint8, device=device),
        "masks": torch.zeros(shape, dtype=torch.int32, device=device),
    }
    low = training.precision == "bf16" or (training.precision == "auto" and (device.type == "cuda" or cpu.has_bf16()))
    for _ in range(_STEPS):
        with torch.autocast(device.type, torch.bfloat16, enabled=low):
            loss = module.training_step(batch, 0)["loss"]
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
    return _highest() - before


def _highest() -> float:
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024


def _free() -> float:
    """MB."""
    if torch.cuda.is_available():
        return torch.cuda.mem_get_info()[0] / 2**20
    lines = Path("/proc/meminfo").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("MemAvailable")).split()[1]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[512, 1024, 2048])
    parser.add_argument("--limit", type=float, help="GB")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        name, size, batch = options.one
        print(json.dumps({"mb": step_memory(recipe_of(name, int(size), int(batch)))}))
        return
    limit = 1024 * options.limit if options.limit else _free() / 2
    print(f"{'':34} {'parameters':>10} {'size':>5} {'fixed':>8} {'a picture':>10}   GB")
    rows = []
    for name in NETWORKS:
        parameters = count_parameters(build_network(recipe_of(name, 64, 1), pretrained=False))
        each = fixed = 0.0
        known = 0
        for size in sorted(options.sizes):
            tried = fixed + 2 * each * (size / known) ** 2 < limit if known else True
            if tried:
                one, two = (
                    in_a_process_of_its_own(__file__, "--one", name, str(size), str(batch))["mb"] for batch in (1, 2)
                )
                each, fixed, known = max(two - one, 0.0), max(2 * one - two, 0.0), size
            picture = each if tried else each * (size / known) ** 2
            row = {"network": name, "parameters": parameters, "size": size, "measured": tried}
            rows.append({**row, "fixed_gb": fixed / 1024, "picture_gb": picture / 1024})
            mark = "" if tried else "  worked out"
            print(
                f"{name:34} {parameters / 1e6:9.1f}M {size:5} {fixed / 1024:8.2f} {picture / 1024:10.2f}{mark}",
                flush=True,
            )
    if options.json:
        options.json.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
