"""Trabeculae: two periodic textures that the spongy bone of all phantoms is cut from."""

from functools import cache

import numpy as np
from numpy.typing import NDArray

TILE = 512
"""Side of a texture in cells."""
TILE_MM = 0.2
"""Size of a cell."""


@cache
def tiles() -> NDArray[np.float32]:
    """Both, (2, TILE, TILE), zero mean, unit variance: streaks along axis 1, and a mesh of no direction.

    Band-passed white noise around the spacing of trabeculae (0.5 to 1.5 mm).
    """
    rng = np.random.default_rng(7)
    fy, fx = np.meshgrid(np.fft.fftfreq(TILE, TILE_MM), np.fft.fftfreq(TILE, TILE_MM), indexing="ij")
    textures = []
    for stretch in (3.5, 1.0):
        f = np.hypot(fy, fx * stretch)
        band = np.exp(-((np.log(f + 1e-9) - np.log(0.8)) ** 2) / (2 * 0.55**2))
        noise = np.fft.ifft2(np.fft.fft2(rng.normal(size=(TILE, TILE))) * band).real
        # Ridges rather than blobs: trabeculae are thin and bright on a darker ground.
        ridged = np.exp(0.5 * noise / noise.std())
        textures.append((ridged - ridged.mean()) / ridged.std())
    return np.stack(textures).astype(np.float32)
