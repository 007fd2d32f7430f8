"""Hands laid on each other, in one frame: a right hand of size 1 in its middle, fingers up."""

import json
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files

import numpy as np
import numpy.typing as npt

from handbones.anatomy import BONES

Floats = npt.NDArray[np.float64]

_FIRM = ("finger-7", "finger-11", "finger-15", "Trapezium", "Trapezoid", "Capitate", "Hamate", "Scaphoid", "Lunate")
"""The palm: bones that keep their places to each other however the hand is held."""
_WEIGHTS = np.array([1.0 if label in _FIRM else 0.15 for label in BONES])
LEAST_BONES = 8
"""Fewer bones tell too little about how a hand lies: two fit any hand, and its mirror image."""
_CLOSE = 0.05
"""Bones nearer than this to their place in the frame decide where it lies."""
_ROUNDS = 20


@dataclass(frozen=True)
class Frames:
    """Similarities from the pixels of each of n pictures into the common frame; NaN for one that is not known."""

    matrix: Floats
    """(n, 2, 2) turns and scales, and mirrors a left hand."""
    offset: Floats
    """(n, 2)"""

    def into(self, points: Floats) -> Floats:
        """Points (n, k, 2) in pixels, in the frame."""
        moved: Floats = np.einsum("nij,nkj->nki", self.matrix, points) + self.offset[:, None]
        return moved

    def back(self, points: Floats) -> Floats:
        """Points (n, k, 2) in the frame, in pixels."""
        moved: Floats = np.einsum("nji,nkj->nki", self.matrix, points - self.offset[:, None])
        moved *= (self.unit**2)[:, None, None]  # the inverse of a similarity is its transpose over its scale squared
        return moved

    @cached_property
    def known(self) -> npt.NDArray[np.bool_]:
        """(n,) whether there are bones enough to tell."""
        return np.asarray(~np.isnan(self.matrix).any(axis=(1, 2)))

    @cached_property
    def mirrored(self) -> npt.NDArray[np.bool_]:
        """(n,) whether it is a left hand; False where that is not known."""
        return np.asarray(_determinant(self.matrix) < 0)

    @cached_property
    def unit(self) -> Floats:
        """(n,) pixels in one unit of the frame."""
        return np.asarray(1 / np.sqrt(np.abs(_determinant(self.matrix))))


def _determinant(matrix: Floats) -> Floats:
    """`np.linalg.det` of (n, 2, 2), which warns of NaN."""
    return np.asarray(matrix[:, 0, 0] * matrix[:, 1, 1] - matrix[:, 0, 1] * matrix[:, 1, 0])


def usual_places() -> Floats:
    """(29, 2) mean places of the bones of real right hands, in the middle and of size 1."""
    table = json.loads((files("handbones.phantom") / "calibration.json").read_text(encoding="utf-8"))["bones"]
    places = np.array([[table[label]["centroid_px"][axis] for axis in ("x_mean", "y_mean")] for label in BONES], float)
    places -= places.mean(axis=0)
    return np.asarray(places / np.sqrt((places**2).sum(axis=1).mean()))


def align(places: Floats, reference: Floats) -> Frames:
    """Fit the places of bones (n, 29, 2), NaN where missing, to a reference (29, 2), mirrored if that is better.

    Bones far from their place lose their say, so that a few wrong ones do not matter. Not known is a hand with fewer
    than `LEAST_BONES`, or with all of them at one point.
    """
    there = np.asarray(~np.isnan(places).any(axis=2))
    points = np.where(there[:, :, None], places, 0.0)
    plain, plain_cost = _fit(points, there, reference)
    flipped, flipped_cost = _fit(points * [-1, 1], there, reference)
    matrix = np.where((flipped_cost < plain_cost)[:, None, None], flipped.matrix * [-1, 1], plain.matrix)
    offset = np.where((flipped_cost < plain_cost)[:, None], flipped.offset, plain.offset)
    unknown = (there.sum(axis=1) < LEAST_BONES) | (np.abs(_determinant(matrix)) < 1e-12)
    return Frames(np.where(unknown[:, None, None], np.nan, matrix), np.where(unknown[:, None], np.nan, offset))


def _fit(points: Floats, there: npt.NDArray[np.bool_], reference: Floats) -> tuple[Frames, Floats]:
    """Similarities without mirroring, by reweighted least squares; and how badly each fits."""
    weights = _WEIGHTS * there
    for _ in range(_ROUNDS):
        share = weights / np.maximum(weights.sum(axis=1, keepdims=True), 1e-12)
        middle, target = np.einsum("nk,nkj->nj", share, points), share @ reference
        p, r = points - middle[:, None], reference - target[:, None]
        spread = np.maximum(np.einsum("nk,nkj,nkj->n", share, p, p), 1e-12)
        a = np.einsum("nk,nkj,nkj->n", share, p, r) / spread
        b = np.einsum("nk,nk->n", share, p[..., 0] * r[..., 1] - p[..., 1] * r[..., 0]) / spread
        matrix = np.stack([np.stack([a, -b], axis=1), np.stack([b, a], axis=1)], axis=1)
        frames = Frames(matrix, target - np.einsum("nij,nj->ni", matrix, middle))
        apart = np.linalg.norm(frames.into(points) - reference, axis=2)
        weights = _WEIGHTS * there / (1 + (apart / _CLOSE) ** 2)
    cost: Floats = (_WEIGHTS * there * np.log1p((apart / _CLOSE) ** 2)).sum(axis=1)
    return frames, cost
