"""The mean of two models that grew out of one another, as one file."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from handbones.bundle import WEIGHTS, load_bundle, save_cover
from handbones.cli import run

safetensors = pytest.importorskip("safetensors.numpy")
pytest.importorskip("torch")


@pytest.mark.train
def test_export_of_an_average(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from handbones.learning.export import onnx_state

    later = Path(shutil.copytree(load_bundle(bundle).path, tmp_path / "later"))
    before = safetensors.load_file(later / WEIGHTS)
    after = {name: value + np.float32(0.01) if value.dtype == np.float32 else value for name, value in before.items()}
    safetensors.save_file(after, later / WEIGHTS)
    measured = load_bundle(later)
    save_cover(later, measured.recipe, measured.card | {"scores": {"dice": 0.9}})
    mean = tmp_path / "mean.onnx"
    assert run(["export", str(later), "--average", str(bundle), "--out", str(mean), "--phantoms", "1"]) == 0
    assert "as it was" in capsys.readouterr().out
    found = onnx_state(mean)
    weights = [name for name in before if name.endswith(("weight", "running_var"))]
    assert weights and all(np.allclose(found[name], before[name] + 0.005, atol=1e-6) for name in weights)
    (later / "cases.json").write_text('{"train": []}')
    capsys.readouterr()
    assert run(["export", str(later), "--average", str(bundle), "--out", str(later / "mean.onnx")]) == 2
    assert f"in the folder of {later} it would be taken for that run's model" in capsys.readouterr().err
    card = load_bundle(mean).card
    assert "scores" not in card and "bones" in card["averaged_with"]


@pytest.mark.train
def test_no_average_of_different_networks(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "mean.onnx"
    assert run(["export", str(bundle), "--average", "default", "--out", str(out), "--phantoms", "0"]) == 1
    assert "those of another network" in capsys.readouterr().err
    words = ["export", "default", "--average", "default-wrist", "--out", str(out), "--phantoms", "0"]
    assert run(words) == 1  # the same network, which sees something else
    assert "has input.hand wrist, the other find: they have no average" in capsys.readouterr().err
    assert run(["export", str(bundle), "--average", str(bundle)]) == 2  # never over the model itself
    assert run(["export", "default", "--precision", "int8"]) == 2  # nor into the package
    assert capsys.readouterr().err.count("--out: give the .onnx file") == 2
    assert not out.exists()
