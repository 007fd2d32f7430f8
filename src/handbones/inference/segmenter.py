"""From pictures to segmentations with a bundle, or with several as one."""

import os
from collections.abc import Iterable, Iterator, Sequence
from copy import copy
from dataclasses import asdict, replace
from functools import lru_cache, partial
from itertools import islice
from pathlib import Path
from typing import Any, Literal, get_args

import cv2
import numpy as np
import numpy.typing as npt

from handbones.anatomy import BONES
from handbones.bundle import CARD, Bundle, load_bundle
from handbones.collection import Case
from handbones.dicom import MOST_TALL
from handbones.errors import UsageError
from handbones.inference.background import in_background
from handbones.inference.cleaning import apart, check_steps, cleaned
from handbones.inference.ensemble import Ensemble, Network, Scene
from handbones.inference.frame import MULTIPLE, Gray, Logits
from handbones.inference.hand import Hand, find_hands
from handbones.inference.looks import Looks
from handbones.inference.masks import Thresholds, thresholds_of
from handbones.inference.search import LEAST, Sighting, search, wrist_rectangle
from handbones.inference.segmentation import NO_HAND, Segmentation
from handbones.inference.view import FINER, Blend, Grid, Rectangle, View
from handbones.metadata import UNKNOWN, Metadata
from handbones.radiograph import Radiograph, load_radiograph

Picture = str | os.PathLike[str] | npt.NDArray[Any] | Radiograph | Case
"""A file, an array (height, width) or (height, width, 3) uint8 or uint16, a radiograph, or a case."""
Subject = Picture | tuple[Picture, Metadata]
"""A picture, alone or with what is known beside it."""
Source = Bundle | str | os.PathLike[str] | None
"""A bundle, its place, or None for the packaged model."""
HandPolicy = Literal["find", "whole"]
"""Look for the hand and see it upright and large, or see the whole picture as it is."""
Answer = tuple[Grid, Logits]
"""Logits (29, rows, columns) on a grid over a part of a picture."""

_LARGEST = 8192
"""Pixels along a side that a network may see; far more than any learns from."""
_AHEAD = 4
"""Pictures that are read before their turn."""
_ROUND = 1.02
"""Pixels whose sides differ by less are square."""
_CLEAR, _LEANING = 18.0, 20.0
"""A hand of a lower score that leans by more degrees is also looked at upright."""
_CELLS = 160
"""Cells along the longest side on which a hand is looked for again; in the search there are 128."""
_FINER_WRIST = 4.0, 3.0
"""Where there is a closer look at the wrist: most cells for each logit of the first, and their least size in pixels."""
_CLOSER = 30.0
"""Weight of a network of the wrist's own: there it counts all but alone, and fades into the first at its borders."""


class Segmenter:
    """A bundle in memory, or several, ready for any number of pictures."""

    def __init__(
        self,
        bundle: Source | Sequence[Source] = None,
        device: str = "auto",
        backend: str = "auto",
        *,
        size: int | None = None,
        threshold: Thresholds | None = None,
        hand: str | None = None,
        looks: Looks | None = None,
        weights: Sequence[float] | None = None,
        wrist_bundle: Source = None,
        batch: int = 1,
        clean: str | Sequence[str] | None = None,
    ) -> None:
        """One bundle, or several whose logits (or probabilities: `looks.mean`) are averaged, with `weights`.

        `size` (longest side that the networks see, in pixels), `threshold` (probability) and `hand` (`find` or
        `whole`) are the recipe's, of the first bundle, unless given. `wrist_bundle`: a network of its own for the
        second look at the wrist, which it implies; unless given, the packaged model has one, and the word `none` is
        for none. `batch`: pictures, or looks at them, that a network sees at once.
        `clean`: steps of `cleaning.STEPS`, done in their order there, `none` for none; unless given, `fingers` where
        hands are found.
        Raises `UserError` and `UsageError`.
        """
        if size is not None and not MULTIPLE <= size <= _LARGEST:
            raise UsageError(f"--size {size}: must be from {MULTIPLE} to {_LARGEST} pixels")
        if hand is not None and hand not in get_args(HandPolicy):
            raise UsageError(f"--hand {hand}: must be one of {', '.join(get_args(HandPolicy))}")
        if batch < 1:
            raise UsageError(f"--batch {batch}: must be at least 1")
        sources = list(bundle) if isinstance(bundle, Sequence) and not isinstance(bundle, str) else [bundle]
        if weights is None:
            weights = [1.0] * len(sources)
        if not sources or len(weights) != len(sources) or min(weights) <= 0:
            raise UsageError(f"--weights: needs a number above 0 for each of the {len(sources)} bundles")
        bundles = [_bundle(source) for source in sources]
        self.bundle, self._bundles = bundles[0], bundles
        recipe = self.bundle.recipe
        self.hand = hand or recipe.hand
        for each in bundles:
            if "wrist" in (hand, each.recipe.hand):
                raise UsageError(f"{each.path}: sees wrists alone: name it with --wrist-bundle, beside another bundle")
        self.threshold: Thresholds = recipe.validation.threshold if threshold is None else threshold
        each_bone = thresholds_of(self.threshold)
        if np.float32(highest := max(each_bone)) == 1:
            lost = BONES[each_bone.index(highest)]
            raise UsageError(f"--threshold 1: no probability is above 1: {lost} could never be found: give less")
        self.batch = batch
        self.clean = check_steps((("fingers",) if self.hand == "find" else ()) if clean is None else clean)
        looks = looks or Looks()
        networks = [Network.load(b, device, backend, size, w) for b, w in zip(bundles, weights, strict=True)]
        self._ensemble = Ensemble(networks, looks, batch)
        self._wrist: Ensemble | None = None
        own = self._wrist_bundle = _wrist_bundle(wrist_bundle, bundles)
        if looks.wrist or own is not None:
            seers = networks
            if own is not None:  # `size` is that of the whole picture
                seers = [Network.load(own, device, backend, None, _CLOSER * sum(weights))]
            self._wrist = Ensemble(seers, replace(looks, tile=None), batch)

    def settings(self) -> dict[str, Any]:
        """What decides what it finds, models by their digests: values that JSON knows, by the names of the options."""
        networks = self._ensemble.networks
        return {
            "bundle": [bundle.digest() for bundle in self._bundles],
            "weights": [network.weight for network in networks],
            "size": [[network.size, network.hand_length] for network in networks],
            "hand": self.hand,
            **asdict(self._ensemble.looks),
            "wrist_bundle": self._wrist_bundle and self._wrist_bundle.digest(),
            "threshold": thresholds_of(self.threshold),
            "clean": self.clean,
        }

    def unflipped(self) -> "Segmenter":
        """The same without the flip of its looks: with it, a picture and its mirror image cannot but be seen alike."""
        looks = self._ensemble.looks
        if not looks.flip:
            return self
        other = copy(self)
        other._ensemble = replace(self._ensemble, looks=replace(looks, flip=False))
        if self._wrist:
            other._wrist = replace(self._wrist, looks=replace(self._wrist.looks, flip=False))
        return other

    def segment(self, picture: Picture, metadata: Metadata | None = None) -> Segmentation:
        """The bones of one picture; a bundle that wants no `metadata` takes no notice of it.

        Unless given, it is what is known of a case. Raises `UserError` if the picture cannot be read, `UsageError` if
        it is none.
        """
        return next(self.segment_many([picture if metadata is None else (picture, metadata)]))

    def segment_many(self, pictures: Iterable[Subject]) -> Iterator[Segmentation]:
        """The bones of each picture, in order; see `segment_with`."""
        return (segmentation for _, segmentation in self.segment_with(pictures))

    def segment_with(self, pictures: Iterable[Subject]) -> Iterator[tuple[Radiograph, Segmentation]]:
        """Each picture, as it was read, with its bones. Pictures come alone, as cases, or in pairs with `Metadata`.

        While the network runs, the next pictures are read and the masks of the last ones are drawn.
        """
        return in_background(lambda seen: (seen[0], self.conclude(*seen)), self.answer_many(pictures))

    def segment_hands(self, pictures: Iterable[Subject]) -> Iterator[tuple[Radiograph, list[Segmentation]]]:
        """Each picture with a segmentation for each hand that was found, from left to right.

        Where the picture is seen as a whole (`hand` is `whole`), there is always one.
        """

        def each(seen: tuple[Radiograph, list[Answer]]) -> tuple[Radiograph, list[Segmentation]]:
            radiograph, answers = seen
            from_left = sorted(answers, key=lambda answer: answer[0].window.left + answer[0].window.width / 2)
            return radiograph, self._conclude_each(radiograph, from_left)

        return in_background(each, self.answer_many(pictures))

    def answer_many(self, pictures: Iterable[Subject]) -> Iterator[tuple[Radiograph, list[Answer]]]:
        """Each picture with what the networks say of it: one grid of logits, or one for each hand that was found."""
        if isinstance(pictures, str) or not isinstance(pictures, Iterable):
            raise UsageError(f"needs several pictures, as a list, not {type(pictures).__name__}: segment takes one")
        subjects = in_background(_read_known, map(_kept, pictures), _AHEAD)
        while group := list(islice(subjects, self.batch)):
            shown = [_square(radiograph) if self.hand == "find" else radiograph.to_uint8() for radiograph, _ in group]
            answers = self._answer([(gray, metadata) for gray, (_, metadata) in zip(shown, group, strict=True)])
            for (radiograph, _), gray, own in zip(group, shown, answers, strict=True):
                size = radiograph.height, radiograph.width
                yield radiograph, [(grid.resized(gray.shape, size), logits) for grid, logits in own]

    def _answer(self, known: Sequence[tuple[Gray, Metadata]]) -> list[list[Answer]]:
        """What the networks say of some pictures at once."""
        if self.hand == "whole":
            scenes = [Scene(picture, Rectangle.whole(*picture.shape), metadata=metadata) for picture, metadata in known]
            return [[self._at_wrist(*seen)] for seen in zip(scenes, self._look(scenes), strict=True)]
        stride = self._ensemble.networks[0].stride
        found = [search(picture, partial(self._ask, metadata), stride) for picture, metadata in known]
        scenes = [_scene(*one, sighting) for one, sightings in zip(known, found, strict=True) for sighting in sightings]
        blends = iter(zip(scenes, self._look(scenes), strict=True))
        each = [[self._look_again(*pair) for pair in islice(blends, len(sightings))] for sightings in found]
        return [[answer for answer in answers if answer] for answers in each]

    def _look(self, scenes: Sequence[Scene]) -> list[Blend]:
        finer = _FINER_WRIST if self._wrist else (FINER,)
        probability = self._ensemble.looks.mean == "probability"
        blends = [Blend(self._ensemble.grid(scene, *finer), probability=probability) for scene in scenes]
        return self._ensemble.look(scenes, blends)

    def _look_again(self, scene: Scene, blend: Blend) -> Answer | None:
        """The logits of a hand, if it still looks like one; set upright if it is seen better then."""
        hand = self._hand(blend)
        if hand is None:
            return None
        if hand.score < _CLEAR and abs((hand.axis - scene.rectangle.degrees + 180) % 360 - 180) > _LEANING:
            upright = _scene(scene.picture, scene.metadata, Sighting(hand, scene.inverted), upright=True)
            other = self._look([upright])[0]
            seen = self._hand(other)
            if seen is not None and seen.score > hand.score + 1:
                scene, blend, hand = upright, other, seen
        return self._at_wrist(scene, blend, hand)

    def _at_wrist(self, scene: Scene, blend: Blend, hand: Hand | None = None) -> Answer:
        """The logits of a scene; with those of a closer look at the wrist in them, if that is wanted."""
        if self._wrist and (hand := hand or self._hand(blend)):
            rectangle = wrist_rectangle(hand, scene.rectangle.degrees)
            close = replace(scene, rectangle=rectangle.within(*scene.picture.shape))
            self._wrist.look([close], [blend], fading=True)
        return blend.grid, blend.logits()

    def _hand(self, blend: Blend) -> Hand | None:
        """The best hand that was seen, if it is good enough for one."""
        hands = find_hands(*blend.coarse(_CELLS))
        return hands[0] if hands and hands[0].score >= LEAST else None

    def _ask(self, metadata: Metadata, picture: Gray, views: Sequence[View]) -> Iterator[Logits]:
        """What the first network says while it searches."""
        return self._ensemble.networks[0].ask(((picture, view, metadata) for view in views), self.batch)

    def conclude(self, radiograph: Radiograph, answers: Sequence[Answer]) -> Segmentation:
        """The bones in a picture by what `answer_many` says of it."""
        if not answers:
            return Segmentation(radiograph.height, radiograph.width, {}, NO_HAND)
        first, *others = self._conclude_each(radiograph, answers)
        return first.united(*others)

    def _conclude_each(self, radiograph: Radiograph, answers: Sequence[Answer]) -> list[Segmentation]:
        """A segmentation for each answer; several are of a hand each."""
        size = radiograph.height, radiograph.width
        parts = [Segmentation.from_logits(logits, *size, self.threshold, grid.window) for grid, logits in answers]
        return [cleaned(part, self.clean) for part in (apart(parts) if len(parts) > 1 else parts)]


def segment(
    picture: Picture, bundle: str | os.PathLike[str] | None = None, metadata: Metadata | None = None
) -> Segmentation:
    """The bones of one picture; the bundle (None: the packaged model) stays loaded until its files are others.

    Raises as `Segmenter` and its `segment` do.
    """
    if not isinstance(bundle, str | os.PathLike | None):
        raise UsageError(f"segment wants the path of one bundle, not {type(bundle).__name__}: make a Segmenter of it")
    return _segmenter(*_as_it_is(bundle)).segment(picture, metadata)


def _square(radiograph: Radiograph) -> Gray:
    """The gray picture, with as many more rows or columns as make pixels square that are known not to be."""
    pixels = radiograph.to_uint8()
    tall = radiograph.tall
    if not _ROUND < max(tall, 1 / tall) < MOST_TALL:
        return pixels
    height, width = round(pixels.shape[0] * max(tall, 1)), round(pixels.shape[1] * max(1 / tall, 1))
    return cv2.resize(pixels, (width, height), interpolation=cv2.INTER_LINEAR).view(np.uint8)


def read(picture: Picture) -> Radiograph:
    """The radiograph of a file, an array or a case. Raises `UserError`, `UsageError` if it is none of them."""
    if isinstance(picture, Radiograph):
        return picture
    if isinstance(picture, np.ndarray):
        return Radiograph.from_array(picture)
    if isinstance(picture, str | os.PathLike | Case):
        return load_radiograph(picture.image if isinstance(picture, Case) else picture)
    raise UsageError(f"a picture must be a path, an array, a Radiograph or a Case, not {type(picture).__name__}")


def _kept(subject: Subject) -> Subject:
    """The same with an array of its own: who gives one may put the next picture into it while this one waits."""
    if isinstance(subject, np.ndarray):
        return subject.copy()
    if isinstance(subject, tuple) and isinstance(subject[0], np.ndarray):
        return subject[0].copy(), subject[1]
    return subject


def _read_known(subject: Subject) -> tuple[Radiograph, Metadata]:
    if isinstance(subject, Case):
        return read(subject), subject.known
    picture, metadata = subject if isinstance(subject, tuple) else (subject, UNKNOWN)
    if not isinstance(metadata, Metadata):
        raise UsageError(f"what is known of a picture must be Metadata, not {type(metadata).__name__}")
    return read(picture), metadata


def _scene(picture: Gray, metadata: Metadata, sighting: Sighting, *, upright: bool = False) -> Scene:
    rectangle = sighting.rectangle(upright=upright).within(*picture.shape)
    return Scene(picture, rectangle, sighting.inverted, metadata)


def _bundle(source: Source) -> Bundle:
    if not isinstance(source, Bundle | str | os.PathLike | None):
        raise UsageError(f"a bundle must be a path or a Bundle, not {type(source).__name__}")
    return source if isinstance(source, Bundle) else load_bundle(source)


def _wrist_bundle(source: Source, beside: Sequence[Bundle]) -> Bundle | None:
    """The network of the wrist's own, if there is to be one."""
    if source is None:
        place = beside[0].wrist if len(beside) == 1 else None
        return load_bundle(place) if place is not None else None
    if str(source) == "none" and not Path("none").exists():
        return None
    bundle = _bundle(source)
    if bundle.recipe.hand != "wrist":
        raise UsageError(f"--wrist-bundle {bundle.path}: does not see wrists alone: --wrist looks twice with one model")
    return bundle


def _as_it_is(bundle: str | os.PathLike[str] | None) -> tuple[Path | None, int]:
    """Where a bundle is, from any working folder, and when it was last written; 0 for the packaged ones."""
    path = None if bundle is None else Path(bundle)
    if path is None or not path.exists():
        return path, 0
    places = path.absolute() / CARD, path.absolute() / "bundle" / CARD, path.absolute()
    return path.absolute(), next(place for place in places if place.exists()).stat().st_mtime_ns


@lru_cache(maxsize=2)
def _segmenter(bundle: Path | None, written: int) -> Segmenter:
    return Segmenter(bundle)
