"""Draw the pictures of the documentation into docs/images; they show phantoms only.

python tools/draw_pictures.py
"""

from pathlib import Path

import cv2
import numpy as np

from handbones import segment
from handbones.inference.overlay import draw_overlay
from handbones.phantom.drawing import draw, make
from handbones.phantom.settings import PRESETS

OUT = Path(__file__).parents[1] / "docs/images"


def save(name: str, rgb: np.ndarray) -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(OUT / name), rgb[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88])
    print(OUT / name, f"{(OUT / name).stat().st_size // 1024} KiB")


def hero() -> None:
    """A phantom beside the bones that the packaged model finds in it."""
    radiograph, _ = make(17, "realistic", 1600)
    plain = cv2.cvtColor(radiograph.pixels, cv2.COLOR_GRAY2RGB)
    both = np.hstack([plain, draw_overlay(radiograph.pixels, segment(radiograph))])
    save("hero.jpg", cv2.resize(both, (1500, 750), interpolation=cv2.INTER_AREA))


def presets() -> None:
    """Rows of the three presets."""
    rows = []
    for name in PRESETS:
        pictures = [draw(np.random.default_rng(40 + seed), PRESETS[name], 512, 512).pixels for seed in range(6)]
        rows.append(np.hstack([cv2.resize(p, (250, 250), interpolation=cv2.INTER_AREA) for p in pictures]))
    save("presets.jpg", cv2.cvtColor(np.vstack(rows), cv2.COLOR_GRAY2RGB))


if __name__ == "__main__":
    hero()
    presets()
