"""The page of the demo: what was done, how well it went, and pictures of it."""

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import numpy.typing as npt

from handbones.anatomy import ANATOMY, BONES
from handbones.collection import Case, open_collection
from handbones.inference.overlay import draw_overlay
from handbones.insight.page import Markup, Page, Section
from handbones.insight.plots import BLUE, COLOURS, INK, bone_axis, new_figure, style
from handbones.labels import Labels, load_labels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SIDE = 800
"""Pictures on the page, in pixels."""


@dataclass(frozen=True)
class Step:
    """A part of the job: what it does, the command that does the same, and what it took."""

    title: str
    command: str
    seconds: float


def write_tour(out: Path, steps: list[Step]) -> Path:
    """Write `out`/report.html about a demo that lies in `out`; returns its path."""
    summary = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    cases = open_collection(out / "data").cases
    learnt = [case for case in cases if case.split == "train"]
    page = Page(
        "The bones of a hand, learnt in minutes",
        "handbones made radiographs of synthetic people, learnt their bones from the labels, and found the bones of "
        "other such people. Everything on this page was made by the commands that it shows.",
    )
    overview = page.section("What happened")
    overview.numbers(
        {
            "mean Dice on unseen people": summary["mean_dice"],
            "radiographs to learn from": len(learnt),
            "radiographs to find bones in": summary["images"],
            "minutes, all in all": f"{sum(step.seconds for step in steps) / 60:.1f}",
        }
    )
    overview.table(
        ("step", "command that does it", "seconds"),
        [(step.title, Markup(f"<code>{step.command}</code>"), round(step.seconds)) for step in steps],
    )
    history = _history(out / "run")
    if history:
        _learning(page.section("Learning", "Dice of people set aside, while the network learnt."), history)
    _bones(page.section("Every bone"), summary["bones"], summary["groups"])
    _pictures(
        page.section(
            "Unseen radiographs",
            "Left the bones as they are, right as they were found: of all radiographs of the test split the best, the "
            "middle and the worst. Bones overlap, and each has its own mask.",
        ),
        out,
        [case for case in cases if case.split == "test"],
        summary["pictures"],
    )
    _submission(page.section("The submission"), out / "submission.csv")
    page.write(out / "report.html")
    return out / "report.html"


def _learning(section: Section, rows: list[dict[str, str]]) -> None:
    with style():
        figure = new_figure(7.0, 2.6)
        axes = figure.add_subplot()
        minutes, dice = ([float(row[name]) for row in rows] for name in ("minutes", "dice"))
        axes.plot(minutes, dice, color=BLUE, marker="o", markersize=4)
        axes.set(xlabel="minutes of training", ylabel="mean Dice of 29 bones", ylim=(0, 1), xlim=(0, None))
        last = minutes[-1], dice[-1]
        axes.annotate(f"{dice[-1]:.3f}", last, (0, 6), textcoords="offset points", ha="center", color=INK)
        section.figure(figure)


def _history(run: Path) -> list[dict[str, str]]:
    """A row for each validation; a training of seconds has none."""
    if not (run / "history.csv").exists():
        return []
    with (run / "history.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _bones(section: Section, bones: dict[str, float], groups: dict[str, float]) -> None:
    section.figure(
        bar_figure(bones),
        "Mean Dice of each bone over the test split: "
        + ", ".join(f"{group} {value:.3f}" for group, value in groups.items())
        + ". Small bones that lie on others are the hard ones.",
    )
    rows = [(bone.label, bone.name, bone.group, bones[bone.label]) for bone in ANATOMY]
    section.table(("label", "name", "group", "Dice"), rows, "The same as a table", folded=True)


def bar_figure(bones: dict[str, float]) -> "Figure":
    """Dice of the 29 bones as bars in their colours."""
    with style():
        figure = new_figure(7.0, 6.0)
        axes = figure.add_subplot()
        values = [bones[label] for label in BONES]
        axes.barh(range(len(values)), values, color=COLOURS, height=0.72)
        for row, value in enumerate(values):
            axes.text(value + 0.006, row, f"{value:.3f}", va="center", fontsize=8, color=INK)
        bone_axis(axes)
        axes.grid(visible=False, axis="y")
        axes.set(xlabel="Dice", xlim=(0, 1.06))
    return figure


def _pictures(section: Section, out: Path, cases: list[Case], dice: dict[str, float]) -> None:
    def own(case: Case) -> float:
        return dice[case.full_name]

    ranked = sorted(cases, key=own, reverse=True)
    chosen = dict(zip(("best", "middle", "worst"), (ranked[0], ranked[len(ranked) // 2], ranked[-1]), strict=True))
    for word, case in chosen.items():
        assert case.labels is not None
        section.heading(f"The {word}: {case.person}, Dice {own(case):.3f}")
        found = load_labels(out / "labels" / f"{case.stem}.json")
        pairs = [(load_labels(case.labels), "as they are"), (found, "as they were found")]
        section.gallery([(_drawn(case, labels), text) for labels, text in pairs], width=420)


def _drawn(case: Case, labels: Labels) -> npt.NDArray[np.uint8]:
    pixels = case.load()[0].to_uint8()
    picture: Any = draw_overlay(pixels, labels)
    scale = min(1.0, _SIDE / max(pixels.shape))
    return np.asarray(cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)


def _submission(section: Section, path: Path) -> None:
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    section.text(
        f"{path.name} has {len(rows) - 1} rows, one a picture and bone, sorted as the competition wants them. The "
        "third column holds runs of pixels, counted from 1 row by row: start, length, start, length ..."
    )
    section.table(
        rows[0], [(name, label, f"{rle[:60]} ..." if len(rle) > 60 else rle) for name, label, rle in rows[1:6]]
    )
