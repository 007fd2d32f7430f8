"""Whether probabilities mean what they say, and what another threshold would give."""

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from handbones.anatomy import ANATOMY, BONES, GROUPS
from handbones.insight.page import Page
from handbones.insight.plots import BLUE, GRAY, GROUP_COLOURS, INK, new_figure
from handbones.insight.report.examination import BINS, THRESHOLDS, Examination
from handbones.insight.tables import Table
from handbones.metric import dice_from_counts

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Floats = npt.NDArray[np.float64]

_DASHES = ("-", "--", ":")


def add_confidence(page: Page, examined: Examination) -> list[Table]:
    """Add the section of calibration and thresholds."""
    pixels, probability, bone = examined.stack("calibration").sum(axis=0)
    curve = examined.stack("curve").transpose(1, 2, 0, 3)  # kind, threshold, picture, bone
    dice = dice_from_counts(curve[0], curve[1], curve[2]).mean(axis=1)  # threshold, bone
    told, true = (values / np.maximum(pixels, 1) for values in (probability, bone))
    error = float((pixels * np.abs(told - true)).sum() / max(pixels.sum(), 1))
    mean = dice.mean(axis=1)
    best = int(mean.argmax())
    section = page.section(
        "Probabilities", "Counted on the cells that the network answers on, so that Dice differs a little from above."
    )
    section.numbers(
        {
            "calibration error (expected)": f"{error:.3f}",
            "best single threshold": f"{THRESHOLDS[best]:g}",
            "its Dice over that of 0.5": f"{mean[best] - mean[THRESHOLDS.tolist().index(0.5)]:+.4f}",
        }
    )
    section.figure(
        _figure(told, true, pixels, dice),
        "Left: of the pixels with a probability, the share that is bone; on the line, the model is right about itself. "
        "Dots grow with the number of pixels (those below 1 % are left out). Right: Dice by the probability from which "
        "a pixel counts as bone.",
    )
    section.text(
        "A threshold for each bone, chosen on the pictures that are scored, flatters: choose it on other pictures."
    )
    steps = [(float(BINS[i]), float(BINS[i + 1]), int(pixels[i]), told[i], true[i]) for i in range(len(pixels))]
    thresholds = [
        (float(threshold), float(mean[i]), *dice[i].tolist()) for i, threshold in enumerate(THRESHOLDS.tolist())
    ]
    return [
        Table("calibration", ("from", "to", "pixels", "mean_probability", "share_that_is_bone"), steps),
        Table("thresholds", ("threshold", "mean_dice", *BONES), thresholds),
    ]


def _figure(told: Floats, true: Floats, pixels: Floats, dice: Floats) -> "Figure":
    figure = new_figure(10, 4)
    left, right = figure.subplots(1, 2)
    there = pixels > 0
    left.plot([0, 1], [0, 1], color=GRAY, linewidth=1)
    size = 12 + 160 * pixels[there] / pixels.max()
    left.plot(told[there], true[there], color=BLUE, linewidth=1)
    left.scatter(told[there], true[there], size, color=BLUE, edgecolor="white", zorder=3)
    left.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", xlabel="probability", ylabel="share that is bone")
    for group, dashes in zip(GROUPS, _DASHES, strict=True):
        own = [bone.index for bone in ANATOMY if bone.group == group]
        right.plot(
            THRESHOLDS, dice[:, own].mean(axis=1), color=GROUP_COLOURS[group], linestyle=dashes, marker=".", label=group
        )
    right.plot(THRESHOLDS, dice.mean(axis=1), color=INK, linewidth=2, label="all")
    right.axvline(0.5, color=GRAY, linewidth=0.8, linestyle="--")
    right.set(xlim=(0, 1), xlabel="threshold (probability)", ylabel="mean Dice")
    right.legend()
    return figure
