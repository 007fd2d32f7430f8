"""`handbones predict`: the bones of pictures as submission CSV, label files, overlays and more."""

import json
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from handbones.collection import Case
from handbones.commands.console import counted, counting, opened, say_left_out
from handbones.commands.options import Opener, SkipBad, looking
from handbones.errors import UsageError, UserError
from handbones.files import make_folder, write_text
from handbones.inference.background import in_background
from handbones.inference.coco import CocoDocument
from handbones.inference.shards import Shard
from handbones.inference.submission import SubmissionWriter
from handbones.inference.writers import write_bone_masks, write_indexed, write_label_json, write_overlay
from handbones.layout import MADE_WITH

if TYPE_CHECKING:
    from handbones.inference.segmentation import Segmentation
    from handbones.radiograph import Radiograph

_MORE = {"indexed": "indexed", "masks": "masks", "coco": "coco.json"}
"""What may be written beside, and where."""
_SLACK_S = 60.0
"""Processes of one run may start this long after each other."""


@looking
def predict(
    inputs: Annotated[list[Path], typer.Argument(metavar="INPUT...", help="Pictures, folders or collections.")],
    *,
    opener: Opener,
    out: Annotated[Path, typer.Option(help="Folder for submission.csv, labels/ and overlays/.")] = Path("prediction"),
    bundle: Annotated[
        list[Path] | None, typer.Option(help="The model; several are averaged. The packaged one unless given.")
    ] = None,
    overlays: Annotated[bool, typer.Option(help="Write pictures with the bones drawn on them.")] = True,
    also: Annotated[
        str, typer.Option(help="Write also: indexed (PNG with a palette), masks (a PNG a bone), coco (JSON).")
    ] = "",
    resume: Annotated[bool, typer.Option("--resume", help="Go on where an earlier run was cut off.")] = False,
    skip_bad: SkipBad = False,
) -> None:
    """Find the bones in pictures. Of a collection with a test part, that part alone is predicted."""
    started = time.time()
    shard = Shard.of()
    more = _more(also, shard, resume=resume)
    segmenter = opener(bundle or [None])
    every = pictures_of(inputs, skip_bad=skip_bad)
    _spare_labels(every, out)
    cases = shard.part(every)
    beside = sorted(["overlays"] * overlays + [*more])
    settings = json.dumps({**segmenter.settings(), "beside": beside}, indent=1)
    make_folder(out)
    coco = CocoDocument()
    if not resume:
        shard.clear(out / "submission.csv")
    submission = SubmissionWriter(shard.place(out / "submission.csv"), keep=True, resume=resume)
    if resume:
        _check_settings(out / MADE_WITH, settings, submission)
    with submission:
        todo = _left(cases, submission)
        write_text(out / MADE_WITH, settings + "\n")
        if submission.done:
            print(f"{counted(len(submission.done), 'picture')} kept from the earlier run")
        with counting("pictures", len(cases)) as progress:
            progress(len(submission.done))
            write = partial(_write, out, overlays=overlays, more=more)
            for case, segmentation in in_background(write, zip(todo, segmenter.segment_with(todo), strict=True)):
                submission.write(case.name, segmentation.rle(), _notes(case, segmentation))
                if "coco" in more:
                    coco.add(case.name, segmentation)
                progress(1)
    work = json.dumps([segmenter.settings(), [case.name for case in every]])
    shard.merge(out / "submission.csv", started - _SLACK_S, work)
    if "coco" in more:
        write_text(out / "coco.json", coco.to_json())
    for line in submission.notes:
        print(line)
    if shard.rank == 0:  # of several processes one speaks for all
        beside = [_MORE[kind] for kind in _MORE if kind in more]
        _say_written(out, every, ["submission.csv", "labels", *["overlays"] * overlays, *beside])


def _say_written(out: Path, cases: Sequence[Case], written: Sequence[str]) -> None:
    """Print what is there now, and what of it is of earlier runs."""
    strangers = {path.stem for path in (out / "labels").glob("*.json")} - {case.stem for case in cases}
    if strangers:
        earlier = f"{counted(len(strangers), 'file')} of earlier runs"
        print(f"{out / 'labels'}: has {earlier}, too; {out / 'submission.csv'} is of this one alone")
    print(f"{counted(len(cases), 'picture')}: {', '.join(str(out / name) for name in written)}")


def pictures_of(inputs: Sequence[Path], *, skip_bad: bool = False) -> list[Case]:
    """The cases to predict, sorted by path: of each collection its test part if it has one, else all.

    Prints which are left out. Raises `UserError` where none is left, or two of them would write the same files.
    """
    by_stem: dict[str, Case] = {}  # in small letters: Windows and macOS take hand.json and Hand.json for one file
    for path in inputs:
        collection = opened(path, strict=not skip_bad, deep=skip_bad, part="test", labels_wanted=False)
        say_left_out(collection, most=len(collection.problems))
        for case in collection.cases:
            first = by_stem.setdefault(case.stem.casefold(), case).image
            if first.resolve() != case.image.resolve():
                raise UserError(f"{case.image}: has the same name as {first}: give the folder above both, or two --out")
    if not by_stem:
        raise UserError(f"{inputs[0]}: every picture has problems: handbones check --deep {inputs[0]} lists them")
    return sorted(by_stem.values(), key=lambda case: case.image.as_posix())


def _spare_labels(cases: Sequence[Case], out: Path) -> None:
    """Raise `UserError` if what is written would take the place of labels, or be taken for them."""
    images, labels = ((out / name).resolve() for name in ("images", "labels"))
    for case in cases:
        if images in case.image.resolve().parents or (case.labels and labels in case.labels.resolve().parents):
            raise UserError(f"{out}: what is found would take the place of labels in {labels}: give another --out")


def _more(also: str, shard: Shard, *, resume: bool) -> frozenset[str]:
    more = frozenset(word.strip() for word in also.split(",") if word.strip())
    if more - set(_MORE):
        raise UsageError(f"--also {also}: must be of {', '.join(_MORE)}")
    if "coco" in more and (resume or shard.count > 1):
        raise UsageError("--also coco: is written in one go: leave it out with --resume and under torchrun")
    return more


def _check_settings(path: Path, settings: str, submission: SubmissionWriter) -> None:
    """Raise `UserError` if an earlier run was of another model or had other options, as the file at `path` tells.

    It may have written more beside the submission, but no less: the pictures that are kept would lack it.
    """
    if path.exists():
        try:
            earlier = dict(json.loads(path.read_text(encoding="utf-8")))
            written = set(earlier.get("beside", ()))
        except (OSError, TypeError, ValueError):
            raise UserError(f"{path}: damaged: leave --resume out to begin anew") from None
        own = json.loads(settings)
        lacking = sorted(set(own.pop("beside")) - written)
        changed = [name for name in own if own[name] != earlier.get(name)]
        if changed:
            flag = f"--{changed[0].replace('_', '-')}"
            raise UserError(f"{path}: the earlier run had another {flag}: give that, or leave --resume out")
        if lacking:
            raise UserError(f"{path}: the earlier run wrote no {lacking[0]}: leave that out, too, or --resume")
    elif submission.part.exists() or submission.path.exists():
        raise UserError(f"{path}: not there to tell what made {submission.path}: leave --resume out to begin anew")


def _left(cases: Sequence[Case], submission: SubmissionWriter) -> Sequence[Case]:
    """The cases that an earlier run has not done. Raises `UserError` if it was of other pictures."""
    done = submission.done
    if done != [case.name for case in cases[: len(done)]]:
        raise UserError(f"{submission.part}: is of other pictures: leave out --resume to begin anew")
    return cases[len(done) :]


def _notes(case: Case, segmentation: "Segmentation") -> list[str]:
    """What a user should know of a picture."""
    if segmentation.reason:
        return [f"{case.image}: {segmentation.reason}"]
    hands = len(segmentation.hands)
    united = "the bones of all in one submission and one label file; measure --bundle keeps them apart"
    return [f"{case.image}: {hands} hands, {united}"] if hands > 1 else []


def _write(
    out: Path, found: tuple[Case, tuple["Radiograph", "Segmentation"]], *, overlays: bool, more: frozenset[str]
) -> tuple[Case, "Segmentation"]:
    """Write what was found in a picture, all but its rows of the submission."""
    case, (radiograph, segmentation) = found
    write_label_json(out / "labels" / f"{case.stem}.json", segmentation, case.name)
    if overlays:
        write_overlay(out / "overlays" / f"{case.stem}.png", radiograph.to_uint8(), segmentation, names=True)
    if "indexed" in more:
        write_indexed(out / "indexed" / f"{case.stem}.png", segmentation)
    if "masks" in more:
        write_bone_masks(out / "masks" / case.stem, segmentation)
    return case, segmentation
