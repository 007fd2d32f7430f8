"""The cases under one root: found, paired and checked, with every problem told in one go."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import get_args

from handbones.errors import UsageError, UserError, in_one_message
from handbones.files import explain, is_text
from handbones.labels import Labels, load_labels, read_labels
from handbones.layout import (
    Pair,
    Problem,
    Split,
    Unlabelled,
    called_stem,
    find_pairs,
    stem_of,
    table_of_people,
    tell_apart,
    unread_pictures,
)
from handbones.metadata import UNKNOWN, Metadata, assign, read_metadata
from handbones.radiograph import (
    FORMATS,
    Radiograph,
    load_radiograph,
    picture_size,
    pixel_scale,
)
from handbones.sides import Side, detect_side, side_from_labels, side_from_name, wrist_tilt


@dataclass(frozen=True)
class Case:
    """One radiograph on disk with its labels (or none) and what is known of the person."""

    image: Path
    labels: Path | None
    person: str
    split: Split
    side: Side | None = None
    """As the file name tells; `side_of` looks further."""
    metadata: Metadata | None = None
    called: str | None = None
    """The name, where other pictures have the same file name."""

    @property
    def name(self) -> str:
        """File name with its ending, the `image_name` of a submission; after its folders if others are called so."""
        return self.called or self.image.name

    @property
    def stem(self) -> str:
        """The name without its ending; what the results of the picture are called."""
        return called_stem(self.image, self.called)

    @property
    def full_name(self) -> str:
        """Person and name, `ID001/image1_R.png`: by what tables, pages and lists of cases to leave out call it."""
        return f"{self.person}/{self.name}"

    @property
    def key(self) -> str:
        """Person and file name, `ID001/image1_R.png`: by what runs know their cases, whatever others there are."""
        return f"{self.person}/{self.image.name}"

    @property
    def known(self) -> Metadata:
        """What is known without a look at the picture or its labels."""
        return replace(self.metadata or UNKNOWN, side=self.side)

    @property
    def tall(self) -> float:
        """How many times as high as wide a pixel is, as the header of a DICOM tells; else 1. Raises `UserError`."""
        return pixel_scale(self.image)[1]

    def load(self) -> tuple[Radiograph, Labels | None]:
        """Read both files. Raises `UserError`."""
        radiograph = load_radiograph(self.image)
        size = radiograph.height, radiograph.width
        return radiograph, load_labels(self.labels, size) if self.labels else None


@dataclass(frozen=True)
class Collection:
    """Cases sorted as the competition sorts them (training before test, then by path), and what is wrong."""

    root: Path
    cases: list[Case]
    problems: list[Problem]
    left_out: list[Case] = field(default_factory=list)
    """Cases that are not among the others since they have a problem."""
    table: Path | None = None
    """The table of people, where there is one that can be read."""
    unread: list[Path] = field(default_factory=list)
    """Files that look like pictures of a format that is not read."""

    @property
    def labelled(self) -> list[Case]:
        return [case for case in self.cases if case.labels is not None]

    @property
    def test(self) -> list[Case]:
        return [case for case in self.cases if case.split == "test"]

    @property
    def people(self) -> list[str]:
        return sorted({case.person for case in self.cases})


def open_collection(
    root: str | os.PathLike[str],
    *,
    strict: bool = True,
    deep: bool = False,
    part: Split | None = None,
    labels_wanted: bool = True,
    seen: Callable[[int, int], None] | None = None,
) -> Collection:
    """Find, pair and check the cases under `root`.

    The quick check reads the headers of pictures and all labels; `deep` also decodes every picture. With `strict`,
    problems raise one `UserError` that lists them; otherwise cases with a problem are left out and the problems are
    in the collection. With `part`, where there are pictures of that part, they are all that is looked at. Unless
    `labels_wanted`, a picture without labels among others that have some is no problem. `seen` is told how many are
    checked, and of how many. An empty or missing folder always raises. `UsageError` for an unknown part.
    """
    if part is not None and part not in get_args(Split):
        raise UsageError(f"part {part!r}: must be one of {', '.join(get_args(Split))}, or None for all")
    root = Path(root)
    try:
        pairs = sorted(
            find_pairs(root), key=lambda pair: (pair.split == "test", (pair.image or pair.labels or root).as_posix())
        )
    except OSError as error:
        raise explain(error, error.filename or root, "read") from error
    if not any(pair.image for pair in pairs):
        raise UserError(
            f"{root}: no pictures in it: give a folder with train/DCM, with images/, or with {FORMATS} files"
        )
    tell_apart(pairs, root)
    if any(pair.image and pair.split == part for pair in pairs):
        pairs = [pair for pair in pairs if pair.split == part]
    with _threads() as pool:
        for done, _ in enumerate(pool.map(lambda pair: _check(pair, deep), pairs), 1):
            if seen:
                seen(done, len(pairs))
    if not labels_wanted:
        for pair in pairs:
            pair.problems = [problem for problem in pair.problems if not isinstance(problem, Unlabelled)]
    _check_names(pairs)
    table = table_of_people(root)
    people, problems = _people(table)
    table = None if problems else table
    problems += [problem for pair in pairs for problem in pair.problems]
    if strict and problems:
        raise UserError(_told(root, problems))
    good, bad = ([pair for pair in pairs if pair.image and bool(pair.problems) is wrong] for wrong in (False, True))
    known = assign(people, {pair.person for pair in pairs})
    cases, left_out = ([_case(pair, known) for pair in pairs] for pairs in (good, bad))
    return Collection(root, cases, problems, left_out, table, unread_pictures(root))


def refuse_damaged(
    root: str | os.PathLike[str], cases: Sequence[Case], *, seen: Callable[[int], None] | None = None
) -> None:
    """Decode the pictures of cases under `root`, before work of hours that one damaged inside would end.

    `seen` is told how many more are done. Raises one `UserError` that lists all that cannot be decoded.
    """
    problems = []
    with _threads() as pool:
        for problem in pool.map(_damage, cases):
            problems += [problem] if problem else []
            if seen:
                seen(1)
    if problems:
        raise UserError(_told(Path(root), problems))


def side_of(case: Case) -> Side | None:
    """The side from the name, else from the labels, else from the picture, else None."""
    if case.side is not None:
        return case.side
    side = side_from_labels(load_labels(case.labels)) if case.labels else None
    return side or detect_side(load_radiograph(case.image).to_uint8())


def tilt_of(case: Case) -> float | None:
    """The tilt of the wrist as the labels have it, in degrees, see `wrist_tilt`; None where they do not tell."""
    return wrist_tilt(load_labels(case.labels), case.tall) if case.labels else None


def metadata_from_labels(case: Case) -> Metadata:
    """What is known of a labelled case, with side and tilt as its labels have them."""
    assert case.labels is not None
    labels = load_labels(case.labels)
    return replace(case.known, side=side_from_labels(labels) or case.side, tilt=wrist_tilt(labels, case.tall))


def _threads() -> ThreadPoolExecutor:
    """For reading and decoding many files."""
    return ThreadPoolExecutor(max_workers=min(8, 2 * (os.cpu_count() or 1)))


def _damage(case: Case) -> Problem | None:
    try:
        load_radiograph(case.image)
    except UserError as error:
        return _problem(case.image, error)
    return None


def _problem(path: Path, error: UserError) -> Problem:
    return Problem(path, str(error).removeprefix(f"{path}: "))


def _check(pair: Pair, deep: bool) -> None:
    """Look into the files of a pair and note what is wrong."""
    size = None
    for path in (pair.image, pair.labels):
        if path and not is_text(path):
            pair.problems.append(Problem(path, "its name is not UTF-8: rename it"))
    if pair.image:
        try:
            radiograph = load_radiograph(pair.image) if deep else None
            size = (radiograph.height, radiograph.width) if radiograph else picture_size(pair.image)
        except UserError as error:
            pair.problems.append(_problem(pair.image, error))
    if pair.labels:
        _, faults = read_labels(pair.labels, size)
        pair.problems += [Problem(pair.labels, fault) for fault in faults]


def _check_names(pairs: list[Pair]) -> None:
    """A submission and the results know a picture by its name alone, so a name may come once in a split."""
    seen: dict[tuple[Split, str], Path] = {}
    for pair in pairs:
        if pair.image:
            first = seen.setdefault((pair.split, pair.stem), pair.image)
            if first is not pair.image:
                pair.problems.append(Problem(pair.image, f"has the same name as {first}: rename or remove one"))


def _people(table: Path | None) -> tuple[dict[str, Metadata], list[Problem]]:
    if table is None:
        return {}, []
    try:
        return read_metadata(table), []
    except UserError as error:
        return {}, [_problem(table, error)]


def _case(pair: Pair, known: dict[str, Metadata]) -> Case:
    assert pair.image is not None
    side = side_from_name(stem_of(pair.image))
    return Case(pair.image, pair.labels, pair.person, pair.split, side, known.get(pair.person), pair.called)


def _told(root: Path, problems: list[Problem]) -> str:
    if len(problems) == 1:
        return f"{problems[0]}" + (" (--skip-bad leaves it out)" if root.is_dir() else "")
    head = f"{root}: {len(problems)} problems with the files; mend or remove them, or leave them out with --skip-bad:"
    return in_one_message(head, problems)
