"""A synthetic collection on disk in exactly the competition's layout."""

import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from handbones.errors import UsageError
from handbones.files import atomic_path, make_folder
from handbones.labels import Labels, save_labels
from handbones.metadata import Metadata, write_metadata
from handbones.phantom.make import draw, trace
from handbones.phantom.person import Person, draw_person
from handbones.phantom.settings import REALISTIC, PhantomSettings

Rng = np.random.Generator

NAMED_SIDE = 0.6
"""Share of pictures whose file name ends in _R or _L, as only some do in the competition."""


@dataclass(frozen=True)
class Order:
    """One person to draw: two pictures, right and left hand."""

    out: Path
    number: int
    split: str
    seed: int
    size: int
    settings: PhantomSettings
    labelled: bool


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
    workers: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> int:
    """Write a collection of `persons` people, two pictures each; returns the number of pictures.

    The last `test_persons` (default: a quarter) go to the test split, whose labels are written to `test/outputs_json`
    only on request. `size` is the pictures' side in pixels. `progress` is called with 1 after each person. The same
    arguments give the same files. Raises `UsageError` for impossible numbers, `UserError` where nothing can be written.
    """
    test = round(persons / 4) if test_persons is None else test_persons
    if persons < 1 or not 0 <= test <= persons:
        raise UsageError(f"--persons {persons}, --test-persons {test}: need 1 or more people, and no more for the test")
    if not 64 <= size <= 8192:
        raise UsageError(f"--size {size}: pictures can be 64 to 8192 pixels a side")
    out = make_folder(out)
    orders = []
    for number in range(1, persons + 1):
        testing = number > persons - test
        chosen = (test_settings or settings) if testing else settings
        split = "test" if testing else "train"
        orders.append(Order(out, number, split, seed, size, chosen, not testing or test_labels))
    rows: dict[int, Metadata] = {}
    for number, metadata in _run(orders, workers):
        rows[number] = metadata
        if progress:
            progress(1)
    write_metadata(out / "meta_data.xlsx", sorted(rows.items()))
    return 2 * persons


def _run(orders: list[Order], workers: int | None) -> Iterator[tuple[int, Metadata]]:
    count = workers if workers is not None else min(8, os.cpu_count() or 1)
    if count <= 1 or len(orders) == 1:
        yield from map(draw_pair, orders)
        return
    # Compile the inner loops before the workers start, so that they find them in the cache.
    draw(np.random.default_rng(0), orders[0].settings, 64, 64)
    # Forked processes would inherit OpenCV's threads as they stand, and wait for them for ever.
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(count, mp_context=spawn, initializer=cv2.setNumThreads, initargs=(1,)) as pool:
        futures = [pool.submit(draw_pair, order) for order in orders]
        try:
            for future in as_completed(futures):
                yield future.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def draw_pair(order: Order) -> tuple[int, Metadata]:
    """Both hands of one person, written; returns the person's number and metadata."""
    rng = np.random.default_rng([order.seed, order.number])
    person = draw_person(rng, order.settings.population)
    stamp = 1661130828152 + order.number * 30_000_000 + int(rng.integers(20_000_000))
    varnish = False
    for side in ("right", "left"):
        stamp += int(rng.integers(20_000, 90_000))
        name = f"image{stamp}" + (f"_{side[0].upper()}" if rng.random() < NAMED_SIDE else "")
        phantom = draw(rng, order.settings, order.size, order.size, person=person, side=side)
        folder = order.out / order.split / "DCM" / f"ID{order.number:03d}"
        write_picture(folder / f"{name}.png", phantom.pixels)
        varnish |= phantom.nails
        if order.labelled:
            labels = with_document(trace(phantom.packed), name, order.size)
            save_labels(labels, order.out / order.split / "outputs_json" / f"ID{order.number:03d}" / f"{name}.json")
    return order.number, _metadata(person, varnish)


def with_document(labels: Labels, name: str, size: int) -> Labels:
    """Labels with the other fields that the competition's files have; `filename` ends in .jpg there, too."""
    document = {
        "attributes": {},
        "file_id": name.removeprefix("image"),
        "filename": f"{name}.jpg",
        "parent_path": "/",
        "last_modifier_id": "handbones",
        "metadata": {"width": size, "height": size},
        "last_workers": [],
    }
    return Labels(labels.polygons, document)


def write_picture(path: Path, pixels: NDArray[np.uint8]) -> None:
    """An 8-bit PNG of three equal channels, atomically."""
    with atomic_path(path) as temporary:
        options = [cv2.IMWRITE_PNG_COMPRESSION, 3, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE]
        coded = cv2.imencode(".png", cv2.merge([pixels, pixels, pixels]), options)[1]
        temporary.write_bytes(coded.tobytes())


def _metadata(person: Person, varnish: bool) -> Metadata:
    return Metadata(
        age=float(round(person.age)),
        sex=person.sex,
        weight=float(round(person.weight)),
        height=float(round(person.height)),
        remark="네일있음" if varnish else None,
    )
