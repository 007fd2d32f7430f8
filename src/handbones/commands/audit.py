"""`handbones audit`: what is wrong with the labels of a collection."""

import logging
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from handbones.commands.console import counted, counting, quoted
from handbones.commands.options import Cache, NoCache, SkipBad, Workers, look_at
from handbones.errors import UsageError
from handbones.files import new_folder

if TYPE_CHECKING:
    from handbones.insight.audit import Finding
    from handbones.insight.audit.disagreement import Judge
    from handbones.insight.survey import Survey

logger = logging.getLogger(__name__)

_SHOWN = 15


def audit(
    data: Annotated[Path, typer.Argument(help="A collection.")],
    *,
    out: Annotated[Path, typer.Option(help="Folder for findings.csv and audit.html.")] = Path("audit"),
    write_exclude: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also write the gross training cases, for train --exclude.")
    ] = None,
    bundle: Annotated[
        list[Path] | None,
        typer.Option(help="Also compare labels with a model's predictions; repeatable, a run for each fold."),
    ] = None,
    pictures: Annotated[int, typer.Option(help="Findings that the page shows in pictures.", min=0)] = 200,
    device: Annotated[str, typer.Option(help="Of the bundle: auto, cpu or cuda.")] = "auto",
    backend: Annotated[str, typer.Option(help="Of the bundle: auto, onnxruntime or torch.")] = "auto",
    cache: Cache = None,
    no_cache: NoCache = False,
    workers: Workers = None,
    skip_bad: SkipBad = False,
) -> None:
    """Find suspicious cases and rank them, with the reason and a picture of each."""
    from handbones.insight.audit import audit as find  # noqa: PLC0415 loads numba
    from handbones.insight.audit import findings as written  # noqa: PLC0415
    from handbones.insight.audit.report import write_report  # noqa: PLC0415

    judges = _judges(bundle or [], device, backend)
    notes: list[str] = []
    with new_folder(out):
        collection, survey = look_at(data, cache=cache, no_cache=no_cache, workers=workers, skip_bad=skip_bad)
        with counting("cases compared and judged", len(survey.cases) + len(survey.labelled.cases)) as progress:
            findings = find(survey, seen=progress, noted=notes.append)
        for note in notes:
            logger.warning("%s", note)
        if judges:
            findings = written.ranked([*findings, *_disagreements(survey, judges)])
        written.write_findings(out / "findings.csv", findings)
        with counting("findings drawn", min(pictures, len(findings))) as progress:
            page, looked_at = out / "audit.html", len(collection.cases)
            write_report(page, collection.root, findings, looked_at, notes=notes, most=pictures, seen=progress)
    _show(findings)
    print(f"written: {out / 'audit.html'}, {out / 'findings.csv'}")
    if write_exclude is not None:
        count = written.write_exclude(write_exclude, findings)
        then = f"handbones train DATA --exclude {quoted(write_exclude)}"
        print(
            f"written: {write_exclude} with {counted(count, 'case')}"
            + (f": look at them, then {then}" if count else "")
        )


def _judges(bundles: list[Path], device: str, backend: str) -> "list[Judge]":
    """The models, before the long look at the pictures. Raises `UserError` and `UsageError`."""
    from handbones.insight.audit.disagreement import open_judge  # noqa: PLC0415

    for flag, value in (("--device", device), ("--backend", backend)):
        if value != "auto" and not bundles:
            raise UsageError(f"{flag}: tells a model where to run: give --bundle, too")
    return [open_judge(path, device, backend) for path in bundles]


def _disagreements(survey: "Survey", judges: "list[Judge]") -> "list[Finding]":
    from handbones.insight.audit.disagreement import agreement, disagreements  # noqa: PLC0415

    cases = survey.labelled.cases
    with counting("cases compared with the model", len(cases)) as progress:
        return list(disagreements(cases, agreement(cases, judges, seen=progress)))


def _show(findings: "list[Finding]") -> None:
    from handbones.insight.audit import KINDS  # noqa: PLC0415

    for rank, found in enumerate(findings[:_SHOWN], 1):
        print(f"{rank:4} {found.kind:12} {found.case.full_name}: {found.reason}")
    if len(findings) > _SHOWN:
        print(f"     and {len(findings) - _SHOWN} more")
    counts = Counter(found.kind for found in findings)
    listed = ", ".join(f"{counts[kind]} {kind}" for kind in KINDS if counts[kind])
    print(counted(len(findings), "finding") + (f": {listed}" if findings else ""))
