"""How a picture lies on a network's input, and where its logits are."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Gray = npt.NDArray[np.uint8]
"""(height, width) uint8."""
Logits = npt.NDArray[np.float32]
"""(29, height, width) float32."""

MULTIPLE = 32
"""Height and width of a network's input are multiples of this: it halves them five times."""


@dataclass(frozen=True)
class Frame:
    """A picture scaled into the upper left of a black canvas."""

    height: int
    width: int
    """Size of the scaled picture, multiples of the stride, so that its logits can be cut out whole."""
    stride: int
    """Input pixels per logit."""

    @classmethod
    def fit(cls, height: float, width: float, size: int, stride: int) -> "Frame":
        """The frame in which the longest side of a picture (height, width) becomes `size`."""
        scale = size / max(height, width)
        rows, columns = (max(1, round(side * scale / stride)) * stride for side in (height, width))
        return cls(rows, columns, stride)

    def pad(self, scaled: Gray) -> Gray:
        """The canvas of a picture that has its size on it already: black to the next multiple of 32."""
        return np.pad(scaled, ((0, -self.height % MULTIPLE), (0, -self.width % MULTIPLE)))

    def cut(self, logits: Logits) -> Logits:
        """The logits of the picture without those of the padding; (29, height / stride, width / stride)."""
        return logits[:, : self.height // self.stride, : self.width // self.stride]
