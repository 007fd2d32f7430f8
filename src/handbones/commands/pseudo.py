"""`handbones pseudo`: labels of a model for pictures without, to learn from."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from handbones.collection import Case
from handbones.commands.console import collection_of, counting, decode_first, quoted
from handbones.commands.options import Bundles, Opener, SkipBad, looking
from handbones.errors import UserError
from handbones.files import whole_folder

if TYPE_CHECKING:
    from handbones.inference.pseudo import Judged


@looking
def pseudo(
    bundle: Bundles,
    data: Annotated[Path, typer.Argument(help="A collection; its pictures without labels are looked at.")],
    *,
    opener: Opener,
    out: Annotated[Path, typer.Option(help="Folder for the collection of what is kept, and pseudo.csv.")],
    agreement: Annotated[
        float, typer.Option(help="Least Dice of any bone between a picture and its mirror image.", min=0, max=1)
    ] = 0.85,
    confidence: Annotated[float, typer.Option(help="Least mean probability of any bone.", min=0, max=1)] = 0.8,
    audit: Annotated[
        bool, typer.Option(help="Compare the kept with each other, and leave out what an audit finds gross.")
    ] = True,
    skip_bad: SkipBad = False,
) -> None:
    """Label the pictures of a collection that have no labels; keep what the model is sure of."""
    from handbones.inference import pseudo as labelling  # noqa: PLC0415 loads numba

    if (out / "train").exists():
        raise UserError(f"{out}: holds a collection already: remove it, or choose another --out for this round")
    collection = collection_of(data, skip_bad=skip_bad, labels_wanted=False)
    cases = [case for case in collection.cases if case.labels is None]
    if not cases:
        raise UserError(f"{data}: every picture has labels: there is nothing to label")
    decode_first(collection, cases, skip_bad=skip_bad)
    segmenter = opener(bundle)
    limits = labelling.Limits(agreement, confidence)
    judged: list[Judged] = []
    kept: list[Case] = []
    with whole_folder(out) as folder:
        with counting("pictures", len(cases)) as progress:
            for case in cases:
                opinion = labelling.look(segmenter, case)
                judged.append(opinion.judged(limits))
                if not judged[-1].reason:
                    kept.append(labelling.keep(folder, opinion))
                progress(1)
        if audit and kept:
            gross = _audited(kept)
            judged = [
                replace(one, reason=one.reason or gross.get((one.case.person, one.case.name), "")) for one in judged
            ]
        labelling.write_table(folder / labelling.TABLE, judged)
        count = sum(not one.reason for one in judged)
        if not count:
            shutil.rmtree(folder / "train", ignore_errors=True)
        elif collection.table and collection.table.resolve() != (out / collection.table.name).resolve():
            labelling.link(collection.table, folder / collection.table.name)
    print(f"{count} of {len(cases)} pictures kept: {out}; all in {out / labelling.TABLE}")
    if not count:
        print("nothing to learn from: lower --agreement or --confidence, or train the model further")
        return
    print(f"learn:  handbones train DATA --pseudo {quoted(out)} --out RUN")


def _audited(kept: list[Case]) -> dict[tuple[str, str], str]:
    """Drop the cases that an audit finds gross mistakes in; why, by person and name."""
    from handbones.inference.pseudo import drop  # noqa: PLC0415
    from handbones.insight.audit import audit as find  # noqa: PLC0415 loads numba
    from handbones.insight.survey import survey  # noqa: PLC0415

    with counting("pictures audited", len(kept)) as progress:
        findings = find(survey(kept, seen=progress))
    reasons: dict[tuple[str, str], str] = {}
    for found in findings:
        key = found.case.person, found.case.name
        if found.gross and key not in reasons:
            reasons[key] = f"audit: {' '.join((found.kind, *found.bones[:3]))}"
            drop(found.case)
    return reasons
