"""Phantoms rendered in torch are those that the processor draws: the same labels, the same picture to a gray."""

from pathlib import Path

import pytest

pytest.importorskip("torch")

import cv2
import numpy as np
import torch

from handbones.collection import open_collection
from handbones.learning import film
from handbones.learning.batches import comes_as_scenes, finish_batch, gather
from handbones.learning.beam import boxes_of, rasterise
from handbones.learning.cache import PictureCache
from handbones.learning.dataset import TrainingSet
from handbones.learning.fit import fit
from handbones.learning.rendering import Scenes, render
from handbones.phantom.drawing import draw_geometry, draw_sample
from handbones.phantom.exposure import Grain
from handbones.phantom.film import blur
from handbones.phantom.mesh import template
from handbones.phantom.raster import thickness
from handbones.phantom.scene import Scene, draw_scene
from handbones.phantom.settings import REALISTIC, WILD, PhantomSettings
from handbones.recipe import load_recipe

pytestmark = pytest.mark.train

SIZE = 160
OFTEN = {"ring": 0.5, "nails": 0.5, "plate": 0.5, "wire": 0.5, "line": 0.5, "cast": 0.3, "distractor": 0.5}
FRAMED = {"collimated": 0.7, "text": 0.7, "marker": 0.7, "scale_bar": 0.7, "top_bar": 0.5, "letterbox": 0.5}
ONE_HAND = {"not_a_hand": 0.0, "two_hands": 0.0}
BUSY = WILD.model_copy(
    update={
        **ONE_HAND,
        "things": WILD.things.model_copy(update=OFTEN),
        "frame": WILD.frame.model_copy(update=FRAMED),
        "film": WILD.film.model_copy(update={"clahe": 0.0, "jpeg": 0.0, "grid_lines": 0.5, "scan": 0.5}),
        "sesamoid_in_metacarpal": 1.0,
    }
)
"""Wild, with all that is rare, but for what turns the least difference into whole grays."""


def rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def scene(seed: int, settings: PhantomSettings = BUSY, size: int = SIZE) -> Scene:
    drawn, _ = draw_scene(rng(seed), settings, size, size)
    assert isinstance(drawn, Scene)
    return drawn


def test_thickness_is_that_of_the_compiled_projector() -> None:
    hands = [draw_geometry(rng(seed), WILD, SIZE, SIZE) for seed in range(2)]
    points = [hand.camera.project(hand.body.outer, hand.body.detector_z) for hand in hands]
    size = torch.tensor([SIZE, SIZE])
    boxes = boxes_of(torch.from_numpy(np.stack(points)), size, size)
    ours = rasterise(torch.from_numpy(np.stack(points)), boxes).double() / 2**18
    t = template()
    ends = boxes.area.cumsum(0).tolist()
    for box, (end, area) in enumerate(zip(ends, boxes.area.tolist(), strict=True)):
        which, bone = divmod(box, 29)
        left, top, right, bottom = (int(side[box]) for side in boxes)
        theirs = np.zeros((max(0, bottom - top), max(0, right - left)), np.float32)
        if area:
            thickness(points[which][t.start[bone] : t.start[bone + 1]], t.faces[bone], left, top, theirs)
        difference = np.abs(ours[end - area : end].numpy() - theirs.ravel())
        assert difference.max(initial=0.0) < 1e-3, "a seam, or a triangle that does not count once"


@pytest.mark.parametrize("settings", [REALISTIC, BUSY], ids=["realistic", "busy"])
def test_a_seed_means_the_same_phantom_wherever_it_is_drawn(settings: PhantomSettings) -> None:
    settings = settings.model_copy(update=ONE_HAND)
    seeds = range(6)
    pictures, masks = render(Scenes.of([scene(seed, settings) for seed in seeds]))
    assert pictures.shape == (6, 1, SIZE, SIZE) and pictures.dtype == torch.uint8
    for seed, picture, packed in zip(seeds, pictures[:, 0].numpy(), masks.numpy().view(np.uint32), strict=True):
        pixels, truth, known = draw_sample(rng(seed), settings, SIZE, SIZE)
        assert np.array_equal(packed, truth)
        assert np.abs(picture.astype(int) - pixels).mean() < 1.0
        assert np.corrcoef(picture.ravel(), pixels.ravel())[0, 1] > 0.999
        assert draw_scene(rng(seed), settings, SIZE, SIZE)[1] == known


def test_a_scene_gives_the_same_picture_in_any_company() -> None:
    scenes = [scene(seed, size=96) for seed in range(3)]
    pictures, masks = render(Scenes.of(scenes))
    by_one, by_one_masks = render(Scenes.of(scenes), chunk=1)
    assert torch.equal(pictures, by_one) and torch.equal(masks, by_one_masks)
    alone, its_masks = render(Scenes.of(scenes[1:2]))
    assert torch.equal(its_masks[0], masks[1])
    assert (alone[0].int() - pictures[1].int()).abs().max() <= 1


def test_blur_clahe_and_jpeg_are_those_of_opencv() -> None:
    picture = draw_sample(rng(1), REALISTIC, 100, 132)[0]
    there = torch.from_numpy(picture)
    for sigma in (0.0, 0.4, 1.5, 5.0):
        ours = film.blur(there[None].float(), torch.tensor([sigma]))[0].numpy()
        assert np.abs(ours - blur(picture.astype(np.float32), sigma)).max() < 0.05
    for clip, tiles in ((1.0, 2), (2.5, 5), (4.0, 11)):
        theirs = cv2.createCLAHE(clip, (tiles, tiles)).apply(picture)
        assert np.abs(film.clahe(there, clip, tiles).numpy().astype(int) - theirs).max() <= 1
    for quality in (30, 60, 95):
        coded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        theirs = cv2.imdecode(coded, cv2.IMREAD_GRAYSCALE)
        assert np.abs(film.jpeg(there, quality).numpy().astype(int) - theirs).mean() < 0.5
    fields = Grain(*(torch.tensor([float(v)]) for v in Grain(1000, -1, 3, 1, 0.9)))
    assert film.noise(fields, 128, 128).std() == pytest.approx(1.0, abs=0.1)


TINY = [
    "network.encoder=test_efficientnet.r160_in1k",
    "network.weights=none",
    "input.size=64",
    "training.minutes=null",
    "training.steps=2",
    "training.batch=4",
    "training.workers=0",
    "training.loggers=[]",
    "validation.minutes=null",
    "validation.limit=1",
    "phantoms.profile=wild",
    "phantoms.render=device",
    "phantoms.validation_size=64",
]


def test_cases_and_scenes_mix_in_a_batch_and_keep_their_places(drawn: Path) -> None:
    wanted = load_recipe("small", [*TINY, "phantoms.share=0.5", "metadata.targets=[age]", "augment={}"])
    cases = open_collection(drawn).labelled
    on_cpu, on_device = (TrainingSet(wanted, cases, PictureCache(None)) for _ in range(2))
    on_device.scenes = True
    batch = gather([on_device[serial] for serial in range(8)])
    assert 0 < len(batch["scenes"].finish) < 8
    ours, theirs = finish_batch(batch), gather([on_cpu[serial] for serial in range(8)])
    assert ours.keys() == theirs.keys()
    assert all(ours[name].dtype == theirs[name].dtype for name in ours)
    assert torch.equal(ours["masks"], theirs["masks"]) and torch.equal(ours["targets"], theirs["targets"])
    assert (ours["pictures"].int() - theirs["pictures"].int()).abs().float().mean() < 2


def test_a_training_learns_from_scenes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("handbones.learning.run.export_onnx", lambda *_, **__: 0.0)
    seen: list[int] = []
    monkeypatch.setattr(
        "handbones.learning.rendering.render", lambda scenes: seen.append(len(scenes.finish)) or render(scenes)
    )
    outcome = fit(load_recipe("small", TINY), tmp_path / "run")
    assert outcome.state.step == 2 and np.isfinite(outcome.state.loss)
    assert len(seen) >= 2


def test_auto_means_scenes_for_gpus() -> None:
    def scenes(device: str, *overrides: str) -> bool:
        return comes_as_scenes(load_recipe("small", ["phantoms.render=auto", *overrides]), device)

    phantoms = "phantoms.profile=wild"
    assert scenes("cuda", phantoms)
    assert not scenes("cpu", phantoms) and not scenes("cuda", phantoms, "patches.size=64") and not scenes("cuda")
    assert not scenes("cuda", phantoms, "phantoms.render=cpu")
