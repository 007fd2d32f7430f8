"""The planned recipe: larger pictures with more time, and never none."""

import pytest

pytest.importorskip("torch")

from handbones.learning import planning

pytestmark = pytest.mark.train


@pytest.fixture
def steady(monkeypatch: pytest.MonkeyPatch) -> None:
    """A device whose speed is known: 10 samples a second at 256 pixels."""
    monkeypatch.setattr(planning, "_rate", lambda device, size, batch: 10 * (256 / size) ** 2)


@pytest.mark.parametrize(("cases", "minutes", "size"), [(800, 1, 256), (50, 60, 512), (800, 60, 320), (0, 600, 1024)])
def test_size_grows_with_time(steady: None, cases: int, minutes: float, size: int) -> None:
    made = planning.plan(cases, minutes)
    assert made.recipe.input.size == size
    assert made.recipe.training.minutes == minutes
    assert "<- chosen" in str(made)


def test_settings_are_laid_over(steady: None) -> None:
    made = planning.plan(100, 30, ["training.seed=5", "training.batch=4"])
    assert (made.recipe.training.seed, made.recipe.training.batch) == (5, 4)


@pytest.mark.slow
def test_a_step_is_timed() -> None:
    rate = planning._rate(planning.best_device(), 64, 2)
    assert rate is not None and rate > 0
