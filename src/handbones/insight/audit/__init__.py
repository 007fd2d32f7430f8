"""Find what is wrong with the labels of a collection, and tell why."""

import logging
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from handbones.errors import UserError
from handbones.insight.audit.drawing import drawing_findings, lost_labels
from handbones.insight.audit.findings import KINDS, Finding, Kind, ranked, write_exclude, write_findings
from handbones.insight.audit.geometry import Geometry, counted_findings
from handbones.insight.audit.people import person_findings
from handbones.insight.audit.twins import picture_findings
from handbones.insight.survey import Survey

__all__ = ["KINDS", "Finding", "Kind", "audit", "ranked", "write_exclude", "write_findings"]

logger = logging.getLogger(__name__)


def audit(
    survey: Survey, *, seen: Callable[[int], None] | None = None, noted: Callable[[str], None] = logger.warning
) -> list[Finding]:
    """All that is suspicious about the cases of a survey, the worst first; no model needed.

    What is usual is learned from the collection itself. With fewer than 20 cases that have labels of 8 bones
    and more, places and sizes of bones are not judged, nor are they in a hand of fewer bones: nothing is `reversed`,
    `swapped`, `misplaced` or of another `size`, and `noted` is told so. `seen` is told how many
    more cases were compared with all others, and of each labelled one that was judged.
    """
    findings = list(picture_findings(survey, seen=seen))
    labelled = survey.labelled
    if labelled.cases:
        sides = [facts.side_labels for facts in labelled.facts]
        try:
            geometry = Geometry(labelled)
            sides = geometry.sides()
            findings += geometry.findings(seen)
        except UserError as error:
            noted(f"reversed, swapped, misplaced and size were not judged: {error}")
            findings += counted_findings(labelled)
        lost = {id(case) for case, gone in zip(labelled.cases, lost_labels(labelled), strict=True) if gone}
        findings = [_sound_one_kept(found, lost) for found in findings]
        findings += drawing_findings(labelled, sides)
        bad = {id(found.case) for found in findings if found.gross}
        findings += person_findings(labelled, np.array([id(case) not in bad for case in labelled.cases]))
    return ranked(_told_once(findings))


def _sound_one_kept(found: Finding, lost: set[int]) -> Finding:
    """Of a picture that is there twice, that copy is told of whose labels are those of another picture."""
    other = found.other
    if found.kind != "duplicate" or other is None or id(other) not in lost or id(found.case) in lost:
        return found
    reason = found.reason.replace(other.full_name, found.case.full_name)
    return replace(found, case=other, other=found.case, reason=f"{reason} Its labels are of another picture.")


def _told_once(findings: list[Finding]) -> list[Finding]:
    """Leave out what follows from something worse: a bone at the wrong place lies off the edge, too."""
    worse = {
        "side": {"duplicate", "leak", "reversed"},  # the name came with another picture; no side can be told
        "off-edge": {"mismatch", "misplaced", "size", "side", "swapped", "crossing", "ragged", "doubled"},
        "ragged": {"crossing", "doubled"},
        "size": {"mismatch", "crossing"},
        "misplaced": {"mismatch", "crossing", "side"},
        "ring": {"mismatch", "side", "misplaced", "size", "off-edge", "reversed", "swapped"},
        "nails": {"mismatch", "side", "off-edge", "reversed", "swapped"},
        "sesamoid": {"mismatch", "side", "size", "off-edge", "crossing", "ragged", "reversed", "swapped"},
    }
    whatever_the_bones = {"misplaced": {"swapped"}, "size": {"swapped"}}  # wrong names put the others in doubt
    by_case: dict[int, list[Finding]] = {}
    for found in findings:
        for case in (found.case, found.other):
            by_case.setdefault(id(case), []).append(found)

    def explained(found: Finding) -> bool:
        for other in by_case[id(found.case)]:
            same = not other.bones or not found.bones or set(other.bones) & set(found.bones)
            if other.kind in whatever_the_bones.get(found.kind, set()):
                return True
            if other.kind in worse.get(found.kind, set()) and same:
                return True
        return False

    return [found for found in findings if not explained(found)]
