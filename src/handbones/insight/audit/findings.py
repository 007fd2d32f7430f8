"""What an audit can find, and what it has found."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from handbones.collection import Case
from handbones.files import write_csv, write_text


@dataclass(frozen=True)
class Kind:
    """A kind of finding."""

    name: str
    title: str
    gross: bool
    """Whether a model that learns from such a case learns something wrong; these go into the exclude file."""
    advice: str


_KINDS = (
    Kind("reversed", "Labels in reversed order", True, "Rename the labels, or leave the case out of training."),
    Kind("swapped", "Swapped labels", True, "Exchange the labels, or leave the case out of training."),
    Kind("side", "Left and right mixed up", True, "Put each label file, or each name, with its own picture."),
    Kind("mismatch", "Labels of another picture", True, "Find its own label file, or leave the case out of training."),
    Kind("missing", "Missing bone", True, "Draw the bone, or leave the case out of training."),
    Kind("doubled", "Bone drawn twice", True, "Delete the second outline, or give it the right label."),
    Kind("misplaced", "Bone at the wrong place", True, "Draw the bone where it is, or leave the case out of training."),
    Kind("size", "Wrong size", True, "Draw the bone again, or leave the case out of training."),
    Kind("crossing", "Outline crosses itself", True, "Draw the outline again: inside and outside are not clear."),
    Kind("leak", "Same picture in train and test", True, "Leave the training case out: the test would flatter."),
    Kind("duplicate", "Same picture twice", True, "Keep one of the two."),
    Kind("person", "One person under two IDs", False, "Give both the same ID, so that no fold splits them."),
    Kind("off-edge", "Outline beside the edge of the bone", False, "Look whether the outline or the picture moved."),
    Kind("ragged", "Ragged outline", False, "Draw the outline again, or smooth it."),
    Kind("repeated", "Outline there twice", False, "Delete the second outline; the mask is the same without it."),
    Kind("sesamoid", "Sesamoid left out of finger-3", False, "Draw it as in the other pictures, or accept it."),
    Kind("ring", "Bright object beside a bone", False, "Look whether a ring, a wire or a cast hides the bone."),
    Kind("nails", "Nails show", False, "Look whether the tips of the fingers are drawn well."),
    Kind("disagreement", "Model and label disagree", False, "Look who is right."),
)

KINDS: dict[str, Kind] = {kind.name: kind for kind in _KINDS}
"""By name, the most serious first."""


@dataclass(frozen=True)
class Finding:
    """One reason to look at a case."""

    case: Case
    kind: str
    bones: tuple[str, ...]
    """Labels concerned; none if it is about the whole picture."""
    score: float
    """How far beyond the limit, in limits: 1 or more."""
    reason: str
    other: Case | None = None
    """The second picture, where it takes two."""
    expected: tuple[float, float, float] | None = None
    """Where the bone should be: x, y and radius in pixels."""

    @property
    def gross(self) -> bool:
        return KINDS[self.kind].gross


def ranked(findings: Iterable[Finding]) -> list[Finding]:
    """Gross ones first, then by score."""
    return sorted(findings, key=lambda f: (not f.gross, -f.score, f.case.image.as_posix(), f.kind))


def write_findings(path: Path, findings: Sequence[Finding]) -> None:
    """Write findings as a CSV: rank, split, person, image, kind, gross, score, bones, other, reason."""
    rows: list[tuple[object, ...]] = [
        ("rank", "split", "person", "image", "kind", "gross", "score", "bones", "other", "reason")
    ]
    for rank, found in enumerate(findings, 1):
        case, other = found.case, found.other.full_name if found.other else ""
        what = found.kind, int(found.gross), f"{found.score:.2f}", " ".join(found.bones)
        rows.append((rank, case.split, case.person, case.name, *what, other, found.reason))
    write_csv(path, rows)


def write_exclude(path: Path, findings: Iterable[Finding]) -> int:
    """Write the training cases with a gross finding as `person/file  # reason` lines; returns their number."""
    reasons: dict[str, str] = {}
    for found in findings:
        if found.gross and found.case.split == "train":
            reasons.setdefault(found.case.full_name, f"{KINDS[found.kind].title.lower()}: {found.reason}")
    lines = [f"{name}  # {reason}" for name, reason in sorted(reasons.items())]
    head = (
        "# Cases to leave out of training: handbones train DATA --exclude THIS_FILE. Delete the lines of good ones.\n"
    )
    write_text(path, head + "".join(f"{line}\n" for line in lines))
    return len(reasons)
