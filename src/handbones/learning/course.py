"""The course of a training: how far it is, when to validate and to save, which model is best."""

import math
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch.utils.data import DataLoader

from handbones.anatomy import ANATOMY, BONES, GROUPS
from handbones.errors import UserError
from handbones.learning import cpu
from handbones.learning.metadata import describe_errors
from handbones.learning.meter import Meter
from handbones.learning.module import BoneModule
from handbones.learning.run import Run
from handbones.learning.validation import ByTilt, Item, deciding, validate
from handbones.learning.watch import State, Watch
from handbones.learning.world import World
from handbones.recipe import Recipe

_LEARNING = 4.0
"""Times as long as a validation took, learning goes on before the clock makes the next one due."""
_LONG = 0.1
"""Share of the budget from which on a validation is worth a word."""


class _CutShortError(Exception):
    """Ends a validation that nobody waits for."""


class Course(Callback):
    """Runs validation and checkpoints when they are due, and ends the training with its budget.

    Where several processes train together, each decision is taken by all of them, from the same numbers.
    """

    def __init__(
        self,
        recipe: Recipe,
        run: Run,
        pass_steps: int,
        examiner: DataLoader[list[Item]],
        watch: Watch,
        world: World | None = None,
        by_tilt: ByTilt | None = None,
        *,
        learned: bool = False,
        grows: bool = False,
    ) -> None:
        """`pass_steps` make a pass over the cases (0: there are none); `examiner` gives the validation pictures.

        `by_tilt`: how these are weighed, if not all alike. `learned`: the network starts as a model, which what is
        learned has to surpass to be kept. `grows`: its pictures do. A resume takes both from the checkpoint.
        """
        self.recipe = recipe
        self.run = run
        self.pass_steps = pass_steps
        self.examiner = examiner
        self.watch = watch
        self.world = world or World()
        self.learned = learned
        self.grows = grows
        self.by_tilt = by_tilt
        self.stop_asked = False
        """Somebody wants this process to stop; `interrupted` once all have agreed."""
        self.interrupted = False
        self.validating = False
        self.history: list[dict[str, float]] = []
        self.step = 0
        self._earlier = 0.0  # seconds of training in the sessions before this one
        self._validated = (0, 0.0)  # step and seconds of the last validation
        self._took = 0.0  # seconds that it took
        self._told = False  # that this is long
        self._dice = self._best = math.nan
        self.waited: Callable[[], float] = lambda: 0.0
        """Seconds that batches were waited for so far; for who has the loader to set."""
        self._meter = Meter()
        self._clock = time.monotonic()
        self._saved = 0.0  # seconds at the last checkpoint
        self._agreed = 0.0  # seconds that all processes go by

    @property
    def seconds(self) -> float:
        """Time in training, that before a resume included."""
        return self._agreed if self.world.size > 1 else self._own_seconds

    @property
    def _own_seconds(self) -> float:
        return self._earlier + time.monotonic() - self._clock

    @property
    def total_steps(self) -> int | None:
        """Steps that the budget allows; None where only time is limited."""
        training = self.recipe.training
        limits = [training.steps] if training.steps else []
        if training.epochs and self.pass_steps:
            limits.append(max(1, round(training.epochs * self.pass_steps)))
        return min(limits) if limits else None

    def progress(self) -> float:
        """Share of the budget that is used up, 0 to 1."""
        minutes, steps = self.recipe.training.minutes, self.total_steps
        by_time = self.seconds / 60 / minutes if minutes else 0.0
        return min(1.0, max(by_time, self.step / steps if steps else 0.0))

    def scheduled(self) -> float:
        """Share of the schedule that is over: of what validating the model that it goes on from left of the budget.

        Else that validation would take the warm-up, which such a model needs most.
        """
        first = self.history[0] if self.history else {"step": 1}
        begun = min(first["progress"], 0.99) if first["step"] == 0 else 0.0
        return max(0.0, self.progress() - begun) / (1 - begun)

    def grown(self, batch: int) -> float:
        """How much pictures of a batch have grown, 0 to 1: by its number, or by the clock where time is limited."""
        if not self.grows or batch < self.world.size:  # the first has its final size: is there memory for it?
            return 1.0
        training, steps = self.recipe.training, self.total_steps
        by_step = batch / (training.accumulate * self.world.size) / steps if steps else 0.0
        by_time = self.seconds / 60 / training.minutes if training.minutes else 0.0
        return self.recipe.input.grown_at(max(by_step, by_time))

    def state(self) -> State:
        """Where the training is now."""
        epoch = self.step / self.pass_steps if self.pass_steps else 0.0
        loss, rate, wait = self._meter.read(self.waited())
        progress = self.progress()
        return State(self.step, epoch, self.seconds / 60, progress, loss, rate, wait, self._dice, self._best)

    def on_fit_start(self, trainer: Trainer, module: LightningModule) -> None:
        self._clock = time.monotonic()
        self._agreed = self._saved = self._earlier

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        self.step = trainer.global_step
        self._meter.restart(self.waited())
        over = self.progress() >= 1  # a resume of a run that is over
        missed = self.step > self._validated[0] and (over or self._validation_due())  # that was stopped just there
        if missed or (self.learned and not self.history):
            self.run_validation(module)
        if missed or self.interrupted:
            self.run.save_checkpoint(trainer)
        trainer.should_stop = over or self.stale or self.interrupted
        if not (over or self.stale):  # a resume that is refused, or has nothing to do, changes nothing
            self.run.write_recipe()

    def on_train_batch_end(
        self, trainer: Trainer, module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._meter.end(outputs["loss"], len(batch["pictures"]) * self.world.size, trainer.accumulate_grad_batches)
        if trainer.global_step == self.step:
            return  # in the middle of a step that several batches make
        self.step = trainer.global_step
        self._agree()
        done = self.progress() >= 1
        if self._meter.due() or done:
            self._report(trainer)
        validated = False
        if not self.interrupted and (done or self._validation_due()):
            # Cut off between its first model and a checkpoint, a run could neither go on nor begin anew.
            if not any(row["step"] for row in self.history):
                self.run.save_checkpoint(trainer)
            validated = self.run_validation(module)
            self._agree()  # whoever was asked to stop while the model was written
        over = self.progress() >= 1 if validated else done
        over = over or self.interrupted or self.stale
        # After a validation, too: whoever resumes must know of the best model that is there.
        if over or validated or self.seconds - self._saved > 60 * self.recipe.training.checkpoint_minutes:
            self._saved = self.seconds
            self.run.save_checkpoint(trainer)
        trainer.should_stop = over

    def _agree(self) -> None:
        """Go by the slowest clock, and stop if anyone is asked to."""
        self._agreed, asked = self.world.largest([self._own_seconds, float(self.stop_asked)])
        self.interrupted = asked > 0

    def run_validation(self, module: LightningModule) -> bool:
        """Validate now and have the run keep what came out; False if it was cut short, as who stops a training wants.

        A resume makes up for that one.
        """
        assert isinstance(module, BoneModule)
        self.world.spread(module.model.buffers())  # running means, which each process takes of its own batches
        self.validating = True
        if module.device.type == "cpu":
            cpu.release_memory()
        module.errors.restart()
        began = self.seconds  # by the clock of all, which decides when the next one is due
        try:
            scores = validate(
                module.predict, self.examiner, self.recipe.validation.threshold, self.world, seen=self._examined
            )
        except _CutShortError:
            self.validating = False
            self._agree()
            return False
        self.validating = False
        errors = module.errors.means(self.world)
        self._agree()  # the time that it took is no time since it
        self._tell_of_time(self.seconds - began, len(scores))
        means = scores.mean(axis=0) if self.by_tilt is None else self.by_tilt.mean(scores)
        decides = deciding(self.recipe)
        parts = {} if self.by_tilt is None else self.by_tilt.figures(scores.take(decides, axis=1))
        self._dice = float(scores.take(decides, axis=1).mean() if self.by_tilt is None else means[decides].mean())
        better = not self._dice <= self._best
        self._best = self._dice if better else self._best
        self._validated = (self.step, self.seconds)
        state = self.state()
        self.history.append({**asdict(state), **parts, **errors})
        bones = dict(zip(BONES, means.tolist(), strict=True))
        if self.world.writes:
            if better:
                self.run.keep(module.model, state, scores, parts and {"dice_weighed": self._dice, **parts})
            self.run.write_history(self.history)
        self.watch.validated(state, bones)
        groups: dict[str, Any] = {
            name: np.mean([bones[bone.label] for bone in ANATOMY if bone.group == name]) for name in GROUPS
        }
        self._log(
            module.trainer, {"dice": self._dice, **parts, **_under("dice", groups), **_under("bone", bones), **errors}
        )
        if errors:
            self.watch.said("metadata from the picture: " + describe_errors(errors))
        if self.stale:
            self.watch.said(f"no better Dice in {self.recipe.training.patience} validations: the training ends")
        self._meter.restart(self.waited())
        return True

    def _examined(self, done: int, total: int) -> None:
        """Show how far a validation is; end it, if somebody wants the training to stop and no other process waits."""
        if self.stop_asked and done < total and self.world.size == 1:
            raise _CutShortError
        self.watch.examined(done, total)

    def _tell_of_time(self, took: float, pictures: int) -> None:
        """Say it once if validations take what is there to learn in."""
        minutes = self.recipe.training.minutes
        self._took = took
        if minutes and took > _LONG * 60 * minutes and not self._told:
            self._told = True
            self.watch.said(
                f"validating {pictures} pictures took {took / 60:.1f} of {minutes:g} minutes: more is left to learn in "
                "with fewer of them (validation.limit)"
            )

    def state_dict(self) -> dict[str, Any]:
        return {
            "learned": self.learned,
            "grows": self.grows,
            "processes": self.world.size,
            "seconds": self.seconds,
            "validated": list(self._validated),
            "took": self._took,
            "dice": self._dice,
            "best": self._best,
            "history": self.history,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        processes = state_dict.get("processes", self.world.size)
        if processes != self.world.size:  # a step and the whole would be other ones
            raise UserError(f"{self.run.folder}: was trained by {processes} processes: resume it with as many")
        self.learned = state_dict.get("learned", False)
        self.grows = state_dict.get("grows", not self.learned)
        self._earlier = state_dict["seconds"]
        self._validated = (state_dict["validated"][0], state_dict["validated"][1])
        self._took = state_dict.get("took", 0.0)
        self._dice = state_dict["dice"]
        self._best = state_dict["best"]
        if not math.isnan(self._best) and not self.run.has_model():
            self.watch.said(f"{self.run.bundle}: the model is gone: the best from now on is kept")
            self._best = math.nan
        self.history = state_dict["history"]

    def on_save_checkpoint(self, trainer: Trainer, module: LightningModule, checkpoint: dict[str, Any]) -> None:
        checkpoint["random"] = torch.get_rng_state()
        if torch.cuda.is_available():
            checkpoint["random_cuda"] = torch.cuda.get_rng_state()

    def on_load_checkpoint(self, trainer: Trainer, module: LightningModule, checkpoint: dict[str, Any]) -> None:
        torch.set_rng_state(checkpoint["random"].cpu())
        if "random_cuda" in checkpoint and torch.cuda.is_available():
            torch.cuda.set_rng_state(checkpoint["random_cuda"].cpu())

    def _report(self, trainer: Trainer) -> None:
        state = self.state()
        if not math.isfinite(state.loss):
            raise UserError(
                f"the loss is not a number at step {self.step}: lower optimiser.lr, or set training.precision=32; "
                f"the best model so far is in {self.run.bundle}"
            )
        self.watch.stepped(state)
        rate = trainer.optimizers[0].param_groups[0]["lr"]
        self._log(trainer, {"loss": state.loss, "lr": rate, "pictures_per_s": state.rate, "data_wait": state.wait})
        self._meter.restart(self.waited())  # what showing it took is neither training nor waiting for data

    def _log(self, trainer: Trainer, values: dict[str, Any]) -> None:
        for logger in trainer.loggers:
            logger.log_metrics({name: float(value) for name, value in values.items()}, self.step)

    @property
    def stale(self) -> bool:
        """Whether there have been so many validations without a better Dice that the training is over."""
        dices = [row["dice"] for row in self.history]
        patience = self.recipe.training.patience
        return patience is not None and len(dices) - 1 - int(np.argmax(dices or [0])) >= patience

    def _validation_due(self) -> bool:
        due = self.recipe.validation
        step, seconds = self._validated
        steps = [due.steps] if due.steps else []
        if due.epochs and self.pass_steps:
            steps.append(max(1, round(due.epochs * self.pass_steps)))
        by_step = bool(steps) and self.step - step >= min(steps)
        wait = max(60 * due.minutes, _LEARNING * self._took) if due.minutes is not None else math.inf
        return by_step or self.seconds - seconds >= wait


def _under(prefix: str, values: dict[str, Any]) -> dict[str, Any]:
    return {f"{prefix}/{name}": value for name, value in values.items()}
