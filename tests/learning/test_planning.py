"""The planned recipe: larger pictures with more time, and never none."""

from pathlib import Path

import pytest

from handbones.cli import run
from handbones.errors import UserError

pytest.importorskip("torch")

import torch

from handbones.learning import planning

pytestmark = pytest.mark.train


@pytest.fixture
def steady(monkeypatch: pytest.MonkeyPatch) -> None:
    """A device whose speed is known: 10 samples a second at 256 pixels."""
    monkeypatch.setattr(planning, "_rate", lambda device, size, batch, settings: 10 * (256 / size) ** 2)


@pytest.mark.parametrize(("cases", "minutes", "size"), [(800, 1, 256), (50, 60, 512), (800, 60, 320), (0, 600, 1024)])
def test_size_grows_with_time(steady: None, cases: int, minutes: float, size: int) -> None:
    made = planning.plan(cases, minutes)
    assert made.recipe.input.size == size
    assert made.recipe.training.minutes == minutes
    assert "<- chosen" in str(made)


def test_a_gpu_takes_the_smallest_batch_that_costs_no_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []

    def rate(device: torch.device, size: int, batch: int, settings: list[str]) -> float | None:
        tried.append((size, batch))
        if size * size * batch > 512 * 512 * 32:
            return None  # no memory
        return 1000 * (256 / size) ** 2 * (0.5 if batch == 8 else 1.0)

    monkeypatch.setattr(planning, "best_device", lambda: torch.device("cuda"))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a GPU")
    monkeypatch.setattr(planning, "_rate", rate)
    made = planning.plan(100, 0.6)
    assert (made.recipe.input.size, made.recipe.training.batch) == (512, 16)
    assert tried == [(256, 32), (512, 32), (512, 16), (512, 8)]
    rates = {32: 100, 16: 96, 8: 92}
    monkeypatch.setattr(
        planning, "_rate", lambda _, size, batch, settings: rates.get(batch, 50) if size == 256 else None
    )
    assert planning.plan(100, 3).recipe.training.batch == 16  # small losses add up
    monkeypatch.setattr(planning, "_rate", lambda *_, **__: None)
    with pytest.raises(UserError, match="fits into memory"):
        planning.plan(100, 1)


def test_large_pictures_that_promised_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    """At 256 pixels 614 seem possible; beyond 400 the device is four times slower than that."""
    monkeypatch.setattr(
        planning, "_rate", lambda _, size, __, settings: 10 * (256 / size) ** 2 / (4 if size > 400 else 1)
    )
    made = planning.plan(50, 60)
    assert [trial.size for trial in made.trials] == [256, 384, 512]
    assert made.recipe.input.size == 384


@pytest.mark.parametrize(("precision", "kind"), [("32-true", torch.float32), ("bf16-mixed", torch.bfloat16)])
def test_steps_are_timed_at_the_precision_of_the_training(
    monkeypatch: pytest.MonkeyPatch, precision: str, kind: torch.dtype
) -> None:
    class Seen(torch.nn.Conv2d):
        def forward(self, input: torch.Tensor) -> torch.Tensor:
            made: torch.Tensor = super().forward(input.float())
            assert made.dtype == kind
            return made

    monkeypatch.setattr(planning, "precision_here", lambda wanted: precision)
    monkeypatch.setattr(planning, "build_network", lambda *_, **__: Seen(1, 29, 1))
    assert planning._rate(torch.device("cpu"), 32, 1)


def test_the_network_that_is_asked_for_is_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(planning, "_rate", lambda *_, settings: asked.append(settings) or 10.0)
    planning.plan(
        100, 1, ["network={encoder: resnet18}", "network.stride=4", "training.seed=5", "training.precision=32"]
    )
    assert {tuple(one) for one in asked} == {
        ("network={encoder: resnet18}", "network.stride=4", "training.precision=32")
    }


def test_settings_are_laid_over(steady: None) -> None:
    made = planning.plan(100, 30, ["training.seed=5", "training.batch=4"])
    assert (made.recipe.training.seed, made.recipe.training.batch) == (5, 4)


@pytest.mark.slow
def test_a_step_is_timed() -> None:
    rate = planning._rate(planning.best_device(), 64, 2)
    assert rate is not None and rate > 0


def test_no_plan_is_written_over_that_of_a_run(
    steady: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "last.ckpt").touch()
    (tmp_path / "plan.txt").write_text("old")
    command = ["train", "--phantoms", "realistic", "--recipe", "auto", "--hours", "1", "--out", str(tmp_path)]
    assert run(command) == 1
    assert "add --resume to go on" in capsys.readouterr().err
    assert (tmp_path / "plan.txt").read_text() == "old"
