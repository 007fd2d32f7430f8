"""The tables of an EDA as CSV: a row a case, and a row a bone of a case."""

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from handbones.anatomy import BONES
from handbones.files import write_text
from handbones.insight.survey import Survey


@dataclass(frozen=True)
class Table:
    """A CSV file to be: name without ending, header and rows; floats are written short, None and NaN as nothing."""

    name: str
    header: Sequence[str]
    rows: Sequence[Sequence[Any]]

    def write(self, folder: Path) -> Path:
        """Write `folder`/`name`.csv; returns its path. Raises `UserError`."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(self.header)
        writer.writerows([_plain(value) for value in row] for row in self.rows)
        write_text(folder / f"{self.name}.csv", text.getvalue())
        return folder / f"{self.name}.csv"


def cases_table(survey: Survey) -> Table:
    """A row a case: who, what side, how large, how bent, how bright."""
    header = (
        *("person", "image", "split", "side", "width", "height", "bones", "wrist_tilt_degrees"),
        *("covered_share", "overlap_share", "mean_gray", "gray_spread", "clipped_share", "bone_gray", "soft_gray"),
        *("age", "sex", "weight_kg", "height_cm", "remark"),
    )
    rows = []
    for case, facts, side in zip(survey.cases, survey.facts, survey.sides(), strict=True):
        known, film = case.metadata, facts.exposure
        bones = None if facts.shapes is None else int((facts.shapes.parts > 0).sum())
        person = (known.age, known.sex, known.weight, known.height, known.remark) if known else (None,) * 5
        rows.append(
            (
                *(case.person, case.name, case.split, side, facts.width, facts.height, bones, facts.tilt),
                *(facts.covered, facts.several, film.mean, film.spread, film.clipped, film.bone, film.soft),
                *person,
            )
        )
    return Table("cases", header, rows)


def bones_by_case(survey: Survey) -> Table:
    """A row for each bone of each labelled case, in pixels of the picture; angles in degrees."""
    header = (
        *("person", "image", "bone", "polygons", "points", "area_px", "length_px", "width_px", "x_px", "y_px"),
        "degrees_from_upright",
    )
    rows = []
    for case, facts in zip(survey.cases, survey.facts, strict=True):
        shapes = facts.shapes
        assert shapes is not None
        for bone in np.flatnonzero(shapes.parts > 0):
            x, y = shapes.axis[bone]
            rows.append(
                (
                    *(case.person, case.name, BONES[bone], int(shapes.parts[bone]), int(shapes.corners[bone])),
                    *(shapes.area[bone], shapes.length[bone], shapes.width[bone], *shapes.centre[bone]),
                    math.degrees(math.atan2(x, -y)),
                )
            )
    return Table("bones_by_case", header, rows)


def _plain(value: Any) -> Any:
    if value is None or (isinstance(value, float | np.floating) and not np.isfinite(value)):
        return ""
    return f"{value:.6g}" if isinstance(value, float | np.floating) else value
