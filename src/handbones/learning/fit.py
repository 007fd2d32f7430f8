"""A training from recipe to bundle."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch import Trainer

from handbones.bundle import RECIPE, Bundle, load_bundle, origin
from handbones.collection import Collection
from handbones.errors import UsageError, UserError
from handbones.files import claimed
from handbones.learning import cpu
from handbones.learning.batches import Serials, comes_as_scenes
from handbones.learning.cache import PictureCache
from handbones.learning.course import Course
from handbones.learning.dataset import TrainingSet, training_loader
from handbones.learning.export import start_from
from handbones.learning.metadata import refuse_unknown
from handbones.learning.module import BoneModule
from handbones.learning.networks import Network, build_network, count_parameters
from handbones.learning.run import PlainCheckpoints, Run, Split
from handbones.learning.stopping import Stopping, collect_garbage
from handbones.learning.tracking import build_loggers
from handbones.learning.validation import ByTilt, ValidationSet, validation_loader
from handbones.learning.watch import State, Watch
from handbones.learning.workers import worker_count
from handbones.learning.world import World
from handbones.memory import memory_errors_in_training
from handbones.recipe import Recipe, differences, inherit, load_recipe

_BUILD = {f"network.{field}" for field in ("decoder", "encoder", "channels", "stride", "decoder_channels")}
"""Fields of the recipe that decide which weights there are."""


@dataclass(frozen=True)
class Outcome:
    """How a training ended."""

    bundle: Path
    state: State
    interrupted: bool
    first: bool = True
    """Whether this process is the first of those that trained together, or the only one."""


def fit(
    recipe: Recipe,
    out: Path,
    collection: Collection | None = None,
    *,
    pseudo: Collection | None = None,
    init: Path | None = None,
    resume: bool = False,
    watch: Watch | None = None,
    onnx: bool = True,
) -> Outcome:
    """Train as the recipe says and leave the best model in `out`/bundle.

    `pseudo` is a collection with labels that a model gave; it trains and never validates. `init` is a bundle to start
    from instead of the recipe's weights, and decides what the recipe leaves open of the network and its input; `resume`
    goes on with the run in `out`. Without `onnx` the bundle has no ONNX file. Ctrl-C ends the training after the step
    or validation at hand, with everything saved. Started by `torchrun`, the processes train together: each takes
    batches of its own, and the first one writes and speaks. Raises `UserError` and `UsageError`.
    """
    world = World.of_environment()
    watch = watch if watch and world.writes else Watch()
    bundle = load_bundle(init) if init is not None and not resume else None
    if bundle is not None:
        recipe = inherit(recipe, bundle.recipe)
        if (recipe.loss.softmax > 0) != (bundle.recipe.loss.softmax > 0):
            parts = dict.fromkeys(recipe.loss.parts, 0.0) | bundle.recipe.loss.parts
            remedy = " ".join(f"loss.{name}={weight:g}" for name, weight in parts.items())
            raise UsageError(f"loss.softmax: --init {init} was trained otherwise: --set {remedy} is as there")
    elif resume and (out / RECIPE).exists():
        recipe = inherit(recipe, load_recipe(out / RECIPE))
    if bundle is None and not resume:
        refuse_from_nothing(recipe)
    split = Split.of(recipe, collection, pseudo)
    if init is not None and bundle is not None:
        split = replace(split.after(init), init=origin(init, bundle))
        if same := split.perhaps_known():
            known = f"{len(same)} of those held out have IDs of people who trained --init"
            watch.said(f"{known}: the same people flatter it")
        if set(bundle.recipe.metadata.inputs) - set(recipe.metadata.inputs):
            watch.said("metadata.inputs: what the model of --init has learned of metadata is left out")
    run = Run(out, recipe, split, writes=world.writes)
    if recipe.phantoms.profile is None:
        inherited = bundle is not None and bundle.recipe.metadata.inputs == recipe.metadata.inputs
        refuse_unknown(recipe.metadata, run.split.train, inputs=not inherited)
    with claimed(run.checkpoint) if world.writes else nullcontext(), _quiet():
        run.prepare(resume=resume)
        if resume and (newer := run.newer_labels()):
            watch.said(f"{len(newer)} label files are newer than the run, such as {newer[0]}: it goes on with them")
        torch.manual_seed(recipe.training.seed)
        network = build_network(recipe, pretrained=bundle is None and not resume)
        if bundle is not None:
            _start(network, recipe, bundle, init)
        grows = not resume and recipe.grows(bundle.recipe if bundle is not None else None)
        watch.said(_summary(recipe, run.split, count_parameters(network), grows=grows))
        collect_garbage()  # workers inherit nothing of an earlier training, whose loader complains if it dies in them
        try:
            return _learn(network, run, world, watch, resume=resume, learned=bundle is not None, grows=grows, onnx=onnx)
        finally:
            run.tidy()


def _start(network: Network, recipe: Recipe, bundle: Bundle, init: Path | None) -> None:
    try:
        start_from(network, bundle)
    except UserError:
        changed = [name for name in differences(recipe, bundle.recipe) if name in _BUILD]
        if not changed:
            raise
        raise UsageError(
            f"{changed[0]}: --init {init} was trained with another: leave it out, and if a recipe has it take finetune"
        ) from None


def refuse_from_nothing(recipe: Recipe) -> None:
    """Raise `UsageError` if a recipe wants a model to go on from."""
    if recipe.network.weights == "none" and recipe.training.freeze_norm:
        raise UsageError("training.freeze_norm keeps the statistics of a model: give --init BUNDLE, or --init default")
    if recipe.network.weights == "none" and recipe.hand == "wrist":
        raise UsageError(
            "input.hand=wrist is for a second look, which goes on from the first model: give --init BUNDLE"
        )


def _learn(
    network: Network, run: Run, world: World, watch: Watch, *, resume: bool, learned: bool, grows: bool, onnx: bool
) -> Outcome:
    """Train a network that is built; `learned` if it already knows bones. What is resumed knows both by itself."""
    recipe, split = run.recipe, run.split
    training = recipe.training
    cache = _cache(recipe, run)
    workers = worker_count(training.workers, world.size // world.nodes)
    samples = TrainingSet(recipe, split.train, cache, world.size, split.pseudo)
    if not samples.pass_steps and not (training.steps or training.minutes):
        raise UsageError("phantoms have no epochs: set training.steps or training.minutes")
    due = recipe.validation
    if not samples.pass_steps and due.epochs and not (due.steps or due.minutes):
        raise UsageError("phantoms have no epochs: set validation.steps or validation.minutes")
    examiner = validation_loader(ValidationSet(recipe, split.valid, cache), min(workers, 4), world)
    by_tilt = ByTilt.of(recipe, split.valid)
    course = Course(recipe, run, samples.pass_steps, examiner, watch, world, by_tilt, learned=learned, grows=grows)
    stopping = Stopping(course, watch)
    trainer = _trainer(recipe, run.folder, course, stopping)
    device = trainer.strategy.root_device.type
    if device == "cpu":
        cpu.keep_memory()
        cpu.quicken(network)
    module = BoneModule(network, recipe, course.scheduled)

    samples.scenes = comes_as_scenes(recipe, device)
    step_batches = training.accumulate * world.size
    earlier = run.steps_done() if resume else 0
    first = earlier * step_batches
    last = course.total_steps * step_batches if course.total_steps else None
    growth = course.grown if recipe.input.grow_from else None
    serials = Serials(training.batch, first, last, world.rank, world.size, growth)
    loader = training_loader(samples, serials, workers, on_gpu=device == "cuda", world=world)
    course.waited = lambda: loader.waited
    memory = memory_errors_in_training(recipe, lambda: course.validating, workers)
    with stopping, _plain_errors(world), memory:
        trainer.fit(module, loader, ckpt_path=run.checkpoint if resume else None, weights_only=True)
    if resume and course.step == earlier and not course.interrupted:
        budget = "give more with --minutes, or set training.steps or training.epochs"
        remedy = "set training.patience higher, or to null" if course.stale else budget
        watch.said(f"nothing was left to train: {remedy}")
    if world.writes:
        _finish(run, module, course, onnx=onnx)
    with _plain_errors(world):
        world.largest([0.0])  # nobody leaves before the first has written: torchrun would end it
    return Outcome(run.bundle, course.state(), course.interrupted, world.writes)


def _finish(run: Run, module: BoneModule, course: Course, *, onnx: bool) -> None:
    """Leave a whole bundle; who has stopped the training can leave out the ONNX file, too."""
    stopped = course.interrupted
    if not stopped or not onnx or course.world.size > 1:  # torchrun ends these soon, whatever they do
        run.finish(module.model, course.state(), onnx=onnx and not stopped)
    else:
        course.watch.said("writing the model; Ctrl-C leaves out model.onnx")
        with suppress(KeyboardInterrupt):
            run.finish(module.model, course.state())


def _cache(recipe: Recipe, run: Run) -> PictureCache:
    settings = recipe.data
    if not settings.cache or not run.split.train:
        return PictureCache(None)
    folder = Path(settings.cache_folder).expanduser() if settings.cache_folder else run.cache
    return PictureCache(folder, settings.cache_limit * 1e9 if settings.cache_limit else None)


def _trainer(recipe: Recipe, out: Path, course: Course, stopping: Stopping) -> Trainer:
    training, world = recipe.training, course.world
    plugins: list[Any] = [PlainCheckpoints()]
    if world.size == 1:
        plugins.append(LightningEnvironment())  # whatever a scheduler has set
    return Trainer(
        accelerator="auto",
        # Some encoders have weights that the masks do not need.
        strategy="ddp_find_unused_parameters_true" if world.size > 1 else "auto",
        devices=world.size // world.nodes,
        num_nodes=world.nodes,
        plugins=plugins,
        precision=precision_here(training.precision),  # type: ignore[arg-type]
        max_epochs=-1,
        accumulate_grad_batches=training.accumulate,
        default_root_dir=out,
        callbacks=[stopping, course],
        logger=build_loggers(recipe, out) if world.writes else False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )


def precision_here(wanted: str) -> str:
    """Lightning's name of the precision; `auto` is bf16 where the processor multiplies it natively."""
    if wanted == "auto":
        if torch.cuda.is_available():
            wanted = "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "16"
        else:
            wanted = "bf16" if cpu.has_bf16() else "32"
    return "32-true" if wanted == "32" else f"{wanted}-mixed"


def _summary(recipe: Recipe, split: Split, parameters: int, *, grows: bool) -> str:
    network = f"{recipe.network.decoder} on {recipe.network.encoder} ({parameters / 1e6:.1f} M parameters)"
    sources = []
    if split.train:
        people = len({case.person for case in split.train})
        sources.append(f"{len(split.train)} cases of {people} people, {len(split.valid)} cases held out")
    if split.pseudo:
        sources.append(f"{len(split.pseudo)} with pseudo-labels")
    if recipe.phantoms.profile:
        sources.append(f"phantoms ({recipe.phantoms.profile})")
    size = recipe.input.size
    start = recipe.input.size_of(size, 0.0) if grows else size
    sizes = f"{start} to {size}" if start < size else f"{size}"
    return f"{network} at {sizes} px learns from {' and '.join(sources)}"


_GONE = "Connection closed by peer", "Connection reset by peer"
"""Words of gloo and NCCL of a process that is no more."""


@contextmanager
def _plain_errors(world: World) -> Iterator[None]:
    """What a worker says of a user's mistake, without its traceback; what a compiler says, in short; who has gone."""
    try:
        yield
    except UserError as error:
        raise type(error)(str(error).rpartition(f"{type(error).__name__}: ")[2].strip()) from None
    except Exception as error:
        if world.size > 1 and any(words in str(error) for words in _GONE):
            raise UserError("another process of this training has ended: go on with --resume") from None
        if not type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
            raise
        reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise UserError(f"torch.compile does not work here ({reason}): set training.compile=false") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Leave out Lightning's advice, which our own lines say shorter, and what it does that others call outdated."""
    log = logging.getLogger("lightning.pytorch")
    level = log.level
    log.setLevel(logging.WARNING)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"lightning\..*")
        warnings.filterwarnings("ignore", message=".*LeafSpec", category=FutureWarning)
        warnings.filterwarnings("ignore", message="This DataLoader will create")  # more workers than cores, as asked
        warnings.filterwarnings("ignore", message="Grad strides do not match bucket view strides")  # channels last
        try:
            yield
        finally:
            log.setLevel(level)
