"""How much a few labels of one's own bring: fine-tuning the packaged model against starting from ImageNet.

    python benchmarks/fine_tuning.py [--cases 10 50 200] [--minutes 5] [--bundle BUNDLE] [--json FILE]

Realistic phantoms with bent wrists stand in for a hospital's own pictures: the packaged model has seen none of that
preset. Both starts get the same cases and the same time; Dice is taken on people whom neither has seen.
"""

import argparse
import json
import platform
import tempfile
from dataclasses import replace
from pathlib import Path

from handbones import Segmenter, load_recipe, open_collection
from handbones.bundle import packaged_model
from handbones.insight.evaluation import evaluate
from handbones.learning.fit import fit
from handbones.phantom.settings import REALISTIC
from handbones.phantom.synthesis import synth

TEST_PEOPLE = 12
STARTS = {"ImageNet": "small", "packaged model": "finetune"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, nargs="+", default=[10, 50, 200])
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--size", type=int, default=1024, help="of the pictures, in pixels")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--bundle", type=Path, help="start from this one instead of the packaged model")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    init = options.bundle or packaged_model()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        people = max(options.cases) // 2 + TEST_PEOPLE
        settings = REALISTIC.with_tilted(0.57)
        synth(
            data, people, options.seed, test_persons=TEST_PEOPLE, size=options.size, settings=settings, test_labels=True
        )
        whole = open_collection(data)
        before = evaluate(Segmenter(init, wrist_bundle="none"), whole.test).mean
        print(f"packaged model as it is: {before:.4f}", flush=True)
        for count in options.cases:
            training = [case for case in whole.cases if case.split == "train"][:count]
            row = {"cases": count}
            for start, name in STARTS.items():
                recipe = load_recipe(name, [f"training.minutes={options.minutes}", "validation.minutes=1"])
                run = Path(folder) / f"{count} {name}"
                chosen = None if start == "ImageNet" else init
                bundle = fit(recipe, run, replace(whole, cases=training), init=chosen).bundle
                row[start] = evaluate(Segmenter(bundle), whole.test).mean
                print(f"{count} cases from {start}: {row[start]:.4f}", flush=True)
            row["error ratio"] = (1 - row["packaged model"]) / (1 - row["ImageNet"])
            rows.append(row)
    for row in rows:
        print("  ".join(f"{name} {value:.4g}" for name, value in row.items()))
    if options.json:
        machine = f"{platform.processor() or platform.machine()}, {options.minutes:g} minutes each"
        options.json.write_text(json.dumps({"machine": machine, "before": before, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
