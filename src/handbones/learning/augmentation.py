"""Random changes of a training sample: one warp for pixels and polygons, then changes of the gray values.

The pixels of the original are resampled once, straight to the network's size; polygons go through the same map and
become masks only afterwards, so an augmented mask is as sharp as any.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from handbones.labels import Points
from handbones.recipe import AugmentSettings

Gray = npt.NDArray[np.uint8]
"""(height, width) uint8."""
Matrix = npt.NDArray[np.float64]
"""(3, 3), moves homogeneous points (x, y, 1)."""


@dataclass(frozen=True)
class Warp:
    """A map from the pixels of a picture to those of a canvas, affine."""

    matrix: Matrix
    height: int
    """Rows of the canvas."""
    width: int
    """Columns of the canvas."""

    def points(self, points: Points) -> Points:
        """Points (n, 2) of the picture, on the canvas."""
        moved: Points = points @ self.matrix[:2, :2].T + self.matrix[:2, 2]
        return moved

    def pixels(self, picture: Gray) -> Gray:
        """The canvas (height, width), black where the picture does not reach."""
        matrix = self.matrix
        magnification = float(np.sqrt(abs(np.linalg.det(matrix[:2, :2]))))
        if magnification < 1:
            # Average over areas first, or fine structure would turn into false patterns.
            height, width = (max(1, round(side * magnification)) for side in picture.shape)
            matrix = matrix @ np.linalg.inv(resizing(picture.shape[1], picture.shape[0], width, height))
            picture = np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
        if picture.shape == (self.height, self.width) and np.allclose(matrix, np.eye(3), atol=1e-6):
            return picture
        canvas = cv2.warpAffine(picture, matrix[:2], (self.width, self.height), flags=cv2.INTER_LINEAR)
        return np.asarray(canvas, np.uint8)


def draw_warp(rng: np.random.Generator, height: int, width: int, size: int, settings: AugmentSettings) -> Warp:
    """A random warp of a picture (height, width) onto a canvas of size x size.

    Without augmentation the picture's longest side fills the canvas and the rest of it, at the right or the bottom,
    stays black, exactly as at prediction.
    """
    longest = max(height, width)
    matrix = resizing(longest, longest, size, size)
    if rng.random() < settings.zoom:
        matrix = _zoom(rng, height, width, size, settings.zoom_window) @ matrix
    centre = size * np.array([width, height]) / (2 * longest) - 0.5
    matrix = _shift(centre) @ _shape(rng, settings) @ _shift(-centre) @ matrix
    matrix = _shift(rng.uniform(-1, 1, 2) * settings.translate * size) @ matrix
    return Warp(matrix, size, size)


def resizing(from_width: int, from_height: int, to_width: int, to_height: int) -> Matrix:
    """The map of a resize: borders onto borders, with pixel centres at integers."""
    x, y = to_width / from_width, to_height / from_height
    return np.array([[x, 0, 0.5 * x - 0.5], [0, y, 0.5 * y - 0.5], [0, 0, 1]])


def change_gray(rng: np.random.Generator, picture: Gray, settings: AugmentSettings) -> Gray:
    """Blur, brightness, contrast, gamma, inversion and noise, drawn at random, in this order."""
    sigma = rng.uniform(0, settings.blur) if settings.blur else 0.0
    if sigma > 0.3:  # less than that moves no gray value
        picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), sigma), np.uint8)
    picture = _tones(rng, settings)[picture]
    if settings.noise:
        noise = rng.standard_normal(picture.shape, np.float32) * np.float32(rng.uniform(0, 255 * settings.noise))
        picture = np.asarray(cv2.add(picture, noise, dtype=cv2.CV_8U), np.uint8)
    return picture


def _shift(by: npt.NDArray[np.float64]) -> Matrix:
    matrix = np.eye(3)
    matrix[:2, 2] = by
    return matrix


def _shape(rng: np.random.Generator, settings: AugmentSettings) -> Matrix:
    """Flip, magnification, shear and rotation about the origin."""
    low, high = settings.scale
    mirror = -1.0 if rng.random() < settings.flip else 1.0
    factor = np.exp(rng.uniform(np.log(low), np.log(high)))
    shear = np.tan(np.radians(rng.uniform(-1, 1) * settings.shear))
    angle = np.radians(rng.uniform(-1, 1) * settings.rotate)
    cosine, sine = np.cos(angle), np.sin(angle)
    rotation = np.array([[cosine, -sine], [sine, cosine]])
    matrix = np.eye(3)
    matrix[:2, :2] = rotation @ np.array([[1, shear], [0, 1]]) @ np.diag([mirror * factor, factor])
    return matrix


def _zoom(rng: np.random.Generator, height: int, width: int, size: int, window: tuple[float, float]) -> Matrix:
    """Magnify a random square window of the canvas that lies in the picture, as far as it can."""
    side = rng.uniform(*window)
    reach = np.maximum(np.array([width, height]) / max(height, width) - side, 0)
    corner = rng.random(2) * reach * size - 0.5
    return _shift(np.array([-0.5, -0.5])) @ np.diag([1 / side, 1 / side, 1]) @ _shift(-corner)


def _tones(rng: np.random.Generator, settings: AugmentSettings) -> Gray:
    """What becomes of the 256 gray values."""
    gray = np.linspace(0, 1, 256)
    gray = gray ** np.exp2(rng.uniform(-1, 1) * settings.gamma)
    gray = (gray - 0.5) * (1 + rng.uniform(-1, 1) * settings.contrast) + 0.5
    gray = gray + rng.uniform(-1, 1) * settings.brightness
    if rng.random() < settings.invert:
        gray = 1 - gray
    tones: Gray = np.rint(255 * np.clip(gray, 0, 1)).astype(np.uint8)
    return tones
