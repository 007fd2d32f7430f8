"""How well `handbones audit` finds mistakes: phantoms with known ones planted, 5 % of 400 pictures a round.

    python benchmarks/audit.py [--rounds 8] [--persons 200] [--size 1024] [--json FILE]

A finding is right where a mistake of its kind was planted in that picture (for pairs: in one of the two). Recall is the
share of the planted mistakes that were found, precision the share of the findings that are right.
"""

import argparse
import csv
import json
import tempfile
import time
from collections import Counter
from pathlib import Path

from handbones.collection import open_collection
from handbones.insight.audit import KINDS, Finding, audit
from handbones.insight.survey import survey
from handbones.phantom.synthesis import synth


def one_round(folder: Path, persons: int, size: int, seed: int) -> tuple[list[dict[str, str]], list[Finding], float]:
    """Planted mistakes, findings, and seconds that the audit took."""
    synth(folder, persons, seed, size=size, test_labels=True, defects=0.05)
    with (folder / "defects.csv").open() as file:
        planted = list(csv.DictReader(file))
    start = time.perf_counter()
    findings = audit(survey(open_collection(folder).cases))
    return planted, findings, time.perf_counter() - start


def same(defect: dict[str, str], found: Finding) -> bool:
    """Whether a finding is about a planted mistake."""
    planted = {f"{defect['person']}/{defect['image']}", defect["other"]} - {""}
    told = {found.case.full_name} | ({found.other.full_name} if found.other else set())
    if defect["kind"] == "person":  # of each person one picture stands for all
        planted, told = ({name.split("/")[0] for name in names} for names in (planted, told))
    return defect["kind"] == found.kind and bool(planted & told)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--persons", type=int, default=200)
    parser.add_argument("--size", type=int, default=1024)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    count: Counter[tuple[str, str]] = Counter()
    seconds = 0.0
    for seed in range(options.seed, options.seed + options.rounds):
        with tempfile.TemporaryDirectory() as folder:
            planted, findings, took = one_round(Path(folder), options.persons, options.size, seed)
        seconds += took
        for defect in planted:
            hit = any(same(defect, found) for found in findings)
            count[defect["kind"], "planted"] += 1
            count[defect["kind"], "found"] += hit
            if not hit:
                print(f"seed {seed}: not found: {defect['kind']} {defect['image']} {defect['bones'][:60]}")
        for found in findings:
            right = any(same(defect, found) for defect in planted)
            count[found.kind, "told"] += 1
            count[found.kind, "right"] += right
            if not right:
                other = [d["kind"] for d in planted if d["image"] == found.case.name]
                print(
                    f"seed {seed}: not right: {found.kind} {found.score:.2f} {found.case.name} {found.reason} {other}"
                )
    report(count, seconds / options.rounds, options)


def report(count: Counter[tuple[str, str]], seconds: float, options: argparse.Namespace) -> None:
    kinds = [kind for kind in KINDS if count[kind, "planted"]]
    gross = [kind for kind in kinds if KINDS[kind].gross]
    rows = {}
    for name, group in {**{kind: [kind] for kind in kinds}, "gross kinds": gross, "all kinds": kinds}.items():
        planted, found, told, right = (sum(count[k, w] for k in group) for w in ("planted", "found", "told", "right"))
        rows[name] = {
            "planted": planted,
            "found": found,
            "told": told,
            "right": right,
            "recall": found / planted if planted else None,
            "precision": right / told if told else None,
        }
    print(f"{'':12} {'planted':>8} {'recall':>7} {'told':>5} {'precision':>9}")
    for name, row in rows.items():
        recall, precision = ("-" if row[part] is None else f"{row[part]:.2f}" for part in ("recall", "precision"))
        print(f"{name:12} {row['planted']:8} {recall:>7} {row['told']:5} {precision:>9}")
    pictures = 2 * options.persons
    print(
        f"{options.rounds} rounds of {pictures} pictures at {options.size} px; an audit took {seconds:.0f} s, uncached"
    )
    if options.json:
        settings = {"rounds": options.rounds, "pictures": pictures, "size": options.size, "seconds": seconds}
        options.json.write_text(json.dumps({**settings, "kinds": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
