"""The report of an evaluation: how good a model is, where it fails, and against another one."""

from pathlib import Path

from handbones.insight.page import Page
from handbones.insight.plots import style
from handbones.insight.report.cases import add_cases
from handbones.insight.report.comparison import add_comparison
from handbones.insight.report.confidence import add_confidence
from handbones.insight.report.confusion import add_confusion
from handbones.insight.report.examination import Examination, examine
from handbones.insight.report.relations import add_relations
from handbones.insight.report.scores import add_overview, add_scores
from handbones.insight.report.surfaces import surface_distances
from handbones.insight.tables import Table

__all__ = ["Examination", "examine", "surface_distances", "write_report"]


def write_report(
    out: Path, examined: Examination, name: str, *, against: Examination | None = None, other: str = "", note: str = ""
) -> list[Path]:
    """Write `out`/report.html and its tables as CSV; returns their paths.

    `against` is what another model, called `other`, says of the same cases; `note` is added to the first line of
    the page. Raises `UserError`.
    """
    evaluation = examined.evaluation
    page = Page(
        f"Evaluation of {name}",
        f"Mean Dice {evaluation.mean:.4f} on {len(examined.cases)} pictures of "
        f"{len({case.person for case in examined.cases})} people, at the pictures' own size.{note and f' {note}.'}",
    )
    tables: list[Table] = []
    with style():
        add_overview(page, examined)
        if against is not None:
            tables += add_comparison(page, examined, against, (name, other))
        tables += add_scores(page, examined)
        add_cases(page, examined)
        tables += add_confusion(page, examined)
        tables += add_confidence(page, examined)
        tables += add_relations(page, examined)
    page.write(out / "report.html")
    return [out / "report.html", *(table.write(out) for table in tables)]
