"""A training of four steps, and how to make others shorter."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from handbones.collection import open_collection
from tiny import tiny

if TYPE_CHECKING:
    from handbones.learning.fit import Outcome


@pytest.fixture
def no_export(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the ONNX file, which takes seconds."""
    monkeypatch.setattr("handbones.learning.run.export_onnx", lambda *_, **__: 0.0)


@pytest.fixture(scope="session")
def run(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> "tuple[Path, Outcome]":
    """The folder of a training of four steps, and how it ended; not to be changed."""
    from handbones.learning.fit import fit

    out = tmp_path_factory.mktemp("run") / "run"
    return out, fit(tiny("training.loggers=[tensorboard]"), out, open_collection(drawn))
