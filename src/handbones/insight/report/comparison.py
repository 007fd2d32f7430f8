"""Two models on the same pictures: the difference, and how sure it is."""

import math
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from handbones.anatomy import ANATOMY, BONES, GROUPS
from handbones.insight.page import Page
from handbones.insight.plots import BLUE, COLOURS, GRAY, INK, ORANGE, bone_axis, dots_with_means, new_figure
from handbones.insight.report.examination import Examination
from handbones.insight.tables import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Floats = npt.NDArray[np.float64]

_DRAWS = 4000
_FEWEST_PEOPLE = 5


def add_comparison(page: Page, one: Examination, two: Examination, names: tuple[str, str]) -> list[Table]:
    """Add the section of the first model against the second; both saw the same cases."""
    first, second = one.evaluation.dice, two.evaluation.dice
    people = np.array([case.person for case in one.cases])
    every, bones = np.ones(len(people), bool), list(range(len(BONES)))
    parts: dict[str, tuple[npt.NDArray[np.bool_], list[int]]] = {
        "all bones": (every, bones),
        **{group: (every, [b.index for b in ANATOMY if b.group == group]) for group in GROUPS},
        **{f"{kind} wrists": (own, bones) for kind, own in one.evaluation.wrists.items()},
    }
    means = len(parts)
    parts |= {label: (every, [index]) for index, label in enumerate(BONES)}
    dice = [
        np.column_stack([np.where(own, each[:, chosen].mean(axis=1), np.nan) for own, chosen in parts.values()])
        for each in (first, second)
    ]
    differences = dice[0] - dice[1]
    better = np.where(np.isnan(differences), np.nan, differences > 0)
    columns_of = [np.nanmean(each, axis=0) for each in (*dice, differences, better)]
    columns_of[3:3] = paired_bootstrap(differences, people)
    rows = list(zip(parts, *(column.tolist() for column in columns_of), strict=True))
    section = page.section("Against another model", f"{names[0]} against {names[1]}, picture by picture.")
    section.numbers(
        {
            f"Dice of {names[0]}": f"{rows[0][1]:.4f}",
            f"Dice of {names[1]}": f"{rows[0][2]:.4f}",
            "difference": f"{rows[0][3]:+.4f}",
            "95 % interval": "too few people" if np.isnan(rows[0][4]) else f"{rows[0][4]:+.4f} to {rows[0][5]:+.4f}",
        }
    )
    section.text(_verdict(names, *rows[0][4:6]))
    interval = "" if np.isnan(rows[0][4]) else " with its 95 % interval, from a paired bootstrap over people"
    section.figure(
        _figure(*np.array([row[3:6] for row in rows[means:]]).T),
        f"Difference in Dice of each bone{interval}; right of zero, {names[0]} is better.",
    )
    header = ("", names[0], names[1], "difference", "from", "to", "better in (share of pictures)")
    section.table(header, rows[:means])
    tilt = one.evaluation.tilt
    if (~np.isnan(tilt)).sum() > 2:
        section.heading("Dice against wrist tilt, of both")
        section.figure(
            _tilt_figure(tilt, first.mean(axis=1), second.mean(axis=1), names),
            "Each dot is a picture; the lines join the means of fifths of them.",
        )
    columns = ("bones", "dice", "dice_of_other", "difference", "low", "high", "share_of_pictures_better")
    return [Table("comparison", columns, rows)]


def paired_bootstrap(
    differences: Floats, people: npt.NDArray[np.str_], *, draws: int = _DRAWS, seed: int = 0
) -> tuple[Floats, Floats]:
    """95 % percentile interval of the mean of each column of differences (pictures, k): two arrays (k,).

    People, not pictures, are drawn with replacement, since the hands of one person are alike. A picture does not count
    in a column where it has NaN. NaN with fewer than five people, whose draws are too much alike to tell of others.
    """
    names, member = np.unique(people, return_inverse=True)
    sums, counts = np.zeros((2, len(names), differences.shape[1]))
    np.add.at(sums, member, np.nan_to_num(differences))
    np.add.at(counts, member, ~np.isnan(differences))
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=draws)
    with np.errstate(invalid="ignore"):  # where none was drawn who counts
        means = drawn @ sums / (drawn @ counts)
    low, high = np.nanquantile(means, (0.025, 0.975), axis=0)
    few = (counts > 0).sum(axis=0) < _FEWEST_PEOPLE
    return np.where(few, np.nan, low), np.where(few, np.nan, high)


def _verdict(names: tuple[str, str], low: float, high: float) -> str:
    if math.isnan(low):
        return f"Fewer than {_FEWEST_PEOPLE} people: too few to tell a difference from chance."
    if low > 0:
        return f"{names[0]} is better; chance alone would hardly give such a difference."
    if high < 0:
        return f"{names[1]} is better; chance alone would hardly give such a difference."
    return "The interval holds zero: these pictures do not tell which of the two is better."


def _tilt_figure(tilt: Floats, first: Floats, second: Floats, names: tuple[str, str]) -> "Figure":
    figure = new_figure(7.5, 3.4)
    axes = figure.subplots()
    for dice, colour, name in ((second, ORANGE, names[1]), (first, BLUE, names[0])):
        dots_with_means(axes, tilt, dice, colour, colour, name)
    axes.set_xlabel("wrist tilt (degrees)")
    axes.set_ylabel("mean Dice of the picture")
    axes.legend()
    return figure


def _figure(middle: Floats, low: Floats, high: Floats) -> "Figure":
    figure = new_figure(7.5, 6.2)
    axes = figure.subplots()
    rows = np.arange(len(BONES))
    axes.axvline(0, color=GRAY, linewidth=1)
    axes.hlines(rows, low, high, color=INK, linewidth=1.4)
    axes.scatter(middle, rows, 34, c=list(COLOURS), edgecolor=INK, linewidth=0.7, zorder=3)
    axes.set_xlabel("difference in Dice")
    bone_axis(axes)
    return figure
