"""Random polygons and hands made of them, for tests."""

import numpy as np
import numpy.typing as npt

from handbones.anatomy import BONES
from handbones.labels import Labels

Points = npt.NDArray[np.float64]


def star(rng: np.random.Generator, centre: tuple[float, float], radius: float, corners: int = 24) -> Points:
    """A simple polygon of smooth random outline around a centre (x, y)."""
    angles = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    waves = sum(rng.normal(0, 0.25 / k) * np.cos(k * angles + rng.uniform(0, 7)) for k in (1, 2, 3))
    reach = radius * np.clip(1 + waves, 0.4, 1.6)
    return np.stack([centre[0] + reach * np.cos(angles), centre[1] + reach * np.sin(angles)], axis=1)


def random_labels(seed: int, height: int, width: int) -> Labels:
    """All 29 bones as whole-number stars, overlapping each other, inside the picture."""
    rng = np.random.default_rng(seed)
    radius = min(height, width) / 12
    polygons = {}
    for label in BONES:
        centre = rng.uniform(1.7 * radius, width - 1.7 * radius), rng.uniform(1.7 * radius, height - 1.7 * radius)
        polygons[label] = [np.rint(star(rng, centre, radius))]
    return Labels(polygons)
