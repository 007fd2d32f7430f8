"""Turning the hand against the forearm about the wrist, as a person bends it."""

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from handbones.labels import Labels
from handbones.raster import Points
from handbones.sides import Wrist, centre_of, wrist_of

MOST_BENT = 60.0
"""No wrist is bent further than by so many degrees, and those that are already are left alone."""
_CENTRE = 0.4
"""The centre of the turn, the head of the capitate, lies at this share of the way from the capitate to the lunate."""


@dataclass(frozen=True)
class Turn:
    """A map of a picture that turns the hand about the wrist and leaves the forearm where it is.

    Each point keeps its distance from the centre. Between forearm and hand the angle grows steadily along each circle,
    and the proximal row of carpals, which lies around the centre, takes about half of it. So nothing folds.
    """

    centre: npt.NDArray[np.float64]
    """(2,) x and y in pixels of the picture."""
    unit: float
    """From capitate to lunate, pixels."""
    axis: float
    """Direction down the forearm; radians from x to y, as all angles here."""
    by: float
    """How far the hand turns."""
    tilt: float
    """From the forearm to the hand, afterwards."""

    def points(self, points: Points) -> Points:
        """Where points (n, 2) of the picture come to lie."""
        from handbones.learning.turning import turn  # noqa: PLC0415 loads numba

        moved: Points = turn(np.ascontiguousarray(points, np.float64), *self._facts)
        return moved

    def undo(self, x: npt.NDArray[np.float32], y: npt.NDArray[np.float32]) -> None:
        """Overwrite places (rows, columns) of the turned picture with those that they come from."""
        from handbones.learning.turning import undo  # noqa: PLC0415 loads numba

        undo(x, y, *self._facts)

    def shrunk(self, factor: int) -> "Turn":
        """The same turn for a picture of so many times fewer pixels a side."""
        return replace(self, centre=(self.centre + 0.5) / factor - 0.5, unit=self.unit / factor)

    @property
    def _facts(self) -> tuple[npt.NDArray[np.float64], float, float, float, float]:
        return self.centre, self.axis, self.unit, self.by, self.tilt


@dataclass(frozen=True)
class Hinge:
    """What a turn must know of a hand."""

    wrist: Wrist
    centre: npt.NDArray[np.float64]
    unit: float
    bones: Points
    """Middles of the bones, (n, 2)."""

    @classmethod
    def of(cls, labels: Labels) -> "Hinge | None":
        """From labels; None where they do not tell how the wrist is bent and where it is."""
        wrist, capitate, lunate = wrist_of(labels), centre_of(labels, "Capitate"), centre_of(labels, "Lunate")
        if wrist is None or capitate is None or lunate is None:
            return None
        unit = float(np.hypot(*(lunate - capitate)))
        bones = [centre_of(labels, label) for label in labels.bones]
        middles = np.array([middle for middle in bones if middle is not None])
        return cls(wrist, capitate + _CENTRE * (lunate - capitate), unit, middles) if unit > 1 else None

    def bend_to(self, tilt: float, most: float) -> Turn | None:
        """The turn that gives the wrist a tilt (degrees), or comes as close as `most` degrees; None for none."""
        now = self.wrist.tilt
        if abs(now) > MOST_BENT:
            return None
        new = float(np.clip(np.clip(tilt, now - most, now + most), -MOST_BENT, MOST_BENT))
        down = -self.wrist.forearm
        sense = math.radians(self.wrist.little)
        axis = math.atan2(down[1], down[0])
        return Turn(self.centre, self.unit, axis, sense * (new - now), sense * new)

    def tilt_after(self, turn: Turn) -> float:
        """Degrees from the forearm to the turned hand, positive towards the little finger."""
        return self.wrist.little * math.degrees(turn.tilt)

    def back_to_middle(self, turn: Turn) -> npt.NDArray[np.float64]:
        """The shift (x, y) across the forearm that brings a turned hand back to where it was in the picture.

        Not along the forearm, which a border of the picture cuts.
        """
        across = np.array([-self.wrist.forearm[1], self.wrist.forearm[0]])
        before, after = self.bones @ across, turn.points(self.bones) @ across
        moved = (after.min() + after.max() - before.min() - before.max()) / 2
        return np.asarray(-moved * across)
