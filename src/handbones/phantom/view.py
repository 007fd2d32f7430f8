"""Where the hand lies in the picture: the camera of one radiograph."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from handbones.anatomy import INDEX
from handbones.phantom.frame import Bars
from handbones.phantom.mesh import template
from handbones.phantom.projection import Body, Camera
from handbones.phantom.settings import View

Floats = NDArray[np.float64]
Rng = np.random.Generator

DETECTOR_PX = 2048
_CARPALS = INDEX["Trapezium"], INDEX["Pisiform"] + 1
SHOWN_FOREARM_MM = 150.0
"""No picture shows more of the modelled forearm than this."""


def draw_camera(rng: Rng, body: Body, tilt: float, view: View, bars: Bars, height: int, width: int) -> Camera:
    """A camera for a (height, width) picture of this hand between bars; `tilt` of its wrist in degrees."""
    full_height, full_width = height, width
    rows, columns = bars.inside(height, width)
    height, width = rows.stop - rows.start, columns.stop - columns.start
    hand = _hand_points(body)
    wrist = body.placement.at[INDEX["Lunate"], :2]
    middle = (hand.max(0) + hand.min(0)) / 2.0
    beam = middle + rng.normal(0.0, view.beam_offset_mm, 2)
    source = float(rng.uniform(*view.source_mm))
    if view.mode == "detector":
        matrix = _on_detector(rng, hand, wrist, tilt, view, height, width)
    else:
        matrix = _framed(rng, hand, wrist, view, height, width)
    if rng.random() < view.zoomed:
        matrix = _zoom(rng, matrix, body, view, height, width)
    camera = Camera(source, (float(beam[0]), float(beam[1])), matrix, height, width)
    if rng.random() < view.left:
        camera = camera.mirrored()  # between the bars, which stay where they are
    shifted = camera.matrix + np.array([[0.0, 0.0, columns.start], [0.0, 0.0, rows.start]])
    return replace(camera, matrix=shifted, height=full_height, width=full_width)


def _hand_points(body: Body) -> Floats:
    """Every tenth vertex of the hand without the forearm, mm in the plane."""
    stop = template().start[INDEX["Radius"]]
    return body.outer[:stop:10, :2]


def _turn(degrees: float, scale: float) -> Floats:
    c, s = np.cos(np.radians(degrees)) * scale, np.sin(np.radians(degrees)) * scale
    return np.array([[c, -s], [s, c]])


def _on_detector(rng: Rng, hand: Floats, wrist: Floats, tilt: float, view: View, height: int, width: int) -> Floats:
    """A detector of fixed scale; the technician centres the hand and moves it until all of it is on."""
    scale = rng.uniform(*view.px_per_mm) * min(height, width) / DETECTOR_PX
    turn = _turn(rng.normal(0.0, view.rotation_deg), scale)
    shift_x, shift_y = (tilt / 43.0 * s for s in view.tilt_shift)
    target = np.array([(rng.normal(*view.wrist_x) + shift_x) * width, (rng.normal(*view.wrist_y) + shift_y) * height])
    shift = target - turn @ wrist
    placed = hand @ turn.T + shift
    edge = 0.02 * width
    low, high = placed.min(0), placed.max(0)
    shift[0] += max(0.0, edge - low[0]) - max(0.0, high[0] - (width - edge))
    shift[1] += max(0.0, edge - low[1])
    return np.column_stack([turn, shift])


def _framed(rng: Rng, hand: Floats, wrist: Floats, view: View, height: int, width: int) -> Floats:
    """A box around the hand and some forearm, with room, turned, fitted into the picture."""
    forearm = rng.uniform(*view.forearm_mm)
    shown = np.concatenate([hand, wrist + np.array([[-25.0, forearm], [25.0, forearm]])])
    degrees = rng.uniform(-180.0, 180.0) if rng.random() < view.rotation_any else rng.normal(0.0, view.rotation_deg)
    placed = shown @ _turn(degrees, 1.0).T
    low, high = placed.min(0), placed.max(0)
    room = rng.uniform(*view.margin, (2, 2)) * 0.5 * (high - low).max()
    low, high = low - room[0], high + room[1]
    size = high - low
    scale = min(width / size[0], height / size[1])
    spare = np.array([width, height]) / scale - size
    low = low - spare * rng.uniform(0.0, 1.0, 2)
    # Never show where the modelled forearm ends.
    if abs(degrees) < 60.0:
        excess = low[1] + height / scale - ((_turn(degrees, 1.0) @ wrist)[1] + SHOWN_FOREARM_MM)
        low[1] -= max(0.0, excess)
    return np.column_stack([_turn(degrees, scale), -low * scale])


def _zoom(rng: Rng, matrix: Floats, body: Body, view: View, height: int, width: int) -> Floats:
    """A part of the picture around one bone, enlarged to all of it."""
    bone = int(rng.integers(*_CARPALS)) if rng.random() < view.zoom_carpal else int(rng.integers(0, 29))
    part = rng.uniform(*view.zoom)
    size = np.array([width, height])
    centre = matrix[:, :2] @ body.placement.at[bone, :2] + matrix[:, 2] + rng.normal(0.0, 0.25 * part, 2) * size
    corner = np.clip(centre - 0.5 * part * size, 0.0, (1.0 - part) * size)
    zoomed = matrix.copy()
    zoomed[:, 2] -= corner
    return zoomed / part
