"""How well `handbones audit` finds labels that were exchanged, from the outlines of a collection alone.

    python benchmarks/exchanges.py DATA [--hands 100] [--tries 12] [--seed 1] [--json FILE]

In one of so many hands at a time, whose labels must be right, two bones that meet, two that lie side by side in two
fingers, or two whole fingers bear each other's labels; the model of the hand is learned with the mistake in. Found is
where these labels and no others are told as exchanged. How many of all hands are told of as they are comes first.
"""

import argparse
from itertools import combinations
from pathlib import Path

import numpy as np
from measuring import report

from handbones.anatomy import ANATOMY, BONES
from handbones.collection import open_collection
from handbones.insight.audit.exchange import exchanges
from handbones.insight.audit.model import HandModel, Hands
from handbones.insight.shapes import shapes_of
from handbones.labels import load_labels

Pairs = list[tuple[int, int]]


def mistakes() -> list[tuple[str, Pairs]]:
    """Kind and the bones that bear each other's labels."""
    index = {bone.label: bone.index for bone in ANATOMY}
    meeting = {tuple(sorted((bone.index, index[other]))) for bone in ANATOMY for other in bone.neighbours}
    beside = {
        (one.index, other.index)
        for one, other in combinations(ANATOMY, 2)
        if one.digit and other.digit and one.segment == other.segment and other.digit - one.digit == 1
    }
    fingers = {digit: [bone.index for bone in ANATOMY if bone.digit == digit] for digit in (2, 3, 4, 5)}
    return [
        *(("two bones that meet", [(one, other)]) for one, other in sorted(meeting)),
        *(("two bones side by side", [pair]) for pair in sorted(beside - meeting)),
        *(("two whole fingers", list(zip(*pair, strict=True))) for pair in combinations(fingers.values(), 2)),
    ]


def hands_of(data: Path) -> Hands:
    shapes = [shapes_of(load_labels(case.labels)) for case in open_collection(data).labelled if case.labels]
    return Hands.of(*(np.array([getattr(one, name) for one in shapes]) for name in ("centre", "top", "bottom", "area")))


def found(hands: Hands, hand: int, pairs: Pairs) -> bool:
    """Whether the mistake is found once it is planted."""
    order = np.arange(len(BONES))
    for one, other in pairs:
        order[[one, other]] = other, one
    spoilt = Hands(hands.places.copy(), hands.sizes.copy())
    spoilt.places[hand], spoilt.sizes[hand] = hands.places[hand, order], hands.sizes[hand, order]
    model = HandModel(spoilt)
    told = exchanges(model, spoilt, np.arange(len(hands.places)) == hand)
    return hand in told and bool((told[hand].order == order).all())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--hands", type=int, default=100)
    parser.add_argument("--tries", type=int, default=12)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    hands = hands_of(options.data)
    model = HandModel(hands)
    sound = len(exchanges(model, hands, model.fit(hands).frames.known))
    print(f"{sound} of {len(hands.places)} hands are told of as they are\n")
    rows: dict[str, dict[str, int]] = {}
    for kind, pairs in mistakes():
        row = rows.setdefault(kind, {"planted": 0, "found": 0})
        for _ in range(options.tries):
            chosen = rng.choice(len(hands.places), min(options.hands, len(hands.places)), replace=False)
            hit = found(Hands(hands.places[chosen], hands.sizes[chosen]), 0, pairs)
            row["planted"], row["found"] = row["planted"] + 1, row["found"] + hit
            if not hit:
                print(f"not found: {', '.join(f'{BONES[one]} and {BONES[other]}' for one, other in pairs)}")
    print("| labels exchanged | planted | found |\n|---|---|---|")
    for kind, row in rows.items():
        print(f"| {kind} | {row['planted']} | {row['found'] / row['planted']:.3f} |")
    report([{"mistake": kind, "hands": options.hands, **row} for kind, row in rows.items()], options.json, told=sound)


if __name__ == "__main__":
    main()
