"""Random warps of a training sample, and which part of the warped picture is shown."""

import numpy as np
import numpy.typing as npt

from handbones.affine import Matrix, resizing, shift
from handbones.anatomy import ANATOMY
from handbones.learning.warp import Bend, Gray, Warp
from handbones.learning.wrist import Hinge, Turn
from handbones.raster import Outlines, Packed
from handbones.recipe.samples import AugmentSettings, PatchSettings

_CELLS = 5
"""Cells of a bend along a side: coarse enough to bend bones instead of crumpling them."""


def draw_warp(
    rng: np.random.Generator,
    height: float,
    width: float,
    size: int,
    settings: AugmentSettings,
    *,
    hinge: Hinge | None = None,
    onto: Matrix | None = None,
) -> Warp:
    """A random warp of a picture (height, width) onto a canvas of size x size.

    `hinge` is the wrist of the hand in it; without one, the hand is not turned against the forearm. `onto` maps the
    pixels that there are onto that picture, if it is a part of them. Without augmentation the picture's longest side
    fills the canvas and the rest of it, at the right or the bottom, stays black, exactly as at prediction.
    """
    longest = max(height, width)
    matrix = resizing(longest, longest, size, size)
    if onto is not None:
        matrix = matrix @ onto
    turn = _turn(rng, settings, hinge) if settings.wrist else None
    if turn is not None and hinge is not None:
        matrix = matrix @ shift(*hinge.back_to_middle(turn))
    if rng.random() < settings.zoom:
        matrix = _zoom(rng, height, width, size, settings.zoom_window) @ matrix
    centre = size * np.array([width, height]) / (2 * longest) - 0.5
    matrix = shift(*centre) @ _shape(rng, settings) @ shift(*-centre) @ matrix
    matrix = shift(*(rng.uniform(-1, 1, 2) * settings.translate * size)) @ matrix
    if settings.perspective:
        tilt = np.eye(3)
        tilt[2, :2] = rng.uniform(-1, 1, 2) * settings.perspective / size
        matrix = shift(*centre) @ tilt @ shift(*-centre) @ matrix
    bend = Bend.draw(rng, settings.elastic * size, _CELLS, size) if settings.elastic else None
    return Warp(matrix, size, size, bend, turn=turn)


def draw_patch(rng: np.random.Generator, warp: Warp, outlines: Outlines, settings: PatchSettings) -> Warp:
    """The same map for a patch of its canvas; `outlines` are those of the picture."""
    assert settings.size is not None
    middle = None
    if rng.random() < settings.centred:
        wanted = np.flatnonzero(np.isin(outlines.bones, _numbers(settings)))
        if len(wanted):
            which = int(rng.choice(wanted))
            start = int(outlines.sizes[:which].sum())
            polygon = warp.points(outlines.points[start : start + outlines.sizes[which]])
            middle = (polygon.min(axis=0) + polygon.max(axis=0)) / 2
    left, top = _corner(rng, middle, (warp.height, warp.width), settings.size)
    return warp.window(left, top, settings.size, settings.size)


def cut_patch(rng: np.random.Generator, picture: Gray, masks: Packed, settings: PatchSettings) -> tuple[Gray, Packed]:
    """A patch of a picture that is drawn already."""
    assert settings.size is not None
    middle = None
    if rng.random() < settings.centred:
        bit = np.uint32(1 << int(rng.choice(_numbers(settings))))
        rows, columns = np.nonzero(masks & bit)
        if len(rows):
            middle = np.array([columns.mean(), rows.mean()])
    left, top = _corner(rng, middle, picture.shape, settings.size)
    part = slice(top, top + settings.size), slice(left, left + settings.size)
    return picture[part], masks[part]


def _numbers(settings: PatchSettings) -> list[int]:
    return [bone.index for bone in ANATOMY if bone.label in settings.bones or bone.group in settings.bones]


def _corner(
    rng: np.random.Generator, middle: npt.NDArray[np.float64] | None, shape: tuple[int, ...], size: int
) -> tuple[int, int]:
    """Left and top of a window in the canvas: anywhere, or around a middle (x, y), give or take a quarter."""
    room = np.array([shape[1] - size, shape[0] - size])
    corner = rng.random(2) * (room + 1) if middle is None else middle + (rng.uniform(-0.25, 0.25, 2) - 0.5) * size
    left, top = np.clip(np.floor(corner), 0, room).astype(int).tolist()
    return left, top


def _turn(rng: np.random.Generator, settings: AugmentSettings, hinge: Hinge | None) -> Turn | None:
    """The hand turned about the wrist, if it is its turn."""
    chosen, tilt = rng.random() < settings.wrist, rng.uniform(*settings.wrist_tilt)
    return hinge.bend_to(tilt, settings.wrist_turn) if chosen and hinge is not None else None


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


def _zoom(rng: np.random.Generator, height: float, width: float, size: int, window: tuple[float, float]) -> Matrix:
    """Magnify a random square window of the canvas that lies in the picture, as far as it can."""
    side = rng.uniform(*window)
    reach = np.maximum(np.array([width, height]) / max(height, width) - side, 0)
    corner = rng.random(2) * reach * size - 0.5
    return shift(-0.5, -0.5) @ np.diag([1 / side, 1 / side, 1]) @ shift(*-corner)
