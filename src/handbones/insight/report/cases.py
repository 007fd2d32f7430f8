"""The best and the worst pictures, with maps of what was missed and what was invented."""

import cv2
import numpy as np
import numpy.typing as npt

from handbones.anatomy import BONES
from handbones.insight.closeup import Box, Picture, View, rectangle_around
from handbones.insight.page import Page
from handbones.insight.report.examination import Examination, Verdict
from handbones.labels import load_labels

_WORST, _BEST, _BONES = 9, 3, 8
_SIDE = 560
MISSED, INVENTED = (64, 156, 255), (255, 122, 24)
"""Colours of pixels that only the labels have, and that only the answer has."""


def add_cases(page: Page, examined: Examination) -> None:
    """Add the worst and the best pictures, and the worst single bones."""
    section = page.section("Best and worst", "Blue was missed, orange was invented; a pixel in the wrong bone is both.")
    means = examined.evaluation.dice.mean(axis=1)
    order = np.argsort(means)
    section.heading("The worst pictures")
    section.gallery([_picture(examined.verdicts[i]) for i in order[:_WORST]], width=330)
    section.heading("The worst single bones")
    dice = examined.evaluation.dice
    pairs = np.column_stack(np.unravel_index(np.argsort(dice, axis=None), dice.shape))
    rows, seen = [], set()
    for hand, bone in pairs.tolist():
        if hand not in seen:  # a picture that failed as a whole shall not fill the list
            seen.add(hand)
            verdict = examined.verdicts[hand]
            missed, invented = (verdict.areas[k, bone] - verdict.areas[2, bone] for k in (0, 1))
            rows.append(
                (verdict.case.person, verdict.case.name, BONES[bone], float(dice[hand, bone]), missed, invented)
            )
    header = ("person", "picture", "bone", "Dice", "missed (px)", "invented (px)")
    section.table(header, rows[:_BONES])
    section.heading("The best pictures")
    section.gallery([_picture(examined.verdicts[i]) for i in order[::-1][:_BEST]], width=330)


def _picture(verdict: Verdict) -> tuple[Picture, str]:
    caption = f"{verdict.dice.mean():.3f}: {verdict.case.full_name}; worst {_worst(verdict)}"
    return error_map(verdict, _SIDE), caption


def _worst(verdict: Verdict) -> str:
    order = np.argsort(verdict.dice)[:3]
    return ", ".join(f"{BONES[index]} {verdict.dice[index]:.2f}" for index in order)


def error_map(verdict: Verdict, size: int) -> Picture:
    """The part of the picture with the hand, `size` pixels on its longest side, with the pixels of errors in colour."""
    radiograph = verdict.case.load()[0]
    assert verdict.case.labels is not None
    labels = load_labels(verdict.case.labels)
    corners = np.array([[0, 0], [radiograph.width - 1, radiograph.height - 1]])  # without bones, the whole picture
    points = [polygon for polygons in labels.polygons.values() for polygon in polygons] or [corners]
    box = rectangle_around(np.concatenate(points), 0.02, radiograph.height, radiograph.width)
    view = View(radiograph.to_uint8(), size, box)
    for mask, colour in zip(verdict.errors(), (MISSED, INVENTED), strict=True):
        scale = max(mask.shape) / max(radiograph.height, radiograph.width)
        shown = 0.9 * _window(mask, box, scale, view.picture.shape[:2])[:, :, None]
        view.picture = (view.picture * (1 - shown) + np.array(colour) * shown).astype(np.uint8)
    view.outlines(labels)
    return view.picture


def _window(share: npt.NDArray[np.uint8], box: Box, scale: float, shape: tuple[int, ...]) -> npt.NDArray[np.float64]:
    """The part of a map that is `scale` times as large as the picture, resized to `shape`; 0 to 1."""
    left, top, right, bottom = (round((edge + 0.5) * scale) for edge in box)
    part = share[max(top, 0) : max(bottom, top + 1), max(left, 0) : max(right, left + 1)]
    return np.asarray(cv2.resize(part, (shape[1], shape[0]), interpolation=cv2.INTER_AREA), np.float64) / 255
