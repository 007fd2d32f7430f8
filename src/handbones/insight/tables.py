"""Tables as CSV files."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from handbones.files import write_csv


@dataclass(frozen=True)
class Table:
    """A CSV file to be: name without ending, header and rows; floats are written short, None and NaN as nothing."""

    name: str
    header: Sequence[str]
    rows: Sequence[Sequence[Any]]

    def write(self, folder: Path) -> Path:
        """Write `folder`/`name`.csv; returns its path. Raises `UserError`."""
        path = folder / f"{self.name}.csv"
        write_csv(path, [self.header, *([_plain(value) for value in row] for row in self.rows)])
        return path


def _plain(value: Any) -> Any:
    if value is None or (isinstance(value, float | np.floating) and not np.isfinite(value)):
        return ""
    return f"{value:.6g}" if isinstance(value, float | np.floating) else value
