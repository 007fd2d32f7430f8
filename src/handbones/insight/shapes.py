"""Sizes and shapes of the bones of one radiograph, from their outlines alone.

Outlines are those of the masks (`grow`), so an area is the number of pixels that the bone's mask has. Where there
are several polygons, or one meets itself, the mask itself is measured.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from handbones.anatomy import BONES
from handbones.labels import Labels
from handbones.raster import Points, fill, grow, outlines, resample, signed_area

Floats = npt.NDArray[np.float64]
Moments = tuple[float, Floats, Floats]
"""Area, centre and central second moments (2, 2), these not divided by the area."""

STATIONS = np.linspace(0.1, 0.9, 9)
"""Where the width is taken along the axis: shares of the length, from the end that is higher in the picture."""
_HARMONICS = 20
_SAMPLES = 256
_FAR = 1.5
"""Polygons whose middles are so many times as far apart as one is long are not pieces of one bone."""
SEVERAL = 3
"""So many bones in two places are no slip of the pen, but two hands."""


@dataclass(frozen=True)
class Shapes:
    """A row for each bone in the official order; NaN (counts: 0) for one that is not there. Unit: pixels."""

    area: Floats
    """(29,) pixels inside."""
    centre: Floats
    """(29, 2) x and y of the centre of the area."""
    axis: Floats
    """(29, 2) unit vector along the greatest extent of the area, upwards in the picture."""
    length: Floats
    """(29,) extent along the axis."""
    width: Floats
    """(29,) extent across it."""
    profile: Floats
    """(29, 9) extent across it at `STATIONS`."""
    top: Floats
    """(29, 2) where the axis leaves the bone's upper end."""
    bottom: Floats
    """(29, 2) where it leaves the lower end."""
    parts: Floats
    """(29,) polygons."""
    spare: Floats
    """(29,) area of all polygons but the largest, as a share of the largest."""
    corners: Floats
    """(29,) points of the polygons."""
    loop: Floats
    """(29,) length of the largest loop that an outline ties off by crossing itself, as a share of the outline."""
    roughness: Floats
    """(29,) distance (root mean square) of the outline from its 20 lowest harmonics, as a share of its size."""

    @property
    def degrees(self) -> Floats:
        """(29,) angle of the axis from upright, -90 to 90, positive where it leans to the right."""
        return np.degrees(np.arctan2(self.axis[:, 0], -self.axis[:, 1]))


def shapes_of(labels: Labels, tall: float = 1.0) -> Shapes:
    """Measure every bone of a radiograph whose pixels are `tall` times as high as wide; the unit is their width.

    What is counted, and what tells of the drawing (`spare`, `loop`, `roughness`), is that of the pixels as they are.
    """
    stretch = np.array([1.0, tall])
    count = len(BONES)
    table = {
        name: np.full((count, *shape), np.nan)
        for name, shape in {"area": (), "centre": (2,), "axis": (2,), "length": (), "width": ()}.items()
    }
    table |= {"profile": np.full((count, len(STATIONS)), np.nan)}
    table |= {name: np.full((count, 2), np.nan) for name in ("top", "bottom")}
    table |= {name: np.zeros(count) for name in ("parts", "spare", "corners")}
    table |= {name: np.full(count, np.nan) for name in ("loop", "roughness")}
    for bone, label in enumerate(BONES):
        drawn = labels.polygons.get(label, [])
        if not drawn:
            continue
        sizes = np.array([abs(signed_area(polygon)) for polygon in drawn])
        largest = drawn[int(sizes.argmax())]
        table["parts"][bone] = len(drawn)
        table["spare"][bone] = (sizes.sum() - sizes.max()) / max(sizes.max(), 1e-9)
        table["corners"][bone] = sum(len(polygon) for polygon in drawn)
        table["loop"][bone], meets = _loop(largest)
        table["roughness"][bone] = _roughness(largest)
        for name, value in _measure(drawn, stretch, simple=len(drawn) == 1 and not meets).items():
            table[name][bone] = value
    return Shapes(**table)


def in_two_places(labels: Labels) -> list[str]:
    """Bones with a second polygon of at least half the size of the first that lies far from it, as of another hand.

    Those of one bone in pieces lie end to end.
    """
    bones = []
    for label, drawn in labels.polygons.items():
        sizes = [abs(signed_area(polygon)) for polygon in drawn]
        second, first = ([0, *np.argsort(sizes)])[-2:]
        middles = [(drawn[which].min(axis=0) + drawn[which].max(axis=0)) / 2 for which in (first, second)]
        apart = np.hypot(*(middles[0] - middles[1]))
        if 2 * sizes[second] > sizes[first] and apart > _FAR * np.hypot(*np.ptp(drawn[first], axis=0)):
            bones.append(label)
    return bones


def _of_mask(polygons: Sequence[Points]) -> tuple[list[Points], list[Moments]]:
    """The outer outlines of the mask of a bone's polygons, and the moments of its pixels, without holes."""
    rounded = [np.rint(polygon) for polygon in polygons]
    points = np.concatenate(rounded)
    low = points.min(axis=0)
    width, height = (points.max(axis=0) - low + 1).astype(int).tolist()
    mask = fill([[polygon - low for polygon in rounded]], height, width)
    pixels = np.argwhere(mask)[:, ::-1] + low
    centre = pixels.mean(axis=0)
    apart = pixels - centre
    spread = apart.T @ apart + len(pixels) / 12 * np.eye(2)  # a pixel is a square, not a point
    return [grow(polygon) + low for polygon in outlines(mask)], [(float(len(pixels)), centre, spread)]


def _measure(polygons: Sequence[Points], stretch: Floats, *, simple: bool) -> dict[str, Floats | float]:
    """Measure the bone of some polygons; `simple` is one that does not meet itself, and needs no mask."""
    outer = np.outer(stretch, stretch) * stretch.prod()
    if simple:
        outline = [grow(polygon) for polygon in polygons]
        moments = [_moments(polygon) for polygon in outline]
    else:
        outline, moments = _of_mask(polygons)
    outline = [polygon * stretch for polygon in outline]  # only now, as masks are of pixels as they are
    moments = [(area * stretch.prod(), centre * stretch, spread * outer) for area, centre, spread in moments]
    area = sum(m[0] for m in moments)
    centre = sum(m[0] * m[1] for m in moments) / area
    spread = sum(m[2] + m[0] * np.outer(m[1] - centre, m[1] - centre) for m in moments) / area
    axis = np.linalg.eigh(spread)[1][:, 1]
    axis = -axis if axis[1] > 0 else axis
    across = np.array([-axis[1], axis[0]])
    along = [np.stack([(p - centre) @ axis, (p - centre) @ across], axis=1) for p in outline]
    points = np.concatenate(along)
    (low, left), (high, right) = points.min(axis=0), points.max(axis=0)
    stations = high - STATIONS * (high - low)
    ends = _ends_on_axis(along, low, high)
    return {
        "area": float(area),
        "centre": centre,
        "axis": axis,
        "length": float(high - low),
        "width": float(right - left),
        "profile": np.array([_extent_at(along, station) for station in stations]),
        "top": centre + ends[1] * axis,
        "bottom": centre + ends[0] * axis,
    }


def _moments(polygon: Points) -> Moments:
    """Those of the inside of a polygon, whichever way round it goes."""
    middle = polygon.mean(axis=0)
    x, y = (polygon - middle).T
    x1, y1 = np.roll(x, -1), np.roll(y, -1)
    cross = x * y1 - x1 * y
    area = cross.sum() / 2
    if abs(area) < 1e-9:
        return 1e-9, middle, np.eye(2) * 1e-9
    centre = np.array([((x + x1) * cross).sum(), ((y + y1) * cross).sum()]) / (6 * area)
    xx = ((x * x + x * x1 + x1 * x1) * cross).sum() / 12 - area * centre[0] ** 2
    yy = ((y * y + y * y1 + y1 * y1) * cross).sum() / 12 - area * centre[1] ** 2
    xy = ((x * y1 + 2 * x * y + 2 * x1 * y1 + x1 * y) * cross).sum() / 24 - area * centre[0] * centre[1]
    sign = np.sign(area)
    return abs(float(area)), middle + centre, sign * np.array([[xx, xy], [xy, yy]])


def _extent_at(along: list[Points], station: float) -> float:
    """Width of the bone, in its own frame (along, across), where its axis has reached `station`."""
    hits = np.concatenate([_crossings(polygon, station) for polygon in along])
    return float(np.ptp(hits)) if hits.size else 0.0


def _crossings(polygon: Points, station: float) -> Floats:
    along, across = polygon.T
    along1, across1 = np.roll(along, -1), np.roll(across, -1)
    hit = (along <= station) != (along1 <= station)
    share = (station - along[hit]) / (along1[hit] - along[hit])
    crossings: Floats = across[hit] + share * (across1[hit] - across[hit])
    return crossings


def _ends_on_axis(along: list[Points], low: float, high: float) -> tuple[float, float]:
    """Where the axis itself enters and leaves the bone; the extremes if it never does."""
    hits = np.concatenate([_crossings(polygon[:, ::-1], 0.0) for polygon in along])
    return (float(hits.min()), float(hits.max())) if hits.size else (low, high)


def _loop(polygon: Points) -> tuple[float, bool]:
    """The largest loop that an outline ties off where it crosses itself, as a share of its length, and if it meets it.

    Of the two loops at a crossing the smaller one counts, so the share lies between 0 (no crossing) and 0.5. An outline
    meets itself where it crosses, touches or goes over an edge again.
    """
    polygon = polygon[np.any(polygon != np.roll(polygon, 1, axis=0), axis=1)]
    count = len(polygon)
    if count < 4:
        return 0.0, False
    step = np.roll(polygon, -1, axis=0) - polygon
    first, second, cross = _meeting_edges(polygon, step)
    if not cross.any():
        return 0.0, bool(first.size)
    travelled = np.concatenate([[0.0], np.hypot(*step.T).cumsum()])
    between = travelled[second[cross]] - travelled[first[cross] + 1]
    total = travelled[-1]
    return float(np.minimum(between, total - between).max() / total), True


def _meeting_edges(
    polygon: Points, step: Points
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], npt.NDArray[np.bool_]]:
    """Pairs of edges that meet and do not follow each other, the earlier first; and which of them properly cross."""
    other = polygon + step
    first, second = np.triu_indices(len(polygon), 2)
    # Only edges whose boxes meet can cross; few do.
    low, high = np.minimum(polygon, other), np.maximum(polygon, other)
    near = np.all((low[first] <= high[second]) & (low[second] <= high[first]), axis=1)
    near[len(polygon) - 3] = False  # the first edge and the last
    first, second = first[near], second[near]

    def side(start: Points, direction: Points, point: Points) -> Floats:
        to = point - start
        turn: Floats = direction[:, 0] * to[:, 1] - direction[:, 1] * to[:, 0]
        return turn

    a = side(polygon[first], step[first], polygon[second]) * side(polygon[first], step[first], other[second])
    b = side(polygon[second], step[second], polygon[first]) * side(polygon[second], step[second], other[first])
    meet = (a <= 0) & (b <= 0)
    return first[meet], second[meet], (a[meet] < 0) & (b[meet] < 0)


def _roughness(polygon: Points) -> float:
    points = resample(polygon, _SAMPLES) @ np.array([1.0, 1.0j])
    harmonics = np.fft.fft(points) / _SAMPLES
    fine = np.abs(np.fft.fftfreq(_SAMPLES, 1 / _SAMPLES)) > _HARMONICS
    size = np.sqrt(max(cv2.contourArea(polygon.astype(np.float32)), 1.0))
    return float(np.sqrt((np.abs(harmonics[fine]) ** 2).sum()) / size)
