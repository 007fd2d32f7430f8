"""The tables of an EDA as CSV: a row a case, and a row a bone of a case."""

import numpy as np

from handbones.anatomy import BONES
from handbones.insight.survey import Survey
from handbones.insight.tables import Table


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
        rows += [
            (
                *(case.person, case.name, BONES[bone], int(shapes.parts[bone]), int(shapes.corners[bone])),
                *(shapes.area[bone], shapes.length[bone], shapes.width[bone], *shapes.centre[bone]),
                facts.degrees[bone],
            )
            for bone in np.flatnonzero(shapes.parts > 0)
        ]
    return Table("bones_by_case", header, rows)
