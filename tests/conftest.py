"""What every test may ask for."""

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

import pytest
from argon2 import PasswordHasher

from labeling import accounts
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


@pytest.fixture
def quick_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hashes that take no time: most tests are of who may do what, not of how dear guessing is."""
    monkeypatch.setattr(accounts, "HASHER", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    accounts._nobodys.cache_clear()


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Time stands still, however slow the machine is; call it to let so many seconds pass."""
    now = [time.time()]
    monkeypatch.setattr(time, "time", lambda: now[0])

    def later(seconds: float) -> None:
        now[0] += seconds

    return later


@pytest.fixture(scope="session")
def tiny_clip(request: pytest.FixtureRequest) -> Path:
    """Folder of a real CLIP that knows handwritten digits: see tests/tiny_clip.py. The first time it is trained."""
    return _made_once(request, "trained")


@pytest.fixture(scope="session")
def untrained_clip(request: pytest.FixtureRequest) -> Path:
    """Folder of the same model with random weights."""
    return _made_once(request, "untrained")


def _made_once(request: pytest.FixtureRequest, how: str) -> Path:
    """Made in a process of its own, so that this one imports no torch, and kept from run to run."""
    maker = Path(__file__).with_name("tiny_clip.py")
    made_by = sha256(maker.read_bytes() + repr([version(name) for name in ("torch", "open_clip_torch")]).encode())
    kept = request.config.cache.mkdir("tiny_clip")
    folder = kept / f"{how}-{made_by.hexdigest()[:12]}"
    if not folder.is_dir():
        partial = Path(tempfile.mkdtemp(prefix=".part-", dir=kept))
        arguments = [] if how == "trained" else [how]
        command = [sys.executable, "-m", "tests.tiny_clip", str(partial), *arguments]
        subprocess.run(command, cwd=maker.parents[1], check=True, timeout=500)
        try:
            partial.rename(folder)
        except OSError:  # another run was quicker
            shutil.rmtree(partial)
    return folder
