"""Views: what the network sees of a picture, and how its logits come back to the picture.

A view is a rectangle of the picture, turned and mirrored at will, scaled onto the network's canvas. Crops, quarter
turns, flips, scales and tiles are all views; what they say is averaged on one grid over the picture. Where a view
only cuts, turns by quarters or mirrors, pixels and logits move without being resampled.

Pixel centres are at integer coordinates, x to the right, y down; angles are clockwise, in degrees.
"""

from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any, TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from handbones.affine import Matrix, resizing, shift, turn
from handbones.anatomy import BONES
from handbones.inference.frame import MULTIPLE, Frame, Gray, Logits

Pixel = TypeVar("Pixel", bound=np.generic)
Weights = npt.NDArray[np.float32]
"""(height, width), how much a view's logits count."""

Starts = tuple[int, ...]
"""Where tiles begin along a side, in logits from the beginning of one of them, which is among them."""
Span = tuple[slice, slice]
"""Rows and columns of a grid."""
Planes = npt.NDArray[Any]
"""(height, width), or several of them."""

FINER = 2.0
"""Cells along a side for each logit, at most."""
_LEAST = 1e-3
"""Weight that a fading view keeps in its corners, so that no pixel is without any."""
_SURE = 20.0
"""A logit as far as probabilities in float32 go."""


@dataclass(frozen=True)
class Window:
    """Whole pixels of a picture."""

    top: int
    left: int
    height: int
    width: int

    def cut(self, picture: npt.NDArray[Pixel]) -> npt.NDArray[Pixel]:
        """What the window shows of a picture (height, width)."""
        return picture[self.top : self.top + self.height, self.left : self.left + self.width]


@dataclass(frozen=True)
class Rectangle:
    """A rectangle on a picture, `degrees` clockwise from upright."""

    x: float
    y: float
    """The centre."""
    width: float
    height: float
    """Sides, before it is turned."""
    degrees: float = 0.0
    hand: float = 0.0
    """How long the hand is that it was laid around; 0 where it was not laid around one."""

    @classmethod
    def whole(cls, height: int, width: int, quarters: int = 0) -> "Rectangle":
        """All of a picture, seen with its upper side turned by `quarters` times 90 degrees."""
        sides = (height, width) if quarters % 2 else (width, height)
        return cls((width - 1) / 2, (height - 1) / 2, *sides, 90.0 * (quarters % 4))

    def within(self, height: int, width: int) -> "Rectangle":
        """The part of it that a picture (height, width) can fill; of whole pixels, where it is turned by quarters."""
        if self.degrees % 90 == 0:
            window = self.window(height, width)
            whole = Rectangle.whole(window.height, window.width, round(self.degrees / 90))
            return replace(whole, x=whole.x + window.left, y=whole.y + window.top, hand=self.hand)
        upright = turn(-self.degrees)[:2, :2]
        picture = np.array([width, height])
        middle = upright @ ((picture - 1) / 2 - (self.x, self.y))
        reach = np.abs(upright) @ picture / 2
        half = np.array([self.width, self.height]) / 2
        low, high = np.maximum(-half, middle - reach), np.minimum(half, middle + reach)
        x, y = upright.T @ (low + high) / 2 + (self.x, self.y)
        width, height = np.maximum(high - low, 1)
        return replace(self, x=float(x), y=float(y), width=float(width), height=float(height))

    def part(self, left: float, top: float, width: float, height: float) -> "Rectangle":
        """A part of it, from its own upper left corner."""
        offset = (left + (width - self.width) / 2, top + (height - self.height) / 2)
        x, y = turn(self.degrees)[:2, :2] @ offset + (self.x, self.y)
        return replace(self, x=float(x), y=float(y), width=width, height=height)

    def side(self, size: int, hand_length: int | None) -> int:
        """Pixels of its longest side on an input: `size`, or fewer where its hand would be longer than that."""
        if hand_length is None or not self.hand:
            return size
        fitting = round(hand_length * max(self.width, self.height) / self.hand / MULTIPLE) * MULTIPLE
        return min(size, max(MULTIPLE, fitting))

    @property
    def upright(self) -> Matrix:
        """From pixels of the picture to those of the rectangle, set upright."""
        middle = shift((self.width - 1) / 2, (self.height - 1) / 2)
        return middle @ turn(-self.degrees) @ shift(-self.x, -self.y)

    def window(self, height: int, width: int) -> Window:
        """The pixels of a picture (height, width) around the rectangle; at least one."""
        reach = np.abs(turn(self.degrees)[:2, :2]) @ (self.width / 2, self.height / 2)
        low = np.floor(np.array([self.x, self.y]) - reach + 0.5 + 1e-6)
        high = np.ceil(np.array([self.x, self.y]) + reach + 0.5 - 1e-6)
        left, top = (int(v) for v in np.clip(low, 0, (width - 1, height - 1)))
        right, bottom = (int(v) for v in np.clip(high, (left + 1, top + 1), (width, height)))
        return Window(top, left, bottom - top, right - left)


@dataclass(frozen=True)
class Grid:
    """Cells that cover a window of a picture; logits lie on them."""

    window: Window
    rows: int
    columns: int

    @cached_property
    def matrix(self) -> Matrix:
        """From pixels of the picture to cells."""
        window = self.window
        return resizing(window.width, window.height, self.columns, self.rows) @ shift(-window.left, -window.top)

    def span(self, window: Window) -> Span:
        """The cells that a part of the window touches."""
        corners = np.array([[window.left, window.left + window.width], [window.top, window.top + window.height]]) - 0.5
        low, high = (self.matrix[:2, :2] @ corners + self.matrix[:2, 2:]).T + 0.5
        left, top = (int(v) for v in np.clip(np.floor(low + 1e-6), 0, None))
        right, bottom = (int(v) for v in np.minimum(np.ceil(high - 1e-6), (self.columns, self.rows)))
        return slice(top, bottom), slice(left, right)

    def resized(self, before: tuple[int, ...], after: tuple[int, ...]) -> "Grid":
        """The same cells in a picture of another (height, width), on its nearest whole pixels."""
        down, across = (new / old for new, old in zip(after, before, strict=True))
        window = self.window
        top, bottom = round(down * window.top), round(down * (window.top + window.height))
        left, right = round(across * window.left), round(across * (window.left + window.width))
        return Grid(Window(top, left, bottom - top, right - left), self.rows, self.columns)

    def finer(self, most: float, least: float = 4.0) -> "Grid":
        """The same window with up to `most` times as many cells along a side, none under `least` pixels for that.

        Logits come onto it by cubic interpolation, which keeps the outlines of small bones better than what is done
        from there on, bilinearly.
        """
        cell = min(self.window.width / self.columns, self.window.height / self.rows)
        factor = min(most, max(1.0, cell / least))
        return Grid(self.window, round(self.rows * factor), round(self.columns * factor))


@dataclass(frozen=True)
class View:
    """A rectangle of a picture on a network's canvas."""

    window: Window
    """All pixels of the picture that the canvas shows."""
    matrix: Matrix
    """From pixels of the picture to those of the canvas."""
    frame: Frame
    """Where on the canvas the rectangle lies: its upper left."""
    inverted: bool = False
    """Whether black and white are swapped on the canvas."""
    gamma: float = 1.0
    """Exponent of the gray values, from 0 to 1, on the canvas."""
    fading: bool = False
    """Whether it counts less towards its borders, as one should that is laid over others."""
    weight: float = 1.0
    tiles: tuple[Starts, Starts] = (0,), (0,)
    """The tiles, down and across, of the look that it is a part of: what they count adds up to that of one view."""

    @classmethod
    def of(
        cls,
        rectangle: Rectangle,
        picture: tuple[int, ...],
        size: int,
        stride: int,
        *,
        mirror: bool = False,
        inverted: bool = False,
        gamma: float = 1.0,
        tiles: tuple[Starts, Starts] = ((0,), (0,)),
    ) -> "View":
        """The view of a rectangle of a picture (height, width), its longest side `size` pixels on the canvas."""
        window = rectangle.window(*picture[:2])
        frame = Frame.fit(rectangle.height, rectangle.width, size, stride)
        matrix = resizing(rectangle.width, rectangle.height, frame.width, frame.height) @ rectangle.upright
        if mirror:
            matrix = np.diag([-1.0, 1.0, 1.0]) @ matrix
            matrix[0, 2] += frame.width - 1
            tiles = tiles[0], tuple(-start for start in tiles[1])
        return cls(window, matrix, frame, inverted, gamma, tiles=tiles)

    @property
    def mirrors(self) -> bool:
        """Whether a left hand becomes a right one."""
        return bool(np.linalg.det(self.matrix) < 0)

    def counting(self, weight: float, *, fading: bool) -> "View":
        """The same with its weight multiplied, fading or not."""
        return replace(self, weight=self.weight * weight, fading=fading)

    def see(self, picture: Gray) -> Gray:
        """The canvas of a picture (height, width): averages over areas, linear where it grows, black around it."""
        part = self.window.cut(picture)
        # First to its size on the canvas, along its own sides; only then turned.
        x, y = np.linalg.norm(self.matrix[:2, :2], axis=0)
        height, width = max(1, round(self.window.height * y)), max(1, round(self.window.width * x))
        if part.shape != (height, width):
            how = cv2.INTER_AREA if height * width < part.size else cv2.INTER_LINEAR
            part = np.asarray(cv2.resize(part, (width, height), interpolation=how), np.uint8)
        rest = self.matrix @ np.linalg.inv(Grid(self.window, height, width).matrix)
        if self.inverted or self.gamma != 1:  # before it is turned, or white would come in from outside
            part = _tones(self.inverted, self.gamma)[part]
        return self.frame.pad(_moved(part, rest, self.frame.height, self.frame.width))

    @property
    def grid(self) -> Grid:
        """Upright cells over the view's window, as dense as its logits."""
        x, y = np.linalg.norm(self.matrix[:2, :2], axis=0) / self.frame.stride
        return Grid(self.window, max(1, round(self.window.height * y)), max(1, round(self.window.width * x)))

    def bring_back(self, logits: Logits) -> tuple[Grid, Logits]:
        """What the view's canvas was answered, logits (29, h, w), as prediction has it without further views."""
        grid = self.grid.finer(FINER)
        return grid, self.onto(grid, logits)[1]

    def onto(self, grid: Grid, logits: Logits) -> tuple[Span, Logits, Weights]:
        """The part of a grid that the view reaches, and the canvas's logits (29, h, w) on it with their weights."""
        logits = self.frame.cut(logits)
        _, height, width = logits.shape
        span = grid.span(self.window)
        rows, columns = (part.stop - part.start for part in span)
        cells = shift(-span[1].start, -span[0].start) @ grid.matrix @ np.linalg.inv(self.matrix)
        cells = cells @ np.linalg.inv(resizing(self.frame.stride, self.frame.stride, 1, 1))
        weights = self.weight * np.outer(_share(height, self.tiles[0]), _share(width, self.tiles[1]))
        if self.fading:
            weights *= np.maximum(np.outer(_hann(height), _hann(width)), _LEAST)
        # A cell whose centre is beyond the last logit's counts whole; beside a view that is turned there is nothing.
        border = cv2.BORDER_REPLICATE if _upright(cells) else cv2.BORDER_CONSTANT
        weights = _moved(weights, cells, rows, columns, border=border)
        return span, _moved(logits, cells, rows, columns, cubic=True, border=cv2.BORDER_REPLICATE), weights


class Blend:
    """The weighted mean of what views say, on one grid; views are added one by one and need not be kept."""

    def __init__(self, grid: Grid, *, probability: bool = False) -> None:
        """The mean is taken of logits, or of probabilities."""
        self.grid = grid
        self._probability = probability
        self._sum = np.zeros((len(BONES), grid.rows, grid.columns), np.float32)
        self._weights = np.zeros((grid.rows, grid.columns), np.float32)

    def add(self, view: View, logits: Logits) -> None:
        """Add what a view's canvas was answered, logits (29, h, w)."""
        (rows, columns), values, weights = view.onto(self.grid, logits)
        self._weights[rows, columns] += weights
        for total, plane in zip(self._sum, values, strict=True):  # one by one they stay in the processor's cache
            total[rows, columns] += weights * (probabilities(plane) if self._probability else plane)

    def coarse(self, longest: int) -> tuple[Logits, Grid]:
        """The mean on every so many cells, about `longest` along the longest side, and the grid of those."""
        step = max(1, max(self.grid.rows, self.grid.columns) // longest)
        logits = self.logits(step)
        return logits, Grid(self.grid.window, *logits.shape[1:])

    def logits(self, step: int = 1) -> Logits:
        """The mean (29, rows, columns), or of every so many cells; surely no bone where no view reaches."""
        cells = slice(step // 2, None, step)
        weights = self._weights[cells, cells]
        unseen = weights <= 0
        mean: Logits = self._sum[:, cells, cells] / (weights + unseen)
        if self._probability:
            sure = np.float32(1 / (1 + np.exp(_SURE)))
            np.clip(mean, sure, 1 - np.finfo(np.float32).eps, out=mean)
            np.log(mean / (1 - mean), out=mean)
        mean[:, unseen] = -_SURE
        return mean


def probabilities(logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The sigmoid, in float32."""
    with np.errstate(over="ignore"):
        result: npt.NDArray[np.float32] = (1 / (1 + np.exp(-logits))).astype(np.float32, copy=False)
    return result


@lru_cache(maxsize=16)
def _tones(inverted: bool, gamma: float) -> Gray:
    """What becomes of the 256 gray values."""
    gray = np.linspace(0, 1, 256)
    tones: Gray = np.rint(255 * (1 - gray if inverted else gray) ** gamma).astype(np.uint8)
    return tones


def _hann(length: int, start: int = 0) -> Weights:
    """A Hann window, which falls off from its middle as a squared sine, on `length` places; it begins at `start`."""
    at = np.arange(length) - start
    inside = (at >= 0) & (at < length)
    return np.where(inside, np.sin(np.pi * (at + 0.5) / length) ** 2, 0).astype(np.float32)


def _share(length: int, starts: Starts) -> Weights:
    """How much a tile of `length` logits counts along a side among those that begin at `starts`, itself at 0."""
    total: Weights = np.sum([_hann(length, start) for start in starts], axis=0)
    return _hann(length) / total


def _upright(matrix: Matrix) -> bool:
    """Whether a map leaves upright what is, but for mirrors and quarter turns."""
    nought = np.abs(matrix[:2, :2]) < 1e-6
    return bool(nought[0, 0] and nought[1, 1]) or bool(nought[0, 1] and nought[1, 0])


def _moved(
    planes: Planes, matrix: Matrix, rows: int, columns: int, *, cubic: bool = False, border: int = cv2.BORDER_CONSTANT
) -> Planes:
    """Planes (..., rows, columns) under an affine map; exact and not copied if it only turns by quarters or mirrors.

    Interpolated bilinearly, or cubically; `border` says what is outside of them (black), as in OpenCV.
    """
    swapped = abs(matrix[0, 0]) < 0.5
    exact = planes.swapaxes(-1, -2) if swapped else planes
    x, y = (matrix[0, 1], matrix[1, 0]) if swapped else (matrix[0, 0], matrix[1, 1])
    wanted = np.zeros((2, 3))
    wanted[[0, 1], [1, 0] if swapped else [0, 1]] = np.sign([x, y])
    wanted[:, 2] = [(columns - 1) * (x < 0), (rows - 1) * (y < 0)]
    if exact.shape[-2:] == (rows, columns) and np.allclose(matrix[:2], wanted, atol=1e-6):
        return exact[..., :: int(np.sign(y)), :: int(np.sign(x))]
    if planes.ndim > 2:
        return np.stack([_moved(plane, matrix, rows, columns, cubic=cubic, border=border) for plane in planes])
    if cubic and np.allclose(matrix, resizing(planes.shape[1], planes.shape[0], columns, rows), atol=1e-6):
        return np.asarray(cv2.resize(planes, (columns, rows), interpolation=cv2.INTER_CUBIC))  # the same, but sooner
    how = cv2.INTER_CUBIC if cubic else cv2.INTER_LINEAR
    moved = cv2.warpAffine(planes, matrix[:2], (columns, rows), flags=how, borderMode=border)
    return np.asarray(moved, planes.dtype)
