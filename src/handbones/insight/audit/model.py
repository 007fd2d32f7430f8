"""What the hands of a collection have in common: where each bone lies and how large it is, given the others.

In their common frame, the places of the 29 bones and their sizes follow a few directions of variation: bends of the
wrist, spread of the fingers, build. They are learned with outliers cut back, and a single hand is fitted with its
outliers cut back, so that a wrong bone stands out against the place where the others expect it.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from handbones.anatomy import BONES, INDEX
from handbones.errors import UserError
from handbones.insight.alignment import Frames, align, usual_places
from handbones.insight.medians import nanmedian, robust_sd

Floats = npt.NDArray[np.float64]

LEAST_HANDS = 20
"""Fewer hands say too little about what hands have in common."""
_COUNT = len(BONES)
_FOREARM = [INDEX["Radius"], INDEX["Ulna"]]
_DIRECTIONS = 14
_HANDS_A_DIRECTION = 8
_CUT = 3.0
"""Standard deviations beyond which a bone loses its say in the fit of a hand."""
_WINSOR = 5.0
"""Standard deviations that a value is cut back to in learning."""
_LEAST_SD = np.r_[np.full(2 * _COUNT, 0.003), np.full(_COUNT, 0.01)]
"""Of places (in sizes of the hand) and of log sizes: smaller differences are of drawing, not of anatomy."""


@dataclass(frozen=True)
class Hands:
    """Places and sizes of the bones of n hands; NaN where a bone is missing."""

    places: Floats
    """(n, 29, 2) centre of each bone, in pixels; of radius and ulna, which the picture cuts, the end at the wrist."""
    sizes: Floats
    """(n, 29) log of the square root of the area in pixels."""

    @classmethod
    def of(cls, centre: Floats, top: Floats, bottom: Floats, area: Floats) -> "Hands":
        """From stacked fields of `Shapes`."""
        places = centre.copy()
        hand = np.array([_middle(points) for points in centre[:, : _FOREARM[0]]])
        for bone in _FOREARM:
            ends = np.stack([top[:, bone], bottom[:, bone]], axis=1)
            nearer = np.linalg.norm(ends - hand[:, None], axis=2)
            places[:, bone] = np.where((nearer[:, 0] <= nearer[:, 1])[:, None], ends[:, 0], ends[:, 1])
        return cls(places, np.log(area) / 2)

    def relabelled(self, order: npt.NDArray[np.intp]) -> "Hands":
        """The same with the bone of position `order[i]` at position i."""
        return Hands(self.places[:, order], self.sizes[:, order])

    def chosen(self, numbers: npt.NDArray[np.intp], orders: npt.NDArray[np.intp]) -> "Hands":
        """Some of them (k,), each relabelled by an order (k, 29) of its own."""
        return Hands(self.places[numbers[:, None], orders], self.sizes[numbers[:, None], orders])


@dataclass(frozen=True)
class Fit:
    """How n hands agree with the model."""

    frames: Frames
    residual: Floats
    """(n, 87) x, y (frame) and log size of each bone less what the others expect, in standard deviations.

    Like all figures of one hand, NaN where its frame is not known.
    """
    expected: Floats
    """(n, 29, 2) where each bone should be, in pixels, also one that is missing."""
    expected_size: Floats
    """(n, 29) log of the square root of the expected area."""
    cost: Floats
    """(n,) minus the log of the likelihood of the labels, up to a constant: of places, of sizes, and of the pose."""
    sd: Floats
    """(87,) what the others leave open: x and y of the 29 bones in units of the frame, then the log sizes."""

    @cached_property
    def off(self) -> Floats:
        """(n, 29) distance from the expected place in standard deviations."""
        return np.asarray(np.hypot(self.residual[:, 0 : 2 * _COUNT : 2], self.residual[:, 1 : 2 * _COUNT : 2]))

    @cached_property
    def oversize(self) -> Floats:
        """(n, 29) log size over the expected one in standard deviations; negative for a small bone."""
        return self.residual[:, 2 * _COUNT :]

    @cached_property
    def misfit(self) -> Floats:
        """(n,) `off` of the typical bone that is there: about 1 for a hand whose labels are right."""
        return nanmedian(self.off, axis=1)

    def off_as(self, hand: int, places: Floats, sizes: Floats) -> Floats:
        """(k, 29) how far bones at `places` (k, 2) in pixels, of log `sizes` (k,), would be off as each of the 29."""
        frames = Frames(self.frames.matrix[hand : hand + 1], self.frames.offset[hand : hand + 1])
        here, there = (frames.into(points[None])[0] for points in (places, self.expected[hand]))
        apart = (here[:, None] - there) / self.sd[: 2 * _COUNT].reshape(_COUNT, 2)
        larger = (sizes[:, None] - self.expected_size[hand]) / self.sd[2 * _COUNT :]
        return np.asarray(np.sqrt((apart**2).sum(axis=2) + larger**2))


def loss(off: Floats) -> Floats:
    """Minus the log of the likelihood of bones that are `off` by so many standard deviations, up to a constant.

    Cauchy's, cut at `_CUT`: what is far off costs little more than what is off.
    """
    return np.asarray(_CUT**2 / 2 * np.log1p((off / _CUT) ** 2))


class HandModel:
    """Learned from the labelled hands of one collection."""

    def __init__(self, hands: Hands) -> None:
        """Raises `UserError` with too few hands; those without bones enough to place them do not count."""
        self.reference = usual_places()
        known = align(hands.places, self.reference).known
        hands = Hands(hands.places[known], hands.sizes[known])
        if len(hands.places) < LEAST_HANDS:
            raise UserError(f"{len(hands.places)} labelled hands are too few to learn from: {LEAST_HANDS} are needed")
        for _ in range(4):
            middle = nanmedian(align(hands.places, self.reference).into(hands.places), axis=0)
            self.reference = np.where(np.isnan(middle), self.reference, middle)  # of a bone that nobody drew
        self._learn(_vectors(hands, align(hands.places, self.reference)))

    def fit(self, hands: Hands) -> Fit:
        """Compare hands with the model."""
        frames = align(hands.places, self.reference)
        vectors = _vectors(hands, frames)
        fitted, cost = self._fitted(vectors)
        expected = frames.back(fitted[:, : 2 * _COUNT].reshape(-1, _COUNT, 2))
        sizes = fitted[:, 2 * _COUNT :] + np.log(frames.unit)[:, None]
        cost = np.where(frames.known, cost, np.nan)
        return Fit(frames, (vectors - fitted) / self.sd, expected, sizes, cost, self.sd)

    def _learn(self, vectors: Floats) -> None:
        mean = nanmedian(vectors, axis=0)
        self.mean = np.where(np.isnan(mean), np.r_[self.reference.ravel(), np.zeros(_COUNT)], mean)
        scale = np.fmax(robust_sd(vectors - self.mean), _LEAST_SD)
        standard = np.clip(np.nan_to_num((vectors - self.mean) / scale), -_WINSOR, _WINSOR)
        directions = max(1, min(_DIRECTIONS, len(vectors) // _HANDS_A_DIRECTION))
        weights = np.ones(len(vectors))
        for _ in range(5):  # hands that the directions explain badly have less say in them
            mean = np.average(standard, axis=0, weights=weights)
            _, strength, rows = np.linalg.svd((standard - mean) * np.sqrt(weights)[:, None], full_matrices=False)
            basis = rows[:directions]
            left = standard - mean - (standard - mean) @ basis.T @ basis
            distance = np.sqrt((left**2).mean(axis=1))
            weights = 1 / (1 + (distance / (2 * np.median(distance))) ** 4)
        self.mean = self.mean + mean * scale
        strength = strength[:directions] / np.sqrt(weights.sum())
        self.basis = (basis * strength[:, None]).T * scale[:, None]
        self.sd = np.fmax(robust_sd(left) * scale, _LEAST_SD)
        self.sd = np.fmax(robust_sd(vectors - self._fitted(vectors)[0]), _LEAST_SD)

    def _fitted(self, vectors: Floats) -> tuple[Floats, Floats]:
        """What the directions make of each hand (n, 87), and its cost; a bone that does not fit in has little say."""
        there = ~np.isnan(vectors)
        standard = np.where(there, vectors - self.mean, 0.0) / self.sd
        basis = self.basis / self.sd[:, None]
        products = (basis[:, :, None] * basis[:, None, :]).reshape(len(basis), -1)
        weights = there.astype(np.float64)
        for number in range(20):
            gram = (weights @ products).reshape(-1, *[basis.shape[1]] * 2) + np.eye(basis.shape[1])
            moved = np.linalg.solve(gram, ((weights * standard) @ basis)[..., None])[..., 0]
            left = np.where(there, standard - moved @ basis.T, 0.0) ** 2
            off = np.sqrt(left[:, 0 : 2 * _COUNT : 2] + left[:, 1 : 2 * _COUNT : 2] + left[:, 2 * _COUNT :])
            far = off / _CUT
            # First a weight that cannot lock out the right bones, then one that forgets the wrong ones.
            say = 1 / np.maximum(far, 1) if number < 8 else 1 / (1 + far**2)
            weights = np.concatenate([np.repeat(say, 2, axis=1), say], axis=1) * there
        cost = loss(off).sum(axis=1) + (moved**2).sum(axis=1) / 2
        return np.asarray(self.mean + moved @ self.basis.T), np.asarray(cost)


def _vectors(hands: Hands, frames: Frames) -> Floats:
    """(n, 87) places in the frame, x and y of each bone in turn, then log sizes in it."""
    places = frames.into(hands.places).reshape(len(hands.places), -1)
    return np.concatenate([places, hands.sizes - np.log(frames.unit)[:, None]], axis=1)


def _middle(points: Floats) -> Floats:
    there = ~np.isnan(points).any(axis=1)
    return np.asarray(points[there].mean(axis=0)) if there.any() else np.full(2, np.nan)
