"""Files with weights in fewer bits say what a network with weights rounded in that way says."""

from pathlib import Path

import numpy as np
import pytest

from handbones.errors import UsageError

pytestmark = pytest.mark.train
torch = pytest.importorskip("torch")


@pytest.mark.parametrize(("precision", "size", "error"), [("fp16", 0.62, 1e-3), ("int8", 0.45, 0.01)])
def test_small_files(bundle: Path, tmp_path: Path, precision: str, size: float, error: float) -> None:
    import onnx
    import onnxruntime

    from handbones.bundle import load_bundle
    from handbones.learning.export import load_network, onnx_state
    from handbones.learning.precision import round_weights, store_weights

    model = onnx.load(str(bundle / "model.onnx"))
    store_weights(model, precision)
    path = tmp_path / "small.onnx"
    path.write_bytes(model.SerializeToString())
    assert path.stat().st_size < size * (bundle / "model.onnx").stat().st_size

    network = load_network(load_bundle(bundle))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    round_weights(network, precision)
    state = onnx_state(path)
    for name, value in network.named_parameters():
        torch.testing.assert_close(state[name], value.data, rtol=1e-6, atol=1e-9)
        assert (value.data - before[name]).abs().max() <= error * before[name].abs().max() + 1e-6

    pictures = np.random.default_rng(0).integers(0, 256, (1, 1, 64, 96), np.uint8)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    with torch.no_grad():
        wanted = network(torch.from_numpy(pictures)).numpy()
    np.testing.assert_allclose(session.run(None, {"pictures": pictures})[0], wanted, atol=1e-4)


def test_unknown_precision() -> None:
    from handbones.learning.precision import check_precision

    with pytest.raises(UsageError, match="--precision int4"):
        check_precision("int4")
