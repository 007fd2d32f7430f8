"""Phantoms against 288 real hands: areas, sizes, places, overlaps and wrist tilt of the 29 bones.

    python benchmarks/calibration.py [--count 300] [--size 1024] [--json FILE]

`handbones/phantom/calibration.json` holds the figures of the real hands. Prints a table; a ratio of 1 is a match.
"""

import argparse
import json
import sys
from concurrent.futures import ProcessPoolExecutor
from importlib.resources import files
from pathlib import Path

import numpy as np

from handbones.anatomy import BONES, INDEX
from handbones.phantom.drawing import draw_geometry, trace
from handbones.phantom.settings import PRESETS
from handbones.raster import unpack
from handbones.sides import wrist_tilt

REAL = json.loads((files("handbones.phantom") / "calibration.json").read_text())
FULL = 2048


def measure(seed: int, size: int) -> dict:
    """Shares of the picture, centroids (thumb at the left), lengths, widths, overlaps of one phantom."""
    phantom = draw_geometry(np.random.default_rng(seed), PRESETS["realistic"], size, size)
    masks = unpack(phantom.packed).astype(bool)
    if phantom.side == "left":
        masks = masks[:, :, ::-1]
    area = masks.reshape(29, -1).sum(1)
    scale = FULL / size
    rows = np.full((29, 5), np.nan)
    for b in range(29):
        if area[b]:
            y, x = np.nonzero(masks[b])
            # Axes of the ellipse with the same second moments, as the real ones were measured.
            minor, major = 4.0 * np.sqrt(np.linalg.eigvalsh(np.cov(x, y) + np.eye(2) / 12.0))
            place = x.mean() * scale, y.mean() * scale
            rows[b] = 100 * area[b] / size**2, *place, major * scale, minor * scale
    pairs = []
    for entry in REAL["overlaps"]:
        a, b = (masks[INDEX[label]] for label in entry["pair"])
        pairs.append((a & b).sum() / max(1, (a | b).sum()))
    count = masks.sum(0)
    return {
        "rows": rows,
        "pairs": np.array(pairs),
        "overlap": 100 * (count > 1).mean(),
        "bone": 100 * (count > 0).mean(),
        "tilt": wrist_tilt(trace(phantom.packed)) or np.nan,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--size", type=int, default=1024)
    parser.add_argument("--json")
    options = parser.parse_args()
    with ProcessPoolExecutor(2) as pool:
        found = list(pool.map(measure, range(options.count), [options.size] * options.count, chunksize=10))
    rows = np.stack([f["rows"] for f in found])
    mean, sd = np.nanmean(rows, 0), np.nanstd(rows, 0)
    print(
        "bone          area   real  ratio |    sd  real | length  width (ratio of medians) | x (sd/real)  y (sd/real)"
    )
    table = {}
    for b, label in enumerate(BONES):
        real = REAL["bones"][label]
        area, centre = real["area_percent"], real["centroid_px"]
        length = np.nanmedian(rows[:, b, 3]) / real["length_px"]["median"]
        width = np.nanmedian(rows[:, b, 4]) / real["width_px"]["median"]
        table[label] = {"area": mean[b, 0] / area["mean"], "length": length, "width": width}
        print(
            f"{label:11s} {mean[b, 0]:6.3f} {area['mean']:6.3f} {mean[b, 0] / area['mean']:6.2f} | "
            f"{sd[b, 0] / mean[b, 0]:5.2f} {area['sd'] / area['mean']:5.2f} | {length:6.2f} {width:6.2f} | "
            f"{mean[b, 1] - centre['x_mean']:+5.0f} ({sd[b, 1]:.0f}/{centre['x_sd']}) "
            f"{mean[b, 2] - centre['y_mean']:+5.0f} ({sd[b, 2]:.0f}/{centre['y_sd']})"
        )
    pairs = np.stack([f["pairs"] for f in found])
    overlaps = []
    for k, entry in enumerate(REAL["overlaps"]):
        mine = pairs[:, k].mean()
        overlaps.append({"pair": entry["pair"], "mine": mine, "real": entry["iou_mean"]})
        pair, real_iou = " / ".join(entry["pair"]), entry["iou_mean"]
        print(f"{pair:26s} IoU {mine:.3f} real {real_iou:.3f} ratio {mine / real_iou:.2f}")
    tilt = np.nanpercentile([f["tilt"] for f in found], [1, 5, 25, 50, 75, 95, 99]).round(1)
    print("tilt p1 5 25 50 75 95 99:", tilt.tolist(), "real", list(REAL["hand_tilt_against_forearm_deg"].values()))
    share = float(np.mean([f["bone"] for f in found])), float(np.mean([f["overlap"] for f in found]))
    real_share = REAL["bone_pixels_percent_of_image"], REAL["overlapping_pixels_percent_of_image"]
    print(
        f"bone {share[0]:.1f} % of pixels (real {real_share[0]}), overlapping {share[1]:.2f} % (real {real_share[1]})"
    )
    if options.json:
        Path(options.json).write_text(
            json.dumps({"bones": table, "overlaps": overlaps, "tilt": tilt.tolist()}, indent=1)
        )


if __name__ == "__main__":
    sys.exit(main())
