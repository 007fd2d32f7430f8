"""What metadata brings: the same training with and without it, on synthetic people whose metadata is known.

    python benchmarks/metadata.py [--persons 80] [--minutes 10] [--seeds 1 2 3] [--ways WAY ...] [--json FILE]

Each way of using metadata is trained with the same recipe but for that, on the same pictures with the same seeds and
the same budget, in turns. Dice is taken on people whom none has seen: with their metadata, and with all of it hidden.
Phantoms have bones that grow with height and thin with age; what the ways bring on real hands is for real hands to say.
"""

import argparse
import csv
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from measuring import Row, report

from handbones import Segmenter, load_recipe, open_collection
from handbones.collection import Case, Collection
from handbones.insight.evaluation import evaluate
from handbones.learning.fit import fit
from handbones.phantom.settings import REALISTIC
from handbones.phantom.synthesis import synth

WITHOUT = "without"
WAYS = {
    WITHOUT: [],
    "person told": ["metadata.inputs=[age, sex, height, weight]"],
    "side told": ["metadata.inputs=[side]"],
    "person asked": ["metadata.targets=[age, sex, height, weight]"],
    "side and tilt asked": ["metadata.targets=[side, tilt]"],
    "all": [
        "metadata.inputs=[age, sex, height, weight, side]",
        "metadata.targets=[age, sex, height, weight, side, tilt]",
    ],
}
"""Told: second input by FiLM. Asked: auxiliary targets."""
BENT = {"train": 0.11, "test": 0.57}
"""Share of bent wrists, as in the competition."""


def main() -> None:
    options = parse()
    with tempfile.TemporaryDirectory() as folder:
        data = options.data or make(Path(folder) / "data", options)
        whole = open_collection(data)
        test = [case for case in whole.test if case.labels is not None]
        if not test:
            raise SystemExit(f"{data}: its test part has no labels to measure on")
        found: dict[str, list[Row]] = {way: [] for way in options.ways}
        for seed in options.seeds:
            for way in options.ways:
                out = Path(folder) / f"{seed} {way}"
                found[way].append(run(way, seed, out, whole, test, options))
                print({"way": way, **found[way][-1]}, flush=True)
    rows = [summary(way, found[way], found[options.ways[0]]) for way in options.ways]
    show(rows)
    settings = {name: value for name, value in vars(options).items() if name not in {"json", "data"}}
    report(rows, options.json, settings=settings, pictures=len(test), runs=found)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="a collection with a labelled test part, instead of phantoms")
    parser.add_argument("--persons", type=int, default=80, help="to learn from, two pictures each")
    parser.add_argument("--test-persons", type=int, default=24)
    parser.add_argument("--size", type=int, default=1024, help="of the pictures, in pixels")
    parser.add_argument("--recipe", default="small")
    parser.add_argument("--minutes", type=float, default=10.0, help="for each training")
    parser.add_argument("--steps", type=int, help="for each training, instead of minutes")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS), help="the first is compared with")
    parser.add_argument("--set", dest="settings", action="append", default=[], metavar="FIELD=VALUE")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def make(data: Path, options: argparse.Namespace) -> Path:
    """The phantoms to learn from and to measure on."""
    synth(
        data,
        options.persons + options.test_persons,
        seed=31,
        test_persons=options.test_persons,
        size=options.size,
        settings=REALISTIC.with_tilted(BENT["train"]),
        test_settings=REALISTIC.with_tilted(BENT["test"]),
        test_labels=True,
    )
    return data


def run(way: str, seed: int, out: Path, whole: Collection, test: list[Case], options: argparse.Namespace) -> Row:
    """One training, and what it is worth."""
    budget = {"minutes": options.minutes if options.steps is None else "null", "steps": options.steps or "null"}
    settings = [*options.settings, f"training.seed={seed}", "training.loggers=[]", "validation.minutes=null"]
    settings += [f"training.{name}={value}" for name, value in budget.items()]
    outcome = fit(load_recipe(options.recipe, [*settings, *WAYS[way]]), out, whole)
    segmenter = Segmenter(outcome.bundle)
    told, untold = (evaluate(segmenter, cases) for cases in (test, [hidden(case) for case in test]))
    last = list(csv.DictReader((out / "history.csv").open()))[-1]
    return {
        "seed": seed,
        "steps": outcome.state.step,
        "dice": told.mean,
        "dice_hidden": untold.mean,
        **{f"dice_{group}": value for group, value in told.by_group.items()},
        **{name: float(value) for name, value in last.items() if name.endswith("_error")},
    }


def hidden(case: Case) -> Case:
    """The same picture of nobody knows whom."""
    return replace(case, side=None, metadata=None)


def summary(way: str, runs: Sequence[Row], without: Sequence[Row]) -> Row:
    """Means over the seeds; the differences are taken seed by seed."""
    gains = [own["dice"] - other["dice"] for own, other in zip(runs, without, strict=True)]
    figures: dict[str, Any] = {name: mean(row[name] for row in runs) for name in runs[0] if name != "seed"}
    errors = [(1 - own["dice"]) / (1 - other["dice"]) for own, other in zip(runs, without, strict=True)]
    spread = stdev(gains) if len(gains) > 1 else None
    return {"name": way, **figures, "gain": mean(gains), "gain_spread": spread, "error_ratio": mean(errors)}


def show(rows: Sequence[Row]) -> None:
    print(f"{'':20} {'Dice':>7} {'hidden':>7} {'carpals':>7} {'gain':>8} {'spread':>8} {'error':>6}")
    for row in rows:
        spread = "" if row["gain_spread"] is None else f"{row['gain_spread']:.4f}"
        print(
            f"{row['name']:20} {row['dice']:7.4f} {row['dice_hidden']:7.4f} {row['dice_carpals']:7.4f} "
            f"{row['gain']:+8.4f} {spread:>8} {row['error_ratio']:6.3f}"
        )
        errors = {name.removesuffix("_error"): value for name, value in row.items() if name.endswith("_error")}
        if errors:
            print(f"{'':20} held out, off by: " + ", ".join(f"{name} {value:.3g}" for name, value in errors.items()))


if __name__ == "__main__":
    main()
