"""What there is to see in a collection: one page, and its tables as CSV."""

from collections import Counter
from pathlib import Path

from handbones.collection import Collection
from handbones.insight.eda.bones import add_bones
from handbones.insight.eda.film import add_contact_sheet, add_exposure
from handbones.insight.eda.overlap import add_overlaps
from handbones.insight.eda.people import add_people
from handbones.insight.eda.pose import add_tilt
from handbones.insight.eda.tables import bones_by_case, cases_table
from handbones.insight.page import Page
from handbones.insight.plots import style
from handbones.insight.survey import Survey

__all__ = ["write_eda"]


def write_eda(out: Path, collection: Collection, survey: Survey) -> list[Path]:
    """Write `out`/eda.html and the CSVs beside it; returns their paths. Raises `UserError`."""
    page = Page(
        f"The data of {collection.root.resolve().name}",
        "Who is in it, what the labels look like, and where training and test differ.",
    )
    tables = [cases_table(survey)]
    _add_overview(page, survey)
    with style():
        if survey.labelled.cases:
            tables.append(bones_by_case(survey.labelled))
            tables += add_bones(page, survey.labelled)
            tables += add_overlaps(page, survey.labelled)
            tables += add_tilt(page, survey)
        tables += add_people(page, collection.table, survey)
        add_exposure(page, survey)
        add_contact_sheet(page, survey)
    page.write(out / "eda.html")
    return [out / "eda.html", *(table.write(out) for table in tables)]


def _add_overview(page: Page, survey: Survey) -> None:
    section = page.section("Overview")
    splits = Counter(case.split for case in survey.cases)
    sides = Counter(survey.sides())
    section.numbers(
        {
            "people": f"{len({case.person for case in survey.cases}):,}",
            "pictures": f"{len(survey.cases):,}",
            "for training": f"{splits['train']:,}",
            "for testing": f"{splits['test']:,}",
            "with labels": f"{len(survey.labelled.cases):,}",
            "right hands": f"{sides['right']:,}",
            "left hands": f"{sides['left']:,}",
        }
    )
    if sides[None]:
        section.text(f"The side of {sides[None]} pictures could not be told.")
    sizes = Counter((facts.width, facts.height) for facts in survey.facts)
    section.table(("size (pixels)", "pictures"), [(f"{w} x {h}", count) for (w, h), count in sizes.most_common(8)])
    per_person = Counter(Counter(case.person for case in survey.cases).values())
    section.text(
        "Pictures a person: "
        + ", ".join(f"{count} people have {number}" for number, count in sorted(per_person.items()))
        + "."
    )
