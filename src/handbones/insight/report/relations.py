"""What the Dice of a picture goes with: tilt of the wrist, side, age, sex, size of the hand."""

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from handbones.anatomy import GROUPS
from handbones.insight.evaluation import Evaluation
from handbones.insight.page import Page
from handbones.insight.plots import dots_with_means, new_figure
from handbones.insight.report.examination import Examination
from handbones.insight.tables import Table
from handbones.sides import BENT_DEGREES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Floats = npt.NDArray[np.float64]

_WRIST_COLUMNS = ("wrists", "pictures", "median tilt", "mean Dice", *GROUPS)


def add_relations(page: Page, examined: Examination) -> list[Table]:
    """Add the section; parts that nothing is known for are left out."""
    evaluation = examined.evaluation
    dice = evaluation.dice.mean(axis=1)
    facts = [verdict.case.metadata for verdict in examined.verdicts]
    side = np.array([verdict.side or "" for verdict in examined.verdicts])
    sex = np.array([(known.sex or "") if known else "" for known in facts])
    tilt = examined.stack("tilt")
    age = np.array([known.age if known and known.age else np.nan for known in facts], np.float64)
    area = 100 * examined.stack("areas")[:, 0].sum(axis=1) / np.array([v.pixels for v in examined.verdicts])
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
    wrists = _wrist_rows(evaluation, tilt)
    section.heading("Dice against wrist tilt")
    section.table(_WRIST_COLUMNS, wrists, f"A wrist is bent if it is tilted by more than {BENT_DEGREES} degrees")
    rows = []
    for name, groups in (("side", side), ("sex", sex)):
        for group in sorted(set(groups.tolist()) - {""}):
            own = dice[groups == group]
            rows.append((name, group, len(own), float(own.mean()), float(np.median(own)), float(own.min())))
    section.table(("", "group", "pictures", "mean Dice", "median", "worst"), rows, "Groups of pictures")
    columns = ("person", "image", "dice", "wrist_tilt_degrees", "side", "age", "sex", "labelled_area_percent")
    listed = zip(examined.cases, dice, tilt, side, age, sex, area, strict=True)
    names = [column.replace(" ", "_").lower() for column in _WRIST_COLUMNS]
    return [
        Table("pictures", columns, [(case.person, case.name, *values) for case, *values in listed]),
        Table("wrists", names, wrists),
    ]


def _wrist_rows(evaluation: Evaluation, tilt: Floats) -> list[tuple[object, ...]]:
    """Of bent and of straight wrists: number, median tilt, mean Dice of all bones and of each group."""
    rows: list[tuple[object, ...]] = []
    for kind, own in evaluation.wrists.items():
        part = Evaluation(
            [case for case, there in zip(evaluation.cases, own, strict=True) if there], evaluation.dice[own]
        )
        rows.append((kind, len(part.cases), float(np.median(tilt[own])), part.mean, *part.by_group.values()))
    return rows


def _figure(known: dict[str, Floats], dice: Floats) -> "Figure":
    figure = new_figure(3.5 * len(known) + 0.4, 3.2)
    axes = figure.subplots(1, len(known), sharey=True, squeeze=False)[0]
    for each, (name, values) in zip(axes, known.items(), strict=True):
        dots_with_means(each, values, dice)
        each.set_xlabel(name)
    axes[0].set_ylabel("mean Dice of the picture")
    return figure
