"""Phantoms: pixels and labels that belong together, from a seed."""

import json
from importlib.resources import files

import numpy as np
import pytest

from handbones.anatomy import BONES
from handbones.errors import UsageError
from handbones.metadata import Metadata
from handbones.phantom.decoys import draw_decoy
from handbones.phantom.drawing import draw, draw_both, draw_geometry, draw_sample, make, trace
from handbones.phantom.settings import CLEAN, PRESETS, REALISTIC, WILD, PhantomSettings
from handbones.raster import unpack
from handbones.sides import wrist_tilt


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("preset", PRESETS)
def test_the_same_seed_gives_the_same_phantom(preset: str) -> None:
    first, again = (draw(rng(5), PRESETS[preset], 128, 160) for _ in range(2))
    assert first.pixels.dtype == np.uint8
    assert first.pixels.shape == first.packed.shape == (128, 160)
    assert (first.pixels == again.pixels).all()
    assert (first.packed == again.packed).all()
    assert (first.pixels != draw(rng(6), PRESETS[preset], 128, 160).pixels).any()


def test_a_clean_phantom_shows_all_bones_bright_on_dark() -> None:
    for seed in range(4):
        phantom = draw(rng(seed), CLEAN, 384, 384)
        masks = unpack(phantom.packed).astype(bool)
        assert masks.any(axis=(1, 2)).all(), [BONES[i] for i in np.flatnonzero(~masks.any(axis=(1, 2)))]
        assert phantom.pixels[masks.any(0)].mean() > phantom.pixels[~masks.any(0)].mean() + 60


def test_both_sides_of_one_person_have_the_same_bones() -> None:
    right = draw_geometry(rng(3), CLEAN, 512, 512, side="right")
    left = draw_geometry(rng(3), CLEAN, 512, 512, side="left")
    assert (right.side, left.side) == ("right", "left")
    areas = [unpack(g.packed).sum(axis=(1, 2)).astype(float) for g in (right, left)]
    assert np.abs(areas[0] / areas[1] - 1).max() < 0.05

    def across(packed: np.ndarray, label: str) -> float:
        return float(np.nonzero(packed >> BONES.index(label) & 1)[1].mean())

    assert across(right.packed, "finger-3") < across(right.packed, "finger-19"), (
        "a right hand has its thumb at the left"
    )
    assert across(left.packed, "finger-3") > across(left.packed, "finger-19")


def test_outlines_give_the_masks_again() -> None:
    radiograph, labels = make(2, "clean", 1024)
    phantom = draw(rng(2), CLEAN, 1024, 1024)
    drawn, true = labels.masks(1024, 1024).astype(bool), unpack(phantom.packed).astype(bool)
    assert (radiograph.pixels == phantom.pixels).all()
    dice = 2 * (drawn & true).sum((1, 2)) / (drawn.sum((1, 2)) + true.sum((1, 2)))
    assert dice.min() > 0.985
    assert trace(phantom.packed).bones == list(BONES)


def test_the_labelled_sesamoid_belongs_to_the_metacarpal() -> None:
    with_, without = (
        draw(rng(8), REALISTIC.model_copy(update={"sesamoid_in_metacarpal": chance}), 512, 512).packed
        for chance in (1, 0)
    )
    bit = BONES.index("finger-3")
    grown = int((with_ >> bit & 1).sum()) - int((without >> bit & 1).sum())
    assert grown > 0
    assert ((with_ ^ without) & ~np.uint32(1 << bit) == 0).all(), "no other bone changes"


def test_decoys_and_now_and_then_a_sample_have_no_bones() -> None:
    assert draw_decoy(rng(1), WILD, 96, 96).shape == (96, 96)
    pixels, packed, known = draw_sample(rng(1), WILD.model_copy(update={"not_a_hand": 1.0}), 96, 96)
    assert pixels.std() > 0
    assert not packed.any() and known == Metadata()


def test_both_hands_lie_side_by_side_and_each_has_its_bones() -> None:
    pixels, packed, known = draw_both(rng(2), WILD, 256, 256)
    assert pixels.shape == packed.shape == (256, 256)
    for half in (packed[:, :128], packed[:, 128:]):
        assert unpack(np.ascontiguousarray(half)).any(axis=(1, 2)).sum() >= 20
    sample = draw_sample(rng(2), WILD.model_copy(update={"not_a_hand": 0.0, "two_hands": 1.0}), 128, 128)
    assert [array.shape for array in sample[:2]] == [(128, 128)] * 2
    assert known.age is not None and known.side is None


def test_unknown_presets_and_reversed_ranges_are_refused() -> None:
    with pytest.raises(UsageError, match="unknown phantoms 'tame': there are realistic, wild, clean"):
        make(0, "tame")
    with pytest.raises(ValueError, match="must not exceed"):
        PhantomSettings.model_validate({"film": {"gamma": [2.0, 1.0]}})


@pytest.mark.slow
def test_bones_have_the_sizes_overlaps_and_tilts_of_real_hands() -> None:
    """Mean area of each bone within 8 %, the 12 largest overlaps within 30 % of 288 real hands; wrists of two kinds."""
    real = json.loads((files("handbones.phantom") / "calibration.json").read_text())
    areas, pairs, tilts, off = [], [], [], []
    wanted = [entry["pair"] for entry in real["overlaps"][:12]]
    for seed in range(160):
        geometry = draw_geometry(rng(seed), REALISTIC, 384, 384)
        masks = unpack(geometry.packed).astype(bool)
        areas.append(masks.mean(axis=(1, 2)) * 100)
        couples = [(masks[BONES.index(a)], masks[BONES.index(b)]) for a, b in wanted]
        pairs.append([(a & b).sum() / (a | b).sum() for a, b in couples])
        tilts.append(wrist_tilt(trace(geometry.packed)) or 0.0)
        off.append(geometry.tilt - tilts[-1])
    ratio = np.mean(areas, axis=0) / [real["bones"][label]["area_percent"]["mean"] for label in BONES]
    assert np.abs(ratio - 1).max() < 0.08, dict(zip(BONES, ratio.round(2), strict=True))
    iou = {tuple(sorted(entry["pair"])): entry["iou_mean"] for entry in real["overlaps"]}
    found = np.mean(pairs, axis=0) / [iou[tuple(sorted(pair))] for pair in wanted]
    assert (np.abs(found - 1) < 0.3).all(), dict(zip(map(tuple, wanted), found.round(2), strict=True))
    assert 0.4 < np.mean(np.array(tilts) > 22) < 0.75
    assert abs(np.mean(off)) < 1 and np.std(off) < 2  # what is known of a phantom is what its labels tell


def test_hands_lie_between_the_bars_of_either_side() -> None:
    bars = WILD.frame.model_copy(update={"letterbox": 1.0, "letterbox_share": (0.02, 0.22)})
    for left in (0.0, 1.0):
        view = WILD.view.model_copy(update={"left": left, "zoomed": 0.0, "rotation_any": 0.0})
        hidden = []
        for seed in range(12):
            hand = draw_geometry(rng(seed), WILD.model_copy(update={"frame": bars, "view": view}), 256, 256)
            fingers = hand.packed & np.uint32((1 << 27) - 1) > 0
            hidden.append(1 - fingers[hand.bars.inside(256, 256)].sum() / fingers.sum())
        assert np.mean(hidden) < 0.05, left


def test_small_pictures_have_labels_of_all_bones() -> None:
    for seed in range(3):
        assert set(trace(draw(rng(seed), CLEAN, 128, 128).packed).polygons) == set(BONES)
