"""A training that is cut goes on as if it had not been, and what it leaves is whole."""

import csv
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

import torch
from lightning.pytorch import Trainer

from handbones.bundle import load_bundle
from handbones.collection import open_collection
from handbones.errors import UserError
from handbones.learning.course import Course
from handbones.learning.fit import Outcome, _plain_errors, fit
from handbones.learning.run import Run, Split
from handbones.learning.stopping import Stopping
from handbones.learning.watch import Watch
from handbones.learning.world import World
from tiny import TINY, Interrupter, tiny

pytestmark = pytest.mark.train


@pytest.mark.usefixtures("no_export")
def test_interrupted_run_leaves_a_model_and_resumes_to_the_same_weights(
    run: tuple[Path, Outcome], drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    straight = torch.load(run[0] / "last.ckpt", weights_only=True)["state_dict"]
    out = tmp_path / "run"
    first = fit(tiny(), out, open_collection(drawn), watch=Interrupter())
    assert first.interrupted and first.state.step == 2
    assert load_bundle(out).card["training"]["steps"] == 2
    second = fit(tiny(), out, open_collection(drawn), resume=True)
    assert not second.interrupted and second.state.step == 4
    resumed = torch.load(out / "last.ckpt", weights_only=True)["state_dict"]
    assert straight.keys() == resumed.keys()
    assert all(torch.equal(straight[name], resumed[name]) for name in straight)
    assert (out / "history.csv").read_text().count("\n") == 3
    said: list[str] = []
    listener = Watch()
    monkeypatch.setattr(listener, "said", said.append)
    third = fit(tiny(), out, open_collection(drawn), resume=True, watch=listener)
    assert third.state.step == 4 and "nothing was left to train" in said[-1] and "newer" not in said[0]
    os.utime(out / "last.ckpt", (0, 0))
    fit(tiny(), out, open_collection(drawn), resume=True, watch=listener)
    assert any("label files are newer than the run" in line for line in said)


@pytest.mark.usefixtures("no_export")
def test_a_run_that_is_cut_right_after_its_first_model_goes_on(
    run: tuple[Path, Outcome], drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    straight = torch.load(run[0] / "last.ckpt", weights_only=True)["state_dict"]
    out, keep = tmp_path / "run", Run.keep

    def cut(*given: Any) -> None:
        keep(*given)
        raise RuntimeError("killed")

    with monkeypatch.context() as patched, pytest.raises(RuntimeError, match="killed"):
        patched.setattr(Run, "keep", cut)
        fit(tiny(), out, open_collection(drawn))
    before = (out / "recipe.yaml").read_text()
    fit(tiny(), out, open_collection(drawn), resume=True)
    resumed = torch.load(out / "last.ckpt", weights_only=True)["state_dict"]
    assert all(torch.equal(straight[name], resumed[name]) for name in straight)
    fit(tiny("training.steps=3"), out, open_collection(drawn), resume=True)  # nothing is left to do
    assert (out / "recipe.yaml").read_text() == before


@pytest.mark.usefixtures("no_export")
@pytest.mark.parametrize("at", [2, 4])
def test_a_validation_that_was_due_where_a_run_was_cut_is_made_up_for(
    run: tuple[Path, Outcome], drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    batch_end, out = Course.on_train_batch_end, tmp_path / "run"

    def stop(course: Course, trainer: Trainer, *given: Any) -> None:
        course.stop_asked |= trainer.global_step == at
        batch_end(course, trainer, *given)

    monkeypatch.setattr(Course, "on_train_batch_end", stop)
    first = fit(tiny(), out, open_collection(drawn))
    monkeypatch.setattr(Course, "on_train_batch_end", batch_end)
    assert first.interrupted and first.state.step == at
    second = fit(tiny(), out, open_collection(drawn), resume=True)
    steps = [[int(row["step"]) for row in csv.DictReader((folder / "history.csv").open())] for folder in (out, run[0])]
    assert steps == [[2, 4], [2, 4]]
    assert second.state.best == run[1].state.best
    straight, resumed = (torch.load(folder / "last.ckpt", weights_only=True) for folder in (run[0], out))
    assert all(torch.equal(straight["state_dict"][name], value) for name, value in resumed["state_dict"].items())
    third = fit(tiny(), out, open_collection(drawn), resume=True)
    assert third.state.best == second.state.best and (out / "history.csv").read_text().count("\n") == 3


@pytest.mark.usefixtures("no_export")
def test_a_run_that_is_cut_twice_before_a_validation_leaves_its_last_model(
    drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch_end, ends = Course.on_train_batch_end, iter((1, 3))

    def stop_at(end: int) -> None:
        def stop(course: Course, trainer: Trainer, *given: Any) -> None:
            course.stop_asked |= trainer.global_step == end
            batch_end(course, trainer, *given)

        monkeypatch.setattr(Course, "on_train_batch_end", stop)

    for end in ends:
        stop_at(end)
        fit(tiny("validation.steps=4"), tmp_path / "run", open_collection(drawn), resume=end > 1)
        assert load_bundle(tmp_path / "run").card["training"]["steps"] == end
    (tmp_path / "run" / "last.ckpt").unlink()
    with pytest.raises(UserError, match="holds the model of an earlier run: remove it"):
        fit(tiny(), tmp_path / "run", open_collection(drawn))


@pytest.mark.usefixtures("no_export")
def test_checkpoints_are_written_beside_the_run_alone(
    drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders: set[str | None] = set()
    make = tempfile.mkstemp

    def spy(*given: Any, **named: Any) -> tuple[int, str]:
        folders.add(str(named.get("dir")))
        return make(*given, **named)

    monkeypatch.setattr(tempfile, "mkstemp", spy)
    fit(tiny("training.steps=1"), tmp_path / "run", open_collection(drawn))
    assert folders and all(folder.startswith(str(tmp_path / "run")) for folder in folders if folder)


@pytest.mark.usefixtures("no_export")
def test_accumulated_batches_resume_to_the_same_weights(drawn: Path, tmp_path: Path) -> None:
    growing = "input.size=96", "input.grow_from=64"
    recipe = tiny("training.batch=1", "training.accumulate=2", "training.steps=3", "validation.steps=1", *growing)
    fit(recipe, tmp_path / "a", open_collection(drawn))
    fit(recipe, tmp_path / "b", open_collection(drawn), watch=Interrupter())
    fit(recipe, tmp_path / "b", open_collection(drawn), resume=True)
    a, b = (torch.load(tmp_path / run / "last.ckpt", weights_only=True)["state_dict"] for run in "ab")
    assert all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no process groups")
def test_a_signal_to_the_whole_process_group_ends_a_training_in_good_order(drawn: Path, tmp_path: Path) -> None:
    settings = [*TINY, "training.workers=2", "training.steps=100000", "validation.steps=3"]
    words = ["-m", "handbones", "train", drawn, "--recipe", "small", "--out", tmp_path / "run", "--set", *settings]
    with subprocess.Popen(
        [sys.executable, *map(str, words)], start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        while process.poll() is None and not (tmp_path / "run" / "history.csv").exists():
            time.sleep(0.1)
        os.killpg(process.pid, signal.SIGTERM)  # as SLURM does when the time is up
        assert process.stdout is not None
        said = process.stdout.read().decode()
    assert process.returncode == 130, said
    assert "Traceback" not in said and "--resume" in said
    assert load_bundle(tmp_path / "run").card["training"]["steps"] >= 1


@pytest.mark.usefixtures("no_export")
def test_a_model_that_was_taken_away_is_followed_by_the_next_best(
    run: tuple[Path, Outcome], drawn: Path, tmp_path: Path
) -> None:
    out = shutil.copytree(run[0], tmp_path / "run")
    shutil.rmtree(out / "bundle")
    fit(tiny("training.steps=6"), out, open_collection(drawn), resume=True)
    assert load_bundle(out).card["training"]["steps"] == 6
    shutil.rmtree(out / "bundle")
    fit(tiny("training.steps=6"), out, open_collection(drawn), resume=True)  # nothing left to do
    assert load_bundle(out).card["training"]["steps"] == 6


def test_a_damaged_checkpoint_is_one_line(run: tuple[Path, Outcome], drawn: Path, tmp_path: Path) -> None:
    out = shutil.copytree(run[0], tmp_path / "run")
    whole = (out / "last.ckpt").read_bytes()
    for text in (b"hello", whole[: len(whole) // 2], b""):
        (out / "last.ckpt").write_bytes(text)
        with pytest.raises(UserError, match=r"last\.ckpt: damaged: the run cannot be resumed; begin anew with"):
            fit(tiny(), out, open_collection(drawn), resume=True)


@pytest.mark.parametrize(("processes", "seconds", "ends"), [(1, 0, True), (2, 0, False), (2, 3, True)])
def test_what_torchrun_repeats_counts_once(
    processes: int, seconds: float, ends: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = tiny()
    course = Course(recipe, Run(tmp_path, recipe, Split([], [])), 1, [], Watch(), World(0, processes))  # type: ignore[arg-type]
    now = time.monotonic()
    with Stopping(course, Watch()), pytest.raises(KeyboardInterrupt) if ends else nullcontext():
        os.kill(os.getpid(), signal.SIGTERM)
        assert course.stop_asked
        monkeypatch.setattr(time, "monotonic", lambda: now + seconds)
        os.kill(os.getpid(), signal.SIGTERM)


def test_a_process_that_is_no_more_is_one_line() -> None:
    with pytest.raises(UserError, match="another process of this training has ended"), _plain_errors(World(0, 2)):
        raise RuntimeError("[gloo/transport/tcp/pair.cc:534] Connection closed by peer [127.0.0.1]:2")
    with pytest.raises(RuntimeError, match="peer"), _plain_errors(World()):
        raise RuntimeError("Connection closed by peer")


def test_other_processes_than_before_are_refused(run: tuple[Path, Outcome]) -> None:
    state = torch.load(run[0] / "last.ckpt", weights_only=True)["callbacks"]
    kept = next(value for name, value in state.items() if "Course" in name)
    course = Course(tiny(), Run(run[0], tiny(), Split([], [])), 1, [], Watch(), World(0, 2))  # type: ignore[arg-type]
    with pytest.raises(UserError, match="was trained by 1 processes: resume it with as many"):
        course.load_state_dict(kept)


@pytest.mark.usefixtures("no_export")
def test_a_start_from_a_model_that_failed_at_once_may_be_made_again(
    run: tuple[Path, Outcome], drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    with monkeypatch.context() as patch:
        patch.setattr("handbones.learning.module.BoneModule.training_step", fail)
        with pytest.raises(UserError, match=r"lower training\.batch"):
            fit(tiny(), tmp_path / "run", open_collection(drawn), init=run[0])
    again = fit(tiny("training.batch=1", "training.steps=2"), tmp_path / "run", open_collection(drawn), init=run[0])
    assert again.state.step == 2
