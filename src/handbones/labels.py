"""The polygons of one radiograph: read and written as the competition's JSON, moved, drawn.

Points are in pixels of the radiograph they belong to, pixel centres at integers. Fields of a label file that mean
nothing here (ids, attributes, metadata) survive the round trip.
"""

import json
import os
import re
from collections.abc import Callable, Iterator
from copy import copy
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from handbones.anatomy import BONES
from handbones.errors import UserError
from handbones.files import explain, write_text
from handbones.raster import Packed, Points, fill, outlines, unpack

Size = tuple[int, int]
"""Height and width in pixels."""

_MOST_LINES = 5
"""Of the faults of a file that an error lists."""
_MOST_OUTSIDE = 3
"""Outlines of a file that are told of one by one where they reach outside the picture."""


@dataclass(frozen=True, eq=False)
class Labels:
    """The polygons of one radiograph, by bone label in the official order; several of one bone are its union.

    Made from a dict of lists of polygons in any order, each (n, 2) with columns x and y: n at least 3, finite.
    Raises `UserError` for others, and for an unknown label.
    """

    polygons: dict[str, list[Points]]
    """float64 arrays; a bone without polygons is not in it."""
    document: dict[str, Any] = field(default_factory=dict)
    """The label file that they came from, for its other fields; empty if from none."""

    def __post_init__(self) -> None:
        try:
            given = {_known(label): [_points(label, of) for of in of_bone] for label, of_bone in self.polygons.items()}
        except ValueError as error:
            raise UserError(str(error)) from None
        except (TypeError, AttributeError):
            raise UserError("Labels needs a dict of lists of polygons, by bone label") from None
        object.__setattr__(self, "polygons", {label: given[label] for label in BONES if given.get(label)})

    def __repr__(self) -> str:
        return f"Labels({len(self.polygons)} of {len(BONES)} bones)"

    @property
    def bones(self) -> list[str]:
        """Labels of the bones that are there, in the official order."""
        return list(self.polygons)

    def by_bone(self) -> list[list[Points]]:
        """A list of polygons for each of the 29 bones, as `raster.rasterise` wants it."""
        return [self.polygons.get(label, []) for label in BONES]

    def map(self, function: Callable[[Points], Points]) -> "Labels":
        """Labels with every polygon (n, 2) sent through `function`, which gives as good ones back."""
        moved = copy(self)  # unchecked: a check takes longer than most moves
        polygons = {label: [function(polygon) for polygon in of_bone] for label, of_bone in self.polygons.items()}
        object.__setattr__(moved, "polygons", polygons)
        return moved

    def packed(self, height: int, width: int) -> Packed:
        """(height, width) uint32, bit i for bone i, as the competition draws: `cv2.fillPoly` of rounded points, united.

        For the radiograph's own size; at another size use `raster.rasterise` of polygons after `raster.grow`.
        """
        return fill(self.by_bone(), height, width)

    def masks(self, height: int, width: int) -> npt.NDArray[np.uint8]:
        """(29, height, width) uint8, 0 or 1: `packed` with a plane for each bone."""
        return unpack(self.packed(height, width))


def load_labels(path: str | os.PathLike[str], size: Size | None = None) -> Labels:
    """Read a label file. With the `size` of the radiograph, points must lie in it.

    Raises `UserError`, a line for each of the first faults: not readable, not JSON, unknown label, fewer than 3 points,
    outside.
    """
    labels, faults = read_labels(path, size)
    if faults:
        more = [f"and {len(faults) - _MOST_LINES} more"] if len(faults) > _MOST_LINES else []
        raise UserError("\n".join(f"{path}: {fault}" for fault in [*faults[:_MOST_LINES], *more]))
    return labels


def read_labels(path: str | os.PathLike[str], size: Size | None = None) -> tuple[Labels, list[str]]:
    """Read a label file as far as it can be read, with a line for each fault; faulty annotations are left out."""
    try:
        document = json.loads(Path(path).read_text(encoding="utf-8-sig"))
    except OSError as error:
        return Labels({}), [str(explain(error, path, "read")).removeprefix(f"{path}: ")]
    except json.JSONDecodeError as error:
        return Labels({}), [f"not valid JSON (line {error.lineno}, column {error.colno}): {error.msg}"]
    except (ValueError, RecursionError):  # not UTF-8, or a number of thousands of digits
        return Labels({}), ["not a JSON text file"]
    annotations = document.get("annotations") if isinstance(document, dict) else None
    if not isinstance(annotations, list):
        return Labels({}), ["no list 'annotations': is it a label file?"]
    polygons: dict[str, list[Points]] = {}
    faults: list[str] = []
    outside: list[str] = []
    for number, annotation in enumerate(annotations, 1):
        try:
            label, points = _read_annotation(annotation, size)
            polygons.setdefault(label, []).append(points)
        except ValueError as error:
            (outside if isinstance(error, _OutsideError) else faults).append(f"annotation {number}: {error}")
    if size is not None and len(outside) > _MOST_OUTSIDE:  # of one cause
        picture = f"the picture of {size[1]} x {size[0]} pixels"
        several = f"{len(outside)} of {len(annotations)} outlines reach outside {picture}"
        outside = [f"{several}: are they of another one, or of another size?"]
    faults += outside
    return Labels(polygons, document), faults


class _OutsideError(ValueError):
    """Of a point outside the picture."""


def _read_annotation(annotation: Any, size: Size | None) -> tuple[str, Points]:
    """Label and points; raises `ValueError` with what is wrong."""
    lacking = [name for name in ("label", "points") if not isinstance(annotation, dict) or name not in annotation]
    if lacking:
        raise ValueError(f"needs the {'fields' if len(lacking) > 1 else 'field'} {' and '.join(map(repr, lacking))}")
    label = _known(annotation["label"])
    points = _points(label, annotation["points"])
    if size is not None:
        # A point on the far border (x = width) is how tools that count borders, not centres, end a cut bone.
        outside = ((points < -1) | (points > np.array(size[::-1]))).any(axis=1)
        if outside.any():
            x, y = points[outside.argmax()]
            raise _OutsideError(f"{label}: point ({x:g}, {y:g}) is outside the picture of {size[1]} x {size[0]} pixels")
    return label, points


def _near(label: Any) -> str | None:
    """The label that a misspelt one may mean; of a finger, one of the same number."""
    for near in get_close_matches(str(label).strip().capitalize(), BONES, 3):
        if re.findall(r"\d+", near) == re.findall(r"\d+", str(label)):
            return near
    return None


def _known(label: Any) -> str:
    """The label of a bone; raises `ValueError` for another."""
    if label not in BONES:
        near = _near(label)
        meant = f": is {near} meant?" if near else "; the 29 labels are finger-1 to finger-19, Trapezium ... Ulna"
        raise ValueError(f"unknown label {label!r}{meant}")
    return str(label)


def _points(label: str, listed: Any) -> Points:
    """A polygon as an array; raises `ValueError` with what is wrong."""
    if isinstance(listed, list | np.ndarray) and len(listed) < 3:
        raise ValueError(f"{label}: a polygon needs at least 3 points, this one has {len(listed)}")
    try:
        points = np.asarray(listed, np.float64)
    except (ValueError, TypeError, OverflowError):
        points = np.empty(0)
    if points.ndim != 2 or points.shape[1] != 2 or not np.isfinite(points).all():
        raise ValueError(f"{label}: points must be a list of [x, y] numbers")
    return points


def save_labels(labels: Labels, path: str | os.PathLike[str], *, filename: str | None = None) -> None:
    """Write a label file, atomically. Points are written to a hundredth of a pixel, whole ones as integers.

    Fields of `labels.document` and of its annotations are kept; `filename` replaces the one there.
    """
    document = {
        "annotations": [],
        "attributes": {},
        "file_id": "",
        "filename": "",
        "parent_path": "",
        "last_modifier_id": "",
        "metadata": {},
        "last_workers": "",
        **labels.document,
    }
    document["annotations"] = list(_annotations(labels))
    if filename is not None:
        document["filename"] = filename
    write_text(path, json.dumps(document, ensure_ascii=False))


def _annotations(labels: Labels) -> Iterator[dict[str, Any]]:
    """Annotations in their old order with the polygons of today; new ones at the end, in the official order."""
    left = {label: list(of_bone) for label, of_bone in labels.polygons.items()}
    for annotation in labels.document.get("annotations", []):
        label = annotation.get("label") if isinstance(annotation, dict) else None
        if isinstance(label, str) and left.get(label):
            yield {**annotation, "points": _as_numbers(left[label].pop(0))}
    for label, of_bone in left.items():
        first = len(labels.polygons[label]) - len(of_bone) + 1
        for number, polygon in enumerate(of_bone, first):
            yield {
                "id": f"{label}-{number}",
                "type": "poly_seg",
                "attributes": {},
                "points": _as_numbers(polygon),
                "label": label,
            }


def _as_numbers(points: Points) -> list[list[int | float]]:
    return [[int(v) if v.is_integer() else v for v in point] for point in np.round(points, 2).tolist()]


def rescale(labels: Labels, from_size: Size, to_size: Size) -> Labels:
    """Labels of a picture of `from_size` (height, width) after it was resized to `to_size`."""
    ratio = np.array(to_size[::-1]) / np.array(from_size[::-1])
    return labels.map(lambda points: (points + 0.5) * ratio - 0.5)


def masks_to_labels(masks: npt.NDArray[np.generic], tolerance: float = 0.0) -> Labels:
    """Outlines of masks, (29, height, width) non-zero inside or packed (height, width) uint32 or int32, as labels.

    `Labels.packed` of them is the masks again, holes filled; a `tolerance` in pixels saves points. Raises `UserError`
    for other shapes and types.
    """
    if masks.ndim == 2 and masks.dtype not in (np.uint32, np.int32):
        raise UserError(f"packed masks must be uint32 or int32, not {masks.dtype}: give (29, height, width)")
    dense = unpack(masks.view(np.uint32)) if masks.ndim == 2 else masks
    if dense.ndim != 3 or len(dense) != len(BONES):
        raise UserError(f"masks must have the shape ({len(BONES)}, height, width), not {masks.shape}")
    found = {label: outlines(mask, tolerance) for label, mask in zip(BONES, dense, strict=True)}
    return Labels({label: polygons for label, polygons in found.items() if polygons})
