"""Distances to outlines and centre lines of masks, on the device and for all bones at once."""

import torch
from torch import Tensor
from torch.nn import functional

REACH = 15
"""Largest distance in cells: four binary digits."""


@torch.no_grad()
def signed_distance(inside: Tensor) -> Tensor:
    """Distance of each cell's centre from the outline, in cells: positive outside, negative inside, 14.5 at most.

    (N, up to 31, h, w) bool to float32. All masks of a picture are packed into one word a cell, and the words are
    eroded step by step, to the 4 and to the 8 nearest in turn: distances by octagons, at most a ninth away from
    Euclid's. Where a mask meets the picture's border there is no outline.
    """
    bits = torch.arange(inside.shape[1], device=inside.device, dtype=torch.int32)
    words = (inside.permute(0, 2, 3, 1) << bits).sum(-1, dtype=torch.int32)
    # A cell is within a mask or without, so the digits of both counts share their place.
    digits = [one | other for one, other in zip(_outlasts(words), _outlasts(~words), strict=True)]
    distance = sum((_unpack(digit, inside.shape[1]) << place for place, digit in enumerate(digits)))
    assert isinstance(distance, Tensor)
    return (distance - 0.5) * (1.0 - 2.0 * inside)


def _outlasts(words: Tensor) -> list[Tensor]:
    """How many erosions each bit outlasts, beginning with none: the binary digits of all counts at once, as words."""
    digits = [torch.zeros_like(words) for _ in range(REACH.bit_length())]
    for step in range(REACH):
        carry = words
        for place, digit in enumerate(digits):
            digits[place], carry = digit ^ carry, digit & carry
        words = _and(_and(words, 1), 2) if step % 2 else _and(words, 1) & _and(words, 2)
    return digits


def _and(words: Tensor, axis: int) -> Tensor:
    """Each word and its two neighbours along an axis; a border has none beyond."""
    size = words.shape[axis]
    result = words.clone()
    result.narrow(axis, 1, size - 1).bitwise_and_(words.narrow(axis, 0, size - 1))
    result.narrow(axis, 0, size - 1).bitwise_and_(words.narrow(axis, 1, size - 1))
    return result


def _unpack(words: Tensor, count: int) -> Tensor:
    """(N, h, w) int32 to its lowest bits (N, count, h, w) uint8."""
    octets = words.view(torch.uint8).view(*words.shape, 4, 1)
    bits = (octets >> torch.arange(8, dtype=torch.uint8, device=words.device)) & 1
    return bits.flatten(3)[..., :count].permute(0, 3, 1, 2)


def skeleton(shares: Tensor, steps: int) -> Tensor:
    """Soft centre lines of (N, C, h, w) shares 0 to 1; gradients pass.

    What opening takes away at each of `steps` erosions, by algorithm 1 of Shit et al., clDice: a novel
    topology-preserving loss function (2021); and what is left of masks more than 2 * `steps` cells wide.
    """
    lines = torch.zeros_like(shares)
    for _ in range(steps):
        eroded = _erode(shares)
        found = functional.relu(shares - functional.max_pool2d(eroded, 3, 1, 1))
        lines = lines + functional.relu(found - lines * found)
        shares = eroded
    return lines + functional.relu(shares - lines * shares)


def _erode(shares: Tensor) -> Tensor:
    across = functional.max_pool2d(-shares, (3, 1), 1, (1, 0))
    along = functional.max_pool2d(-shares, (1, 3), 1, (0, 1))
    return -torch.maximum(across, along)
