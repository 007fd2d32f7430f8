"""A phantom before any pixel of it is worked on, as arrays: for a device that works on the pixels of many at once.

Drawn in the same order from the same random numbers as the finished picture, so that a seed means the same phantom.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from handbones.metadata import Metadata
from handbones.phantom.contents import Contents, draw_contents
from handbones.phantom.drawing import Geometry, draw_geometry, draw_rarity, metadata_of
from handbones.phantom.exposure import Exposure, Finish, Soft, draw_exposure, draw_finish
from handbones.phantom.film import enlarge
from handbones.phantom.frame import add_frame
from handbones.phantom.projection import Camera, bone_grids
from handbones.phantom.settings import PhantomSettings

Rng = np.random.Generator
Image = NDArray[np.float32]
Finished = tuple[NDArray[np.uint8], NDArray[np.uint32]]
"""Pixels and packed masks (h, w)."""


class Scene(NamedTuple):
    """One hand. Pixels are those of the (h, w) picture, unless it says fine: those are `supersample` a pixel's side."""

    size: tuple[int, int]
    """Height and width."""
    mirror: float
    """-1 for a left hand, else 1."""
    supersample: int
    outer: Image
    """(n, 3): x, y in pixels and depth in mm of the vertices of `mesh.template`, as are those of `inner`."""
    inner: Image
    bones: Image
    """(29, 18): grid of each bone in fine pixels (9), its matter (3), offsets (4) and strength (2) of its texture."""
    sesamoids: Image
    """(s, 7) as in `Contents`."""
    coarse: Image
    """(2, h', w'): squared half thickness of soft tissue in mm^2 as `tissue_field` has it; its attenuation per mm."""
    things: tuple[NDArray[np.float16] | None, ...]
    """(h, w) each: under, cover and over of `Layers`."""
    exposure: Exposure
    frame: NDArray[np.uint8] | None
    """(3, h, w): what the frame makes of black and of white, and where it hides the hand (1)."""
    finish: Finish


def draw_scene(rng: Rng, settings: PhantomSettings, height: int, width: int) -> tuple[Scene | Finished, Metadata]:
    """A training sample as `draw_sample` draws it, unfinished; what shows no hand or two of them comes finished."""
    rare = draw_rarity(rng, settings, height, width)
    if rare is not None:
        pixels, packed, known = rare
        return (pixels, packed), known
    hand = draw_geometry(rng, settings, height, width)
    inside = draw_contents(rng, hand.body, hand.camera, settings)
    exposure = draw_exposure(rng, settings.matter, settings.film, hand.camera.px_per_mm, height, width)
    frame = _frame(rng, hand, settings, height, width)
    finish = draw_finish(rng, settings.film, height, width)
    return _scene(hand, hand.camera, inside, exposure, frame, finish), metadata_of(hand)


def _scene(
    hand: Geometry,
    camera: Camera,
    inside: Contents,
    exposure: Exposure,
    frame: NDArray[np.uint8] | None,
    finish: Finish,
) -> Scene:
    body, (matters, texture, offsets) = hand.body, inside.bones
    grids = bone_grids(body, camera.finer(camera.supersample)).reshape(29, 9)
    return Scene(
        size=(camera.height, camera.width),
        mirror=camera.mirror,
        supersample=camera.supersample,
        outer=camera.project(body.outer, body.detector_z),
        inner=camera.project(body.inner, body.detector_z),
        bones=np.hstack([grids, matters, offsets, np.tile(texture, (29, 1))]).astype(np.float32),
        sesamoids=inside.sesamoids.astype(np.float32),
        coarse=np.stack([inside.tissue, _density(inside.soft, inside.tissue.shape)]),
        things=tuple(None if plane is None else plane.astype(np.float16) for plane in inside.things.planes),
        exposure=exposure,
        frame=frame,
        finish=finish,
    )


def _density(soft: Soft, shape: tuple[int, ...]) -> Image:
    """Attenuation of soft tissue per mm on the grid of `tissue_field`, which has a cell of margin all around."""
    field = np.pad(enlarge(soft.bumps, shape[0] - 2, shape[1] - 2), 1, mode="edge")
    return np.asarray(np.maximum(1.0 + soft.mottle * field, 0.2) * soft.per_mm, np.float32)


def _frame(rng: Rng, hand: Geometry, settings: PhantomSettings, height: int, width: int) -> NDArray[np.uint8] | None:
    """A frame keeps a share of each pixel and adds to it: what it makes of black and of white tells both."""
    planes = np.zeros((2, height, width), np.float32)
    planes[1] = 1.0
    hidden = add_frame(rng, planes, settings.frame, hand.side, hand.bars)
    if not planes[0].any() and planes[1].min() == 1.0:
        return None
    out = np.empty((3, height, width), np.uint8)
    np.rint(255.0 * planes, out=out[:2], casting="unsafe")
    out[2] = hidden
    return out
