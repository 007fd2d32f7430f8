"""Streamed whole-image Dice equals that of dense masks."""

from pathlib import Path

import pytest

pytest.importorskip("torch")

import numpy as np
import torch
from torch.nn import functional

from handbones.collection import open_collection
from handbones.errors import UsageError, UserError
from handbones.inference.view import Rectangle, View
from handbones.learning.cache import PictureCache
from handbones.learning.validation import ByTilt, Item, ValidationSet, score, validate, validation_loader
from handbones.metric import dice
from handbones.recipe import load_recipe

pytestmark = pytest.mark.train


@pytest.mark.parametrize(("height", "width"), [(100, 100), (90, 130), (130, 41)])
def test_score_equals_dense_dice(height: int, width: int) -> None:
    rng = np.random.default_rng(0)
    view = View.of(Rectangle.whole(height, width), (height, width), 64, 2)
    canvas = view.see(rng.integers(0, 256, (height, width), np.uint8))
    logits = rng.normal(-1, 2, (29, canvas.shape[0] // 2, canvas.shape[1] // 2)).astype(np.float32)
    logits[3] = -9  # a bone that is not found
    truth = rng.integers(0, 2**29, (height, width)).astype(np.uint32) & ~np.uint32(1 << 5)
    dense = (truth[None] >> np.arange(29, dtype=np.uint32)[:, None, None]) & 1
    item = Item(canvas, view, truth, dense.sum(axis=(1, 2)))
    whole = torch.from_numpy(np.ascontiguousarray(view.frame.cut(logits)))[None]
    pred = functional.interpolate(whole, size=(height, width), mode="bilinear").sigmoid() > 0.5
    np.testing.assert_allclose(score(logits, item, 0.5), dice(pred, dense[None])[0], atol=1e-12)


def test_validation_goes_through_all_cases_in_order(drawn: Path) -> None:
    recipe = load_recipe("small", ["input.size=64", "network.stride=1", "validation.batch=4"])
    cases = open_collection(drawn).labelled
    batches = validation_loader(ValidationSet(recipe, cases, PictureCache(None)), workers=0)
    items = [item for batch in batches for item in batch]
    assert len(items) == len(cases) == 6
    truths = {item.canvas.tobytes(): item.truth for item in items}

    def perfect(canvases: torch.Tensor) -> torch.Tensor:
        words = np.stack([truths[canvas.numpy().tobytes()] for canvas in canvases[:, 0]])
        return torch.from_numpy(20.0 * ((words[:, None] >> np.arange(29)[None, :, None, None]) & 1) - 10)

    told: list[tuple[int, int]] = []
    scores = validate(perfect, batches, 0.5, seen=lambda done, total: told.append((done, total)))
    assert told[-1] == (6, 6) and told == sorted(told)
    assert scores.shape == (6, 29)
    np.testing.assert_allclose(scores, 1)


def test_canvases_are_kept_up_to_a_limit(drawn: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("handbones.learning.validation._MOST_KEPT", 2 * 64 * 64)
    cases = open_collection(drawn).labelled
    dataset = ValidationSet(load_recipe("small", ["input.size=64"]), cases, PictureCache(None))
    first = [dataset[index].canvas for index in range(len(cases))]
    again = [dataset[index].canvas for index in range(len(cases))]
    assert sum(a is b for a, b in zip(first, again, strict=True)) == 2
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))


def test_phantoms_validate_where_there_are_no_cases() -> None:
    recipe = load_recipe("default", ["phantoms.validation=2", "phantoms.validation_size=128", "phantoms.profile=clean"])
    dataset = ValidationSet(recipe, [], PictureCache(None))
    assert len(dataset) == 2
    assert dataset[1].truth.shape == (128, 128)
    assert dataset[1] is dataset[1]


def test_bent_wrists_weigh_what_is_asked(drawn: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = load_recipe("small", ["validation.tilted=0.75", "validation.limit=4"])
    cases = open_collection(drawn).labelled
    monkeypatch.setattr("handbones.learning.validation.bent", lambda some: np.arange(len(some)) == 1)
    by_tilt = ByTilt.of(recipe, cases)
    assert by_tilt is not None
    scores = np.tile(np.array([[0.8], [0.4], [0.9], [0.7]]), 29)
    np.testing.assert_allclose(by_tilt.mean(scores), 0.75 * 0.4 + 0.25 * 0.8)
    assert by_tilt.figures(scores) == pytest.approx({"dice_plain": 0.7, "dice_bent": 0.4, "dice_straight": 0.8})
    assert ByTilt.of(load_recipe("small"), cases) is None
    monkeypatch.setattr("handbones.learning.validation.bent", lambda some: np.zeros(len(some), bool))
    with pytest.raises(UserError, match=r"no bent wrists.*data\.stratify=tilt"):
        ByTilt.of(recipe, cases)
    with pytest.raises(UsageError, match="phantoms validate here"):
        ByTilt.of(recipe, [])
