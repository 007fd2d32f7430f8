"""Fixtures for everything that learns or predicts."""

from pathlib import Path

import pytest

from drawn import write_collection


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Root of a drawn collection: 3 people with labels, 1 without; pictures of 64 x 64."""
    return write_collection(tmp_path_factory.mktemp("drawn"))
