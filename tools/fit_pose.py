"""Fit the resting pose (`REST`, `CORRECTION`, `LEAN` of `handbones.phantom.pose`) to places and overlaps of real hands.

    pip install cma
    python tools/fit_pose.py --out fit.json [--evaluations 2000]

Minimises, over 88 numbers, the distance of 28 phantoms to `calibration.json`: centroids of the bones in the picture
and the mean overlaps of the pairs that overlap in real hands, and of those that must not.
"""

import argparse
import json
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import NormalDist

import cma
import numpy as np

from handbones.anatomy import ANATOMY, BONES, INDEX
from handbones.phantom import pose
from handbones.phantom.drawing import draw_geometry
from handbones.phantom.settings import PRESETS, PhantomSettings
from handbones.raster import unpack

SIZE = 224
REAL_FILE = Path(__file__).parents[1] / "src/handbones/phantom/calibration.json"
CARPALS = [b.label for b in ANATOMY if b.group == "carpals"]
BASES = [b.label for b in ANATOMY if b.segment == "metacarpal"]
FINGERS = [b.label for b in ANATOMY if b.digit]
SHIFTED = CARPALS + BASES
LEANING = list(pose.LEAN)


def unpack_parameters(x: np.ndarray, rest: dict) -> tuple[dict, dict, dict]:
    shifts = x[: 3 * len(SHIFTED)].reshape(-1, 3)
    turns = x[3 * len(SHIFTED) :][: 3 * len(CARPALS)].reshape(-1, 3) * 5.0
    angles, leans = np.split(x[3 * (len(SHIFTED) + len(CARPALS)) :], [len(FINGERS)])
    correction = {}
    for k, label in enumerate(SHIFTED):
        turn = turns[k] if k < len(CARPALS) else np.zeros(3)
        correction[label] = (tuple(shifts[k].round(2).tolist()), tuple(turn.round(1).tolist()))
    directions = {f: round(rest[f] + 3.0 * a, 1) for f, a in zip(FINGERS, angles, strict=True)}
    return directions, correction, {b: round(4.0 * a, 1) for b, a in zip(LEANING, leans, strict=True)}


class Fit:
    """The distance of phantoms to real hands, as a function of the numbers that are fitted."""

    def __init__(self, phantoms: int) -> None:
        real = json.loads(REAL_FILE.read_text())
        self.centre = np.array([[real["bones"][b]["centroid_px"][f"{a}_mean"] for a in "xy"] for b in BONES])
        self.wanted = {
            tuple(sorted((INDEX[a], INDEX[b]))): e["iou_mean"] for e in real["overlaps"] for a, b in [e["pair"]]
        }
        self.targets = np.zeros((29, 29))
        for (i, j), iou in self.wanted.items():
            self.targets[i, j] = iou
        self.rest = dict(pose.REST)
        self.presets = _presets(phantoms)

    def start(self) -> np.ndarray:
        """The numbers of the pose as it is."""
        shifts = [pose.CORRECTION.get(label, pose.NONE)[0] for label in SHIFTED]
        turns = [np.array(pose.CORRECTION.get(label, pose.NONE)[1]) / 5.0 for label in CARPALS]
        leans = [pose.LEAN[label] / 4.0 for label in LEANING]
        return np.concatenate([*shifts, *turns, np.zeros(len(FINGERS)), leans])

    def measure(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean centroids (29, 2) in pixels of 2048, mean overlaps (29, 29)."""
        pose.REST, pose.CORRECTION, pose.LEAN = unpack_parameters(x, self.rest)
        y, x_ = np.mgrid[:SIZE, :SIZE].reshape(2, -1).astype(np.float32)
        places, overlap = np.zeros((29, 2)), np.zeros((29, 29))
        for seed, preset in enumerate(self.presets):
            g = draw_geometry(np.random.default_rng(seed), preset, SIZE, SIZE, side="right")
            covered = g.packed.reshape(-1) > 0
            masks = unpack(g.packed.reshape(1, -1)[:, covered])[:, 0].astype(np.float32)
            area = np.maximum(masks.sum(1), 1)
            places += np.stack([masks @ x_[covered] / area, masks @ y[covered] / area], 1) * (2048 / SIZE)
            both = masks @ masks.T
            overlap += both / (area[:, None] + area[None] - both)
        return places / len(self.presets), overlap / len(self.presets)

    def cost(self, x: np.ndarray) -> float:
        """Centroids count by 20 pixels, overlaps by 0.02 of the square root of the IoU."""
        places, overlap = self.measure(x)
        off = (places - self.centre)[:27] / 20.0
        apart = (np.sqrt(np.triu(overlap, 1)) - np.sqrt(self.targets)) / 0.02
        return float((off**2).mean() * 5.0 + (apart**2).sum() / 20.0 + 0.004 * (x**2).sum())

    def show(self, x: np.ndarray) -> None:
        places, overlap = self.measure(x)
        print("centroids rms px", np.sqrt(((places - self.centre)[:27] ** 2).mean()).round(1))
        for (i, j), iou in self.wanted.items():
            print(f"{BONES[i]:10s} {BONES[j]:10s} {overlap[i, j]:.3f} {iou:.3f}")


def _presets(phantoms: int) -> list[PhantomSettings]:
    """The same spread of wrist tilts whatever the number of phantoms: quantiles of the mixture of two modes."""
    preset = PRESETS["realistic"]
    tilted = round(phantoms * preset.pose.tilted)
    modes = ((tilted, preset.pose.tilt_deg), (phantoms - tilted, preset.pose.straight_deg))
    tilts = [NormalDist(mean, sd).inv_cdf((k + 0.5) / n) for n, (mean, sd) in modes for k in range(n)]
    return [preset.model_copy(update={"pose": preset.pose.model_copy(update={"tilt_any": (t, t)})}) for t in tilts]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True)
    parser.add_argument("--evaluations", type=int, default=2000)
    parser.add_argument("--phantoms", type=int, default=28)
    options = parser.parse_args()
    fit = Fit(options.phantoms)
    settings = {"maxfevals": options.evaluations, "seed": 1, "verbose": -9, "CMA_diagonal": True, "popsize": 16}
    search = cma.CMAEvolutionStrategy(fit.start(), 0.4, settings)
    with ProcessPoolExecutor() as pool:
        while not search.stop():
            xs = search.ask()
            search.tell(xs, list(pool.map(fit.cost, xs)))
            if search.countiter % 5 == 0:
                print(search.countevals, round(search.result.fbest, 2), flush=True)
                angles, found, leans = unpack_parameters(search.result.xfavorite, fit.rest)
                Path(options.out).write_text(json.dumps({"rest": angles, "correction": found, "lean": leans}, indent=1))
    fit.show(search.result.xfavorite)


if __name__ == "__main__":
    main()
