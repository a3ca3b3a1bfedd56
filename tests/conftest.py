"""What every test may ask for."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from labeling.workspace import Workspace, open_workspace


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    """An empty workspace in a folder of its own, on SQLite whatever the shell says."""
    monkeypatch.delenv("ASKWISE_DATABASE_URL", raising=False)
    opened = open_workspace(tmp_path / "workspace")
    yield opened
    opened.engine.dispose()
