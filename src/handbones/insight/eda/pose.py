"""How the wrists are bent: training against test, and what the folds share of it."""

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from handbones.errors import UserError
from handbones.folds import Stratify, folds
from handbones.insight.page import Page
from handbones.insight.plots import BLUE, GRAY, ORANGE, new_figure
from handbones.insight.survey import Survey
from handbones.insight.tables import Table
from handbones.sides import BENT_DEGREES, is_bent

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Floats = npt.NDArray[np.float64]

_FOLDS = 5


def add_tilt(page: Page, survey: Survey) -> list[Table]:
    """Add the section about wrists and folds."""
    tilt = np.array([facts.tilt for facts in survey.facts])
    splits = np.array([case.split for case in survey.cases])
    section = page.section(
        "Wrist tilt",
        "The angle between forearm and hand, measured on the labels; positive towards the little finger. A network "
        "that has seen few bent wrists does badly on them.",
    )
    known = {split: tilt[(splits == split) & ~np.isnan(tilt)] for split in ("train", "test")}
    for split, name in (("train", "training"), ("test", "test")):
        if known[split].size:
            bent = float(is_bent(known[split]).mean())
            section.text(
                f"Of {known[split].size} {name} hands, {bent:.0%} are bent by more than {BENT_DEGREES} degrees; median "
                f"{np.median(known[split]):.0f} degrees."
            )
        elif (splits == split).any():
            section.text(f"The {name} pictures have no labels, so their tilt is not known.")
    section.figure(
        _tilt_figure(known), "Share of the hands of each part by tilt; dashed: where a wrist counts as bent."
    )
    chosen = survey.choose((splits == "train") & (np.array([f.shapes is not None for f in survey.facts])))
    chance, spread = _fold_rows(chosen, "none"), _fold_rows(chosen, "tilt")
    rows = [(*one, *two[2:]) for one, two in zip(chance, spread, strict=False)]
    if rows:
        section.heading("How folds share it")
        section.text(f"Of {_FOLDS} folds by person, as train makes them by chance and with data.stratify=tilt.")
        by_tilt = ("bent, by tilt (%)", "left, by tilt (%)")
        section.table(("fold", "pictures", "bent (%)", "left (%)", *by_tilt), rows)
    columns = ("fold", "pictures", "bent_percent", "left_percent", "bent_percent_by_tilt", "left_percent_by_tilt")
    return [Table("folds", columns, rows)]


def _fold_rows(survey: Survey, way: Stratify) -> list[tuple[int, int, float, float]]:
    """Of each fold: number, pictures, percent bent, percent left; nothing where folds cannot be made."""
    tilt = np.array([facts.tilt for facts in survey.facts])
    try:
        pairs = folds(survey.cases, _FOLDS, stratify=way, tilts=tilt.tolist())
    except UserError:
        return []
    left = np.array([side == "left" for side in survey.sides()])
    rows = []
    for number, (_, valid) in enumerate(pairs):
        bent = 100 * float(is_bent(tilt[valid]).mean())
        rows.append((number, len(valid), bent, 100 * float(left[valid].mean())))
    return rows


def _tilt_figure(known: dict[str, Floats]) -> "Figure":
    figure = new_figure(8.5, 3.2)
    axes = figure.subplots()
    together = np.concatenate(list(known.values()))
    low, high = (np.floor(together.min() / 5) * 5, np.ceil(together.max() / 5) * 5 + 1) if together.size else (-30, 60)
    bins = np.arange(low, high + 5, 5)
    for (split, values), colour, hatch, place in zip(
        known.items(), (BLUE, ORANGE), ("", "//"), (0.3, 2.5), strict=True
    ):
        if values.size:
            share = 100 * np.histogram(values, bins)[0] / values.size
            label = f"{split} ({values.size})"
            axes.bar(bins[:-1] + place, share, 2.2, align="edge", color=colour, hatch=hatch, ec="white", label=label)
    for border in (-BENT_DEGREES, BENT_DEGREES):
        axes.axvline(border, color=GRAY, linestyle="--", linewidth=1)
    axes.set(xlabel="wrist tilt (degrees)", ylabel="hands of the part (%)")
    if any(values.size for values in known.values()):
        axes.legend()
    return figure
