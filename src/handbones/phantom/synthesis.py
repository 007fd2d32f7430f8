"""A synthetic collection on disk in exactly the competition's layout."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from handbones.errors import UsageError, UserError
from handbones.files import whole_folder
from handbones.metadata import Metadata, write_metadata
from handbones.phantom.defects import plant, spotless
from handbones.phantom.drawing import check_numbers, draw
from handbones.phantom.order import Order, draw_pair
from handbones.phantom.settings import REALISTIC, PhantomSettings
from handbones.processes import in_processes


def synth(
    out: str | Path,
    persons: int,
    seed: int,
    *,
    test_persons: int | None = None,
    size: int = 2048,
    settings: PhantomSettings = REALISTIC,
    test_settings: PhantomSettings | None = None,
    test_labels: bool = False,
    defects: float = 0.0,
    labels_only: bool = False,
    workers: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> int:
    """Write a collection of `persons` people, two pictures each; returns the number of pictures.

    The last `test_persons` (default: a quarter) go to the test split, whose labels are written to `test/outputs_json`
    only on request. `size` is the pictures' side in pixels. Into a share `defects` of the pictures known mistakes are
    planted and listed in `defects.csv`; the others then show no foreign objects. With `labels_only`, they are mistakes
    in labels of the training alone, and pictures stay as they are. `progress` is called with 1 after each person. The
    same arguments give the same files. Raises `UsageError` for impossible numbers, `UserError` where
    nothing can be written or `out` is not empty.
    """
    if persons < 1:
        raise UsageError(f"--persons {persons}: need 1 or more people")
    test = round(persons / 4) if test_persons is None else test_persons
    if not 0 <= test <= persons:
        raise UsageError(f"--test-persons {test}: must be 0 or more, and no more than --persons {persons}")
    if not 0 <= defects <= 0.5:
        raise UsageError(f"--defects {defects}: give a share of the pictures from 0 to 0.5")
    check_numbers(seed, size)
    if Path(out).is_dir() and any(not path.name.startswith(".") for path in Path(out).iterdir()):
        raise UserError(f"{out}: is not empty, and what is in it would mix with a collection: choose another folder")
    if defects and not labels_only:
        settings, test_settings = spotless(settings), spotless(test_settings or settings)
    with whole_folder(out) as folder:
        orders = []
        for number in range(1, persons + 1):
            testing = number > persons - test
            chosen = (test_settings or settings) if testing else settings
            split = "test" if testing else "train"
            orders.append(Order(folder, number, split, seed, size, chosen, not testing or test_labels))
        rows: dict[int, Metadata] = {}
        for number, metadata in _run(orders, workers):
            rows[number] = metadata
            if progress:
                progress(1)
        write_metadata(folder / "meta_data.xlsx", sorted(rows.items()))
        if defects:
            plant(orders, defects, seed, labels_only=labels_only)
    return 2 * persons


def _run(orders: list[Order], workers: int | None) -> Iterator[tuple[int, Metadata]]:
    count = workers if workers is not None else min(8, os.cpu_count() or 1)
    if count <= 1 or len(orders) == 1:
        yield from map(draw_pair, orders)
        return
    # Compile the inner loops before the workers start, so that they find them in the cache.
    draw(np.random.default_rng(0), orders[0].settings, 64, 64)
    for _, row in in_processes(draw_pair, orders, count):
        yield row
