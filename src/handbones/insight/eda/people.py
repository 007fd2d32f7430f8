"""Who the people are: age, sex, height and weight, what is missing, and how height goes with the length of bones."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from handbones.anatomy import INDEX
from handbones.insight.page import Page, Section
from handbones.insight.plots import BLUE, GRAY, INK, ORANGE, new_figure
from handbones.insight.survey import Survey
from handbones.insight.tables import Table
from handbones.metadata import Metadata, odd_cells, read_metadata

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Floats = npt.NDArray[np.float64]

_FIELDS = (("age", "age (years)"), ("height", "height (cm)"), ("weight", "weight (kg)"))
_SEXES = (("F", "women", ORANGE), ("M", "men", BLUE), (None, "not known", GRAY))
_MOST_ODD = 30
_MOST_BINS = 18
"""Of a histogram."""


def add_people(page: Page, path: Path | None, survey: Survey) -> list[Table]:
    """Add the section, if the collection has a table of people, at `path`."""
    if path is None:
        return []
    table = read_metadata(path)
    section = page.section("People", f"From {path.name}; control characters are cleaned away.")
    shown = {case.person: case.metadata for case in survey.cases}
    sexes = Counter(person.sex for person in table.values())
    section.numbers(
        {
            "people in the table": len(table),
            "women": sexes["F"],
            "men": sexes["M"],
            "in the table without a picture": len(table) - sum(person is not None for person in shown.values()),
            "with pictures, not in the table": sum(person is None for person in shown.values()),
        }
    )
    people = list(table.values())
    if people:
        section.figure(_people_figure(people), "All people in the table.")
        missing = [(name, *_known(people, name)) for name in ("age", "sex", "height", "weight", "remark")]
        section.table(("field", "people with it", "without", "lowest", "median", "highest"), missing)
    _add_remarks(section, people)
    _add_odd_cells(section, path)
    rows = _growth(survey)
    if len(rows) > 2:
        _add_growth(section, rows)
    return [Table("height_and_bone", ("person", "sex", "height_cm", "metacarpal_3_percent_of_side"), rows)]


def _known(people: list[Metadata], field: str) -> tuple[object, ...]:
    values = [getattr(person, field) for person in people if getattr(person, field) is not None]
    numbers = field in ("age", "height", "weight") and values
    figures = (f"{min(values):g}", f"{np.median(values):g}", f"{max(values):g}") if numbers else (None,) * 3
    return len(values), len(people) - len(values), *figures


def _add_remarks(section: Section, people: list[Metadata]) -> None:
    remarks = Counter(person.remark for person in people if person.remark)
    if remarks:
        section.table(("remark", "people"), remarks.most_common(12))


def _add_odd_cells(section: Section, path: Path) -> None:
    odd = odd_cells(path)
    if odd:
        caption = f"{len(odd)} cells hold junk or no value that can be read"
        section.table(("ID", "field", "as it stands"), odd[:_MOST_ODD], caption, folded=len(odd) > 8)


def _growth(survey: Survey) -> list[tuple[str, str | None, float, float]]:
    """Of each person with labels and a height: sex, height and the mean length of the third metacarpal."""
    bone = INDEX["finger-11"]
    lengths: dict[str, list[float]] = {}
    known: dict[str, Metadata] = {}
    for case, facts in zip(survey.cases, survey.facts, strict=True):
        if facts.shapes is not None and case.metadata is not None and case.metadata.height:
            length = 100 * float(facts.shapes.length[bone]) / max(facts.height, facts.width)
            if not np.isnan(length):
                lengths.setdefault(case.person, []).append(length)
                known[case.person] = case.metadata
    return [
        (person, known[person].sex, float(known[person].height or np.nan), float(np.mean(values)))
        for person, values in lengths.items()
    ]


def _add_growth(section: Section, rows: list[tuple[str, str | None, float, float]]) -> None:
    height, length = (np.array([row[column] for row in rows], np.float64) for column in (2, 3))
    together = float(np.corrcoef(height, length)[0, 1]) if np.ptp(height) and np.ptp(length) else np.nan
    section.heading("Height and length of a bone")
    section.figure(
        _growth_figure(rows, height, length),
        f"Length of the third metacarpal (mean of a person's hands) against height; correlation {together:.2f}. The "
        "length is a share of the picture, whose scale in millimetres is not known.",
    )


def _growth_figure(rows: list[tuple[str, str | None, float, float]], height: Floats, length: Floats) -> "Figure":
    figure = new_figure(6.4, 3.8)
    axes = figure.subplots()
    sexes = np.array([row[1] or "" for row in rows])
    for sex, name, colour in _SEXES:
        own = sexes == (sex or "")
        if own.any():
            mark = "o" if sex == "F" else "^"
            axes.plot(
                height[own], length[own], mark, color=colour, markersize=4, alpha=0.7, label=name, rasterized=True
            )
    if np.ptp(height):
        slope, start = np.polyfit(height, length, 1)
        ends = np.array([height.min(), height.max()])
        axes.plot(ends, start + slope * ends, color=INK, linewidth=1.2)
    axes.set(xlabel="height (cm)", ylabel="metacarpal 3 (% of the picture's side)")
    figure.legend(loc="outside upper left", ncols=len(_SEXES))  # points may lie anywhere in the axes
    return figure


def _people_figure(people: list[Metadata]) -> "Figure":
    figure = new_figure(10.5, 3)
    for axes, (field, name) in zip(figure.subplots(1, 3), _FIELDS, strict=True):
        groups = [
            [getattr(person, field) for person in people if person.sex == sex and getattr(person, field) is not None]
            for sex, _, _ in _SEXES
        ]
        shown = [(values, *look[1:]) for values, look in zip(groups, _SEXES, strict=True) if values]
        axes.set(xlabel=name, ylabel="people")
        if not shown:
            continue
        axes.hist(
            [values for values, _, _ in shown],
            bins=_edges(np.concatenate([values for values, _, _ in shown])),
            stacked=True,
            color=[colour for _, _, colour in shown],
            label=[label for _, label, _ in shown],
            edgecolor="white",
            linewidth=0.6,
        )
    known = (zip(*axes.get_legend_handles_labels(), strict=True) for axes in figure.axes)
    handles = {label: handle for of_axes in known for handle, label in of_axes}
    if handles:
        figure.legend(handles.values(), handles.keys(), loc="outside upper left", ncols=len(handles))
    return figure


def _edges(values: Floats) -> Floats:
    """Of the bins of a histogram: each holds equally many whole numbers, which most values are, or bars would differ.

    What the bins reach beyond the values is shared by both ends.
    """
    low, high = np.rint(values.min()), np.rint(values.max())
    span = high - low + 1
    width = np.ceil(span / _MOST_BINS)
    count = np.ceil(span / width)
    edges: Floats = low - (count * width - span) // 2 - 0.5 + width * np.arange(count + 1)
    return edges
