"""Labels against the shape of a hand: names, places and sizes that do not fit in with the others."""

from collections.abc import Callable, Iterator

import cv2
import numpy as np
import numpy.typing as npt

from handbones.anatomy import ANATOMY, BONES
from handbones.collection import Case
from handbones.insight.audit.exchange import LIKELIER, exchanges
from handbones.insight.audit.findings import Finding
from handbones.insight.audit.model import Fit, HandModel, Hands
from handbones.insight.medians import nanmedian, robust_sd
from handbones.insight.shapes import Shapes, shapes_of
from handbones.insight.survey import Facts, Survey
from handbones.labels import Labels, load_labels
from handbones.raster import Points, signed_area
from handbones.sides import Side

Floats = npt.NDArray[np.float64]

SCRAMBLED = 8.0
"""Standard deviations that the typical bone of a hand is off before its labels as a whole are wrong."""
OFF = 7.0
"""Standard deviations from the expected place; four times as many where the outline lies on an edge of the picture,
and not inside a bone that it hardly ever lies in."""
SIZE = 7.0
"""Standard deviations from the expected size; twice as many where the outline lies on an edge of the picture."""
_EDGE = 3.0
"""Standard deviations by which an edge is weaker than usual before an outline counts as lying off the edge."""
SPARE = 0.15
"""A further outline counts from this share of the first one's area."""
_USUAL = 0.5
"""Share of the collection that must have a bone before it can be missing."""
_MOST_MISSING = 5
"""Bones of a picture that are told of one by one, where it is not known whether the picture has room for them."""
_RARE = 0.02
"""Share of the collection up to which it is strange that a bone lies in another one."""
_REVERSED = np.arange(len(BONES))[::-1]


class Geometry:
    """The labelled hands of a survey and a model of them."""

    def __init__(self, survey: Survey) -> None:
        """Raises `UserError` with too few labelled cases."""
        self.survey = survey
        hands = Hands.of(*(survey.shape(name) for name in ("centre", "top", "bottom", "area")))
        self.model = HandModel(hands)
        fit = self.model.fit(hands)
        whole = fit.frames.known & ~(fit.misfit > SCRAMBLED)
        self.exchanges = exchanges(self.model, hands, whole)
        for hand, exchange in self.exchanges.items():  # so that the other bones are judged by a hand that is right
            hands.places[hand] = hands.places[hand, exchange.order]
            hands.sizes[hand] = hands.sizes[hand, exchange.order]
        self.hands = hands
        self.fit: Fit = self.model.fit(hands) if self.exchanges else fit
        self.present = ~np.isnan(self.hands.sizes)
        self.usual = self.present.mean(axis=0)
        self.weak = weakness(survey.edge("follow")) > _EDGE
        self.buried = _buried(np.array([facts.overlaps for facts in survey.facts], np.float64))

    def sides(self) -> list[Side | None]:
        """The side of each hand by its labels; of half a hand, which may fit either, only what they tell plainly."""
        whole = self.fit.frames.known & (self.present.sum(axis=1) > len(BONES) / 2)
        return [
            facts.side_labels if not told else "left" if mirrored else "right"
            for facts, told, mirrored in zip(self.survey.facts, whole, self.fit.frames.mirrored, strict=True)
        ]

    def findings(self, seen: Callable[[int], None] | None = None) -> Iterator[Finding]:
        """All findings, case by case."""
        scrambled = np.flatnonzero(self.fit.misfit > SCRAMBLED)
        turned = {}
        if scrambled.size:
            hands = Hands(self.hands.places[scrambled], self.hands.sizes[scrambled])
            misfit = self.model.fit(hands.relabelled(_REVERSED)).misfit
            turned = dict(zip(scrambled.tolist(), misfit.tolist(), strict=True))
        for hand in range(len(self.survey.cases)):
            if hand in turned:
                yield from self._scrambled(hand, turned[hand])
            elif self.fit.frames.known[hand]:
                yield from self._single(hand)
            else:
                yield from _counted(self.survey.cases[hand], self.survey.facts[hand], self.present[hand], self.usual)
            if seen:
                seen(1)

    def _scrambled(self, hand: int, reversed_misfit: float) -> Iterator[Finding]:
        score = self.fit.misfit[hand] / SCRAMBLED
        bones = tuple(label for label, there in zip(BONES, self.present[hand], strict=True) if there)
        if reversed_misfit < self.fit.misfit[hand] / 4:
            reason = "Read from the last label to the first, they fit."
            yield Finding(self.survey.cases[hand], "reversed", bones, score, reason)
        else:
            reason = "The places of most bones fit no hand of this collection."
            yield Finding(self.survey.cases[hand], "swapped", bones, score, reason)

    def _single(self, hand: int) -> Iterator[Finding]:
        """Findings on single bones; each bone is told of once, under what explains most."""
        case, facts = self.survey.cases[hand], self.survey.facts[hand]
        assert facts.shapes is not None
        told: set[int] = set()
        if exchange := self.exchanges.get(hand):
            for bones, names in exchange.told():
                told |= set(bones)
                labels, score = tuple(BONES[bone] for bone in bones), exchange.gain / LIKELIER
                yield Finding(case, "swapped", labels, score, f"{names} bear each other's labels.")
        for bone in _with_spare(facts.shapes):
            found, drawn = self._doubled(hand, bone)
            told |= drawn
            yield found
        for gone in self._missing(hand, told):
            told.add(gone)
            yield _not_drawn(case, gone, self.usual[gone], self._expected(hand, gone))
        yield from self._misplaced(hand, told)
        yield from self._wrong_size(hand, told)

    def _doubled(self, hand: int, bone: int) -> tuple[Finding, set[int]]:
        """The finding, and the bones that it explains."""
        case = self.survey.cases[hand]
        polygons = _polygons(case, bone)
        if _repeated(polygons):
            return _drawn_again(case, bone, polygons), set()
        parts = _parts(bone, polygons)
        places = [self._place_of(hand, bone, part) for part in parts]
        sizes = [float(np.log(max(part.area[bone], 1)) / 2) for part in parts]
        off = self.fit.off_as(hand, np.array(places), np.array(sizes))
        first = int(off[:, bone].argmin())
        spare = max((i for i in range(len(parts)) if i != first), key=lambda i: parts[i].area[bone])
        taken = int(off[spare].argmin())
        label = BONES[bone]
        if taken != bone and not self.present[hand, taken] and off[spare, taken] < OFF:
            reason = f"{label} is drawn twice, the second time over {BONES[taken]}, which is missing."
            return Finding(case, "doubled", (label, BONES[taken]), 3.0, reason), {bone, taken}
        return _drawn_again(case, bone, polygons, first), {bone}

    def _place_of(self, hand: int, bone: int, part: Shapes) -> Floats:
        """Where an outline of a bone lies, as the model has it: of radius and ulna the end at the wrist."""
        if ANATOMY[bone].group != "forearm":
            return np.asarray(part.centre[bone])
        ends = np.stack([part.top[bone], part.bottom[bone]])
        return np.asarray(ends[np.linalg.norm(ends - self.fit.expected[hand, bone], axis=1).argmin()])

    def _missing(self, hand: int, told: set[int]) -> list[int]:
        """Bones that the collection draws, whose place is well inside the picture, and that are not there."""
        facts = self.survey.facts[hand]
        at = self.fit.expected[hand]
        size = np.exp(self.fit.expected_size[hand])
        room = np.minimum(at, np.array([facts.width, facts.height]) - 1 - at).min(axis=1)
        gone = ~self.present[hand] & (self.usual > _USUAL) & (room > size / 2)
        return [int(bone) for bone in np.flatnonzero(gone) if int(bone) not in told]

    def _misplaced(self, hand: int, told: set[int]) -> Iterator[Finding]:
        facts, case = self.survey.facts[hand], self.survey.cases[hand]
        for bone in np.argsort(-np.nan_to_num(self.fit.off[hand])).tolist():
            off = float(self.fit.off[hand, bone])
            if not self.present[hand, bone] or bone in told or not off > OFF:
                continue
            limit = OFF if self.weak[hand, bone] or self.buried[hand, bone] else 4 * OFF
            if off > limit:
                told.add(bone)
                apart = np.hypot(*(self.hands.places[hand, bone] - self.fit.expected[hand, bone]))
                place = f"{100 * apart / max(facts.height, facts.width):.1f} % of the picture's side"
                on = self._lies_on(hand, bone)
                reason = f"{BONES[bone]} lies {place} from where the other bones expect it{on}."
                expected = self._expected(hand, bone)
                yield Finding(case, "misplaced", (BONES[bone],), off / limit, reason, expected=expected)

    def _wrong_size(self, hand: int, told: set[int]) -> Iterator[Finding]:
        case = self.survey.cases[hand]
        for bone in np.flatnonzero(self.present[hand]):
            over = self.fit.oversize[hand, bone]
            limit = SIZE if self.weak[hand, bone] else 2 * SIZE
            if int(bone) not in told and abs(over) > limit:
                ratio = np.exp(2 * (self.hands.sizes[hand, bone] - self.fit.expected_size[hand, bone]))
                reason = f"{BONES[bone]} has {ratio:.2f} times the area that the other bones let expect."
                yield Finding(case, "size", (BONES[bone],), float(abs(over) / limit), reason)

    def _expected(self, hand: int, bone: int) -> tuple[float, float, float]:
        """A circle of the expected area at the expected place, in pixels."""
        x, y = self.fit.expected[hand, bone].tolist()
        return x, y, float(np.exp(self.fit.expected_size[hand, bone]) / np.sqrt(np.pi))

    def _lies_on(self, hand: int, bone: int) -> str:
        case = self.survey.cases[hand]
        assert case.labels is not None
        centre = tuple(map(float, self.survey.facts[hand].shapes.centre[bone]))  # type: ignore[union-attr]
        touching = {b.label for b in ANATOMY if b.label == BONES[bone] or BONES[bone] in b.neighbours}
        for label, polygons in load_labels(case.labels).polygons.items():
            hit = any(cv2.pointPolygonTest(p.astype(np.float32), centre, False) > 0 for p in polygons)
            if label not in touching and hit:
                return f", on {label}"
        return ""


def counted_findings(survey: Survey) -> Iterator[Finding]:
    """Bones that are drawn twice and bones that are missing, without a model of the hand.

    It is not known then whether the place of a missing bone is in the picture.
    """
    present = survey.shape("parts") > 0
    usual = present.mean(axis=0)
    for case, facts, there in zip(survey.cases, survey.facts, present, strict=True):
        yield from _counted(case, facts, there, usual)


def _counted(case: Case, facts: Facts, there: npt.NDArray[np.bool_], usual: Floats) -> Iterator[Finding]:
    assert facts.shapes is not None
    for bone in _with_spare(facts.shapes):
        yield _drawn_again(case, bone, _polygons(case, bone))
    gone = np.flatnonzero(~there & (usual > _USUAL)).tolist()
    if len(gone) > _MOST_MISSING:  # of one cause
        labels = [BONES[bone] for bone in gone]
        some = f"{len(gone)} bones are not drawn, from {labels[0]} to {labels[-1]}."
        yield Finding(case, "missing", tuple(labels), 3.0, some if there.any() else "No bone is drawn.")
        return
    for bone in gone:
        yield _not_drawn(case, bone, usual[bone])


def _with_spare(shapes: Shapes) -> list[int]:
    """Bones of which more is drawn than one outline."""
    return [int(bone) for bone in np.flatnonzero((shapes.parts > 1) & (shapes.spare >= SPARE))]


def _polygons(case: Case, bone: int) -> list[Points]:
    assert case.labels is not None
    return load_labels(case.labels).polygons[BONES[bone]]


def _parts(bone: int, polygons: list[Points]) -> list[Shapes]:
    """Each outline of a bone measured by itself."""
    return [shapes_of(Labels({BONES[bone]: [polygon]})) for polygon in polygons]


def _repeated(polygons: list[Points]) -> bool:
    """Whether no more is drawn than one outline once those of the very same points are counted once."""
    different = {polygon.tobytes(): polygon for polygon in polygons}
    sizes = np.array([abs(signed_area(polygon)) for polygon in different.values()])
    return len(different) < len(polygons) and bool(sizes.sum() - sizes.max() < SPARE * sizes.max())


def _drawn_again(case: Case, bone: int, polygons: list[Points], first: int | None = None) -> Finding:
    """The finding on a bone of several outlines, of which one is the `first`; the largest unless given."""
    label = BONES[bone]
    if _repeated(polygons):
        reason = f"{label} is drawn {len(polygons)} times with the same points, which changes nothing."
        return Finding(case, "repeated", (label,), 1.0, reason)
    parts = _parts(bone, polygons)
    by_area = sorted(range(len(parts)), key=lambda i: -parts[i].area[bone])
    first = by_area[0] if first is None else first
    spare = next(i for i in by_area if i != first)
    apart = np.hypot(*(parts[spare].centre[bone] - parts[first].centre[bone]))
    where = "at the same place" if apart < 0.5 * parts[first].width[bone] else f"{apart:.0f} pixels away"
    return Finding(case, "doubled", (label,), 3.0, f"{label} is drawn {len(polygons)} times, again {where}.")


def _not_drawn(case: Case, bone: int, usual: float, expected: tuple[float, float, float] | None = None) -> Finding:
    reason = f"{BONES[bone]} is not drawn; {min(usual, 0.99):.0%} of the pictures have it."
    return Finding(case, "missing", (BONES[bone],), 3.0, reason, expected=expected)


def weakness(follow: Floats) -> Floats:
    """How much weaker the edge under each outline (n, 29) is than usual for the bone, in standard deviations."""
    middle = nanmedian(follow, axis=0)
    return np.nan_to_num((middle - follow) / np.maximum(robust_sd(follow), 0.03))


def _buried(common: Floats) -> npt.NDArray[np.bool_]:
    """(n, 29) whether a bone lies for the most part in one of another group, where that is rare.

    `common` is (n, 29, 29), as `overlaps_of` gives it. Bones of one group, as those of the wrist, lie on each other.
    """
    own = np.maximum(np.diagonal(common, axis1=1, axis2=2), 1e-12)
    inside = common / own[:, :, None] > 0.6
    groups = np.array([bone.group for bone in ANATOMY])
    inside &= groups[:, None] != groups
    return np.asarray((inside & (inside.mean(axis=0) < _RARE)).any(axis=2))
