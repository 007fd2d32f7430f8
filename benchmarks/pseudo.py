"""What pseudo-labels bring: a model that learns from them, too, against one of the same time without.

    python benchmarks/pseudo.py [--people 20] [--unlabelled 20] [--minutes 10 | --steps FIRST MORE] [--json FILE]

Phantoms with the shift of the competition: 11 % bent wrists among the labelled, 57 % among the unlabelled people and
among those that Dice is taken on. A first model labels the unlabelled pictures; then two go on from it for equal time
(or, with `--steps`, for equal steps), with the pseudo-labels and without. With more rounds the better model labels
again.
"""

import argparse
import csv
import json
import platform
import tempfile
from pathlib import Path

from handbones import Segmenter, open_collection
from handbones.cli import run
from handbones.insight.evaluation import Evaluation, evaluate
from handbones.phantom.settings import REALISTIC
from handbones.phantom.synthesis import synth

SHIFT = (0.11, 0.57)
TEST_PEOPLE = 12


def handbones(*words: object) -> None:
    """Run a command line, which must succeed."""
    if run([str(word) for word in words]):
        raise SystemExit(f"handbones {words[0]} failed")


def figures(evaluation: Evaluation) -> dict[str, float]:
    """Dice of all, of bent and of straight wrists."""
    heaps = {kind: float(evaluation.dice[own].mean()) for kind, own in evaluation.wrists.items()}
    return {"all": evaluation.mean, **heaps}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=20, help="with labels")
    parser.add_argument("--unlabelled", type=int, default=20, help="people without")
    parser.add_argument("--test-people", type=int, default=TEST_PEOPLE)
    parser.add_argument("--minutes", type=float, default=10.0, help="of each training")
    parser.add_argument("--steps", type=int, nargs=2, metavar=("FIRST", "MORE"), help="instead of minutes")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--share", type=float, default=0.3, help="data.pseudo_share")
    parser.add_argument("--agreement", type=float, default=0.85)
    parser.add_argument("--confidence", type=float, default=0.8)
    parser.add_argument("--size", type=int, default=1024, help="of the pictures, in pixels")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--recipe", default="small")
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    straight, bent = (REALISTIC.with_tilted(share) for share in SHIFT)
    rows: dict[str, dict[str, float]] = {}
    kept = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data, test = folder / "data", folder / "test"
        people = options.people + options.unlabelled
        synth(
            data, people, options.seed, test_persons=options.unlabelled, size=options.size, settings=straight,
            test_settings=bent,
        )  # fmt: skip
        synth(
            test, options.test_people, options.seed + 1, test_persons=options.test_people, size=options.size,
            settings=bent, test_labels=True,
        )  # fmt: skip
        truth = open_collection(test).labelled
        minutes = "null" if options.steps else options.minutes
        common = [f"training.minutes={minutes}", f"data.pseudo_share={options.share}", *options.set]

        def learn(title: str, *more: object) -> Path:
            out = folder / title
            steps = [f"training.steps={options.steps[bool(more)]}"] if options.steps else []
            handbones("train", data, "--recipe", options.recipe, "--set", *common, *steps, "--out", out, *more)
            rows[title] = figures(evaluate(Segmenter(out), truth))
            return out

        model = learn("first")
        learn("labels alone", "--init", model)
        for number in range(1, options.rounds + 1):
            guessed = folder / f"pseudo {number}"
            limits = ("--agreement", options.agreement, "--confidence", options.confidence)
            handbones("pseudo", model, data, "--flip", *limits, "--out", guessed)
            table = list(csv.DictReader((guessed / "pseudo.csv").open(encoding="utf-8")))
            kept.append(sum(row["kept"] == "1" for row in table) / len(table))
            model = learn(f"round {number}", "--init", folder / "first", "--pseudo", guessed)
    for title, row in rows.items():
        print(f"{title:14}" + "  ".join(f"{kind} {value:.4f}" for kind, value in row.items()))
    print("kept: " + ", ".join(f"{share:.0%}" for share in kept))
    if options.json:
        settings = {name: value for name, value in vars(options).items() if name != "json"}
        machine = platform.processor() or platform.machine()
        summary = {"machine": machine, "settings": settings, "kept": kept, "rows": rows}
        options.json.write_text(json.dumps(summary, indent=1) + "\n")


if __name__ == "__main__":
    main()
