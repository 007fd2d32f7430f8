"""How bright the pictures are, and a contact sheet."""

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from handbones.insight.exposure import LEVELS, shrink
from handbones.insight.page import Page
from handbones.insight.plots import BLUE, ORANGE, new_figure
from handbones.insight.survey import Survey

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Floats = npt.NDArray[np.float64]

_SHEET = 60
_THUMB = 200
_EXTREMES = 3


def add_exposure(page: Page, survey: Survey) -> None:
    """Add the section about gray values."""
    section = page.section(
        "Brightness and contrast", "Gray values of the pictures in 8 bits: 0 is black, 255 is white."
    )
    section.figure(
        _exposure_figure(survey),
        "Left: how often each gray value is in a picture, median and middle 80 % of the pictures. Right: the median "
        "gray of the bones against that of the soft tissue right beside them; on the line, bone could not be told.",
    )
    films = [facts.exposure for facts in survey.facts]
    mean, spread = np.array([film.mean for film in films]), np.array([film.levels for film in films])
    contrast = spread[:, LEVELS.index(95)] - spread[:, LEVELS.index(5)]
    ways = ((mean, "darkest"), (-mean, "brightest"), (contrast, "least contrast"), (-contrast, "most contrast"))
    chosen: dict[int, str] = {}
    for values, name in ways:
        for index in np.argsort(values)[:_EXTREMES]:
            chosen.setdefault(int(index), name)
    section.heading("The darkest, the brightest, the palest, the hardest")
    section.gallery(
        ((_thumb(survey, index), f"{name}: {survey.cases[index].full_name}") for index, name in chosen.items()),
        width=150,
    )


def add_contact_sheet(page: Page, survey: Survey) -> None:
    """Add pictures evenly chosen from all."""
    section = page.section("Contact sheet", f"{min(_SHEET, len(survey.cases))} of {len(survey.cases)} pictures.")
    where = np.unique(np.linspace(0, len(survey.cases) - 1, _SHEET).round().astype(int))
    names = (f"{survey.cases[index].person} {survey.cases[index].split}" for index in where)
    section.gallery(((_thumb(survey, index), name) for index, name in zip(where, names, strict=True)), width=120)


def _thumb(survey: Survey, index: int) -> npt.NDArray[np.uint8]:
    return shrink(survey.facts[index].exposure.small_picture(), _THUMB)


def _exposure_figure(survey: Survey) -> "Figure":
    figure = new_figure(10.5, 3.6)
    left, right = figure.subplots(1, 2)
    gray = 4 * np.arange(64) + 1.5
    splits = np.array([case.split for case in survey.cases])
    curves = 100 * np.array([facts.exposure.histogram for facts in survey.facts])
    bone = np.array([facts.exposure.bone for facts in survey.facts])
    soft = np.array([facts.exposure.soft for facts in survey.facts])
    for split, colour, mark in (("train", BLUE, "o"), ("test", ORANGE, "^")):
        own = splits == split
        if not own.any():
            continue
        low, middle, high = np.quantile(curves[own], (0.1, 0.5, 0.9), axis=0)
        left.fill_between(gray, low, high, color=colour, alpha=0.18, linewidth=0)
        left.plot(
            gray, middle, color=colour, linestyle="-" if split == "train" else "--", label=f"{split} ({own.sum()})"
        )
        if (~np.isnan(bone[own])).any():
            right.plot(soft[own], bone[own], mark, color=colour, markersize=3, alpha=0.55, label=split, rasterized=True)
    left.set(yscale="symlog", xlim=(0, 255), xlabel="gray value", ylabel="pixels (%, logarithmic)")
    left.set_ylim(0)
    left.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    left.legend()
    right.axline((0, 0), slope=1, color="#9aa3b2", linewidth=1)
    right.set(xlim=(0, 255), ylim=(0, 255), xlabel="gray of soft tissue", ylabel="gray of bone", aspect="equal")
    if right.get_legend_handles_labels()[0]:
        right.legend(loc="lower right")
    else:
        right.text(127, 127, "no labels to tell bone", ha="center")
    return figure
