"""Dice and surface distances by bone and group: means, spread, lists."""

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from handbones.anatomy import ANATOMY, BONES, GROUPS
from handbones.insight.page import Page, bone_chip
from handbones.insight.plots import GRAY, INK, bone_axis, bone_boxes, new_figure
from handbones.insight.report.examination import Examination
from handbones.insight.tables import Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Floats = npt.NDArray[np.float64]


def add_overview(page: Page, examined: Examination) -> None:
    """Add what to know first."""
    evaluation, areas = examined.evaluation, examined.stack("areas")
    missed = int(((areas[:, 0] > 0) & (areas[:, 1] == 0)).sum())
    invented = int(((areas[:, 0] == 0) & (areas[:, 1] > 0)).sum())
    section = page.section("Overview")
    section.numbers(
        {
            "mean Dice": f"{evaluation.mean:.4f}",
            **{f"Dice of {group}": f"{value:.4f}" for group, value in evaluation.by_group.items()},
            "HD95 (px)": _mean_of_compared(examined.stack("hd95"), 1),
            "average distance (px)": _mean_of_compared(examined.stack("distance"), 2),
            "bones not found at all": missed,
            "bones found where none is": invented,
        }
    )
    means = evaluation.dice.mean(axis=0)
    worst, best = np.argsort(means)[:3], np.argsort(-means)[:3]
    section.text(
        f"Hardest: {_listed(worst, means)}. Easiest: {_listed(best, means)}. "
        "Dice is the mean over the pictures, then over the bones; distances between borders leave out bones that one "
        "side has not drawn at all."
    )


def _mean_of_compared(values: Floats, digits: int) -> str:
    compared = values[~np.isnan(values)]
    return f"{compared.mean():.{digits}f}" if compared.size else "none compared"


def add_scores(page: Page, examined: Examination) -> list[Table]:
    """Add the section of all bones."""
    dice, hd95, distance = (examined.stack(name) for name in ("dice", "hd95", "distance"))
    section = page.section("Bones", "How well each bone is found, and how much that varies from picture to picture.")
    section.figure(
        _boxes(dice, hd95),
        "The box holds the middle half of the pictures, the line the middle 90 %, dots are the pictures beyond; the "
        "diamond is the mean.",
    )
    section.figure(_by_picture(dice), "Mean Dice of each picture, sorted.")
    figures = [_figures(dice[:, i], hd95[:, i], distance[:, i]) for i in range(len(BONES))]
    header = ("bone", "mean Dice", "median", "worst", "HD95 (px)", "average distance (px)", "not compared")
    section.table(header, [(bone_chip(BONES[i]), *row) for i, row in enumerate(figures)], "All bones", folded=True)
    groups = []
    for group in GROUPS:
        own = [bone.index for bone in ANATOMY if bone.group == group]
        groups.append((group, *_figures(dice[:, own].ravel(), hd95[:, own].ravel(), distance[:, own].ravel())))
    section.table(("group", *header[1:]), groups, "Groups")
    return [_surfaces_table(examined, dice, hd95, distance)]


def _figures(dice: Floats, hd95: Floats, distance: Floats) -> tuple[object, ...]:
    compared = ~np.isnan(hd95)
    surfaces = (float(hd95[compared].mean()), float(distance[compared].mean())) if compared.any() else (np.nan, np.nan)
    return float(dice.mean()), float(np.median(dice)), float(dice.min()), *surfaces, int((~compared).sum())


def _listed(order: npt.NDArray[np.intp], means: Floats) -> str:
    return ", ".join(f"{BONES[index]} {means[index]:.3f}" for index in order)


def _surfaces_table(examined: Examination, dice: Floats, hd95: Floats, distance: Floats) -> Table:
    """A row for each bone of each picture, in millimetres too where the picture's pixels are square and known."""
    rows = []
    for index, verdict in enumerate(examined.verdicts):
        spacing = verdict.spacing
        millimetre = spacing[0] if spacing and np.isclose(spacing[0], spacing[1]) else np.nan
        for bone, label in enumerate(BONES):
            pixels = hd95[index, bone], distance[index, bone]
            figures = (dice[index, bone], *pixels, *(value * millimetre for value in pixels))
            rows.append((verdict.case.person, verdict.case.name, label, *figures))
    columns = ("person", "image", "bone", "dice", "hd95_px", "average_distance_px", "hd95_mm", "average_distance_mm")
    return Table("surfaces", columns, rows)


def _boxes(dice: Floats, hd95: Floats) -> "Figure":
    figure = new_figure(10.5, 6.6)
    left, right = figure.subplots(1, 2, sharey=True)
    _box(left, dice)
    low = float(np.quantile(dice, 0.01))
    left.set(xlabel="Dice", xlim=(max(0.0, low - 0.02), 1.0))
    _box(right, np.maximum(hd95, 0.5))
    right.set(xlabel="HD95 (pixels, logarithmic)", xscale="log")
    right.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    bone_axis(left)
    bone_axis(right)
    return figure


def _box(axes: "Axes", values: Floats) -> None:
    columns = bone_boxes(axes, values, (5, 95), dots=True)
    means = [column.mean() if column.size else np.nan for column in columns]
    axes.plot(means, range(len(BONES)), "D", color="white", markeredgecolor=INK, markersize=4)


def _by_picture(dice: Floats) -> "Figure":
    figure = new_figure(8.5, 2.9)
    axes = figure.subplots()
    values = np.sort(dice.mean(axis=1))
    axes.plot(np.arange(1, len(values) + 1), values, ".-", color=INK, markersize=4, linewidth=0.8)
    axes.axhline(float(values.mean()), color=GRAY, linestyle="--", linewidth=1)
    axes.set(xlabel="pictures, the worst first", ylabel="mean Dice of the picture")
    return figure
