"""What the beam meets in a hand beside its geometry, before any pixel: matter, sesamoids, soft tissue, things."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from handbones.anatomy import BONES, INDEX
from handbones.phantom.exposure import Soft, draw_soft
from handbones.phantom.projection import Body, BoneMatter, Camera, draw_bone_matter
from handbones.phantom.settings import PhantomSettings
from handbones.phantom.skeleton import skeleton
from handbones.phantom.things import Layers, draw_things
from handbones.phantom.tissue import tissue_field

Floats = NDArray[np.float64]
Rng = np.random.Generator


class Contents(NamedTuple):
    bones: BoneMatter
    sesamoids: Floats
    """(n, 7): centre x, y and half axes in pixels, thickness in mm, attenuation per mm, mask that it may belong to."""
    tissue: NDArray[np.float32]
    """As `tissue_field` gives it."""
    soft: Soft
    things: Layers


def draw_contents(rng: Rng, body: Body, camera: Camera, settings: PhantomSettings) -> Contents:
    bones = draw_bone_matter(rng, body.person, settings.matter)
    sesamoids = _sesamoids(rng, body, camera, settings)
    tissue = tissue_field(rng, body, camera)
    soft = draw_soft(rng, settings.matter)
    return Contents(bones, sesamoids, tissue, soft, draw_things(rng, tissue, body, camera, settings.things))


def _sesamoids(rng: Rng, body: Body, camera: Camera, settings: PhantomSettings) -> Floats:
    """Ellipsoids beside the joints; those at the thumb belong to finger-3 where they touch it, if so chosen."""
    labelled = rng.random() < settings.sesamoid_in_metacarpal
    density = rng.uniform(*settings.matter.spongiosa_per_mm) * rng.uniform(1.1, 1.8)
    rows = []
    for sesamoid in body.person.sesamoids:
        b = INDEX[sesamoid.bone]
        centre = body.placement.at[b] + body.placement.axes[b] @ (_head(b, body) + sesamoid.at)
        x, y, _ = camera.project(centre[None], body.detector_z)[0]
        radii = sesamoid.radii * camera.px_per_mm
        label = 1 << b if labelled and sesamoid.bone == "finger-3" else 0
        rows.append((x, y, radii[0], radii[1], 2.0 * sesamoid.radii[2], density, label))
    return np.array(rows).reshape(-1, 7)


def _head(b: int, body: Body) -> NDArray[np.float64]:
    """The centre of a bone's distal joint in its own frame, mm."""
    for joint in skeleton().joints:
        if joint.parent == BONES[b]:
            return np.asarray(joint.in_parent * body.person.scale[b])
    raise AssertionError(f"{BONES[b]} has no distal joint")
