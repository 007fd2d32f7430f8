"""A model's answers to labelled pictures, looked at closely: what the report of an evaluation is made of."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from handbones.anatomy import ANATOMY, BONES
from handbones.collection import Case
from handbones.errors import UserError
from handbones.inference.segmentation import Segmentation
from handbones.inference.segmenter import Answer, Segmenter
from handbones.insight.evaluation import Evaluation
from handbones.insight.exposure import shrink
from handbones.insight.report.surfaces import surface_distances
from handbones.labels import Labels, load_labels
from handbones.metric import dice_from_counts, packed_counts
from handbones.radiograph import Radiograph
from handbones.raster import Packed, grow, rasterise
from handbones.sides import Side, side_from_labels, wrist_tilt

Floats = npt.NDArray[np.float64]
Gray = npt.NDArray[np.uint8]
Counts = npt.NDArray[np.int64]

THRESHOLDS = np.array([0.05, 0.1, 0.2, 0.3, 0.4, 0.45, 0.5, 0.55, 0.6, 0.7, 0.8, 0.9, 0.95])
"""Probabilities that the threshold curve is taken at."""
BINS = np.linspace(0, 1, 11)
"""Borders of the steps of probability that calibration is counted in."""
_MAP = 768
_SURE = 0.01
"""Pixels of less probability are background to everybody, and would drown the others."""


@dataclass(frozen=True)
class Verdict:
    """Figures of one picture; a row for each bone in the official order."""

    case: Case
    dice: Floats
    """(29,)"""
    hd95: Floats
    """(29,) in pixels; NaN where the bone is in the labels or in the answer alone."""
    distance: Floats
    """(29,) average symmetric surface distance, likewise."""
    areas: Counts
    """(3, 29) pixels of the labels, of the answer, of both."""
    taken: Counts
    """(29, 29) pixels that the answer gives to bone i wrongly, and that belong to bone j."""
    curve: Floats
    """(3, 13, 29) pixels above each threshold, to a cell of the logits' grid: right, all; and those of the labels."""
    calibration: Floats
    """(3, 10) in steps of probability: number of pixels, sum of the probabilities, number that are bone."""
    side: Side | None
    tilt: float
    """Degrees; NaN if not known."""
    spacing: tuple[float, float] | None
    """Millimetres a row and a column, if known."""
    pixels: int
    """Of the picture."""
    maps: tuple[bytes, bytes]
    """PNG of where bone was missed, and where it was invented, longest side 768: share of the pixels, 255 is all."""

    def errors(self) -> tuple[Gray, Gray]:
        """The two maps, decoded."""
        missed, invented = (cv2.imdecode(np.frombuffer(coded, np.uint8), cv2.IMREAD_GRAYSCALE) for coded in self.maps)
        return np.asarray(missed, np.uint8), np.asarray(invented, np.uint8)


@dataclass(frozen=True)
class Examination:
    """All pictures, in the order of the cases."""

    verdicts: list[Verdict]

    def stack(self, name: str) -> npt.NDArray[np.float64]:
        """A field of all verdicts: (pictures, ...)."""
        return np.array([getattr(verdict, name) for verdict in self.verdicts], np.float64)

    @property
    def cases(self) -> list[Case]:
        return [verdict.case for verdict in self.verdicts]

    @property
    def evaluation(self) -> Evaluation:
        """The Dice alone."""
        return Evaluation(self.cases, self.stack("dice"))


def examine(segmenter: Segmenter, cases: Sequence[Case], *, seen: Callable[[int], None] | None = None) -> Examination:
    """Segment labelled cases and compare closely; `seen` is told of each. Raises `UserError`."""
    if not cases:
        raise UserError("nothing to evaluate on: none of the pictures has labels")
    verdicts = []
    answers = segmenter.answer_many(cases)
    for case, (radiograph, answer) in zip(cases, answers, strict=True):
        assert case.labels is not None
        labels = load_labels(case.labels)
        found = segmenter.conclude(radiograph, answer)
        verdicts.append(_verdict(case, labels, found, answer, radiograph))
        if seen:
            seen(1)
    return Examination(verdicts)


def _verdict(
    case: Case, labels: Labels, found: Segmentation, answers: Sequence[Answer], radiograph: Radiograph
) -> Verdict:
    truth, answer = labels.packed(found.height, found.width), found.packed()
    common, pred, true = packed_counts(answer, truth)
    hd95, distance = _surfaces(answer, truth)
    curve, calibration = _probabilities(labels, true, answers)
    tilt = wrist_tilt(labels, radiograph.tall)
    return Verdict(
        case=case,
        dice=dice_from_counts(common, pred, true),
        hd95=hd95,
        distance=distance,
        areas=np.array([true, pred, common], np.int64),
        taken=_taken(answer, truth),
        curve=curve,
        calibration=calibration,
        side=case.side or side_from_labels(labels),
        tilt=math.nan if tilt is None else tilt,
        spacing=radiograph.spacing,
        pixels=found.height * found.width,
        maps=(_map(truth & ~answer), _map(answer & ~truth)),
    )


def _map(wrong: Packed) -> bytes:
    """Where a picture's packed masks have any bone, small, as PNG."""
    return cv2.imencode(".png", shrink((wrong != 0).astype(np.uint8) * 255, _MAP))[1].tobytes()


def _surfaces(answer: Packed, truth: Packed) -> tuple[Floats, Floats]:
    hd95, distance = np.full(len(BONES), np.nan), np.full(len(BONES), np.nan)
    for bone in ANATOMY:
        bit = np.uint32(1 << bone.index)
        one, two = (answer & bit) != 0, (truth & bit) != 0
        rows, columns = (np.flatnonzero(one.any(axis=axis) | two.any(axis=axis)) for axis in (1, 0))
        if rows.size:
            window = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
            hd95[bone.index], distance[bone.index] = surface_distances(one[window], two[window])
    return hd95, distance


def _taken(answer: Packed, truth: Packed) -> Counts:
    """(29, 29) pixels that the answer gives to bone i, that are not of bone i but of bone j."""
    wrong = answer & ~truth
    where = wrong != 0
    pairs, counts = np.unique(np.stack([wrong[where], truth[where]]), axis=1, return_counts=True)
    bits = (pairs[:, :, None] >> np.arange(len(BONES), dtype=np.uint32)) & np.uint32(1)
    return np.asarray(np.einsum("ki,kj,k->ij", bits[0].astype(np.int64), bits[1].astype(np.int64), counts))


def _probabilities(labels: Labels, true: Counts, answers: Sequence[Answer]) -> tuple[Floats, Floats]:
    """`Verdict.curve` and `Verdict.calibration`, counted on the cells that the logits lie on.

    The curve is in pixels of the picture, of which bones have `true`: what no hand's window holds is missed as well.
    """
    curve = np.zeros((3, len(THRESHOLDS), len(BONES)))
    curve[2] = true
    calibration = np.zeros((3, len(BINS) - 1))
    cuts = np.log(THRESHOLDS / (1 - THRESHOLDS))
    for grid, logits in answers:
        matrix = grid.matrix
        pixels = 1 / abs(np.linalg.det(matrix[:2, :2]))  # of a cell
        on_grid = labels.map(lambda points, m=matrix: grow(points) @ m[:2, :2].T + m[:2, 2])  # type: ignore[misc]
        packed = rasterise(on_grid.by_bone(), grid.rows, grid.columns)
        for bone, plane in enumerate(logits):
            truth = (packed >> np.uint32(bone)) & np.uint32(1) != 0
            step = np.searchsorted(cuts, plane.ravel(), side="left")  # cuts that the logit lies above
            for row, which in ((0, truth.ravel()), (1, slice(None))):
                above = np.bincount(step[which], minlength=len(cuts) + 1)[::-1].cumsum()[::-1][1:]
                curve[row, :, bone] += pixels * above
            likely = plane > math.log(_SURE / (1 - _SURE))
            probability = 1 / (1 + np.exp(-plane[likely].astype(np.float64)))
            place = np.clip(np.digitize(probability, BINS) - 1, 0, len(BINS) - 2)
            for row, weights in enumerate((None, probability, truth[likely].astype(np.float64))):
                calibration[row] += np.bincount(place, weights, len(BINS) - 1)
    curve[0] = np.minimum(curve[0], np.minimum(curve[1], curve[2]))  # windows may share cells, and cells are coarse
    return curve, calibration
