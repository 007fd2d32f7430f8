"""The projector's inner loops, compiled with numba: triangles to thickness and to masks.

Scanlines with half-open spans, and every edge evaluated from its upper vertex: two triangles that share an edge share
its pixels exactly, so that signed depths of a closed surface add up to its thickness without seams.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float32]
ZERO = np.float32(0.0)


@njit(cache=True, nogil=True)
def thickness(points: Floats, faces: NDArray[np.int32], x_from: int, y_from: int, out: Floats) -> None:
    """Add the thickness of a closed surface along z to `out`, whose first pixel is (x_from, y_from).

    points: (n, 3) float32, x and y in pixels, z in the unit of the thickness; faces: (m, 3) counter-clockwise from
    outside seen against z; out: (h, w) float32.
    """
    height, width = out.shape
    left, top = np.float32(x_from), np.float32(y_from)
    for t in range(faces.shape[0]):
        i, j, k = faces[t, 0], faces[t, 1], faces[t, 2]
        x0, y0, z0 = points[i, 0] - left, points[i, 1] - top, points[i, 2]
        x1, y1, z1 = points[j, 0] - left, points[j, 1] - top, points[j, 2]
        x2, y2, z2 = points[k, 0] - left, points[k, 1] - top, points[k, 2]
        area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
        first = max(0, int(np.ceil(min(y0, y1, y2))))
        last = min(height, int(np.ceil(max(y0, y1, y2))))
        if area == ZERO or first >= last:
            continue
        zx = ((z1 - z0) * (y2 - y0) - (z2 - z0) * (y1 - y0)) / area
        zy = ((z2 - z0) * (x1 - x0) - (z1 - z0) * (x2 - x0)) / area
        sign = np.float32(1.0) if area > ZERO else np.float32(-1.0)
        # Sort by y: a on top, c at the bottom.
        ax, ay, bx, by, cx, cy = x0, y0, x1, y1, x2, y2
        if by < ay:
            ax, ay, bx, by = bx, by, ax, ay
        if cy < by:
            bx, by, cx, cy = cx, cy, bx, by
        if by < ay:
            ax, ay, bx, by = bx, by, ax, ay
        long = (cx - ax) / (cy - ay)
        upper = (bx - ax) / (by - ay) if by > ay else ZERO
        lower = (cx - bx) / (cy - by) if cy > by else ZERO
        for row in range(first, last):
            y = np.float32(row)
            xl = ax + (y - ay) * long
            xr = ax + (y - ay) * upper if y < by else bx + (y - by) * lower
            if xr < xl:
                xl, xr = xr, xl
            start = max(0, int(np.ceil(xl)))
            stop = min(width, int(np.ceil(xr)))
            if start < stop:
                z = sign * (z0 + (np.float32(start) - x0) * zx + (y - y0) * zy)
                step = sign * zx
                for x in range(start, stop):
                    out[row, x] += z
                    z += step


@njit(cache=True, nogil=True)
def silhouette(points: Floats, faces: NDArray[np.int32], sign: float, bit: int, out: NDArray[np.uint32]) -> None:
    """Set `bit` in every pixel of `out` (h, w) uint32 whose centre a closed surface covers; points as above.

    `sign` is -1 where the picture is mirrored, which turns every face around, else 1.
    """
    height, width = out.shape
    flag = np.uint32(1) << np.uint32(bit)
    for t in range(faces.shape[0]):
        i, j, k = faces[t, 0], faces[t, 1], faces[t, 2]
        x0, y0 = points[i, 0], points[i, 1]
        x1, y1 = points[j, 0], points[j, 1]
        x2, y2 = points[k, 0], points[k, 1]
        # The back faces cover the same pixels as the front faces.
        if sign * ((x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)) <= 0.0:
            continue
        first = max(0, int(np.ceil(min(y0, y1, y2))))
        last = min(height, int(np.ceil(max(y0, y1, y2))))
        if first >= last:
            continue
        ax, ay, bx, by, cx, cy = x0, y0, x1, y1, x2, y2
        if by < ay:
            ax, ay, bx, by = bx, by, ax, ay
        if cy < by:
            bx, by, cx, cy = cx, cy, bx, by
        if by < ay:
            ax, ay, bx, by = bx, by, ax, ay
        long = (cx - ax) / (cy - ay)
        upper = (bx - ax) / (by - ay) if by > ay else ZERO
        lower = (cx - bx) / (cy - by) if cy > by else ZERO
        for row in range(first, last):
            y = np.float32(row)
            xl = ax + (y - ay) * long
            xr = ax + (y - ay) * upper if y < by else bx + (y - by) * lower
            if xr < xl:
                xl, xr = xr, xl
            for x in range(max(0, int(np.ceil(xl))), min(width, int(np.ceil(xr)))):
                out[row, x] |= flag
