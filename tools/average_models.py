"""Average the weights of two models of one build into one .onnx file, a candidate for the packaged model.

    python tools/average_models.py EARLIER LATER --out FILE [--share 0.5] [--size 896]

A model that was trained on from another and the other itself often do better together (Wortsman et al., Robust
fine-tuning of zero-shot models, 2022). The card tells both trainings; scores are left to be measured.
"""

import argparse
import copy
from pathlib import Path
from typing import Any

from handbones.bundle import Card, load_bundle
from handbones.learning.export import export_onnx, load_network
from handbones.recipe import Recipe


def stages(card: Card) -> list[dict[str, Any]]:
    """The trainings that a model has behind it."""
    training: dict[str, Any] = card["training"]
    return training.get("stages", [training])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("earlier", type=Path)
    parser.add_argument("later", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--share", type=float, default=0.5, help="of the later model")
    parser.add_argument("--size", type=int, help="input.size of the result")
    options = parser.parse_args()
    earlier, later = load_bundle(options.earlier), load_bundle(options.later)
    network, other = load_network(later), load_network(earlier).state_dict()
    for name, value in network.state_dict().items():
        if value.is_floating_point():
            value.lerp_(other[name], 1 - options.share)
    recipe = later.recipe.model_dump(mode="json")
    recipe["input"]["size"] = options.size or recipe["input"]["size"]
    after = {"recipe": "default", "init": "the earlier stages", "sizes": recipe["input"]["train_sizes"]}
    after |= {"seed": recipe["training"]["seed"], "lr": recipe["optimiser"]["lr"], **later.card["training"]}
    card = {name: copy.deepcopy(value) for name, value in earlier.card.items() if name != "scores"}
    card |= {name: later.card[name] for name in ("handbones", "created")}
    card["training"] = {
        "stages": [*stages(earlier.card), after],
        "weights": f"mean: {options.share:g} of the last stage",
    }
    difference = export_onnx(network, Recipe.model_validate(recipe), card, options.out, "fp16")
    print(f"{options.out}: {options.out.stat().st_size / 1e6:.1f} MB; agrees with torch to {difference:.0e}")


if __name__ == "__main__":
    main()
