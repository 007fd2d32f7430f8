"""How outlines are drawn, and whether they lie on what the picture shows."""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from handbones.anatomy import ANATOMY, BONES
from handbones.collection import Case
from handbones.insight.audit.findings import Finding
from handbones.insight.audit.geometry import weakness
from handbones.insight.medians import nanmedian, robust_sd
from handbones.insight.survey import Facts, Survey
from handbones.labels import load_labels
from handbones.sides import Side

Floats = npt.NDArray[np.float64]

LOOP = 0.03
"""Share of an outline that a loop must tie off to count."""
RAGGED = 6.0
"""Standard deviations of the log roughness."""
BESIDE = 20.0
"""Standard deviations by which the edge under one outline is weaker than usual."""
ALL_BESIDE = 6.0
"""The same for the typical outline of a picture."""
LOST = 0.5
"""Where the typical outline has less than this share of the usual edge, the labels are of another picture."""
SESAMOID = 0.05
"""Brightness beside the thumb's metacarpal head, of the contrast between bone and soft tissue."""
NOTCH = 45.0
"""Degrees of a notch from which the sesamoid counts as drawn."""
RING = 1.0
"""Brightness of a band across a finger, of the contrast between bone and soft tissue."""
NAILS = 0.06
"""Brightness of the tissue around the finger tips over that further down, on the same scale; of the median finger."""
_NAILS_SPREADS = 3.0
"""The same over the collection's usual, in standard deviations."""

_DISTAL = [bone.index for bone in ANATOMY if bone.segment == "distal"]


def drawing_findings(survey: Survey, sides: Sequence[Side | None]) -> Iterator[Finding]:
    """Findings about outlines and pictures of labelled cases; `sides` are those that their labels tell."""
    weak = weakness(survey.edge("follow"))
    lost = lost_labels(survey)
    yield from _sides(survey, sides, lost)
    yield from _crossings(survey)
    yield from _ragged(survey)
    yield from _beside_the_edge(survey, weak, lost)
    yield from _sesamoids(survey)
    yield from _bright_things(survey, lost)


def lost_labels(survey: Survey) -> npt.NDArray[np.bool_]:
    """(n,) whether the outlines of a picture as a whole lie nowhere near its edges."""
    follow = survey.edge("follow")
    usual = nanmedian(follow, axis=0)
    return np.asarray(nanmedian(follow / np.maximum(usual, 0.1), axis=1) < LOST)


def _sides(survey: Survey, sides: Sequence[Side | None], lost: npt.NDArray[np.bool_]) -> Iterator[Finding]:
    for hand, (case, facts, labels) in enumerate(zip(survey.cases, survey.facts, sides, strict=True)):
        if labels is None:
            continue
        if lost[hand] and facts.side_picture is not None and facts.side_picture != labels:
            reason = f"The labels are of a {labels} hand, the picture shows a {facts.side_picture} one."
            yield Finding(case, "side", (), 4.0, reason)
        elif not lost[hand] and case.side is not None and case.side != labels:
            reason = f"The file's name says {case.side}, the labels and the picture show a {labels} hand."
            yield Finding(case, "side", (), 2.0, reason)


def _crossings(survey: Survey) -> Iterator[Finding]:
    loops = np.nan_to_num(survey.shape("loop"))
    for hand, bone in np.argwhere(loops > LOOP):  # wrong however many there are, not only where it is rare
        reason = f"The outline of {BONES[bone]} crosses itself and ties off {loops[hand, bone]:.0%} of its length."
        yield Finding(survey.cases[hand], "crossing", (BONES[bone],), float(loops[hand, bone] / LOOP), reason)


def _ragged(survey: Survey) -> Iterator[Finding]:
    rough = np.log(np.maximum(survey.shape("roughness"), 1e-5))
    score = _standard(rough, 0.1) / RAGGED
    crosses = np.nan_to_num(survey.shape("loop")) > LOOP  # a crossing is rough, too, and told already
    for hand, bone in np.argwhere((score > 1) & ~crosses):
        times = np.exp(rough[hand, bone] - np.nanmedian(rough[:, bone]))
        reason = f"The outline of {BONES[bone]} is {times:.0f} times as rough as usual."
        yield Finding(survey.cases[hand], "ragged", (BONES[bone],), float(score[hand, bone]), reason)


def _beside_the_edge(survey: Survey, weak: Floats, lost: npt.NDArray[np.bool_]) -> Iterator[Finding]:
    follow, shift = survey.edge("follow"), survey.edge("shift")
    usual = nanmedian(follow, axis=0)
    whole = nanmedian(follow / np.maximum(usual, 0.1), axis=1)
    usual_whole = float(nanmedian(whole, axis=0))
    spread = np.fmax(robust_sd(whole), 0.01)
    for hand, case in enumerate(survey.cases):
        score = (usual_whole - whole[hand]) / spread / ALL_BESIDE
        if lost[hand] and not _moved(shift[hand]):
            if not _other_hand(survey, hand):
                yield Finding(case, "mismatch", (), float(score), _said_of_lost(case, survey.facts[hand]))
        elif score > 1:
            reason = f"All outlines lie beside the edges: the picture fits better {_way(np.nanmedian(shift[hand], 0))}."
            yield Finding(case, "off-edge", (), float(score), reason)
        else:
            for bone in np.flatnonzero(weak[hand] > BESIDE):
                reason = f"The edge of {BONES[bone]} is {_way(shift[hand, bone])} of its outline."
                score_of_bone = float(weak[hand, bone] / BESIDE)
                yield Finding(case, "off-edge", (BONES[bone],), score_of_bone, reason)


def _moved(shift: Floats) -> bool:
    """Whether the edges of all bones lie off their outlines (29, 2) the same way."""
    way = nanmedian(shift, axis=0)
    return bool(nanmedian(np.hypot(*(shift - way).T), axis=0) < np.hypot(*way) / 2)


def _said_of_lost(case: Case, facts: Facts) -> str:
    """What is wrong with labels of another picture, and what their file says of where they belong."""
    assert case.labels is not None
    document = load_labels(case.labels).document
    reason = "The outlines lie nowhere near the edges of the picture."
    name, noted = document.get("filename"), document.get("metadata")
    if name and isinstance(name, str) and name not in (case.name, case.image.name):
        reason += f" The label file says that it is of {name}."
    size = [noted.get(side) for side in ("width", "height")] if isinstance(noted, dict) else []
    if all(size) and size != [facts.width, facts.height]:
        reason += f" It was drawn on {size[0]} x {size[1]} pixels, the picture has {facts.width} x {facts.height}."
    return reason


def _other_hand(survey: Survey, hand: int) -> bool:
    facts = survey.facts[hand]
    return facts.side_picture is not None and facts.side_picture != facts.side_labels


def _way(shift: Floats) -> str:
    """A shift in words."""
    x, y = np.rint(shift).astype(int).tolist()
    parts = [f"{abs(y)} pixels {'down' if y > 0 else 'up'}"] * (y != 0)
    parts += [f"{abs(x)} pixels to the {'right' if x > 0 else 'left'}"] * (x != 0)
    return " and ".join(parts) or "somewhere around"


def _sesamoids(survey: Survey) -> Iterator[Finding]:
    """Only against the habit: where most pictures leave it out, leaving it out is right."""
    evidence = np.array([facts.sesamoid for facts in survey.facts])
    left_out = (evidence[:, 0] > SESAMOID) & (evidence[:, 1] < NOTCH)
    if left_out.mean() > 0.5:
        return
    for hand in np.flatnonzero(left_out):
        reason = (
            f"Something bright lies beside the head of finger-3; {1 - left_out.mean():.0%} of the labels have it in."
        )
        score = float(evidence[hand, 0] / SESAMOID)
        yield Finding(survey.cases[hand], "sesamoid", ("finger-3",), score, reason)


def _bright_things(survey: Survey, lost: npt.NDArray[np.bool_]) -> Iterator[Finding]:
    band, tips = np.nan_to_num(survey.edge("band")), _median_of_tips(survey)
    usual, spread = (float(np.nan_to_num(figure)) for figure in (nanmedian(tips, axis=0), robust_sd(tips)))
    limit = usual + max(NAILS, _NAILS_SPREADS * spread)
    for hand in np.flatnonzero(~lost):
        if band[hand].max() > RING:
            bone = BONES[int(band[hand].argmax())]
            reason = f"On both sides of {bone} something is {band[hand].max():.1f} times as bright as bone."
            yield Finding(survey.cases[hand], "ring", (bone,), float(band[hand].max() / RING), reason)
        if tips[hand] > limit:
            reason = f"Around the finger tips it is brighter than beside them, by {tips[hand]:.0%} of bone."
            bones = tuple(BONES[bone] for bone in _DISTAL)
            yield Finding(survey.cases[hand], "nails", bones, float(tips[hand] / limit), reason)


def _median_of_tips(survey: Survey) -> Floats:
    """(n,) of the five distal phalanges; NaN where fewer than three can be judged."""
    tips = survey.edge("tip")[:, _DISTAL]
    enough = np.asarray((~np.isnan(tips)).sum(axis=1) >= 3)
    return np.where(enough, nanmedian(np.where(enough[:, None], tips, 0.0), axis=1), np.nan)


def _standard(values: Floats, least: float) -> Floats:
    """Values (n, k) over the median of their column, in robust standard deviations; 0 for NaN."""
    middle = nanmedian(values, axis=0)
    return np.nan_to_num((values - middle) / np.maximum(robust_sd(values), least))
