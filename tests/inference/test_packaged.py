"""The models that come with the package."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from handbones import Radiograph, Segmenter
from handbones.bundle import PACKAGED, load_bundle, packaged_model
from handbones.cli import run
from handbones.errors import UsageError
from handbones.metric import dice_from_counts, packed_counts
from handbones.phantom import make


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


@pytest.mark.parametrize("taller", [True, False])
def test_pixels_that_are_not_square_are_seen_square(taller: bool) -> None:
    radiograph, labels = make(seed=3, settings="clean", size=512)
    height, width = (256, 512) if taller else (512, 256)
    squeezed = cv2.resize(radiograph.to_uint8(), (width, height), interpolation=cv2.INTER_AREA)
    truth = labels.map(lambda points: points * (width / 512, height / 512)).packed(height, width)
    segmenter = Segmenter()
    dice = [
        np.nanmean(dice_from_counts(*packed_counts(segmenter.segment(Radiograph(squeezed, spacing)).packed(), truth)))
        for spacing in (None, (0.2, 0.1) if taller else (0.1, 0.2))
    ]
    assert dice[1] > max(0.92, dice[0] + 0.01), dice


@pytest.mark.train
def test_a_look_at_the_wrist_is_measured_beside_the_packaged_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    export = ["export", "default-wrist", "--precision", "int8", "--phantoms", "1", "--out", str(tmp_path / "w.onnx")]
    assert run(export) == 0
    assert "as it was" in capsys.readouterr().out
