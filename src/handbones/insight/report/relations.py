"""What the Dice of a picture goes with: tilt of the wrist, side, age, sex, size of the hand."""

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from handbones.folds import BENT_DEGREES
from handbones.insight.page import Page
from handbones.insight.plots import BLUE, INK, new_figure
from handbones.insight.report.examination import Examination
from handbones.insight.tables import Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Floats = npt.NDArray[np.float64]


def add_relations(page: Page, examined: Examination) -> list[Table]:
    """Add the section; parts that nothing is known for are left out."""
    dice = examined.evaluation.dice.mean(axis=1)
    facts = [verdict.case.metadata for verdict in examined.verdicts]
    side = np.array([verdict.side or "" for verdict in examined.verdicts])
    sex = np.array([(known.sex or "") if known else "" for known in facts])
    tilt = examined.stack("tilt")
    age = np.array([known.age if known and known.age else np.nan for known in facts], np.float64)
    area = 100 * examined.stack("areas")[:, 0].sum(axis=1) / np.array([v.pixels for v in examined.verdicts])
    bent = np.where(np.isnan(tilt), "", np.where(np.abs(tilt) > BENT_DEGREES, "bent", "straight"))
    section = page.section(
        "What it goes with", "Mean Dice of a picture against what is known of it: where more training data would help."
    )
    numbers = {
        "wrist tilt (degrees)": tilt,
        "age (years)": age,
        "labelled area (% of the picture)": area,
    }
    known = {name: values for name, values in numbers.items() if (~np.isnan(values)).sum() > 2}
    if known:
        section.figure(_figure(known, dice), "Each dot is a picture; the line joins the means of fifths of them.")
    rows = []
    for name, groups in (("wrist", bent), ("side", side), ("sex", sex)):
        for group in sorted(set(groups.tolist()) - {""}):
            own = dice[groups == group]
            rows.append((name, group, len(own), float(own.mean()), float(np.median(own)), float(own.min())))
    section.table(("", "group", "pictures", "mean Dice", "median", "worst"), rows, "Groups of pictures")
    columns = ("person", "image", "dice", "wrist_tilt_degrees", "side", "age", "sex", "labelled_area_percent")
    listed = zip(examined.cases, dice, tilt, side, age, sex, area, strict=True)
    return [Table("pictures", columns, [(case.person, case.name, *values) for case, *values in listed])]


def _figure(known: dict[str, Floats], dice: Floats) -> "Figure":
    figure = new_figure(3.5 * len(known) + 0.4, 3.2)
    axes = figure.subplots(1, len(known), sharey=True, squeeze=False)[0]
    for each, (name, values) in zip(axes, known.items(), strict=True):
        _dots(each, values, dice)
        each.set_xlabel(name)
    axes[0].set_ylabel("mean Dice of the picture")
    return figure


def _dots(axes: "Axes", values: Floats, dice: Floats) -> None:
    there = ~np.isnan(values)
    values, dice = values[there], dice[there]
    axes.plot(values, dice, ".", color=BLUE, markersize=5, alpha=0.6, rasterized=True)
    parts = np.array_split(np.argsort(values), min(5, max(1, len(values) // 3)))
    axes.plot([values[p].mean() for p in parts], [dice[p].mean() for p in parts], "o-", color=INK, markersize=4)
