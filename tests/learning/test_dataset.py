"""Samples depend on their serial number alone; the cache is exact and notices changes."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("torch")

import numpy as np

from handbones.anatomy import INDEX
from handbones.collection import open_collection
from handbones.errors import UserError
from handbones.learning.batches import Growing, Serials
from handbones.learning.cache import PictureCache
from handbones.learning.dataset import TrainingSet, draw_phantom, training_loader
from handbones.learning.validation import ValidationSet, score
from handbones.raster import unpack
from handbones.recipe import Recipe, load_recipe
from hands import write_hands

pytestmark = pytest.mark.train


def recipe(*overrides: str) -> Recipe:
    return load_recipe("small", ["input.size=64", "training.batch=2", *overrides])


@pytest.fixture
def plain(drawn: Path) -> TrainingSet:
    augment = "augment={}"
    return TrainingSet(recipe(augment), open_collection(drawn).labelled, PictureCache(None))


def test_a_pass_takes_every_case_once_in_a_new_order(plain: TrainingSet) -> None:
    assert (plain.pass_steps, plain.pass_samples) == (3, 6)
    passes = [[plain[serial]["pictures"].tobytes() for serial in range(6 * n, 6 * n + 6)] for n in range(4)]
    assert all(len(set(one)) == 6 for one in passes)
    assert len({tuple(one) for one in passes}) > 1


def test_a_pass_is_ordered_once(plain: TrainingSet, monkeypatch: pytest.MonkeyPatch) -> None:
    ordered, whole = [], plain._rng
    monkeypatch.setattr(plain, "_rng", lambda stream, which: ordered.append(which) or whole(stream, which))
    indices = [plain._index(serial) for serial in range(18)]
    assert ordered == [0, 1, 2]
    assert [plain._index(serial) for serial in range(17, -1, -1)] == indices[::-1]


def test_unaugmented_sample_is_the_case_itself(plain: TrainingSet, drawn: Path) -> None:
    samples = [plain[serial] for serial in range(6)]
    for case in open_collection(drawn).labelled:
        radiograph, labels = case.load()
        sample = next(s for s in samples if np.array_equal(s["pictures"][0], radiograph.pixels))
        assert labels is not None
        truth = labels.masks(64, 64)
        ours = unpack(sample["masks"].view(np.uint32))
        assert (ours != truth).mean() < 1e-3


def test_sample_is_reproducible_and_the_next_is_another(drawn: Path) -> None:
    cases = open_collection(drawn).labelled
    one, two = (TrainingSet(recipe(), cases, PictureCache(None)) for _ in range(2))
    assert np.array_equal(one[5]["pictures"], two[5]["pictures"])
    assert np.array_equal(one[5]["masks"], two[5]["masks"])
    assert not np.array_equal(one[5]["pictures"], one[5 + one.pass_samples]["pictures"])
    other = TrainingSet(recipe("training.seed=1"), cases, PictureCache(None))
    assert not np.array_equal(one[5]["pictures"], other[5]["pictures"])


def test_a_batch_has_one_size(drawn: Path) -> None:
    dataset = TrainingSet(recipe("input.train_sizes=[32, 64, 96]"), open_collection(drawn).labelled, PictureCache(None))
    shapes = [dataset[serial]["pictures"].shape for serial in range(40)]
    assert shapes[0::2] == shapes[1::2]
    assert {shape[1] for shape in shapes} == {32, 64, 96}


def test_pictures_grow(drawn: Path) -> None:
    growing = recipe("input.size=128", "input.grow_from=64", "input.grow_until=0.5", "training.batch=2")
    batches = list(Serials(2, 0, 5, growth=lambda number: growing.input.grown_at(number / 4)))
    dataset = TrainingSet(growing, open_collection(drawn).labelled, PictureCache(None))
    sides = [[dataset[wanted]["pictures"].shape[-1] for wanted in batch] for batch in batches]
    assert sides == [[64, 64], [96, 96], [128, 128], [128, 128], [128, 128]]
    various = TrainingSet(
        recipe("input.train_sizes=[32, 64, 128]", "input.grow_from=64"), dataset.cases, PictureCache(None)
    )
    assert {various[Growing(serial, 0.5)]["masks"].shape[0] for serial in range(24)} == {32, 64, 96}


def test_patches_train_and_sizes_stay(drawn: Path) -> None:
    cases = open_collection(drawn).labelled
    dataset = TrainingSet(recipe("patches.size=32", "patches.centred=1"), cases, PictureCache(None))
    samples = [dataset[serial] for serial in range(6)]
    assert all(s["pictures"].shape == (1, 32, 32) and s["masks"].shape == (32, 32) for s in samples)
    carpals = np.int32(0xFF << 19)
    assert all((s["masks"] & carpals).any() for s in samples)
    wanted = recipe("patches.size=64", "input.size=128", "phantoms.profile=clean")
    assert TrainingSet(wanted, [], PictureCache(None))[3]["pictures"].shape == (1, 64, 64)


def test_bent_wrists_come_as_often_as_asked(drawn: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cases = open_collection(drawn).labelled
    monkeypatch.setattr("handbones.learning.dataset.bent", lambda some: np.arange(len(some)) == 4)
    dataset = TrainingSet(recipe("data.tilted=0.6"), cases, PictureCache(None))
    drawn_cases = [dataset._index(serial) for serial in range(600)]
    assert 0.57 < np.mean(np.array(drawn_cases) == 4) < 0.63
    assert set(drawn_cases) == set(range(6))
    again = TrainingSet(recipe("data.tilted=0.6"), cases, PictureCache(None))
    assert [again._index(serial) for serial in range(300, 600)] == drawn_cases[300:]  # as after a resume
    monkeypatch.setattr("handbones.learning.dataset.bent", lambda some: np.zeros(len(some), bool))
    with pytest.raises(UserError, match=r"data\.tilted=0\.6: no bent wrists"):
        TrainingSet(recipe("data.tilted=0.6"), cases, PictureCache(None))


def test_each_batch_has_its_share_of_pseudo_labels(drawn: Path) -> None:
    cases = open_collection(drawn).labelled
    wanted = recipe("training.batch=4", "data.pseudo_share=0.4")
    dataset = TrainingSet(wanted, cases[:4], PictureCache(None), pseudo=cases[4:])
    indices = np.array([dataset._index(serial) for serial in range(800)]).reshape(-1, 4)
    guessed = (indices >= 4).sum(axis=1)
    assert set(guessed) == {1, 2} and guessed.mean() == pytest.approx(1.6, abs=0.15)
    assert set(indices.ravel()) == set(range(6))
    assert dataset.pass_steps == 1  # a pass is over the true cases


def test_serials_resume_and_shard() -> None:
    assert list(Serials(2, 3, 5)) == [[6, 7], [8, 9]]
    whole = list(Serials(3, 0, 4))
    halves = [list(Serials(3, 0, 4, rank, 2)) for rank in (0, 1)]
    assert sorted(halves[0] + halves[1]) == whole
    endless = iter(Serials(1, 7, None))
    assert [next(endless) for _ in range(2)] == [[7], [8]]


def test_phantoms_come_by_number() -> None:
    wanted = recipe("phantoms.profile=clean")
    picture, masks, _ = draw_phantom(wanted, 3, 96)
    again, *_ = draw_phantom(wanted, 3, 96)
    other, *_ = draw_phantom(wanted, 4, 96)
    assert picture.shape == masks.shape == (96, 96)
    assert np.array_equal(picture, again) and not np.array_equal(picture, other)
    dataset = TrainingSet(wanted, [], PictureCache(None))
    assert dataset.pass_steps == 0
    assert dataset[3]["masks"].any()


@pytest.mark.parametrize(("hand", "largest"), [("find", "finger-8"), ("wrist", "Scaphoid")])
def test_a_sample_shows_what_prediction_looks_at(hand: str, largest: str, tmp_path: Path) -> None:
    cases = open_collection(write_hands(tmp_path, people=2, test_people=0)).cases
    seen = recipe("augment={}", f"input.hand={hand}", "input.size=128", "network.stride=1")
    dataset = TrainingSet(seen, cases, PictureCache(None))
    validation = ValidationSet(seen, cases, PictureCache(None))
    samples = [dataset[serial] for serial in range(4)]
    for item in (validation[number] for number in range(4)):
        height, width = item.view.frame.height, item.view.frame.width
        apart = [
            np.abs(s["pictures"][0, :height, :width] - item.canvas[:height, :width].astype(float)) for s in samples
        ]
        same = samples[int(np.argmin([difference.mean() for difference in apart]))]
        assert np.min([difference.mean() for difference in apart]) < 8
        truth = np.isin(np.arange(29), np.flatnonzero(item.areas))
        shown = unpack(same["masks"].view(np.uint32)).any(axis=(1, 2))
        assert not (truth & ~shown).any() and shown[INDEX[largest]]
    whole = cases[0].load()[1].masks(256, 256).mean(axis=(1, 2))
    larger = unpack(samples[0]["masks"].view(np.uint32)).mean(axis=(1, 2)) / whole
    assert larger[INDEX["Capitate"]] > (4 if hand == "wrist" else 1.1)


def test_phantoms_are_seen_as_wrists_too() -> None:
    wrist = recipe("input.hand=wrist", "input.size=96", "phantoms.profile=clean", "phantoms.validation_size=256")
    shown = unpack(TrainingSet(wrist, [], PictureCache(None))[1]["masks"].view(np.uint32)).mean(axis=(1, 2))
    whole = unpack(draw_phantom(wrist, 1, 288)[1]).mean(axis=(1, 2))
    assert shown[INDEX["Capitate"]] > 4 * whole[INDEX["Capitate"]] > 0
    item = ValidationSet(wrist, [], PictureCache(None))[0]
    assert item.view.window.height < 200 and item.areas[INDEX["Capitate"]] and not item.areas[INDEX["finger-8"]]


def test_a_perfect_network_gets_full_marks_however_it_looks(tmp_path: Path) -> None:
    cases = open_collection(write_hands(tmp_path, people=2, test_people=0)).cases
    for hand in ("find", "wrist"):
        seen = recipe(f"input.hand={hand}", "input.size=512", "network.stride=1")
        for item in (ValidationSet(seen, cases, PictureCache(None))[number] for number in range(2)):
            bits = (item.truth[None] >> np.arange(29, dtype=np.uint32)[:, None, None] & 1).astype(np.uint8)
            canvases = np.stack([item.view.see(255 * plane) for plane in bits])
            marks = score((canvases.astype(np.float32) - 127.5) / 10, item, 0.5)
            assert marks.min() > 0.97


def test_a_loader_knows_how_long_it_was_waited_for(drawn: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = TrainingSet(recipe(), open_collection(drawn).labelled, PictureCache(None))
    loader = training_loader(dataset, Serials(2, 0, 3), 0, on_gpu=False)
    make, clock = TrainingSet.__getitem__, [0.0]

    def slow(samples: TrainingSet, wanted: int) -> dict[str, Any]:
        clock[0] += 1
        return make(samples, wanted)

    monkeypatch.setattr(TrainingSet, "__getitem__", slow)
    monkeypatch.setattr("handbones.learning.dataset.time", SimpleNamespace(monotonic=lambda: clock[0]))
    for _ in loader:
        clock[0] += 10  # the network's own time
    assert loader.waited == 6
