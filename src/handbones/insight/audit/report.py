"""The audit as a page: what was found, and a picture of each finding."""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from handbones.anatomy import BONES
from handbones.collection import Case
from handbones.insight.audit.findings import KINDS, Finding
from handbones.insight.closeup import Picture, View, box_around
from handbones.insight.page import Page
from handbones.labels import Labels

_SIDE = 420
"""Pixels of each of the two pictures of a finding."""
_MOST_NAMES = 8


def write_report(
    path: Path,
    root: Path,
    findings: Sequence[Finding],
    looked_at: int,
    *,
    notes: Sequence[str] = (),
    most: int = 200,
    seen: Callable[[int], None] | None = None,
) -> None:
    """Write the page with the first `most` findings in pictures; `notes` say what could not be judged.

    `seen` is told of each picture made.
    """
    excluded = {found.case.full_name for found in findings if found.gross and found.case.split == "train"}
    page = Page(
        f"Audit of {root.resolve().name}",
        "What is suspicious about these pictures and labels, the worst first. What is usual was learned from the "
        "collection itself: look before you change anything.",
    )
    overview = page.section("Overview")
    overview.numbers(
        {
            "pictures looked at": f"{looked_at:,}",
            "findings": len(findings),
            "pictures with a finding": len({id(found.case) for found in findings}),
            "to leave out of training": len(excluded),
        }
    )
    for note in notes:
        overview.text(f"{note[0].upper()}{note[1:]}.")
    if not findings:
        overview.text("Nothing suspicious was found.")
    counts = Counter(found.kind for found in findings)
    overview.table(
        ("kind", "findings", "in the exclude file", "what to do"),
        [(k.title, counts[k.name], "yes" if k.gross else "no", k.advice) for k in KINDS.values() if counts[k.name]],
    )
    for gross, title, lead in (
        (True, "Gross mistakes", "A model that learns from these learns something wrong."),
        (False, "Worth a look", "Smaller mistakes, and pictures that differ from the others."),
    ):
        part = [(rank, found) for rank, found in enumerate(findings, 1) if found.gross == gross]
        if not part:
            continue
        section = page.section(f"{title} ({len(part)})", lead)
        for rank, found in part:
            if rank <= most:
                heading = f"{rank}. {KINDS[found.kind].title}"
                section.beside(picture_of(found), heading, _lines(found))
                if seen:
                    seen(1)
        if part[-1][0] > most:
            section.text(f"Findings after number {most} are in findings.csv, without pictures.")
    page.write(path)


def _lines(found: Finding) -> list[str]:
    names = f"{found.case.full_name} ({found.case.split})"
    if found.other:
        names += f" and {found.other.full_name} ({found.other.split})"
    return [found.reason, names, f"Score {found.score:.1f}. {KINDS[found.kind].advice}"]


def picture_of(found: Finding) -> Picture:
    """(420, 848, 3) RGB: the whole picture beside a close-up of the finding, or beside the other picture."""
    pixels, labels = _load(found.case)
    gap = np.full((_SIDE, 8, 3), 255, np.uint8)
    whole = View(pixels, _SIDE)
    all_bones = not found.bones or len(found.bones) > _MOST_NAMES
    whole.outlines(labels, BONES if all_bones else found.bones)
    if found.other is not None:
        theirs = View((other := _load(found.other))[0], _SIDE)
        theirs.outlines(other[1], BONES)
        return np.hstack([_square(whole.picture), gap, _square(theirs.picture)])
    box = None if all_bones else _box(found, labels, pixels.shape)
    close = View(pixels, _SIDE, box)
    if not all_bones:
        close.outlines(labels, found.bones)
    close.names(labels, found.bones if found.bones else [])
    if found.expected is not None:
        gone = "" if all_bones or labels.polygons.keys() & set(found.bones) else found.bones[0]
        whole.circle(*found.expected)
        close.circle(*found.expected, gone)
    if box is not None:
        whole.frame(box)
    return np.hstack([_square(whole.picture), gap, _square(close.picture)])


def _box(found: Finding, labels: Labels, shape: tuple[int, ...]) -> tuple[float, float, float, float] | None:
    points = [polygon for bone in found.bones for polygon in labels.polygons.get(bone, [])]
    if found.expected is not None:
        x, y, radius = found.expected
        points.append(np.array([[x - radius, y - radius], [x + radius, y + radius]]))
    if not points:
        return None
    return box_around(np.concatenate(points), 0.35, 0.18 * max(shape), shape[0], shape[1])


def _load(case: Case) -> tuple[npt.NDArray[np.uint8], Labels]:
    radiograph, labels = case.load()
    return radiograph.to_uint8(), labels or Labels({})


def _square(picture: Picture) -> Picture:
    """The picture in the middle of a white square."""
    height, width = (_SIDE - side for side in picture.shape[:2])
    return np.asarray(
        cv2.copyMakeBorder(
            picture,
            height // 2,
            height - height // 2,
            width // 2,
            width - width // 2,
            cv2.BORDER_CONSTANT,
            value=(255, 255, 255),
        ),
        np.uint8,
    )
