"""A radiograph with its bones as a matplotlib figure: for print, for a notebook, for a talk."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from handbones.anatomy import ANATOMY, BONES, INDEX
from handbones.errors import UsageError
from handbones.inference.overlay import place_names, stretched
from handbones.inference.segmentation import Segmentation, labels_of
from handbones.inference.segmenter import Picture, read
from handbones.insight.plots import COLOURS, SOFT, new_figure, style
from handbones.labels import Labels
from handbones.metric import dice_from_counts, packed_counts

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Way = Literal["outlines", "fills", "both"]
"""How bones are drawn."""

_HEIGHT = 7.5
"""Inches of the picture."""
_BROADEST = 4.0
"""Widths of the picture over its height, from which on it is drawn smaller."""
_LEGEND = 3.7
_FILL = 0.35


def show(
    picture: Picture,
    labels: Labels | Segmentation | None = None,
    prediction: Segmentation | Labels | None = None,
    *,
    way: str = "both",
    names: bool = False,
    legend: bool = True,
    title: str = "",
) -> "Figure":
    """A figure of a picture (a file, an array, a `Radiograph`, a `Case`) with bones: labels, a prediction, or both.

    A segmentation in the place of labels is the prediction, if that is not given. Where both are given, labels are
    drawn through and the prediction dashed, and the legend has their Dice. `way` is `outlines`, `fills` or `both`. A
    notebook displays it; save it with `figure.savefig(path, dpi=300)`, as PNG, PDF or SVG. Raises `UserError` if the
    picture cannot be read, `UsageError` for an unknown way or other kinds of bones.
    """
    if way not in get_args(Way):
        raise UsageError(f"--way {way}: must be one of {', '.join(get_args(Way))}")
    if isinstance(labels, Segmentation) and prediction is None:
        labels, prediction = None, labels
    radiograph = read(picture)
    pixels = stretched(radiograph.to_uint8())
    height, width = pixels.shape
    labels, predicted = (None if bones is None else labels_of(bones) for bones in (labels, prediction))
    layers = [layer for layer in (labels, predicted) if layer is not None]
    with style():
        breadth = _HEIGHT * min(width / height, _BROADEST)
        figure = new_figure(breadth + (_LEGEND if legend and layers else 0), _HEIGHT + (0.4 if title else 0.1))
        if legend and layers:
            axes, beside = figure.subplots(1, 2, width_ratios=(breadth, _LEGEND))
            _draw_legend(beside, layers, _dice(labels, prediction, (height, width)))
        else:
            axes = figure.subplots()
        axes.imshow(pixels, cmap="gray", vmin=0, vmax=255, interpolation="lanczos")
        axes.set_axis_off()
        if title:
            axes.set_title(title, parse_math=False)  # a $ in the name of a file is a $
        for layer in layers:
            dashed = layer is predicted and labels is not None
            _draw(
                axes, layer, outlined=way != "fills" or dashed, filled=way != "outlines" and not dashed, dashed=dashed
            )
        if names and layers:
            named = prediction.hands if labels is None and isinstance(prediction, Segmentation) else ()
            _write_names(axes, [hand.labels() for hand in named] or layers[:1], height, width)
        axes.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
    return figure


def _draw(axes: "Axes", labels: Labels, *, outlined: bool, filled: bool, dashed: bool) -> None:
    from matplotlib.patches import PathPatch  # noqa: PLC0415 slow to load
    from matplotlib.patheffects import Normal, Stroke  # noqa: PLC0415

    for label, polygons in labels.polygons.items():
        colour = COLOURS[INDEX[label]]
        path = _path(polygons)
        if filled:
            axes.add_patch(PathPatch(path, facecolor=colour, alpha=_FILL, edgecolor="none"))
        if outlined:
            look: dict[str, Any] = {"linewidth": 1.0 if dashed else 1.3, "linestyle": (0, (3, 1.6)) if dashed else "-"}
            rim = [] if dashed else [Stroke(linewidth=2.3, foreground="black", alpha=0.6), Normal()]
            axes.add_patch(
                PathPatch(path, facecolor="none", edgecolor="white" if dashed else colour, path_effects=rim, **look)
            )


def _path(polygons: list[npt.NDArray[np.float64]]) -> Any:
    from matplotlib.path import Path  # noqa: PLC0415 slow to load

    return Path.make_compound_path(*(Path(np.vstack([polygon, polygon[:1]]), closed=True) for polygon in polygons))


def _write_names(axes: "Axes", hands: Sequence[Labels], height: int, width: int) -> None:
    """Names beside their bones, off each other, with a line to a bone that is far."""
    from matplotlib.patheffects import withStroke  # noqa: PLC0415 slow to load

    points = 72 * _HEIGHT / height  # a pixel
    names = place_names([labels.polygons for labels in hands], height, width)
    for label, middle, (left, top, right, bottom) in names:
        colour = COLOURS[INDEX[label]]
        at = np.clip(middle, (left, top), (right, bottom))
        if np.abs(at - middle).max() > 2 * (bottom - top):
            axes.plot(*np.stack([middle, at]).T, color=colour, linewidth=0.7)
        axes.text(
            (left + right) / 2,
            (top + bottom) / 2,
            label,
            color="white",
            size=0.62 * (bottom - top) * points,
            ha="center",
            va="center",
            path_effects=[withStroke(linewidth=1.8, foreground="black")],
        )


def _dice(labels: Labels | None, prediction: Segmentation | Labels | None, shape: tuple[int, int]) -> dict[str, float]:
    """Dice of each bone where there are both."""
    if labels is None or prediction is None:
        return {}
    answer = prediction.packed() if isinstance(prediction, Segmentation) else prediction.packed(*shape)
    scores = dice_from_counts(*packed_counts(answer, labels.packed(*shape)))
    return dict(zip(BONES, scores.tolist(), strict=True))


def _draw_legend(axes: "Axes", layers: list[Labels], dice: dict[str, float]) -> None:
    axes.set_axis_off()
    axes.set(xlim=(0, 1), ylim=(36.5, -0.5))
    row = 0.0
    if len(layers) > 1:
        for text, line in (("labels", "-"), ("prediction", (0, (3, 1.6)))):
            axes.plot([0, 0.09], [row, row], color="black", linewidth=1.5, linestyle=line)
            axes.text(0.13, row, text, va="center")
            row += 1
        mean = sum(dice.values()) / max(len(dice), 1)
        axes.text(1, 0.5, f"mean Dice {mean:.3f}", va="center", ha="right", weight="bold")
    for index, bone in enumerate(ANATOMY):
        before = ANATOMY[index - 1]
        row += 0.45 if index and (bone.digit, bone.group) != (before.digit, before.group) else 0
        there = any(bone.label in layer.polygons for layer in layers)
        patch = COLOURS[index] if there else "none"
        axes.plot(0.03, row, "s", color=patch, markeredgecolor="#555", markeredgewidth=0.5, markersize=7)
        axes.text(0.08, row, bone.label, va="center", size=8, color="black" if there else "#999")
        name = bone.name if bone.group == "fingers" else ""
        axes.text(0.29, row, name if there else "not there", va="center", size=7.5, color=SOFT)
        if bone.label in dice:
            axes.text(1, row, f"{dice[bone.label]:.3f}", va="center", ha="right", size=8)
        row += 1
