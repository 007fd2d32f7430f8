"""A training end to end on drawn hands of 64 pixels."""

import csv
import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("torch")

import numpy as np
import torch

from drawn import write_collection
from handbones.anatomy import ANATOMY
from handbones.bundle import load_bundle, started_from, trained_on
from handbones.collection import open_collection
from handbones.errors import UsageError, UserError
from handbones.inference.segmenter import Segmenter
from handbones.learning.course import Course
from handbones.learning.export import load_network
from handbones.learning.fit import Outcome, fit
from handbones.learning.module import BoneModule
from handbones.learning.networks import Network, build_network
from handbones.learning.run import Run, Split
from handbones.recipe import Recipe, load_recipe
from tiny import TINY, Interrupter, tiny

pytestmark = pytest.mark.train


def test_run_folder_holds_what_it_promises(run: tuple[Path, Outcome]) -> None:
    out, outcome = run
    names = sorted(path.name for path in out.iterdir())
    assert names == ["bundle", "cases.json", "history.csv", "last.ckpt", "recipe.yaml", "tensorboard"]
    parts = sorted(path.name for path in outcome.bundle.iterdir())
    assert parts == ["card.json", "model.onnx", "model.safetensors", "recipe.yaml"]
    assert len((out / "history.csv").read_text().splitlines()) == 3
    card = load_bundle(out).card
    assert card["scores"]["dice"] == pytest.approx(outcome.state.best, abs=1e-5)
    cases = json.loads((out / "cases.json").read_text())
    train, valid = ({name.split("/")[0] for name in cases[part]} for part in ("train", "validation"))
    assert not train & valid


@pytest.mark.usefixtures("no_export")
def test_the_network_and_what_an_older_run_saved_are_laid_out_channels_last() -> None:
    layout = torch.channels_last
    module = BoneModule(build_network(tiny(), pretrained=False), tiny(), lambda: 0.0)
    seen: list[bool] = []
    for layer in module.network.modules():
        if isinstance(layer, torch.nn.Conv2d):
            layer.register_forward_hook(lambda *said: seen.append(said[2].is_contiguous(memory_format=layout)))
    logits = module.network(torch.zeros(2, 1, 64, 64, dtype=torch.uint8))
    assert seen and all(seen)
    optimiser = module.configure_optimizers()
    logits.sum().backward()
    optimiser.step()
    weight = max(module.network.parameters(), key=lambda weight: weight.dim() * weight.numel())
    expected = optimiser.state[weight]["exp_avg"].clone()
    optimiser.state[weight]["exp_avg"] = expected.contiguous()
    module._trainer = SimpleNamespace(optimizers=[optimiser])  # type: ignore[assignment]
    module.on_train_start()
    assert optimiser.state[weight]["exp_avg"].stride() == weight.stride()
    assert torch.equal(optimiser.state[weight]["exp_avg"], expected)


@pytest.mark.usefixtures("no_export")
def test_pictures_grow_unless_a_model_goes_on_with_what_it_knows(
    run: tuple[Path, Outcome], drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    begin = Course.on_train_batch_start

    def look(course: Course, trainer: Any, module: Any, batch: Any, number: int) -> None:
        seen.append(batch["pictures"].shape[-1])
        begin(course, trainer, module, batch, number)

    monkeypatch.setattr(Course, "on_train_batch_start", look)
    growth, collection = ("input.grow_from=32", "input.grow_until=1"), open_collection(drawn)
    growing = tiny(*growth)
    fit(growing, tmp_path / "fresh", collection)
    assert seen == [64, 32, 64, 64]  # the first shows at once whether there is memory for the last
    seen.clear()
    fit(growing, tmp_path / "finer", collection, init=run[0], watch=Interrupter())
    fit(growing, tmp_path / "finer", collection, resume=True)
    assert seen == [64] * 4
    seen.clear()
    wrist = tiny("input.hand=wrist", *growth)
    first = fit(wrist, tmp_path / "wrist", collection, init=run[0], watch=Interrupter())
    fit(wrist, tmp_path / "wrist", collection, resume=True)
    assert seen == [64, 32, 64, 64]  # the model knows wrists as small as they are in whole hands
    seen.clear()
    fit(wrist, tmp_path / "more", collection, init=first.bundle)
    assert seen == [64] * 4


@pytest.mark.usefixtures("no_export")
def test_accumulated_batches_weigh_as_one_large_batch(
    drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def plain(recipe: Recipe, *, pretrained: bool) -> Network:
        layer = torch.nn.Conv2d(1, 29, 3, stride=2, padding=1)  # no batch normalisation, which sees the batch
        torch.nn.init.zeros_(layer.weight)
        return Network(layer, recipe.network, recipe.input)

    monkeypatch.setattr("handbones.learning.fit.build_network", plain)
    plain_loss = [
        "network.deep_supervision=0",
        "loss.dice=0",
        'training.precision="32"',
        "training.ema=null",
        "training.steps=2",
        "validation.steps=9",
    ]
    for run, batch in (("one", 4), ("two", 2)):
        recipe = tiny(*plain_loss, f"training.batch={batch}", f"training.accumulate={4 // batch}")
        fit(recipe, tmp_path / run, open_collection(drawn))
    one, two = (
        torch.load(tmp_path / run / "last.ckpt", weights_only=True)["state_dict"]["network.body.weight"]
        for run in ("one", "two")
    )
    assert one.abs().max() > 0
    torch.testing.assert_close(one, two)


@pytest.mark.usefixtures("no_export")
def test_patience_ends_a_training_that_learns_no_more(drawn: Path, tmp_path: Path) -> None:
    recipe = tiny("optimiser.lr=1e-9", "training.steps=40", "validation.steps=1", "training.patience=2")
    outcome = fit(recipe, tmp_path / "run", open_collection(drawn))
    dices = [float(row["dice"]) for row in csv.DictReader((tmp_path / "run" / "history.csv").open())]
    assert 3 <= outcome.state.step == len(dices) < 40
    assert max(dices) == dices[-3]
    again = fit(recipe, tmp_path / "run", open_collection(drawn), resume=True)
    assert again.state.step == outcome.state.step


@pytest.mark.usefixtures("no_export")
def test_the_best_model_is_the_one_for_the_tilt_of_the_test(
    drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("handbones.learning.validation.bent", lambda cases: np.arange(len(cases)) == 0)
    settings = ("validation.tilted=0.9", "validation.steps=1", "network.head_bias=0", "augment.wrist=0.5")
    outcome = fit(tiny(*settings), tmp_path / "run", open_collection(drawn))
    rows = list(csv.DictReader((tmp_path / "run" / "history.csv").open()))
    for row in rows:
        assert float(row["dice"]) == pytest.approx(0.9 * float(row["dice_bent"]) + 0.1 * float(row["dice_straight"]))
    assert max(float(row["dice"]) for row in rows) == outcome.state.best
    scores = load_bundle(outcome.bundle).card["scores"]
    assert scores["dice_weighed"] == pytest.approx(outcome.state.best, abs=1e-5)
    assert scores["dice"] == scores["dice_plain"]


def test_tensorboard_has_the_course(run: tuple[Path, Outcome]) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run[0] / "tensorboard")).Reload()
    tags = set(events.Tags()["scalars"])
    assert {"loss", "lr", "pictures_per_s", "data_wait", "dice", "dice/carpals", "bone/Pisiform"} <= tags
    assert [event.step for event in events.Scalars("dice")] == [2, 4]


@pytest.mark.usefixtures("no_export")
@pytest.mark.parametrize(
    ("error", "line"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), r"lower training\.batch \(now 2"),
        (RuntimeError("CUDA error: out of memory"), r"the GPU's memory is full: lower training\.batch"),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), r"the GPU's memory is full: lower"),
        (MemoryError(), r"memory is full: lower training\.batch"),
        (RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed."), r"lower training\.workers \(now 0"),
        (RuntimeError("DataLoader worker (pid 7) is killed by signal: Bus error. It is"), r"/dev/shm is full"),
    ],
)
def test_memory_that_runs_out_is_one_line(
    error: Exception, line: str, drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("handbones.learning.module.BoneModule.training_step", fail)
    with pytest.raises(UserError, match=line) as caught:
        fit(tiny(), tmp_path / "run", open_collection(drawn))
    assert "\n" not in str(caught.value)


@pytest.mark.slow
@pytest.mark.timeout(900)  # the compiler alone takes a minute
@pytest.mark.usefixtures("no_export")
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile wants a compiler")
def test_a_compiled_network_learns_the_same(drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = ['training.precision="32"', "training.steps=2", "validation.steps=9", "training.ema=null"]
    settings.append("network.deep_supervision=0")
    for name in ("true", "false"):
        fit(tiny(*settings, f"training.compile={name}"), tmp_path / name, open_collection(drawn))
    one, two = (
        torch.load(tmp_path / name / "last.ckpt", weights_only=True)["state_dict"] for name in ("true", "false")
    )
    assert one.keys() == two.keys()
    name = "network.body.segmentation_head.0.weight"
    torch.testing.assert_close(one[name], two[name], atol=1e-4, rtol=1e-3)

    def fail(*_: object) -> None:
        raise torch._dynamo.exc.TorchDynamoException("no compiler\nand more")

    monkeypatch.setattr("handbones.learning.module.BoneModule.training_step", fail)
    with pytest.raises(UserError, match=r"\(no compiler\): set training\.compile=false"):
        fit(tiny(), tmp_path / "run", open_collection(drawn))


@pytest.mark.usefixtures("no_export")
def test_a_full_memory_in_validation_names_its_batch(
    drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr("handbones.learning.module.BoneModule.predict", fail)
    with pytest.raises(UserError, match=r"in validation: lower validation\.batch \(now 8\)"):
        fit(tiny(), tmp_path / "run", open_collection(drawn))
    with pytest.raises(UserError, match=r"memory is full in validation: lower input\.size \(now 64\)"):
        fit(tiny("validation.batch=1"), tmp_path / "alone", open_collection(drawn))
    with pytest.raises(UserError, match=r"wandb is not installed.*handbones\[tracking\]"):
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
        fit(tiny("training.loggers=[wandb]"), tmp_path / "other", open_collection(drawn))


@pytest.mark.usefixtures("no_export")
def test_workers_do_not_change_a_run(run: tuple[Path, Outcome], drawn: Path, tmp_path: Path) -> None:
    fit(tiny("training.workers=2"), tmp_path / "run", open_collection(drawn))
    a, b = (torch.load(out / "last.ckpt", weights_only=True)["state_dict"] for out in (run[0], tmp_path / "run"))
    assert all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.usefixtures("no_export")
def test_starts_from_a_bundle(run: tuple[Path, Outcome], drawn: Path, tmp_path: Path) -> None:
    recipe = tiny("optimiser.lr=1e-9", "training.steps=1")
    outcome = fit(recipe, tmp_path / "run", open_collection(drawn), init=run[0] / "bundle" / "model.onnx")
    old, new = (load_network(load_bundle(bundle)).body.state_dict() for bundle in (run[0], outcome.bundle))
    name = "segmentation_head.0.weight"
    torch.testing.assert_close(old[name], new[name], atol=1e-6, rtol=0)
    first = next(csv.DictReader((tmp_path / "run" / "history.csv").open()))
    assert first["step"] == "0" and float(first["dice"]) == pytest.approx(run[1].state.best, abs=1e-4)
    assert started_from(outcome.bundle) == run[0] / "bundle" / "model.onnx"
    earlier, card = (load_bundle(place).card for place in (run[0], outcome.bundle))
    assert card["init"] == {"digest": load_bundle(run[0] / "bundle" / "model.onnx").digest(), "data": earlier["data"]}
    with pytest.raises(UsageError, match=r"network\.stride: --init .* was trained with another: leave it out"):
        fit(tiny("network.stride=4"), tmp_path / "other", open_collection(drawn), init=run[0])
    with pytest.raises(UsageError, match=r"loss\.softmax: .* was trained otherwise: --set loss\.softmax=0"):
        softmax = ("loss.softmax=1", "loss.bce=0", "loss.dice=0")
        fit(tiny(*softmax), tmp_path / "other", open_collection(drawn), init=run[0])
    for place in (run[0], run[1].bundle / "model.onnx"):
        with pytest.raises(UserError, match=r"of the \d cases held out have trained it"):
            fit(tiny("data.fold=1"), tmp_path / "leak", open_collection(drawn), init=place)


def test_a_run_knows_all_that_its_model_has_seen(tmp_path: Path) -> None:
    *learn, held_out = open_collection(write_collection(tmp_path / "data", people=4)).labelled
    recipe, seen = tiny(), set[str]()
    for generation, place in enumerate(tmp_path / name for name in "abc"):
        split = Split([learn[generation]], [held_out])
        if seen:
            split = split.after(tmp_path / "ab"[generation - 1])
        Run(place, recipe, split).prepare(resume=False)
        seen |= set(split.names()["train"])
        assert trained_on(place) == seen
    torch.save({"global_step": 1}, place / "last.ckpt")
    Run(place, recipe, Split([learn[2]], [held_out])).prepare(resume=True)
    assert trained_on(place) == seen
    with pytest.raises(UserError, match="1 of the 1 cases held out have trained it"):
        Split([held_out], [learn[0]]).after(place)


def test_the_wrist_goes_on_from_the_first_model(run: tuple[Path, Outcome], drawn: Path, tmp_path: Path) -> None:
    budget = [setting for setting in TINY if not setting.startswith(("network", "input"))]
    outcome = fit(load_recipe("wrist", [*budget, "input.size=96"]), tmp_path / "w", open_collection(drawn), init=run[0])
    first, second = load_bundle(run[0]).recipe, load_bundle(outcome.bundle).recipe
    assert second.network == first.network and second.input.mean == first.input.mean == 0.5
    assert second.hand == "wrist" and second.input.size == 96
    scores = load_bundle(outcome.bundle).card["scores"]
    carpals = [scores["bones"][bone.label] for bone in ANATOMY if bone.group == "carpals"]
    assert scores["dice"] == pytest.approx(np.mean(carpals), abs=1e-4)
    segmenter = Segmenter(run[0], wrist_bundle=outcome.bundle, size=128)
    close = segmenter._wrist
    assert close is not None and close.networks[0].size == 96  # --size is that of the whole picture
    assert close.networks[0].weight > 10 * segmenter._ensemble.networks[0].weight  # alone in its middle
    assert len(segmenter.segment(np.zeros((80, 60), np.uint8)).masks()) == 29


def test_every_seed_holds_out_the_same_people(tmp_path: Path) -> None:
    collection = open_collection(write_collection(tmp_path, people=12))
    recipes = [tiny("data.stratify=side", f"training.seed={seed}") for seed in (1, 2, 3)]
    first, *others = (Split.of(recipe, collection).names() for recipe in recipes)
    assert others == [first, first]


def test_refusals_are_one_line(run: tuple[Path, Outcome], drawn: Path, tmp_path: Path) -> None:
    collection = open_collection(drawn)
    with pytest.raises(UserError, match="add --resume"):
        fit(tiny(), run[0], collection)
    with pytest.raises(UserError, match="nothing to resume"):
        fit(tiny(), tmp_path / "none", collection, resume=True)
    (tmp_path / "lacking").mkdir()
    for name in ("last.ckpt", "recipe.yaml"):
        shutil.copy(run[0] / name, tmp_path / "lacking")
    with pytest.raises(UserError, match=r"cases\.json: cannot read what the run learns from"):
        fit(tiny(), tmp_path / "lacking", collection, resume=True)
    with pytest.raises(UsageError, match=r"another input\.size"):
        fit(tiny("input.size=96"), run[0], collection, resume=True)
    with pytest.raises(UserError, match="other cases"):
        fit(tiny(), run[0], open_collection(write_collection(tmp_path / "more", people=4)), resume=True)
    for path in (tmp_path / "more").rglob("*.json"):
        path.write_text('{"annotations": []}')
    with pytest.raises(UserError, match="no bone is outlined in any label file"):
        fit(tiny(), tmp_path / "none", open_collection(tmp_path / "more"))
    with pytest.raises(UsageError, match="nothing to learn from"):
        fit(tiny(), tmp_path / "none")
    with pytest.raises(UsageError, match="give --init"):
        fit(tiny("training.freeze_norm=true"), tmp_path / "none", collection)
    with pytest.raises(UsageError, match=r"second look.*give --init"):
        fit(tiny("input.hand=wrist"), tmp_path / "none", collection)
    for unit in ("training", "validation"):
        others = ["training.steps=null", "training.epochs=3"] if unit == "training" else ["validation.epochs=1"]
        nothing = ["validation.steps=null", "validation.minutes=null", "phantoms.profile=realistic"]
        with pytest.raises(UsageError, match=f"phantoms have no epochs: set {unit}"):
            fit(tiny(*nothing, *others), tmp_path / unit)
    with pytest.raises(UsageError, match=r"network\.decoder=deeplabv3plus needs at least 2"):
        pooled = ("network.decoder=deeplabv3plus", "network.stride=4", "network.deep_supervision=0")
        fit(tiny(*pooled, "training.batch=1"), tmp_path / "one", collection)
    with pytest.raises(UserError, match="use fewer"):
        fit(tiny("data.folds=4"), tmp_path / "none", collection)
