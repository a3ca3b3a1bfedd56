"""What every test may ask for."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from labeling.db.engine import writing
from labeling.db.schema import Membership, Project, Role, User
from labeling.workspace import Workspace, open_workspace


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    """An empty workspace in a folder of its own, on SQLite whatever the shell says."""
    monkeypatch.delenv("ASKWISE_DATABASE_URL", raising=False)
    opened = open_workspace(tmp_path / "workspace")
    yield opened
    opened.engine.dispose()


@pytest.fixture
def owner(workspace: Workspace) -> int:
    with writing(workspace.engine) as session:
        user = User(name="ada")
        session.add(user)
    assert user.id is not None
    return user.id


@pytest.fixture
def project(workspace: Workspace, owner: int) -> int:
    with writing(workspace.engine) as session:
        made = Project(name="pictures")
        session.add(made)
        session.flush()
        assert made.id is not None
        session.add(Membership(project_id=made.id, user_id=owner, role=Role.OWNER))
    return made.id
