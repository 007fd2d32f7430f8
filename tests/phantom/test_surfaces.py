"""The modelled bones and the projector."""

import numpy as np
import pytest

from handbones.anatomy import BONES
from handbones.phantom.contact import settle, wrist_model
from handbones.phantom.raster import silhouette, thickness
from handbones.phantom.skeleton import skeleton


@pytest.mark.parametrize("label", BONES)
def test_every_bone_is_a_closed_surface_facing_outwards(label: str) -> None:
    bone = skeleton()[label]
    edges = np.concatenate([bone.faces[:, [0, 1]], bone.faces[:, [1, 2]], bone.faces[:, [2, 0]]])
    forward = {tuple(edge) for edge in edges.tolist()}
    assert len(forward) == len(edges), "an edge is used twice in one direction"
    assert all((b, a) in forward for a, b in forward), "an edge has no face at its other side"
    a, b, c = (bone.vertices[bone.faces[:, k]] for k in range(3))
    assert np.einsum("ij,ij->i", a, np.cross(b, c)).sum() > 0


def sphere(radius: float, centre: tuple[float, float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Vertices (n, 3) float32 and faces (m, 3) of a sphere of latitudes and longitudes."""
    rows, columns = 48, 64
    theta = np.linspace(0, np.pi, rows + 1)[1:-1]
    phi = np.arange(columns) * 2 * np.pi / columns
    ring = np.stack(
        [
            np.outer(np.sin(theta), np.cos(phi)),
            np.outer(np.sin(theta), np.sin(phi)),
            np.outer(np.cos(theta), 0 * phi + 1),
        ],
        -1,
    )
    points = np.concatenate([ring.reshape(-1, 3), [[0, 0, 1], [0, 0, -1]]]) * radius + np.array(centre)
    faces = []
    for i in range(rows - 1):
        for j in range(columns):
            k = (j + 1) % columns
            if i < rows - 2:
                a, b, c, d = i * columns + j, i * columns + k, (i + 1) * columns + j, (i + 1) * columns + k
                faces += [(a, c, b), (b, c, d)]
    north, south, last = len(points) - 2, len(points) - 1, (rows - 2) * columns
    faces += [(north, j, (j + 1) % columns) for j in range(columns)]
    faces += [(south, last + (j + 1) % columns, last + j) for j in range(columns)]
    return points.astype(np.float32), np.array(faces, np.int32)


def test_thickness_of_a_sphere_is_its_chord() -> None:
    points, faces = sphere(20.0, (32.3, 31.6, 5.0))
    out = np.zeros((64, 64), np.float32)
    thickness(points, faces, 0, 0, out)
    y, x = np.mgrid[:64, :64]
    chord = 2 * np.sqrt(np.maximum(400 - (x - 32.3) ** 2 - (y - 31.6) ** 2, 0))
    inner = chord > 12
    assert np.abs(np.abs(out[inner]) - chord[inner]).max() < 0.5
    assert np.abs(out[chord == 0]).max() < 1e-3, "front and back must cancel outside"


def test_silhouette_covers_the_pixels_whose_centre_is_inside() -> None:
    points, faces = sphere(20.0, (32.3, 31.6, 5.0))
    out = np.zeros((64, 64), np.uint32)
    sign = 1.0
    silhouette(points, faces, sign, 7, out)
    if not out.any():
        silhouette(points, faces, -sign, 7, out)
    y, x = np.mgrid[:64, :64]
    distance = np.hypot(x - 32.3, y - 31.6)
    assert (out[distance < 19.8] == 1 << 7).all()
    assert (out[distance > 20.05] == 0).all()


def test_a_surface_beyond_the_picture_is_cut() -> None:
    points, faces = sphere(20.0, (2.0, 60.0, 0.0))
    out = np.zeros((64, 64), np.float32)
    thickness(points, faces, 0, 0, out)
    assert np.abs(out[60, 2]) == pytest.approx(40, abs=0.5)


def test_wrist_bones_that_are_pushed_into_each_other_come_apart() -> None:
    bones = skeleton().bones
    at = np.stack([bone.pivot for bone in bones])
    crowded = at.copy()
    lunate, capitate = BONES.index("Lunate"), BONES.index("Capitate")
    crowded[lunate] += 0.4 * (at[capitate] - at[lunate])
    turn = np.repeat(np.eye(3)[None], 29, axis=0)
    rest = settle(np.ones((29, 3)), turn, crowded, np.full(29, 1.0))
    assert np.linalg.norm(rest[lunate] - rest[capitate]) > np.linalg.norm(crowded[lunate] - crowded[capitate]) + 2
    assert len(wrist_model().pairs) > 20
