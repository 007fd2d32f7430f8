"""The loop of one's own that the documentation shows."""

import re
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

import torch

pytestmark = pytest.mark.train

PAGE = Path(__file__).parents[2] / "docs" / "architecture.md"


def test_the_loop_of_the_documentation_learns(drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "DATA").symlink_to(drawn)
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    left: dict[str, Any] = {}
    exec(code, left)
    assert len(left["losses"]) == 20
    assert sum(left["losses"][-5:]) < 0.8 * sum(left["losses"][:5])
    with pytest.raises(TypeError):
        len(left["samples"])
