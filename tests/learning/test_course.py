"""The clock of a training: the same for one process as for several."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from handbones.learning import course as module_of_course
from handbones.learning.course import Course
from handbones.learning.module import BoneModule
from handbones.learning.run import Run, Split
from handbones.learning.watch import Watch
from handbones.learning.world import World
from tiny import tiny

pytestmark = pytest.mark.train


class Alike(World):
    """Several processes that all say the same."""

    ahead = 0.0
    """Seconds by which another's clock is ahead."""

    def largest(self, values: list[float]) -> list[float]:
        return [values[0] + self.ahead, *values[1:]]

    def spread(self, tensors: Any) -> None:
        pass


@pytest.mark.parametrize(("processes", "ahead"), [(1, 0.0), (2, 30.0)])
def test_a_validation_is_not_due_because_it_took_long(
    processes: int, ahead: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(module_of_course, "time", SimpleNamespace(monotonic=lambda: now[0]))

    def validate(*_: object, **__: object) -> np.ndarray:
        now[0] += 90
        return np.random.default_rng(0).random((2, 29))

    monkeypatch.setattr(module_of_course, "validate", validate)
    recipe = tiny("training.steps=null", "training.minutes=10", "validation.steps=null", "validation.minutes=1")
    watch = MagicMock(spec=Watch)
    monkeypatch.setattr(Alike, "ahead", ahead)
    course = Course(recipe, MagicMock(), 0, [], watch, Alike(0, processes), learned=True)  # type: ignore[arg-type]
    module, trainer = MagicMock(spec=BoneModule), MagicMock(global_step=0, loggers=[], accumulate_grad_batches=1)
    module.model, module.errors, module.trainer = MagicMock(), MagicMock(), trainer
    module.errors.means.return_value = {}
    course.on_fit_start(trainer, module)
    course.on_train_start(trainer, module)  # measures the model that it goes on from
    assert course.history[0]["progress"] == pytest.approx((90 + ahead) / 600)
    again = int(4 * (90 + ahead))  # it learns four times as long as that took
    for step in range(1, again + 1):
        now[0] += 1
        trainer.global_step = step
        course.on_train_batch_end(trainer, module, {"loss": torch.tensor(1.0)}, {"pictures": torch.zeros(2)}, step)
    assert [row["step"] for row in course.history] == [0, again]
    assert course._took == 90 and course.state_dict()["took"] == 90
    lines = [call.args[0] for call in watch.said.call_args_list]
    assert len(lines) == 1 and lines[0].startswith(
        f"validating 2 pictures took {(90 + ahead) / 60:.1f} of 10 minutes: "
    )


def test_who_stops_a_training_waits_for_no_validation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = tiny("training.steps=10", "validation.steps=1")
    course = Course(recipe, MagicMock(), 0, [], Watch())  # type: ignore[arg-type]

    def validate(*_: object, seen: Callable[[int, int], None]) -> np.ndarray:
        seen(1, 3)
        course.stop_asked = True
        seen(2, 3)
        pytest.fail("not needed any more")

    monkeypatch.setattr(module_of_course, "validate", validate)
    module, trainer = MagicMock(spec=BoneModule), MagicMock(global_step=0, loggers=[], accumulate_grad_batches=1)
    module.model, module.errors = MagicMock(), MagicMock()
    course.on_fit_start(trainer, module)
    course.on_train_start(trainer, module)
    trainer.global_step = 1
    course.on_train_batch_end(trainer, module, {"loss": torch.tensor(1.0)}, {"pictures": torch.zeros(2)}, 1)
    assert course.interrupted and trainer.should_stop and not course.history and not course.validating


def test_the_first_validation_takes_nothing_from_the_warm_up(tmp_path: Path) -> None:
    recipe = tiny("training.steps=100")
    course = Course(recipe, Run(tmp_path, recipe, Split([], [])), 0, [], Watch())  # type: ignore[arg-type]
    course.step = 40
    assert course.scheduled() == course.progress() == 0.4
    course.history = [{"step": 40, "progress": 0.4}]
    assert course.scheduled() == 0.4
    course.history = [{"step": 0, "progress": 0.2}]  # of the model that it goes on from
    assert course.scheduled() == pytest.approx(0.25)
    course.step = 100
    assert course.scheduled() == 1


def test_epochs_are_no_budget_for_phantoms_alone(tmp_path: Path) -> None:
    recipe = tiny("training.epochs=3", "phantoms.profile=realistic")
    run = Run(tmp_path, recipe, Split.of(recipe, None, None))
    course = Course(recipe, run, 0, [], Watch())  # type: ignore[arg-type]
    assert course.total_steps == recipe.training.steps
