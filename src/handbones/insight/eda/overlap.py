"""Bones over bones: which, how much, and where."""

from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from handbones.anatomy import ANATOMY, BONES
from handbones.insight.alignment import align, usual_places
from handbones.insight.closeup import Picture, View, box_around
from handbones.insight.page import Page, bone_chip
from handbones.insight.plots import bone_axis, new_figure
from handbones.insight.survey import Survey, small_masks
from handbones.insight.tables import Table
from handbones.labels import load_labels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Floats = npt.NDArray[np.float64]

_HANDS = 200
"""For the average hand."""
_SHOWN_FROM = 3
"""Percent of the hands."""
_EXAMPLES = 8
_CANVAS = (560, 420)
"""Height and width of the average hand, in pixels."""
_LARGEST_OF_PAIRS = 20
_TINT = np.array([255, 60, 170])
_CARPALS = [bone.index for bone in ANATOMY if bone.group == "carpals"]


def add_overlaps(page: Page, survey: Survey) -> list[Table]:
    """Add the section; all cases must be labelled."""
    common = np.array([facts.overlaps for facts in survey.facts], np.float64)
    several = np.array([facts.several for facts in survey.facts])
    covered = max(sum(facts.covered for facts in survey.facts), 1e-9)  # no bones at all overlap nowhere
    section = page.section(
        "Overlaps", "Bones lie over each other in a radiograph, so that a pixel can belong to several."
    )
    section.numbers(
        {
            "of all pixels lie in several bones": f"{several.mean():.2%}",
            "of the labelled pixels do": f"{several.sum() / covered:.1%}",
            "at most, in one picture": f"{several.max():.2%}",
        }
    )
    pairs = _pairs(common)
    section.figure(
        _matrix_figure(pairs),
        "For each two bones: the share of the pixels of a picture that lie in both (below the diagonal) and the share "
        "of the pictures in which they overlap (above).",
    )
    section.figure(
        _average_figure(survey),
        "The average hand (left hands mirrored, all brought to one palm): gray where bones lie, coloured where several "
        f"do, by the share of {min(_HANDS, len(survey.cases))} hands.",
    )
    section.heading("Strongest examples")
    section.gallery(_examples(survey, several), width=230)
    columns = ("bone", "other bone", "pictures (%)", "pixels (% of picture)", "mean IoU where they overlap")
    section.table(
        columns,
        [(bone_chip(a), bone_chip(b), 100 * pictures, 100 * pixels, iou) for a, b, pictures, pixels, iou in pairs][
            :_LARGEST_OF_PAIRS
        ],
        f"The {_LARGEST_OF_PAIRS} pairs that share most pixels",
        folded=True,
    )
    return [Table("overlaps", ("bone", "other", "share_of_pictures", "share_of_pixels", "mean_iou"), pairs)]


def _pairs(common: Floats) -> list[tuple[str, str, float, float, float]]:
    """Pairs that ever overlap: share of pictures, share of pixels, mean IoU over the pictures where they do."""
    own = np.diagonal(common, axis1=1, axis2=2)
    union = own[:, :, None] + own[:, None] - common
    rows = []
    for first in range(len(BONES)):
        for second in range(first + 1, len(BONES)):
            both = common[:, first, second]
            if (both > 0).any():
                iou = (both[both > 0] / union[both > 0, first, second]).mean()
                rows.append((BONES[first], BONES[second], float((both > 0).mean()), float(both.mean()), float(iou)))
    return sorted(rows, key=lambda row: -row[3])


def _matrix_figure(pairs: list[tuple[str, str, float, float, float]]) -> "Figure":
    from matplotlib.colors import LogNorm  # noqa: PLC0415 slow to load

    pixels, pictures = (np.full((len(BONES), len(BONES)), np.nan) for _ in range(2))
    for first, second, of_pictures, of_pixels, _ in pairs:
        i, j = BONES.index(first), BONES.index(second)
        pixels[max(i, j), min(i, j)] = 100 * of_pixels
        pictures[min(i, j), max(i, j)] = 100 * of_pictures
    figure = new_figure(9.6, 7.6)
    axes = figure.subplots()
    top = max(float(np.nanmax(pixels, initial=0.001)), 0.001)
    low = axes.imshow(pixels, cmap="YlGnBu", norm=LogNorm(1e-4, top), rasterized=True)
    high = axes.imshow(pictures, cmap="OrRd", vmin=0, vmax=100, rasterized=True)
    axes.plot([-0.5, 28.5], [-0.5, 28.5], color="#9aa3b2", linewidth=0.8)
    bone_axis(axes)
    bone_axis(axes, vertical=False)
    axes.grid(visible=False)
    figure.colorbar(low, ax=axes, label="pixels in both (% of the picture)", location="left", shrink=0.75, pad=0.02)
    figure.colorbar(high, ax=axes, label="pictures with an overlap (%)", shrink=0.75, pad=0.02)
    return figure


def _average_figure(survey: Survey) -> "Figure":
    inside, over = average_hand(survey)
    figure = new_figure(6.2, 6.4)
    axes = figure.subplots()
    axes.imshow(inside, cmap="Greys", vmin=0, vmax=1.6, rasterized=True)
    shown = np.ma.masked_less(100 * over, _SHOWN_FROM)
    colours = axes.imshow(shown, cmap="plasma_r", vmin=0, vmax=max(float(shown.max() or 1), 1), rasterized=True)
    axes.set_axis_off()
    figure.colorbar(colours, ax=axes, label="hands with several bones there (%)", shrink=0.7)
    return figure


def average_hand(survey: Survey) -> tuple[Floats, Floats]:
    """(560, 420) each: share of hands that have a bone, and that have several, after all were laid on each other."""
    chosen = survey.choose(np.isin(np.arange(len(survey.cases)), _spread(len(survey.cases), _HANDS)))
    frames = align(chosen.shape("centre"), usual_places())
    height, width = _CANVAS
    zoom = height / 4.3  # units of the frame that a hand with a part of its forearm takes
    inside, over = np.zeros(_CANVAS), np.zeros(_CANVAS)
    for index, (case, facts) in enumerate(zip(chosen.cases, chosen.facts, strict=True)):
        assert case.labels is not None
        packed = small_masks(load_labels(case.labels), facts.height, facts.width)
        scale = max(facts.height, facts.width) / max(packed.shape)
        matrix, offset = frames.matrix[index] * scale * zoom, frames.offset[index]
        shift = frames.matrix[index] @ np.full(2, (scale - 1) / 2) + offset
        moved = np.column_stack([matrix, zoom * shift + np.array([width / 2, 0.47 * height])])
        if not np.isfinite(moved).all():
            continue
        of_hand = ((packed != 0).astype(np.uint8), ((packed & (packed - np.uint32(1))) != 0).astype(np.uint8))
        moved_masks = [cv2.warpAffine(mask, moved, (width, height), flags=cv2.INTER_NEAREST) for mask in of_hand]
        inside += moved_masks[0]
        over += moved_masks[1]
    return inside / len(chosen.cases), over / len(chosen.cases)


def _examples(survey: Survey, several: Floats) -> list[tuple[Picture, str]]:
    """The wrists with the strongest overlaps, a person each."""
    chosen: dict[str, int] = {}
    for index in np.argsort(-several):
        chosen.setdefault(survey.cases[index].person, int(index))
        if len(chosen) == _EXAMPLES:
            break
    return [
        (_tinted(survey, index), f"{several[index]:.2%}: {survey.cases[index].full_name}") for index in chosen.values()
    ]


def _tinted(survey: Survey, index: int) -> Picture:
    facts = survey.facts[index]
    radiograph, labels = survey.cases[index].load()
    assert labels is not None and facts.shapes is not None
    carpals = facts.shapes.centre[_CARPALS]
    carpals = carpals[~np.isnan(carpals).any(axis=1)]
    size = radiograph.height, radiograph.width
    box = box_around(carpals, 0.45, 0.2 * max(size), *size) if len(carpals) else None
    view = View(radiograph.to_uint8(), 320, box)
    left, top, *_ = box or (-0.5, -0.5)
    at = labels.map(lambda points: (points - (left, top)) * view.scale - 0.5)
    packed = at.packed(*view.picture.shape[:2])
    several = (packed & (packed - np.uint32(1))) != 0
    view.picture[several] = (0.45 * view.picture[several] + 0.55 * _TINT).astype(np.uint8)
    view.outlines(labels)
    return view.picture


def _spread(count: int, wanted: int) -> npt.NDArray[np.intp]:
    """Up to `wanted` positions of `count`, evenly spread."""
    return np.unique(np.linspace(0, count - 1, min(count, wanted)).round().astype(np.intp))
