"""A training from recipe to bundle.

A run folder holds

    recipe.yaml   the resolved recipe
    cases.json    which cases train and which validate
    history.csv   a row for each validation
    last.ckpt     all that a resume needs, renewed every few minutes
    bundle/       the best model so far, usable at any time
    cache/        decoded pictures, while it trains
"""

import csv
import io
import json
import logging
import shutil
import signal
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.utilities.warnings import PossibleUserWarning

from handbones import __version__
from handbones.anatomy import BONES
from handbones.bundle import CARD, ONNX, Card, load_bundle, save_cover
from handbones.collection import Case, Collection
from handbones.errors import UsageError, UserError
from handbones.files import atomic_path, make_folder, write_text
from handbones.folds import folds
from handbones.learning.course import Course, State, Watch
from handbones.learning.dataset import PictureCache, Serials, TrainingSet, training_loader, worker_count
from handbones.learning.export import export_onnx, load_network, save_weights, start_from
from handbones.learning.module import BoneModule
from handbones.learning.networks import build_network, count_parameters
from handbones.learning.validation import Scores, ValidationSet, validate, validation_loader
from handbones.recipe import Recipe, differences, load_recipe

logger = logging.getLogger(__name__)

_BUDGET = {"training.epochs", "training.steps", "training.minutes", "training.workers", "training.checkpoint_minutes"}
"""Fields that may change at a resume."""


@dataclass(frozen=True)
class Outcome:
    """How a training ended."""

    bundle: Path
    state: State
    interrupted: bool


@dataclass(frozen=True)
class Split:
    """The cases of a run; none where it learns from phantoms alone."""

    train: Sequence[Case]
    valid: Sequence[Case]

    @classmethod
    def of(cls, recipe: Recipe, collection: Collection | None) -> "Split":
        """Training and validation cases of the recipe's fold. Raises `UserError` where there are too few."""
        if collection is None:
            if recipe.phantoms.profile is None:
                raise UsageError("nothing to learn from: give DATA, or phantoms with --phantoms NAME")
            return cls([], [])
        cases = [case for case in collection.labelled if case.split == "train"]
        if not cases:
            raise UserError(f"{collection.root}: no labelled cases to learn from")
        settings = recipe.data
        pairs = folds(cases, settings.folds, stratify=settings.stratify, seed=recipe.training.seed)
        train, valid = pairs[settings.fold]
        return cls([cases[i] for i in train], [cases[i] for i in valid])

    def names(self) -> dict[str, list[str]]:
        """Person and file name of each case."""
        parts = {"train": self.train, "validation": self.valid}
        return {part: [f"{case.person}/{case.name}" for case in cases] for part, cases in parts.items()}


def fit(
    recipe: Recipe,
    out: Path,
    collection: Collection | None = None,
    *,
    init: Path | None = None,
    resume: bool = False,
    watch: Watch | None = None,
) -> Outcome:
    """Train as the recipe says and leave the best model in `out`/bundle.

    `init` is a bundle to start from instead of the recipe's weights; `resume` goes on with the run in `out`. Ctrl-C
    ends the training after the step at hand, with everything saved. Raises `UserError` and `UsageError`.
    """
    watch = watch or Watch()
    split = Split.of(recipe, collection)
    _prepare(out, recipe, split, resume=resume)
    torch.manual_seed(recipe.training.seed)
    network = build_network(recipe, pretrained=init is None and not resume)
    if init is not None and not resume:
        start_from(network, load_bundle(init))
    watch.said(_summary(recipe, split, count_parameters(network)))

    training = recipe.training
    cache = PictureCache(out / "cache" if recipe.data.cache and split.train else None)
    workers = worker_count(training.workers)
    dataset = TrainingSet(recipe, split.train, cache, training.batch * training.accumulate)
    pass_steps = dataset.pass_samples // (training.batch * training.accumulate) if split.train else 0
    if not pass_steps and not (training.steps or training.minutes):
        raise UsageError("phantoms have no epochs: set training.steps or training.minutes")
    examiner = validation_loader(ValidationSet(recipe, split.valid, cache), min(workers, 4))

    trainer = _trainer(recipe, out)
    module = BoneModule(network, recipe, lambda: course.progress())
    course = Course(
        recipe,
        pass_steps,
        validate=lambda: validate(module.predict, examiner, recipe.validation.threshold),
        checkpoint=lambda: _checkpoint(trainer, out / "last.ckpt"),
        record=lambda *outcome: _record(out, module, course, split, *outcome),
        watch=watch,
    )
    trainer.callbacks.append(course)
    done = _steps_done(out / "last.ckpt") if resume else 0
    stop = course.total_steps * training.accumulate if course.total_steps else None
    serials = Serials(training.batch, done * training.accumulate, stop)
    loader = training_loader(dataset, serials, workers, pin=trainer.strategy.root_device.type == "cuda")
    with _graceful(course, watch), _quiet():
        trainer.fit(module, loader, ckpt_path=out / "last.ckpt" if resume else None, weights_only=True)
    return _finish(out, module, course, split)


def _prepare(out: Path, recipe: Recipe, split: Split, *, resume: bool) -> None:
    """Check that the run folder is free, or fits what is to be resumed, and write the recipe and the split."""
    exists = (out / "last.ckpt").exists()
    if resume and not exists:
        raise UserError(f"{out}: nothing to resume: it holds no last.ckpt; leave --resume out")
    if exists and not resume:
        raise UserError(f"{out}: holds a training run: add --resume to go on with it, or choose another --out")
    if resume:
        changed = [name for name in differences(load_recipe(out / "recipe.yaml"), recipe) if name not in _BUDGET]
        if changed:
            raise UsageError(f"{out}: was trained with another {changed[0]}: a resume may only change its budget")
        if json.loads((out / "cases.json").read_text(encoding="utf-8")) != split.names():
            raise UserError(f"{out}: was trained on other cases: give the same DATA to --resume")
    make_folder(out)
    write_text(out / "recipe.yaml", recipe.to_yaml())
    write_text(out / "cases.json", json.dumps(split.names(), indent=1, ensure_ascii=False) + "\n")


def _trainer(recipe: Recipe, out: Path) -> Trainer:
    training = recipe.training
    return Trainer(
        accelerator="auto",
        devices=1,
        precision=_precision(training.precision),  # type: ignore[arg-type]
        max_epochs=-1,
        accumulate_grad_batches=training.accumulate,
        default_root_dir=out,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )


def _precision(wanted: str) -> str:
    """Lightning's name of the precision; `auto` is bf16 where the processor multiplies it natively."""
    if wanted == "auto":
        if torch.cuda.is_available():
            wanted = "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "16"
        else:
            wanted = "bf16" if _cpu_has_bf16() else "32"
    return "32-true" if wanted == "32" else f"{wanted}-mixed"


def _cpu_has_bf16() -> bool:
    capability = torch.backends.cpu.get_cpu_capability()
    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return "AVX512" in capability and any(getattr(torch.cpu, check, bool)() for check in checks)


def _checkpoint(trainer: Trainer, path: Path) -> None:
    with atomic_path(path) as temporary:
        trainer.save_checkpoint(temporary)


def _steps_done(checkpoint: Path) -> int:
    return int(torch.load(checkpoint, map_location="cpu", mmap=True, weights_only=True)["global_step"])


def _record(
    out: Path, module: BoneModule, course: Course, split: Split, state: State, scores: Scores, better: bool
) -> None:
    """After a validation: the history, and the bundle if the model is the best so far."""
    if better:
        _keep(out / "bundle", module, state, scores, split)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(course.history[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(course.history)
    write_text(out / "history.csv", text.getvalue())


def _keep(folder: Path, module: BoneModule, state: State, scores: Scores | None, split: Split) -> None:
    """Make the model as it is now the run's bundle."""
    save_weights(folder, module.model)
    save_cover(folder, module.recipe, _card(module, state, scores, split))


def _card(module: BoneModule, state: State, scores: Scores | None, split: Split) -> Card:
    recipe = module.recipe
    card: Card = {
        "handbones": __version__,
        "created": time.strftime("%Y-%m-%d"),
        "network": {"parameters": count_parameters(module.model)},
        "training": {"steps": state.step, "epochs": round(state.epoch, 2), "minutes": round(state.minutes, 1)},
        "data": {
            "cases": len(split.train),
            "people": len({case.person for case in split.train}),
            "phantoms": recipe.phantoms.profile,
        },
        "licence": "The code is Apache-2.0. The terms of these weights follow from the data they were trained on.",
    }
    if scores is not None:
        means = scores.mean(axis=0).round(5).tolist()
        card["scores"] = {
            "dice": round(float(scores.mean()), 5),
            "bones": dict(zip(BONES, means, strict=True)),
            "pictures": len(scores),
            "of": "people held out from training" if split.valid else "phantoms not trained on",
        }
    return card


def _finish(out: Path, module: BoneModule, course: Course, split: Split) -> Outcome:
    """The bundle's ONNX file, and tidying up."""
    folder = out / "bundle"
    if not (folder / CARD).exists():  # interrupted before the first validation
        _keep(folder, module, course.state(), None, split)
    bundle = load_bundle(folder)
    if bundle.onnx is None:
        export_onnx(load_network(bundle), bundle.recipe, bundle.card, folder / ONNX)
    shutil.rmtree(out / "cache", ignore_errors=True)
    return Outcome(folder, course.state(), course.interrupted)


def _summary(recipe: Recipe, split: Split, parameters: int) -> str:
    network = f"{recipe.network.decoder} on {recipe.network.encoder} ({parameters / 1e6:.1f} M parameters)"
    sources = []
    if split.train:
        people = len({case.person for case in split.train})
        sources.append(f"{len(split.train)} cases of {people} people, {len(split.valid)} cases held out")
    if recipe.phantoms.profile:
        sources.append(f"phantoms ({recipe.phantoms.profile})")
    return f"{network} at {recipe.input.size} px learns from {' and '.join(sources)}"


@contextmanager
def _graceful(course: Course, watch: Watch) -> Iterator[None]:
    """The first Ctrl-C (or SIGTERM) ends the training after its step; the second one at once."""

    def stop(number: int, frame: Any) -> None:
        if course.interrupted:
            raise KeyboardInterrupt
        course.interrupted = True
        watch.said("stopping after this step; once more stops at once")

    numbers = (signal.SIGINT, signal.SIGTERM)
    before: list[Any] = []
    try:
        before = [signal.signal(number, stop) for number in numbers]
    except ValueError:  # not in the main thread, where signals are somebody else's
        pass
    try:
        yield
    except SystemExit:  # Lightning's answer to KeyboardInterrupt
        raise KeyboardInterrupt from None
    finally:
        for number, handler in zip(numbers, before, strict=False):
            signal.signal(number, handler)


@contextmanager
def _quiet() -> Iterator[None]:
    """Leave out Lightning's advice and what it does that other packages call outdated."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PossibleUserWarning)
        warnings.filterwarnings("ignore", message=".*LeafSpec", category=FutureWarning)
        yield
