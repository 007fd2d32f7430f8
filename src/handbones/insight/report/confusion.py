"""Whose pixels a bone takes: confusion between neighbours."""

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from handbones.anatomy import ANATOMY, BONES
from handbones.insight.page import Page, bone_chip
from handbones.insight.plots import bone_axis, new_figure
from handbones.insight.report.examination import Examination
from handbones.insight.tables import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Floats = npt.NDArray[np.float64]

_MOST = 12


def add_confusion(page: Page, examined: Examination) -> list[Table]:
    """Add the section about pixels given to the wrong bone."""
    taken, areas = examined.stack("taken").sum(axis=0), examined.stack("areas").sum(axis=0)
    share = 100 * taken / np.maximum(areas[1], 1)[:, None]
    section = page.section(
        "Confusion",
        "Pixels that the model gives to a bone and that belong to another one, not to this. The rest of its wrong "
        "pixels lie on no bone.",
    )
    wrong = areas[1] - areas[2]
    section.figure(
        _figure(share),
        "Of the pixels that the model gives to a bone (row), the share that belongs to another bone instead (column).",
    )
    pairs = [(i, j) for i in range(len(BONES)) for j in range(len(BONES)) if taken[i, j]]
    pairs.sort(key=lambda pair: -share[pair])
    near = {bone.label: set(bone.neighbours) for bone in ANATOMY}
    section.table(
        ("bone", "takes from", "of its pixels (%)", "neighbours"),
        [
            (
                bone_chip(BONES[i]),
                bone_chip(BONES[j]),
                float(share[i, j]),
                "yes" if BONES[j] in near[BONES[i]] else "no",
            )
            for i, j in pairs[:_MOST]
        ],
        f"The {min(_MOST, len(pairs))} strongest",
    )
    rows = [(BONES[i], BONES[j], int(taken[i, j]), float(taken[i, j] / max(areas[1, i], 1))) for i, j in pairs]
    rows += [
        (bone, "any wrong pixel", int(count), float(count / max(total, 1)))
        for bone, count, total in zip(BONES, wrong, areas[1], strict=True)
    ]
    return [Table("confusion", ("bone", "takes_from", "pixels", "share_of_its_pixels"), rows)]


def _figure(share: Floats) -> "Figure":
    figure = new_figure(8.6, 7.2)
    axes = figure.subplots()
    shown = np.ma.masked_less(share, 0.01)
    top = max(float(share.max()), 0.1)
    colours = axes.imshow(shown, cmap="YlOrRd", vmin=0, vmax=top, rasterized=True)
    bone_axis(axes)
    bone_axis(axes, vertical=False)
    axes.grid(visible=False)
    axes.set(xlabel="belongs to", ylabel="given to")
    figure.colorbar(colours, ax=axes, label="of the pixels given to the bone (%)", shrink=0.75)
    return figure
