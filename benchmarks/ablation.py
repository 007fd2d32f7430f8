"""What each part of the phantoms brings to a model that learned from nothing else.

    python benchmarks/ablation.py [--steps 600] [--size 384] [--radiographs FOLDER] [--runs FOLDER] [--json FILE]

Trains the `default` recipe's network for equally many samples on `wild` phantoms with one part taken out at a time,
and scores each on `realistic` phantoms, and on the labelled real radiographs of FOLDER. What is in --json already is
not run again, and a run that was cut goes on where it stopped (--runs keeps them), so the command can be repeated.
"""

import argparse
import json
import multiprocessing
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from measuring import machine

from handbones import Segmenter, dice, load_recipe, open_collection
from handbones.anatomy import ANATOMY, GROUPS
from handbones.learning.fit import fit
from handbones.phantom.drawing import draw
from handbones.phantom.settings import PRESETS, REALISTIC, WILD, PhantomSettings
from handbones.raster import unpack


def without(section: str, **fields: Any) -> PhantomSettings:
    """The wild phantoms with some fields of a section changed."""
    changed = getattr(WILD, section).model_copy(update=fields)
    return WILD.model_copy(update={section: changed})


_ONE_CORTEX = {"cortex_factor": (1.0, 1.0), "hollow": (0.0, 0.0)}
_ONE_CARPUS = {"carpal_shift_mm_sd": 0.0, "carpal_turn_deg_sd": 0.0}
_ONE_SHAPE = dict.fromkeys(
    ("size_sd", "width_sd", "digit_sd", "bone_sd", "profile_sd", "bend_mm_sd", "relief_mm", "cortex_sd"), 0.0
)
VARIANTS: dict[str, tuple[PhantomSettings, float]] = {
    "all": (WILD, 1),
    "without texture": (without("matter", trabeculae=(0.0, 0.0)), 1),
    "without a cortical shell": (without("matter", **_ONE_CORTEX), 1),
    "one film": (WILD.model_copy(update={"film": REALISTIC.film, "matter": REALISTIC.matter}), 1),
    "one shape of the bones": (without("population", **_ONE_SHAPE, **_ONE_CARPUS), 1),
    "one arrangement of the carpals": (without("population", **_ONE_CARPUS), 1),
    "half the resolution": (WILD, 1 / 2),
}
"""By name: the phantoms to learn from, and the share of the full size to learn at."""


def sizes(size: float) -> list[str]:
    """The recipe's sizes in proportion to its 384 pixels, in steps of 32."""
    training = [max(32 * round(share * size / 32), 32) for share in (2 / 3, 5 / 6, 1, 7 / 6)]
    return [f"input.size={round(size)}", f"input.train_sizes={training}"]


def score(segmenter: Segmenter, pictures: list[tuple[np.ndarray, np.ndarray]]) -> dict[str, float]:
    """Mean Dice of all bones and of each group over (picture, masks) pairs."""
    found = np.stack([dice(segmenter.segment(picture).masks()[None], masks[None])[0] for picture, masks in pictures])
    groups = {name: found[:, [b.index for b in ANATOMY if b.group == name]].mean() for name in GROUPS}
    return {"all": float(found.mean()), **{name: float(value) for name, value in groups.items()}}


def phantoms(count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    drawn = [draw(np.random.default_rng((99, seed)), REALISTIC, 1024, 1024) for seed in range(count)]
    return [(phantom.pixels, unpack(phantom.packed)) for phantom in drawn]


def radiographs(folder: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    pairs = []
    for case in open_collection(folder).labelled:
        radiograph, labels = case.load()
        assert labels is not None
        pairs.append((radiograph.to_uint8(), labels.masks(radiograph.height, radiograph.width)))
    return pairs


def train(name: str, seed: int, steps: int, size: int, folder: Path) -> Path:
    """The bundle of a variant, trained on from where it was left."""
    settings, share = VARIANTS[name]
    PRESETS["wild"] = settings  # the workers are forked from here, see `main`
    budget = [f"training.steps={steps}", "training.minutes=null", "validation.minutes=null", f"training.seed={seed}"]
    recipe = load_recipe("default", ["phantoms.profile=wild", "phantoms.validation=1", *budget, *sizes(share * size)])
    run = folder / f"{name} {seed} of {steps} steps at {size}".replace(" ", "-")
    return fit(recipe, run, resume=(run / "last.ckpt").exists()).bundle


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=600, help="of 8 samples")
    parser.add_argument("--size", type=int, default=384, help="of the input, in pixels")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--phantoms", type=int, default=32, help="realistic ones to score on")
    parser.add_argument("--radiographs", type=Path, help="folder of labelled real radiographs to score on as well")
    parser.add_argument("--runs", type=Path, help="keep the training runs here")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    multiprocessing.set_start_method("fork")  # others would not know of a variant; fails where there is no fork
    done = json.loads(options.json.read_text()) if options.json and options.json.exists() else {"rows": []}
    if any(done.get(name, value) != value for name, value in (("steps", options.steps), ("size", options.size))):
        raise SystemExit(f"{options.json}: of {done['steps']} steps at {done.get('size')} pixels: name another file")
    tests = {"phantoms": phantoms(options.phantoms)}
    if options.radiographs:
        tests["radiographs"] = radiographs(options.radiographs)
    with tempfile.TemporaryDirectory() as temporary:
        for seed in range(1, options.seeds + 1):
            for name in VARIANTS:
                if any((row["name"], row["seed"]) == (name, seed) for row in done["rows"]):
                    continue
                segmenter = Segmenter(train(name, seed, options.steps, options.size, options.runs or Path(temporary)))
                scores = {test: score(segmenter, pictures) for test, pictures in tests.items()}
                done["rows"].append({"name": name, "seed": seed, **scores})
                done |= {"machine": machine(), "steps": options.steps, "size": options.size}
                if options.json:
                    options.json.write_text(json.dumps(done, indent=1) + "\n")
    for row in done["rows"]:
        parts = [f"{test} " + " ".join(f"{k} {v:.4f}" for k, v in row[test].items()) for test in tests if test in row]
        print(f"{row['name']:32s} seed {row['seed']}  " + "   ".join(parts))


if __name__ == "__main__":
    main()
