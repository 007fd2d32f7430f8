"""Which files under a folder belong together, and how: the layouts of collections.

The competition's (`train/DCM/ID001/*.png`, `train/outputs_json/ID001/*.json`, `test/DCM/...`, `meta_data.xlsx`) or one
of its two parts; flat (`images/`, `labels/`); a folder of pictures; one picture.
"""

import os
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Literal, get_args

from handbones.errors import UserError
from handbones.metadata import has_people
from handbones.radiograph import FORMATS, PICTURE_SUFFIXES, is_dicom, quick_check

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
_HIDDEN = (".", "__", "@", "$", "System Volume Information")
"""How folders begin that are a system's own, as a Synology's @eaDir of thumbnails and the $RECYCLE.BIN of Windows."""
SHOWN = "-bones"
"""What `handbones show` adds to the name of a picture for the drawing that it writes."""
_DIRECTORY = "DICOMDIR"
"""What lies on every disc of DICOM files, and looks like one."""
_UNREAD = (".gif", ".heic", ".heif", ".avif", ".jp2", ".j2k", ".nii", ".nii.gz", ".mha", ".nrrd", ".pgm", ".ppm")
"""Endings of pictures that are not read, and worth a word."""


@dataclass(frozen=True)
class Problem:
    """What is wrong with one file; as text one line that begins with its path."""

    path: Path
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


@dataclass(frozen=True)
class Unlabelled(Problem):
    """A picture without labels among those that have some."""


@dataclass
class Pair:
    """The files of one case as found, and what is wrong with them."""

    image: Path | None
    labels: Path | None
    person: str
    split: Split
    problems: list[Problem] = field(default_factory=list)
    called: str | None = None
    """What the picture is called instead of by its file name, see `tell_apart`."""

    @property
    def stem(self) -> str:
        """What the results of the picture are called."""
        assert self.image is not None
        return called_stem(self.image, self.called)


def stem_of(path: Path) -> str:
    """The name of a file without its ending; the last number of a DICOM file called by its UID, 1.2.840.7, is none."""
    return path.name if path.suffix[1:].isdigit() else path.stem


def called_stem(image: Path, called: str | None) -> str:
    """The stem of a picture after the folders that it is called by, which may have dots in their names."""
    return (called or image.name).removesuffix(image.name) + stem_of(image)


def label_file(folder: Path, stem: str) -> Path | None:
    """The `stem`.json or `stem`.JSON in a folder, found without listing it; None if there is neither."""
    paths = (folder / f"{stem}{ending}" for ending in (".json", ".JSON"))
    return next((path for path in paths if path.is_file()), None)


def find_pairs(root: Path) -> Iterator[Pair]:
    """The pairs of the layout at hand, in the competition's order."""
    if not root.is_dir():
        if root.is_file() and root.suffix.lower() not in PICTURE_SUFFIXES and quick_check(root):
            raise UserError(f"{root}: neither a folder nor a picture ({FORMATS})")
        root.stat()  # raises if there is nothing
        beside = label_file(root.parent, stem_of(root))
        yield _pair(root, labels_in(beside) if beside else None, root.parent)
    elif any((root / split / "DCM").is_dir() for split in get_args(Split)):
        for split in get_args(Split):
            _refuse_misplaced(root / split)
            yield from _match(root / split / "DCM", root / split / "outputs_json", split)
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


def _refuse_misplaced(part: Path) -> None:
    """Raise `UserError` if a part of the competition's folder is there otherwise than it should be."""
    others = [] if part.exists() else [path for path in part.parent.iterdir() if path.name.lower() == part.name]
    if others:
        raise UserError(f"{others[0]}: must be called {part.name}: rename it")
    if not (part / "DCM").is_dir() and _files(part, pictures=True):
        raise UserError(f"{part}: its pictures must lie in {part / 'DCM'}/PERSON: move them there")


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


def _match(images_folder: Path, labels_folder: Path, split: Split | None = None) -> Iterator[Pair]:
    """Pictures and label files matched by sub-folder and stem; where there are no labels at all, none are missed."""
    images = _files(images_folder, pictures=True)
    labels = _files(labels_folder, pictures=False)
    labelled = bool(labels)
    for (place, stem), paths in images.items():
        partner = labels.get((place, stem), [None])[0]
        for image in paths:
            pair = _pair(image, partner, images_folder, split or ("train" if labelled else "test"))
            if labelled and partner is None:
                pair.problems.append(Unlabelled(image, f"no labels: expected {labels_folder / place / stem}.json"))
            yield pair
    for (place, stem), paths in labels.items():
        if (place, stem) not in images:
            problem = Problem(paths[0], f"labels of no picture: expected {images_folder / place / stem}.png")
            yield Pair(None, paths[0], "", split or "train", [problem])


def _pair(image: Path, labels: Path | None, folder: Path, split: Split | None = None) -> Pair:
    """The person is the first sub-folder, or, where pictures lie side by side, the stem without the side."""
    inside = image.relative_to(folder).parts
    person = inside[0] if len(inside) > 1 else re.sub(r"[_-][lr]$", "", stem_of(image), flags=re.IGNORECASE)
    return Pair(image, labels, person, split or ("train" if labels else "test"))


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
            if name.startswith(_HIDDEN) or name in drawn or real in above:
                folders.remove(name)
            else:
                places[place] = (*above, real)
        yield parent, folders, sorted(name for name in names if not name.startswith("."))


def tell_apart(pairs: list[Pair], root: Path) -> None:
    """Call pictures of one name in several folders, as of the series of a DICOM export, by these folders, too.

    Not in the competition's layout, whose submissions go by the file names.
    """
    place = next((place for place in _PICTURES if (root / place).is_dir()), "")
    if place.endswith("DCM"):
        return
    heaps: dict[str, list[tuple[Pair, Path]]] = {}
    for pair in pairs:
        if pair.image and pair.image != root:
            heaps.setdefault(pair.stem.casefold(), []).append((pair, pair.image.relative_to(root / place)))
    for heap in heaps.values():
        if len({inside.parent for _, inside in heap}) > 1:
            for pair, inside in heap:
                pair.called = "_".join(inside.parts)


def unread_pictures(root: Path) -> list[Path]:
    """Files where pictures lie that look like some of a format that is not read."""
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


def table_of_people(root: Path) -> Path | None:
    """The table beside the pictures or, for a part of the competition's folder, one level up."""
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
