"""Fit the resting pose (`REST`, `CORRECTION` of `handbones.phantom.pose`) to places and overlaps of real hands.

    pip install cma
    python tools/fit_pose.py --out fit.json [--evaluations 2000]

Minimises, over 82 numbers, the distance of 28 phantoms to `calibration.json`: centroids of the bones in the picture
and the mean overlaps of the pairs that overlap in real hands, and of those that must not.
"""

import argparse
import json
from pathlib import Path
from statistics import NormalDist

import cma
import numpy as np

from handbones.anatomy import ANATOMY, BONES, INDEX
from handbones.labels import unpack
from handbones.phantom import pose
from handbones.phantom.drawing import draw_geometry
from handbones.phantom.settings import PRESETS

SIZE = 224
REAL_FILE = Path(__file__).parents[1] / "src/handbones/phantom/calibration.json"
CARPALS = [b.label for b in ANATOMY if b.group == "carpals"]
BASES = [b.label for b in ANATOMY if b.segment == "metacarpal"]
FINGERS = [b.label for b in ANATOMY if b.digit]
SHIFTED = CARPALS + BASES


def unpack_parameters(x: np.ndarray, rest: dict) -> tuple[dict, dict]:
    shifts = x[: 3 * len(SHIFTED)].reshape(-1, 3)
    turns = x[3 * len(SHIFTED) :][: 3 * len(CARPALS)].reshape(-1, 3) * 5.0
    angles = x[3 * (len(SHIFTED) + len(CARPALS)) :] * 3.0
    correction = {}
    for k, label in enumerate(SHIFTED):
        turn = turns[k] if k < len(CARPALS) else np.zeros(3)
        correction[label] = (tuple(shifts[k].round(2).tolist()), tuple(turn.round(1).tolist()))
    return {f: round(rest[f] + a, 1) for f, a in zip(FINGERS, angles, strict=True)}, correction


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True)
    parser.add_argument("--evaluations", type=int, default=2000)
    parser.add_argument("--phantoms", type=int, default=28)
    options = parser.parse_args()
    real = json.loads(REAL_FILE.read_text())
    centre = np.array([[real["bones"][b]["centroid_px"][f"{a}_mean"] for a in "xy"] for b in BONES])
    wanted = {tuple(sorted((INDEX[a], INDEX[b]))): e["iou_mean"] for e in real["overlaps"] for a, b in [e["pair"]]}
    y, x_ = np.mgrid[:SIZE, :SIZE].reshape(2, -1).astype(np.float32)
    rest, correction = dict(pose.REST), dict(pose.CORRECTION)
    start = np.zeros(3 * len(SHIFTED) + 3 * len(CARPALS) + len(FINGERS))
    for k, label in enumerate(SHIFTED):
        shift, turn = correction.get(label, pose.NONE)
        start[3 * k : 3 * k + 3] = shift
        if k < len(CARPALS):
            start[3 * len(SHIFTED) + 3 * k :][:3] = np.array(turn) / 5.0

    # The same spread of wrist tilts whatever the number of phantoms: quantiles of the mixture of two modes.
    preset = PRESETS["realistic"]
    tilted = round(options.phantoms * preset.pose.tilted)
    tilts = np.concatenate(
        [
            [NormalDist(mean, sd).inv_cdf((k + 0.5) / n) for k in range(n)]
            for n, (mean, sd) in (
                (tilted, preset.pose.tilt_deg),
                (options.phantoms - tilted, preset.pose.straight_deg),
            )
        ]
    )
    presets = [preset.model_copy(update={"pose": preset.pose.model_copy(update={"tilt_any": (t, t)})}) for t in tilts]

    def cost(x: np.ndarray, show: bool = False) -> float:
        pose.REST, pose.CORRECTION = unpack_parameters(x, rest)
        places, overlap = np.zeros((29, 2)), np.zeros((29, 29))
        for seed in range(options.phantoms):
            g = draw_geometry(np.random.default_rng(seed), presets[seed], SIZE, SIZE, side="right")
            covered = g.packed.reshape(-1) > 0
            masks = unpack(g.packed.reshape(1, -1)[:, covered])[:, 0].astype(np.float32)
            area = np.maximum(masks.sum(1), 1)
            places += np.stack([masks @ x_[covered] / area, masks @ y[covered] / area], 1) * (2048 / SIZE)
            both = masks @ masks.T
            overlap += both / (area[:, None] + area[None] - both)
        places, overlap = places / options.phantoms, overlap / options.phantoms
        off = (places - centre)[:27] / 8.0
        total = float((off**2).mean()) * 3.0
        for i in range(29):
            for j in range(i + 1, 29):
                target = wanted.get((i, j), 0.0)
                total += ((np.sqrt(overlap[i, j]) - np.sqrt(target)) / 0.04) ** 2 / 20.0
        if show:
            print("centroids rms px", np.sqrt(((off * 8) ** 2).mean()).round(1))
            for (i, j), t in wanted.items():
                print(f"{BONES[i]:10s} {BONES[j]:10s} {overlap[i, j]:.3f} {t:.3f}")
        return total + 0.004 * float((x**2).sum())

    search = cma.CMAEvolutionStrategy(
        start, 0.4, {"maxfevals": options.evaluations, "seed": 1, "verbose": -9, "CMA_diagonal": True, "popsize": 16}
    )
    while not search.stop():
        xs = search.ask()
        search.tell(xs, [cost(x) for x in xs])
        if search.countiter % 5 == 0:
            best = search.result.xfavorite
            print(search.countevals, round(cost(best), 2), flush=True)
            angles, found = unpack_parameters(best, rest)
            Path(options.out).write_text(json.dumps({"rest": angles, "correction": found}, indent=1))
    cost(search.result.xfavorite, show=True)


if __name__ == "__main__":
    main()
