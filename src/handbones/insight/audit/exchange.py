"""Which bones of a hand bear each other's labels: exchanged, they must fit the model of the hand far better."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from handbones.anatomy import ANATOMY, BONES
from handbones.insight.audit.model import Fit, HandModel, Hands, loss

Order = npt.NDArray[np.intp]

LIKELIER = 5.0
"""Log of the factor by which labels must be likelier once exchanged."""
_WORTH_A_FIT = -15.0
"""The same of two bones, with the hand held as their wrong labels have it, from which the hand is fitted anew."""
_MOST_ROUNDS = 8
_UNCHANGED: Order = np.arange(len(BONES))


def _order(pairs: list[tuple[int, int]]) -> Order:
    order = _UNCHANGED.copy()
    for one, other in pairs:
        order[[one, other]] = other, one
    return order


_DIGITS = {digit: [bone.index for bone in ANATOMY if bone.digit == digit] for digit in (2, 3, 4, 5)}
_FINGERS = {
    (one, other): _order(list(zip(_DIGITS[one], _DIGITS[other], strict=True)))
    for one, other in combinations(_DIGITS, 2)
}
"""Two whole fingers exchanged, thumb apart, which has fewer bones."""


@dataclass(frozen=True)
class Exchange:
    """What must be exchanged in the labels of one hand."""

    order: Order
    """(29,) the bone whose label each one bears now."""
    gain: float
    """Log of how much likelier the labels are then."""

    def told(self) -> Iterator[tuple[list[int], str]]:
        """Bones that bear each other's labels, and who they are in words: whole fingers, or bones."""
        left = set(np.flatnonzero(self.order != _UNCHANGED).tolist())
        for (one, other), order in _FINGERS.items():
            bones = set(_DIGITS[one] + _DIGITS[other])
            if bones <= left and all(self.order[bone] == order[bone] for bone in bones):
                left -= bones
                names = (f"{BONES[_DIGITS[digit][0]]} to {BONES[_DIGITS[digit][-1]]}" for digit in (one, other))
                yield sorted(bones), " and ".join(names)
        for cycle in _cycles({bone: int(self.order[bone]) for bone in left}):
            labels = [BONES[bone] for bone in cycle]
            yield cycle, f"{', '.join(labels[:-1])} and {labels[-1]}"


def exchanges(model: HandModel, hands: Hands, asked: npt.NDArray[np.bool_]) -> dict[int, Exchange]:
    """Exchanges by hand, among those `asked` for; hands whose labels fit as they are have none.

    In each round every hand takes the exchange that makes its labels likeliest, until none makes them likelier.
    """
    orders = np.tile(_UNCHANGED, (len(hands.places), 1))
    gains = np.zeros(len(hands.places))
    left = np.flatnonzero(asked)
    for _ in range(_MOST_ROUNDS):
        if not left.size:
            break
        here = hands.chosen(left, orders[left])
        fit = model.fit(here)
        numbers, tries = _tries(here, fit)
        gain = fit.cost[numbers] - model.fit(here.chosen(numbers, tries)).cost
        better = {int(numbers[one]): one for one in np.argsort(gain) if gain[one] > LIKELIER}  # the best comes last
        for number, one in better.items():
            orders[left[number]] = orders[left[number]][tries[one]]
            gains[left[number]] += gain[one]
        left = left[sorted(better)]
    return {hand: Exchange(orders[hand], float(gains[hand])) for hand in np.flatnonzero(gains).tolist()}


def _tries(hands: Hands, fit: Fit) -> tuple[npt.NDArray[np.intp], Order]:
    """Hands (k,) and orders (k, 29) that may fit better: all exchanges of fingers, and the likeliest of two bones."""
    numbers, orders = [], []
    for hand, (places, sizes) in enumerate(zip(hands.places, hands.sizes, strict=True)):
        numbers += [hand] * len(_FINGERS)
        orders += list(_FINGERS.values())
        costs = loss(fit.off_as(hand, places, sizes))
        own = np.diagonal(costs)
        gain = own[:, None] + own - costs - costs.T
        pairs = [(one, other) for one, other in np.argwhere(gain > _WORTH_A_FIT).tolist() if one < other]
        numbers += [hand] * len(pairs)
        orders += [_order([pair]) for pair in pairs]
    return np.array(numbers, np.intp), np.array(orders, np.intp)


def _cycles(target: dict[int, int]) -> Iterator[list[int]]:
    """Cycles of a permutation without fixed points, sorted within."""
    left = set(target)
    while left:
        cycle = [min(left)]
        while target[cycle[-1]] != cycle[0]:
            cycle.append(target[cycle[-1]])
        left.difference_update(cycle)
        yield sorted(cycle)
