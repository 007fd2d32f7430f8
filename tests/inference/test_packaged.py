"""The models that come with the package."""

from pathlib import Path

import numpy as np
import pytest

from handbones import Segmenter
from handbones.bundle import PACKAGED, load_bundle, packaged_model
from handbones.cli import run
from handbones.errors import UsageError


def test_the_packaged_model_looks_at_the_wrist_with_one_of_its_own() -> None:
    whole, wrist = (load_bundle(packaged_model(name)) for name in PACKAGED)
    assert whole.wrist == wrist.path and wrist.wrist is None
    assert (whole.recipe.hand, wrist.recipe.hand) == ("find", "wrist")
    assert load_bundle("default-wrist").path == wrist.path
    alone = Segmenter("default", wrist_bundle="none").settings()
    assert alone["wrist_bundle"] is None and not alone["wrist"]
    assert Segmenter().settings()["wrist_bundle"] == wrist.digest()
    assert Segmenter(["default", "default"]).settings()["wrist_bundle"] is None
    with pytest.raises(UsageError, match="sees wrists alone"):
        Segmenter("default-wrist")
    with pytest.raises(UsageError, match=r"default-wrist.*sees wrists alone"):
        Segmenter(["default", "default-wrist"], hand="whole")
    assert not Segmenter().segment(np.zeros((90, 70), np.uint8)).bones


@pytest.mark.train
def test_a_look_at_the_wrist_is_measured_beside_the_packaged_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    export = ["export", "default-wrist", "--precision", "int8", "--phantoms", "1", "--out", str(tmp_path / "w.onnx")]
    assert run(export) == 0
    assert "as it was" in capsys.readouterr().out
