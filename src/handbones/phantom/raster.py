"""The projector's inner loops, compiled with numba: triangles to thickness and to masks.

Scanlines with half-open spans, and every edge evaluated from its upper vertex: two triangles that share an edge share
its pixels exactly, so that signed depths of a closed surface add up to its thickness without seams.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float32]


@njit(cache=True, nogil=True, fastmath=False)
def _span(y, ax, ay, bx, by):  # type: ignore[no-untyped-def]
    return ax + (y - ay) * (bx - ax) / (by - ay)


@njit(cache=True, nogil=True)
def thickness(points: Floats, faces: NDArray[np.int32], out: Floats) -> None:
    """Add the thickness of a closed surface along z to `out`.

    points: (n, 3) float32, x and y in pixels of `out`, z in the unit of the thickness; faces: (m, 3) counter-clockwise
    from outside seen against z; out: (h, w) float32.
    """
    height, width = out.shape
    for t in range(faces.shape[0]):
        i, j, k = faces[t, 0], faces[t, 1], faces[t, 2]
        x0, y0, z0 = points[i, 0], points[i, 1], points[i, 2]
        x1, y1, z1 = points[j, 0], points[j, 1], points[j, 2]
        x2, y2, z2 = points[k, 0], points[k, 1], points[k, 2]
        area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
        if area == 0.0:
            continue
        sign = np.float32(1.0) if area > 0.0 else np.float32(-1.0)
        zx = ((z1 - z0) * (y2 - y0) - (z2 - z0) * (y1 - y0)) / area
        zy = ((z2 - z0) * (x1 - x0) - (z1 - z0) * (x2 - x0)) / area
        # Sort by y: a on top, c at the bottom.
        ax, ay, bx, by, cx, cy = x0, y0, x1, y1, x2, y2
        if by < ay:
            ax, ay, bx, by = bx, by, ax, ay
        if cy < by:
            bx, by, cx, cy = cx, cy, bx, by
        if by < ay:
            ax, ay, bx, by = bx, by, ax, ay
        first = max(0, int(np.ceil(ay)))
        last = min(height, int(np.ceil(cy)))
        for y in range(first, last):
            xl = _span(y, ax, ay, cx, cy)
            xr = _span(y, ax, ay, bx, by) if y < by else _span(y, bx, by, cx, cy)
            if xr < xl:
                xl, xr = xr, xl
            start = max(0, int(np.ceil(xl)))
            stop = min(width, int(np.ceil(xr)))
            if start < stop:
                z = z0 + (start - x0) * zx + (y - y0) * zy
                for x in range(start, stop):
                    out[y, x] += sign * z
                    z += zx


@njit(cache=True, nogil=True)
def silhouette(points: Floats, faces: NDArray[np.int32], bit: np.uint32, out: NDArray[np.uint32]) -> None:
    """Set `bit` in every pixel of `out` (h, w) uint32 whose centre a closed surface covers; points as above."""
    height, width = out.shape
    for t in range(faces.shape[0]):
        i, j, k = faces[t, 0], faces[t, 1], faces[t, 2]
        x0, y0 = points[i, 0], points[i, 1]
        x1, y1 = points[j, 0], points[j, 1]
        x2, y2 = points[k, 0], points[k, 1]
        # The back faces cover the same pixels as the front faces.
        if (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0) <= 0.0:
            continue
        ax, ay, bx, by, cx, cy = x0, y0, x1, y1, x2, y2
        if by < ay:
            ax, ay, bx, by = bx, by, ax, ay
        if cy < by:
            bx, by, cx, cy = cx, cy, bx, by
        if by < ay:
            ax, ay, bx, by = bx, by, ax, ay
        first = max(0, int(np.ceil(ay)))
        last = min(height, int(np.ceil(cy)))
        for y in range(first, last):
            xl = _span(y, ax, ay, cx, cy)
            xr = _span(y, ax, ay, bx, by) if y < by else _span(y, bx, by, cx, cy)
            if xr < xl:
                xl, xr = xr, xl
            for x in range(max(0, int(np.ceil(xl))), min(width, int(np.ceil(xr)))):
                out[y, x] |= bit
