"""What the tests of prepared datasets share."""

from pathlib import Path

import pytest

from infgrand_dgl.data.prepared import prepare
from tests.data.generated import DENSE, config


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Of the graph DENSE."""
    prepare(config(**DENSE), tmp_path / "set")
    return tmp_path / "set"
