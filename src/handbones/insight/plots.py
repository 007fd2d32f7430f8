"""How all plots look: one style, the bones' colours, and letters of every script that the machine has."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from handbones.anatomy import ANATOMY, GROUPS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Floats = npt.NDArray[np.float64]

INK, SOFT, LINE = "#1d2433", "#5d6678", "#dfe3ea"
BLUE, ORANGE, GRAY = "#1f5fa8", "#e08a1e", "#9aa3b2"
"""Two series beside each other, told apart in gray print, too, and what stands in the background."""

COLOURS: tuple[str, ...] = tuple("#{:02x}{:02x}{:02x}".format(*bone.colour) for bone in ANATOMY)
"""Of the 29 bones, in order."""
GROUP_COLOURS = dict(zip(GROUPS, ("#1f5fa8", "#e08a1e", "#6b7280"), strict=True))

_KOREAN = ("Noto Sans CJK KR", "Noto Sans KR", "NanumGothic", "NanumBarunGothic", "Malgun Gothic", "AppleGothic")


@cache
def fonts() -> tuple[str, ...]:
    """Families to draw with: one for Latin letters, then one for Korean if the machine has any."""
    from matplotlib import font_manager  # noqa: PLC0415 slow to load

    installed = {font.name for font in font_manager.fontManager.ttflist}
    korean = [name for name in (*_KOREAN, "Apple SD Gothic Neo", "UnDotum") if name in installed]
    return ("DejaVu Sans", *korean[:1])


@contextmanager
def style() -> Iterator[None]:
    """Draw in the style of the house for as long as it lasts."""
    import matplotlib as mpl  # noqa: PLC0415 slow to load

    settings: Any = {  # matplotlib types the names one by one
        "font.family": list(fonts()),
        "font.size": 9.5,
        "text.color": INK,
        "axes.titlesize": 10.5,
        "axes.titlelocation": "left",
        "axes.titleweight": "bold",
        "axes.labelcolor": SOFT,
        "axes.edgecolor": GRAY,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": LINE,
        "grid.linewidth": 0.7,
        "xtick.color": SOFT,
        "ytick.color": SOFT,
        "legend.frameon": False,
        "figure.dpi": 100,
    }
    with mpl.rc_context(settings):
        yield


def new_figure(width: float, height: float) -> "Figure":
    """An empty figure, sizes in inches; its parts are laid out so that they do not overlap."""
    from handbones.insight.figure import ShownFigure  # noqa: PLC0415 slow to load

    return ShownFigure(figsize=(width, height), layout="constrained")


def bone_axis(axes: "Axes", *, vertical: bool = True) -> None:
    """Name the 29 bones along an axis, at 0 to 28, with thin lines between the groups."""
    labels = [bone.label for bone in ANATOMY]
    borders = [i - 0.5 for i in range(1, len(ANATOMY)) if ANATOMY[i].group != ANATOMY[i - 1].group]
    if vertical:
        axes.set_yticks(range(len(labels)), labels)
        axes.set_ylim(len(labels) - 0.5, -0.5)
        for border in borders:
            axes.axhline(border, color=GRAY, linewidth=0.8)
    else:
        axes.set_xticks(range(len(labels)), labels, rotation=90)
        axes.set_xlim(-0.5, len(labels) - 0.5)
        for border in borders:
            axes.axvline(border, color=GRAY, linewidth=0.8)


def bone_boxes(axes: "Axes", values: Floats, line: tuple[float, float], *, dots: bool) -> list[Floats]:
    """A box in the bone's colour for each column of values (n, 29), at 0 to 28; returns the columns without NaN.

    The box holds the middle half, its line what lies between two percentiles; `dots` are the figures beyond.
    """
    columns = [column[~np.isnan(column)] for column in values.T]
    boxes = axes.boxplot(
        columns,
        positions=range(len(columns)),
        orientation="horizontal",
        widths=0.62,
        whis=line,
        showfliers=dots,
        patch_artist=True,
        manage_ticks=False,
        medianprops={"color": INK, "linewidth": 1.4},
        whiskerprops={"color": GRAY},
        capprops={"color": GRAY},
        flierprops={"marker": ".", "markersize": 2.5, "markerfacecolor": INK, "markeredgecolor": "none", "alpha": 0.5},
    )
    for box, colour in zip(boxes["boxes"], COLOURS, strict=True):
        box.set(facecolor=colour, edgecolor=INK, linewidth=0.6)
    return columns


def dots_with_means(
    axes: "Axes", values: Floats, heights: Floats, colour: str = BLUE, line: str = INK, label: str = ""
) -> None:
    """A dot for each picture, and a line that joins the means of fifths of them; NaN is left out."""
    there = ~np.isnan(values)
    values, heights = values[there], heights[there]
    axes.plot(values, heights, ".", color=colour, markersize=5, alpha=0.6, rasterized=True)
    parts = np.array_split(np.argsort(values), min(5, max(1, len(values) // 3)))
    means = [(values[part].mean(), heights[part].mean()) for part in parts if len(part)]
    axes.plot(*zip(*means, strict=True), "o-", color=line, markersize=4, label=label)
