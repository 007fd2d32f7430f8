"""The cases under one root: found, paired and checked, with every problem told in one go.

Layouts: the competition's (`train/DCM/ID001/*.png`, `train/outputs_json/ID001/*.json`, `test/DCM/...`,
`meta_data.xlsx`) or one of its two parts; flat (`images/`, `labels/`); a folder of pictures; one picture.
"""

import os
import re
import unicodedata
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Literal, get_args

from handbones.errors import UserError
from handbones.files import explain, is_text
from handbones.labels import Labels, load_labels, read_labels
from handbones.metadata import UNKNOWN, Metadata, assign, has_people, read_metadata, write_metadata
from handbones.radiograph import (
    FORMATS,
    PICTURE_SUFFIXES,
    Radiograph,
    is_dicom,
    load_radiograph,
    picture_size,
    quick_check,
)
from handbones.sides import Side, detect_side, side_from_labels, side_from_name, wrist_tilt

__all__ = [
    "Case",
    "Collection",
    "Metadata",
    "Problem",
    "detect_side",
    "metadata_from_labels",
    "open_collection",
    "side_of",
    "tilt_of",
    "wrist_tilt",
    "write_metadata",
]

Split = Literal["train", "test"]
METADATA_FILE = "meta_data.xlsx"
_TABLES = re.compile(r"meta[ _-]?data\.(xlsx|csv)", re.IGNORECASE)
"""Names under which the table of people is found."""
MADE_WITH = "made_with.json"
"""Lies beside what `handbones predict` wrote."""
_PICTURES = ("train/DCM", "test/DCM", "DCM", "images")
"""Where the pictures of a collection lie, unless they lie in its folder itself."""
_DRAWN = frozenset({"overlays", "indexed", "masks"})
"""Folders of pictures there, which are no radiographs."""
SHOWN = "-bones"
"""What `handbones show` adds to the name of a picture for the drawing that it writes."""
_DIRECTORY = "DICOMDIR"
"""What lies on every disc of DICOM files, and looks like one."""
_UNREAD = (".gif", ".heic", ".heif", ".avif", ".jp2", ".j2k", ".nii", ".nii.gz", ".mha", ".nrrd", ".pgm", ".ppm")
"""Endings of pictures that are not read, and worth a word."""
_MOST_LINES = 20


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

    @property
    def name(self) -> str:
        """File name with its ending, the `image_name` of a submission."""
        return self.image.name

    @property
    def stem(self) -> str:
        """The name without its ending; what the results of the picture are called."""
        return stem_of(self.image)

    @property
    def known(self) -> Metadata:
        """What is known without a look at the picture or its labels."""
        return replace(self.metadata or UNKNOWN, side=self.side)

    def load(self) -> tuple[Radiograph, Labels | None]:
        """Read both files. Raises `UserError`."""
        radiograph = load_radiograph(self.image)
        size = radiograph.height, radiograph.width
        return radiograph, load_labels(self.labels, size) if self.labels else None


@dataclass(frozen=True)
class Problem:
    """What is wrong with one file; as text one line that begins with its path."""

    path: Path
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


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


@dataclass
class _Pair:
    """The files of one case as found, and what is wrong with them."""

    image: Path | None
    labels: Path | None
    person: str
    split: Split
    problems: list[Problem] = field(default_factory=list)


def open_collection(
    root: str | os.PathLike[str], *, strict: bool = True, deep: bool = False, part: Split | None = None
) -> Collection:
    """Find, pair and check the cases under `root`.

    The quick check reads the headers of pictures and all labels; `deep` also decodes every picture. With `strict`,
    problems raise one `UserError` that lists them; otherwise cases with a problem are left out and the problems are
    in the collection. With `part`, where there are pictures of that part, they are all that is looked at. An empty or
    missing folder always raises.
    """
    root = Path(root)
    try:
        pairs = sorted(
            _find(root), key=lambda pair: (pair.split == "test", (pair.image or pair.labels or root).as_posix())
        )
    except OSError as error:
        raise explain(error, error.filename or root, "read") from error
    if not any(pair.image for pair in pairs):
        raise UserError(
            f"{root}: no pictures in it: give a folder with train/DCM, with images/, or with {FORMATS} files"
        )
    if any(pair.image and pair.split == part for pair in pairs):
        pairs = [pair for pair in pairs if pair.split == part]
    with ThreadPoolExecutor(max_workers=min(8, 2 * (os.cpu_count() or 1))) as pool:
        list(pool.map(lambda pair: _check(pair, deep), pairs))
    _check_names(pairs)
    table = _table_beside(root)
    people, problems = _people(table)
    table = None if problems else table
    problems += [problem for pair in pairs for problem in pair.problems]
    if strict and problems:
        raise UserError(_in_one_message(root, problems))
    good, bad = ([pair for pair in pairs if pair.image and bool(pair.problems) is wrong] for wrong in (False, True))
    known = assign(people, {pair.person for pair in pairs})
    cases, left_out = ([_case(pair, known) for pair in pairs] for pairs in (good, bad))
    return Collection(root, cases, problems, left_out, table, _unread(root))


def side_of(case: Case) -> Side | None:
    """The side from the name, else from the labels, else from the picture, else None."""
    if case.side is not None:
        return case.side
    side = side_from_labels(load_labels(case.labels)) if case.labels else None
    return side or detect_side(load_radiograph(case.image).to_uint8())


def tilt_of(case: Case) -> float | None:
    """The tilt of the wrist as the labels have it, in degrees, see `wrist_tilt`; None where they do not tell."""
    return wrist_tilt(load_labels(case.labels)) if case.labels else None


def metadata_from_labels(case: Case) -> Metadata:
    """What is known of a labelled case, with side and tilt as its labels have them."""
    assert case.labels is not None
    labels = load_labels(case.labels)
    return replace(case.known, side=side_from_labels(labels) or case.side, tilt=wrist_tilt(labels))


def stem_of(path: Path) -> str:
    """The name of a file without its ending; the last number of a DICOM file called by its UID, 1.2.840.7, is none."""
    return path.name if path.suffix[1:].isdigit() else path.stem


def label_file(folder: Path, stem: str) -> Path | None:
    """The `stem`.json or `stem`.JSON in a folder, found without listing it; None if there is neither."""
    paths = (folder / f"{stem}{ending}" for ending in (".json", ".JSON"))
    return next((path for path in paths if path.is_file()), None)


def _find(root: Path) -> Iterator[_Pair]:
    """The pairs of the layout at hand, in the competition's order."""
    if not root.is_dir():
        if root.is_file() and root.suffix.lower() not in PICTURE_SUFFIXES and quick_check(root):
            raise UserError(f"{root}: neither a folder nor a picture ({FORMATS})")
        root.stat()  # raises if there is nothing
        beside = label_file(root.parent, stem_of(root))
        yield _pair(root, labels_in(beside) if beside else None, root.parent)
    elif any((root / split / "DCM").is_dir() for split in get_args(Split)):
        for split in get_args(Split):
            part = root / split
            if not part.exists() and (
                other := next((one for one in root.iterdir() if one.name.lower() == split), None)
            ):
                raise UserError(f"{other}: must be called {split}: rename it")
            if not (part / "DCM").is_dir() and _files(part, pictures=True):
                raise UserError(f"{part}: its pictures must lie in {part / 'DCM'}/PERSON: move them there")
            yield from _match(part / "DCM", part / "outputs_json", split)
    elif (root / "DCM").is_dir():
        yield from _match(root / "DCM", root / "outputs_json")
    elif (root / "images").is_dir():
        yield from _match(root / "images", root / "labels")
    else:
        _refuse_above(root)
        labels_beside = _files(root, pictures=False)
        for key, images in _files(root, pictures=True).items():
            labels = labels_in(labels_beside[key][0]) if key in labels_beside else None
            for image in images:
                yield _pair(image, labels, root)


def _refuse_above(root: Path) -> None:
    """Raise `UserError` if a layout begins further down: taken for a flat folder, its labels would not be seen."""
    for parent, folders, _ in _walk(root):
        begins = (
            any((parent / split / "DCM").is_dir() for split in get_args(Split))
            or {"DCM", "outputs_json"} <= set(folders)
            or {"images", "labels"} <= set(folders)
        )
        if begins and parent != root:
            raise UserError(f"{root}: a collection begins in {parent}: give that folder")


def labels_in(path: Path) -> Path | None:
    """The path if there are labels in it: beside a picture may lie any kind of JSON."""
    return path if path.is_file() and b'"annotations"' in path.read_bytes() else None


def _match(images_folder: Path, labels_folder: Path, split: Split | None = None) -> Iterator[_Pair]:
    """Pictures and label files matched by sub-folder and stem; where there are no labels at all, none are missed."""
    images = _files(images_folder, pictures=True)
    labels = _files(labels_folder, pictures=False)
    labelled = bool(labels)
    for (place, stem), paths in images.items():
        partner = labels.get((place, stem), [None])[0]
        for image in paths:
            pair = _pair(image, partner, images_folder, split or ("train" if labelled else "test"))
            if labelled and partner is None:
                pair.problems.append(Problem(image, f"no labels: expected {labels_folder / place / stem}.json"))
            yield pair
    for (place, stem), paths in labels.items():
        if (place, stem) not in images:
            problem = Problem(paths[0], f"labels of no picture: expected {images_folder / place / stem}.png")
            yield _Pair(None, paths[0], "", split or "train", [problem])


def _pair(image: Path, labels: Path | None, folder: Path, split: Split | None = None) -> _Pair:
    """The person is the first sub-folder, or, where pictures lie side by side, the stem without the side."""
    inside = image.relative_to(folder).parts
    person = inside[0] if len(inside) > 1 else re.sub(r"[_-][lr]$", "", stem_of(image), flags=re.IGNORECASE)
    return _Pair(image, labels, person, split or ("train" if labels else "test"))


def _files(folder: Path, *, pictures: bool) -> dict[tuple[str, str], list[Path]]:
    """Pictures or labels under a folder, if it exists, by sub-folder and stem; not what is hidden or drawn by us."""
    found: dict[tuple[str, str], list[Path]] = {}
    for parent, _, names in _walk(folder):
        stems = {stem_of(Path(name)) for name in names}
        for path in (parent / name for name in names):
            wanted = _is_radiograph(path, stems) if pictures else path.suffix.lower() == ".json"
            if wanted:
                key = composed(parent.relative_to(folder).as_posix()), composed(stem_of(path))
                found.setdefault(key, []).append(path)
    return found


def _walk(root: Path) -> Iterator[tuple[Path, list[str], list[str]]]:
    """As `os.walk`, through links, too, but for those that lead back; not what is hidden or drawn by us."""
    if not root.is_dir():
        return
    real = root.resolve()
    places = {root: (*reversed(real.parents), real)}
    """Where a folder really is, after those above it."""
    for top, folders, names in os.walk(root, onerror=_raise, followlinks=True):
        parent = Path(top)
        above = places.pop(parent)
        drawn = _DRAWN if MADE_WITH in names else ()
        for name in folders[:]:
            place = parent / name
            real = place.resolve() if place.is_symlink() else above[-1] / name
            # "@" as of @eaDir, where a Synology keeps thumbnails
            if name.startswith((".", "__", "@")) or name in drawn or real in above:
                folders.remove(name)
            else:
                places[place] = (*above, real)
        yield parent, folders, sorted(name for name in names if not name.startswith("."))


def _unread(root: Path) -> list[Path]:
    places = [place for place in _PICTURES if (root / place).is_dir()] or ["."]
    walks = chain.from_iterable(_walk(root / place) for place in places)
    return [parent / name for parent, _, names in walks for name in names if name.lower().endswith(_UNREAD)]


def _is_radiograph(path: Path, beside: set[str]) -> bool:
    """By its name, or as a DICOM file without an ending; not a drawing of one of those that are called so beside it."""
    if path.name == _DIRECTORY or (path.stem.endswith(SHOWN) and path.stem.removesuffix(SHOWN) in beside):
        return False
    return path.suffix.lower() in PICTURE_SUFFIXES or (stem_of(path) == path.name and is_dicom(path))


def composed(name: str) -> str:
    """A name in one Unicode form: a Mac takes Korean syllables and accents apart, and others do not."""
    return unicodedata.normalize("NFC", name)


def _raise(error: OSError) -> None:
    raise error


def _check(pair: _Pair, deep: bool) -> None:
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
            pair.problems.append(Problem(pair.image, str(error).removeprefix(f"{pair.image}: ")))
    if pair.labels:
        _, faults = read_labels(pair.labels, size)
        pair.problems += [Problem(pair.labels, fault) for fault in faults]


def _check_names(pairs: list[_Pair]) -> None:
    """A submission and the results know a picture by its name alone, so a name may come once in a split."""
    seen: dict[tuple[Split, str], Path] = {}
    for pair in pairs:
        if pair.image:
            first = seen.setdefault((pair.split, stem_of(pair.image)), pair.image)
            if first is not pair.image:
                pair.problems.append(Problem(pair.image, f"has the same name as {first}: rename or remove one"))


def _people(table: Path | None) -> tuple[dict[str, Metadata], list[Problem]]:
    if table is None:
        return {}, []
    try:
        return read_metadata(table), []
    except UserError as error:
        return {}, [Problem(table, str(error).removeprefix(f"{table}: "))]


def _table_beside(root: Path) -> Path | None:
    """The table of people beside the pictures or, for a part of the competition's folder, one level up."""
    folders = (root, root.absolute().parent) if (root / "DCM").is_dir() else (root,)
    paths = (path for folder in folders for path in _tables_in(folder))
    return next((path for path in paths if path.is_file() and has_people(path)), None)


def _tables_in(folder: Path) -> list[Path]:
    first = folder / METADATA_FILE
    try:
        others = sorted(path for path in folder.iterdir() if _TABLES.fullmatch(path.name))
    except OSError:  # one may look into a folder that one may not list
        others = []
    return [first, *others]


def _case(pair: _Pair, known: dict[str, Metadata]) -> Case:
    assert pair.image is not None
    side = side_from_name(stem_of(pair.image))
    return Case(pair.image, pair.labels, pair.person, pair.split, side, known.get(pair.person))


def _in_one_message(root: Path, problems: list[Problem]) -> str:
    if len(problems) == 1:
        return f"{problems[0]}" + (" (--skip-bad leaves it out)" if root.is_dir() else "")
    lines = [str(problem) for problem in problems[:_MOST_LINES]]
    if len(problems) > _MOST_LINES:
        lines.append(f"... and {len(problems) - _MOST_LINES} more")
    head = f"{root}: {len(problems)} problems with the files; mend or remove them, or leave them out with --skip-bad:"
    return "\n  ".join([head, *lines])
