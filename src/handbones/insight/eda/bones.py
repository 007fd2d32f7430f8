"""Bones in the labels: share of the picture, size, place, number a picture."""

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from handbones.anatomy import ANATOMY, BONES, GROUPS
from handbones.insight.medians import nanmedian
from handbones.insight.page import Page, bone_chip
from handbones.insight.plots import COLOURS, bone_axis, bone_boxes, new_figure
from handbones.insight.survey import Survey
from handbones.insight.tables import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Floats = npt.NDArray[np.float64]

_ABBREVIATIONS = ("Tpm", "Tpd", "Cap", "Ham", "Sca", "Lun", "Tri", "Pis", "Rad", "Uln")
SHORT = dict(zip(BONES, [*map(str, range(1, 20)), *_ABBREVIATIONS], strict=True))
"""Labels where there is little room."""


def add_bones(page: Page, survey: Survey) -> list[Table]:
    """Add the section; all cases must be labelled."""
    sides = np.array([max(facts.height, facts.width) for facts in survey.facts])[:, None]
    share = survey.shape("area") / np.prod(survey.sizes(), axis=1)[:, None]
    length, width = survey.shape("length") / sides, survey.shape("width") / sides
    there = survey.shape("parts") > 0
    section = page.section("Bones", "How much of a picture each bone takes, how its size varies, and where it lies.")
    covered = np.array([facts.covered for facts in survey.facts])
    section.numbers(
        {
            "of the pixels lie in a bone": f"{covered.mean():.1%}",
            "bones a picture": f"{there.sum(axis=1).mean():.2f}",
            "pictures with all 29": f"{int(there.all(axis=1).sum()):,}",
            "bones in several polygons": int((survey.shape("parts") > 1).sum()),
        }
    )
    section.figure(
        _sizes_figure(100 * share, 100 * length),
        "Area and length of each bone over the pictures: the box holds the middle half, the line the middle 98 %. A "
        "length is the extent along the bone's own axis; radius and ulna are cut by the picture.",
    )
    section.figure(
        _places_figure(survey),
        "Centres of the bones, left hands mirrored; numbers are the finger labels, the others "
        + ", ".join(f"{SHORT[label]} {label}" for label in BONES[19:])
        + ".",
    )
    labelled = max(float(np.nansum(share, 1).mean()), 1e-12)  # no bones at all have no share of themselves
    groups = [[bone.index for bone in ANATOMY if bone.group == group] for group in GROUPS]
    section.table(
        ("group", "bones", "share of all pixels (%)", "share of the labelled pixels (%)"),
        [
            (group, len(members), _sum(100 * share, members), 100 * _sum(share, members) / labelled)
            for group, members in zip(GROUPS, groups, strict=True)
        ],
        "Groups, overlapping pixels counted in each of their bones",
    )
    rows = [_row(index, there, share, length, width) for index in range(len(BONES))]
    header = ("bone", "name", "group", "pictures", "area (% of picture)", "spread", "length (% of side)", "spread")
    section.table(
        (*header, "width (% of side)"),
        [(bone_chip(BONES[i]), *row[1:-1]) for i, row in enumerate(rows)],
        "All bones: mean and standard deviation over the pictures",
        folded=True,
    )
    counts = Counter(there.sum(axis=1).tolist())
    if len(counts) > 1:
        rows_of_counts = [(number, count) for number, count in sorted(counts.items(), reverse=True)]
        section.table(("bones in a picture", "pictures"), rows_of_counts)
    columns = ("bone", "name", "group", "pictures", "area_percent", "area_sd", "length_percent", "length_sd")
    return [Table("bones", (*columns, "width_percent", "width_sd"), rows)]


def _row(index: int, there: npt.NDArray[np.bool_], share: Floats, length: Floats, width: Floats) -> tuple[object, ...]:
    bone = ANATOMY[index]
    figures = []
    for values in (share, length, width):
        own = 100 * values[there[:, index], index]
        figures += [own.mean(), own.std()] if own.size else [np.nan, np.nan]
    return bone.label, bone.name, bone.group, int(there[:, index].sum()), *map(float, figures)


def _sum(share: Floats, members: list[int]) -> float:
    return float(np.nansum(share[:, members], axis=1).mean())


def _sizes_figure(share: Floats, length: Floats) -> "Figure":
    figure = new_figure(10.5, 6.4)
    for axes, values, name in zip(
        figure.subplots(1, 2, sharey=True),
        (share, length),
        ("area (% of the picture, logarithmic)", "length (% of the picture's longest side)"),
        strict=True,
    ):
        bone_boxes(axes, values, (1, 99), dots=False)
        bone_axis(axes)
        axes.set_xlabel(name)
    first = figure.axes[0]
    if not np.isnan(share).all():
        first.set_xscale("log")
        first.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    return figure


def _places_figure(survey: Survey) -> "Figure":
    centres = survey.shape("centre") / survey.sizes()[:, None]
    left = np.array([side == "left" for side in survey.sides()])
    centres[left, :, 0] = 1 - centres[left, :, 0]
    figure = new_figure(6.6, 6.6)
    axes = figure.subplots()
    middles = _apart(nanmedian(centres, axis=0))
    for index, label in enumerate(BONES):
        if np.isnan(middles[index]).any():
            continue  # nobody drew it
        axes.plot(*centres[:, index].T, ".", color=COLOURS[index], markersize=2.2, alpha=0.5, rasterized=True)
        axes.annotate(
            SHORT[label],
            tuple(middles[index]),
            ha="center",
            va="center",
            fontsize=7.5,
            bbox={"boxstyle": "round,pad=0.15", "fc": "white", "ec": COLOURS[index], "lw": 0.9, "alpha": 0.9},
        )
    axes.set(xlim=(0, 1), ylim=(1, 0), aspect="equal", xlabel="share of the width", ylabel="share of the height")
    return figure


def _apart(places: Floats) -> Floats:
    """Places of labels, moved so far that none covers another."""
    room = np.array([0.045, 0.026])
    for _ in range(60):
        step = places[:, None] - places[None]
        near = (np.abs(step) < room).all(axis=2) & ~np.eye(len(places), dtype=bool)
        if not near.any():
            break
        push = np.where(near, np.where(step[..., 1] >= 0, 1, -1) * (room[1] - np.abs(step[..., 1])), 0)
        places = places + np.stack([np.zeros(len(places)), 0.3 * push.sum(axis=1)], axis=1)
    return places
