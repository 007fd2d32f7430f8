"""The measuring stick: phantoms whose test differs from their training as the competition's does, and who does best.

    python benchmarks/stick.py make FOLDER                                   # 160 people, once
    python benchmarks/stick.py run FOLDER --minutes 45 --json stick.json     # the rows of the main table, one by one
    python benchmarks/stick.py run FOLDER --minutes 10 --rows 'ablation:*' --json parts.json
    python benchmarks/stick.py run FOLDER --minutes 50 --rows 'shrunk:*' --json shrunk.json
    python benchmarks/stick.py run FOLDER --steps 200 --rows 'ablation:*' --seeds 21 22 23 --json seeds.json
    python benchmarks/stick.py table stick.json

120 people train, 11 % of their wrists bent, mistakes planted in 2 % of the labels; 40 people test, 57 % bent, labels
exact and used for scoring alone. Each contestant has the same wall-clock time, all its validations in it, and trains
on the same people (the fifth that ours validates on is kept from the others, too). Whole-image Dice at full size. What
is in the JSON already is not trained again, and a training that was cut goes on. With `--steps` each of ours has as
many steps instead of as much time: for parts that cost little, where the machine's speed differs more than they do.
"""

import argparse
import fnmatch
import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
from contestants import GOALS, ROWS, WRIST_SHARE, Budget, Ours, Script
from measuring import machine

from handbones import Segmenter, load_recipe, open_collection
from handbones.bundle import RECIPE, packaged_model
from handbones.collection import Case, Collection
from handbones.files import make_folder, write_text
from handbones.insight.evaluation import Evaluation, evaluate
from handbones.labels import load_labels
from handbones.phantom.settings import REALISTIC
from handbones.phantom.synthesis import synth
from handbones.recipe import Recipe
from handbones.sides import is_bent, wrist_tilt

SEED, TRAIN_PEOPLE, TEST_PEOPLE, SIZE = 7, 120, 40, 2048
TRAIN_TILTED, TEST_TILTED, SPOILT_LABELS = 0.11, 0.57, 0.02
HARD = ("Pisiform", "Trapezoid", "Trapezium")
TILTS = {"under 5": (0, 5), "5 to 20": (5, 20), "20 to 35": (20, 35), "35 to 40": (35, 40), "over 40": (40, 180)}
"""Degrees between forearm and hand, to either side."""


def make(folder: Path, train: int = TRAIN_PEOPLE, test: int = TEST_PEOPLE, size: int = SIZE) -> None:
    """Write the stick; the same as `handbones synth` with the flags in docs/results.md."""
    synth(
        *(folder, train + test, SEED),
        test_persons=test,
        size=size,
        settings=REALISTIC.with_tilted(TRAIN_TILTED),
        test_settings=REALISTIC.with_tilted(TEST_TILTED),
        test_labels=True,
        defects=SPOILT_LABELS * train / (train + test),
        labels_only=True,
    )


def digest(collection: Collection) -> str:
    """Tells whether two sticks have the same labels."""
    whole = hashlib.sha256()
    for case in collection.cases:
        whole.update(Path(str(case.labels)).read_bytes())
    return whole.hexdigest()[:12]


def contest(row: Script | Ours, stick: Collection, folder: Path, budget: Budget, seed: int) -> Evaluation:
    """Train a contestant and score it on the people of the test."""
    if isinstance(row, Script):
        if budget.unit != "minutes":
            raise SystemExit("--steps: the scripts of rivals.py know time alone; choose others with --rows")
        return evaluate(_rival(row, stick, folder, budget.amount, seed), stick.test)
    common = [f"training.seed={seed}", "training.loggers=[]"]
    share = 0.0 if row.wrist is None else WRIST_SHARE
    start = packaged_model() if row.init else None
    main = _fit(row.recipe, [*common, *row.settings], budget.part(1 - share), folder, stick, start)
    if row.wrist is None:
        return evaluate(Segmenter(main), stick.test)
    wrist = _fit("wrist", [*common, *row.wrist], budget.part(share), folder / "wrist", stick, main)
    return evaluate(Segmenter(main, wrist_bundle=wrist), stick.test)


def _rival(row: Script, stick: Collection, folder: Path, minutes: float, seed: int) -> Segmenter:
    import torch  # not needed for the table
    from rivals import Document, PlainUnet

    torch.manual_seed(seed)  # their weights are drawn as they are made
    rival = {
        "fcn_resnet50": lambda: Document(row.weights),
        "fcn_lite0": lambda: Document(row.weights, "lite0"),
        "unet": lambda: PlainUnet(row.weights, row.size, row.batch),
    }[row.script]()
    make_folder(folder)
    steps = rival.train(_training_part(stick), minutes, seed, folder / "last.pt")
    print(f"    {steps} steps", flush=True)
    return rival


def _training_part(stick: Collection) -> list[Case]:
    """What our recipes train on, too: all but the first fold."""
    from handbones.learning.run import Split

    return list(Split.of(load_recipe("small"), stick).train)


def _fit(
    recipe: str, settings: list[str], budget: Budget, folder: Path, stick: Collection, start: Path | None = None
) -> Path:
    from handbones.learning.fit import fit

    resume = (folder / "last.ckpt").exists()
    again = resume and recipe == "auto"  # a second plan might differ
    chosen = load_recipe(folder / RECIPE) if again else _recipe(recipe, [*settings, *budget.settings()], budget, stick)
    outcome = fit(chosen, folder, stick, init=start, resume=resume)
    print(f"    {outcome.state.step} steps, validation {outcome.state.best:.4f}", flush=True)
    return outcome.bundle


def _recipe(name: str, settings: list[str], budget: Budget, stick: Collection) -> Recipe:
    if name != "auto":
        return load_recipe(name, settings)
    if budget.unit != "minutes":
        raise SystemExit("--steps: auto plans for a time; choose others with --rows")
    from handbones.learning.planning import plan

    planned = plan(len(_training_part(stick)), budget.amount, settings)
    print(planned, flush=True)
    return planned.recipe


def summarise(evaluation: Evaluation) -> dict:
    """Mean Dice: overall, by tilt of the wrist, of groups, of the three hardest carpals, of every bone."""
    tilts = np.abs([wrist_tilt(load_labels(str(case.labels))) or 0.0 for case in evaluation.cases])
    bent = is_bent(tilts)
    bins = {name: (tilts >= low) & (tilts < high) for name, (low, high) in TILTS.items()}
    parts = {"straight": ~bent, "bent": bent}
    return {
        "dice": evaluation.mean,
        **{name: float(evaluation.dice[chosen].mean()) for name, chosen in parts.items() if chosen.any()},
        **evaluation.by_group,
        "hard": mean(evaluation.by_bone[bone] for bone in HARD),
        "bones": evaluation.by_bone,
        "tilts": {name: float(evaluation.dice[own].mean()) for name, own in bins.items() if own.any()},
        "pictures": {"straight": int((~bent).sum()), "bent": int(bent.sum())},
    }


def run(
    stick: Collection,
    names: list[str],
    seeds: list[int],
    budget: Budget,
    runs: Path,
    path: Path,
    changed: Sequence[str] = (),
) -> None:
    """Train and score what is not in the JSON yet, which is written after each row; ours with `changed` fields."""
    facts: dict[str, Any] = {"stick": digest(stick), budget.unit: budget.amount}
    if changed:
        facts["changed"] = list(changed)
    known = json.loads(path.read_text()) if path.exists() else {**facts, "rows": {}}
    if {name: fact for name, fact in known.items() if name != "rows"} != facts:
        raise SystemExit(f"{path}: of another stick, budget or --set ({known['stick']}, {_spent(known)})")
    for seed in seeds:
        for name in names:
            key = f"{name} #{seed}"
            if key in known["rows"]:
                continue
            print(key, flush=True)
            folder = runs / re.sub(r"\W+", "-", key)
            _claim(folder, facts)
            row = ROWS[name]
            if isinstance(row, Ours):
                wrist = None if row.wrist is None else (*row.wrist, *changed)
                row = replace(row, settings=(*row.settings, *changed), wrist=wrist)
            known["rows"][key] = summarise(contest(row, stick, folder, budget, seed)) | {"machine": machine()}
            write_text(path, json.dumps(known, indent=1) + "\n")
            print(f"    Dice {known['rows'][key]['dice']:.4f}", flush=True)


def _claim(folder: Path, facts: dict[str, Any]) -> None:
    """Never go on with a training of another stick, budget or fields."""
    path = make_folder(folder) / "stick.json"
    if not any(folder.iterdir()):
        write_text(path, json.dumps(facts))
    elif not path.exists() or json.loads(path.read_text()) != facts:
        raise SystemExit(f"{folder}: holds a training of another stick, budget or --set: choose other --runs")


def table(results: dict) -> None:
    """Errors (1 - Dice) of every row, mean and range over its seeds, and the ratios that are asked for."""
    parts = ("dice", "straight", "bent", "fingers", "carpals", "forearm", "hard")
    by_name: dict[str, list[dict]] = defaultdict(list)
    for key, row in results["rows"].items():
        by_name[key.rpartition(" #")[0]].append(row)
    machines = {_described(row["machine"]) for row in results["rows"].values()}
    print(f"stick {results['stick']}, {_spent(results)} each, on {' and '.join(sorted(machines))}")
    print(f"{'error (1 - Dice)':34}" + "".join(f"{part:>10}" for part in parts) + "   seeds (range)")
    for name, rows in by_name.items():
        errors = "".join(f"{_error(rows, part):10.4f}" for part in parts)
        spread = max(row["dice"] for row in rows) - min(row["dice"] for row in rows)
        print(f"{name:34}{errors}   {len(rows)}" + (f" ({spread:.4f})" if len(rows) > 1 else ""))
    print(f"{'error by degrees of tilt':34}" + "".join(f"{name:>10}" for name in TILTS))
    for name, rows in by_name.items():
        told = [row["tilts"] for row in rows if "tilts" in row]
        print(f"{name:34}" + "".join(f"{_error(told, tilt) if told else np.nan:10.4f}" for tilt in TILTS))
    for ours, theirs, part, goal in GOALS:
        if ours in by_name and theirs in by_name:
            ratio = _error(by_name[ours], part) / _error(by_name[theirs], part)
            print(f"{ours} / {theirs}, {part}: {ratio:.3f} (at most {goal:.3f})")


def _spent(results: dict) -> str:
    return " ".join(f"{results[unit]:g} {unit}" for unit in ("minutes", "steps") if unit in results)


def _described(machine: dict) -> str:
    return f"{machine['cores']} cores of {machine['processor']}" + (f" with {machine['gpu']}" if machine["gpu"] else "")


def _error(rows: list[dict], part: str) -> float:
    return 1 - mean(row[part] for row in rows) if all(part in row for row in rows) else float("nan")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    making = verbs.add_parser("make", help="write the stick")
    making.add_argument("folder", type=Path)
    making.add_argument("--persons", type=int, nargs=2, default=[TRAIN_PEOPLE, TEST_PEOPLE], metavar=("TRAIN", "TEST"))
    making.add_argument("--size", type=int, default=SIZE, help="of the pictures, in pixels")
    running = verbs.add_parser("run", help="train and score")
    running.add_argument("folder", type=Path)
    budgets = running.add_mutually_exclusive_group()
    budgets.add_argument("--minutes", type=float, default=45.0, help="for each, by the clock")
    budgets.add_argument("--steps", type=int, help="for each, instead of time")
    running.add_argument("--rows", nargs="+", help="names or patterns; all whose names have no colon unless given")
    running.add_argument("--set", nargs="+", default=[], metavar="FIELD=VALUE", help="change fields of our recipes")
    running.add_argument("--seeds", type=int, nargs="+", default=[21])
    running.add_argument("--runs", type=Path, default=Path("runs/stick"), help="where the trainings are kept")
    running.add_argument("--json", type=Path, default=Path("runs/stick.json"))
    verbs.add_parser("table", help="print what is in a JSON").add_argument("json", type=Path)
    options = parser.parse_args()
    if options.verb == "make":
        make(options.folder, *options.persons, options.size)
        print(f"stick {digest(open_collection(options.folder))}: {options.folder}")
        return
    if options.verb == "run":
        wanted = options.rows or [name for name in ROWS if ":" not in name]
        names = [name for name in ROWS if any(fnmatch.fnmatch(name, pattern) for pattern in wanted)]
        for pattern in wanted:
            if not fnmatch.filter(ROWS, pattern):
                raise SystemExit(f"--rows: no {pattern!r}; there are {', '.join(ROWS)}")
        budget = Budget("steps", options.steps) if options.steps else Budget("minutes", options.minutes)
        run(open_collection(options.folder), names, options.seeds, budget, options.runs, options.json, options.set)
    table(json.loads(options.json.read_text()))


if __name__ == "__main__":
    main()
