"""A workspace is a folder and a database: `askwise.db`, `media/`, `features/`, `heads/`, `encoders/`, `uploads/`."""

import os
import re
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine

from labeling.db import migrations
from labeling.db.engine import connect
from labeling.errors import Invalid, NotFound

DEFAULT_ROOT = "askwise-workspace"
CONTENT_HASH = re.compile("[0-9a-f]{64}")


def resolve_inside(root: Path, *parts: str) -> Path:
    """Join `parts` to `root`; the only way a path is built from text that came from outside.

    Raises
    ------
    Invalid
        If the result would lie outside `root`.
    """
    root = root.resolve()
    path = root.joinpath(*parts).resolve()
    if not path.is_relative_to(root):
        raise Invalid("That path lies outside the workspace; give one inside it.")
    return path


@dataclass(frozen=True)
class Workspace:
    """An open workspace. Open one with `open_workspace`."""

    root: Path
    engine: Engine

    def media(self, content_hash: str) -> Path:
        """Where the re-encoded image with this content hash lies (sharded by its first two digits)."""
        if CONTENT_HASH.fullmatch(content_hash):  # leads nowhere else, and to resolve it takes longer than to read it
            return self.root / "media" / content_hash[:2] / content_hash
        return resolve_inside(self.root, "media", content_hash[:2], content_hash)

    def features(self, project_id: int, version: str) -> Path:
        """The folder of one project's feature matrix under one encoder version."""
        return resolve_inside(self.root, "features", f"project-{project_id}", version)

    def head(self, name: str) -> Path:
        """Where a head lies; `name` is `ModelVersion.path`."""
        return resolve_inside(self.root, "heads", name)

    def encoder(self, name: str) -> Path:
        """The folder of an encoder that was tuned here, as `encoders/NAME` in a project's settings."""
        return resolve_inside(self.root, "encoders", name)

    def uploads(self) -> Path:
        """Files on their way in."""
        folder = resolve_inside(self.root, "uploads")
        folder.mkdir(parents=True, exist_ok=True)
        return folder


def open_workspace(path: str | Path | None = None, *, create: bool = True) -> Workspace:
    """Open a workspace, making it if it is not there, and bring its database up to date.

    Parameters
    ----------
    path
        The folder; `ASKWISE_WORKSPACE`, then `askwise-workspace` here, when None.
        The database is `askwise.db` in it, or `ASKWISE_DATABASE_URL`.
    create
        Whether a missing folder is made.

    Raises
    ------
    NotFound
        If the folder is missing and `create` is False.
    """
    root = Path(path or os.environ.get("ASKWISE_WORKSPACE") or DEFAULT_ROOT).expanduser().resolve()
    if not root.is_dir():
        if not create:
            raise NotFound(f"There is no workspace at {root}; `askwise demo` makes one to try.")
        root.mkdir(parents=True, exist_ok=True)  # another process may make it at this very moment
    engine = connect(os.environ.get("ASKWISE_DATABASE_URL") or f"sqlite:///{root / 'askwise.db'}")
    migrations.upgrade(engine)
    return Workspace(root, engine)


def backup(workspace: Workspace, dest: Path, progress: Callable[[float, str], None]) -> int:
    """Copy a workspace to a new folder while it is in use; returns how many files were copied beside the database.

    The database is copied first, and everything that it names is on disk before it is named, so the copy is whole.

    Raises
    ------
    Invalid
        If `dest` is there and not empty, or the database is PostgreSQL, which has tools of its own for this.
    """
    if workspace.engine.dialect.name != "sqlite":
        raise Invalid(
            "The database is not in the workspace; copy it with its own tools (pg_dump) and the folder beside it."
        )
    if dest.exists() and any(dest.iterdir()):
        raise Invalid(f"{dest} is not empty; name a folder that is not there yet.")
    dest.mkdir(parents=True, exist_ok=True)
    progress(0.0, "Copying the database")
    source = sqlite3.connect(f"file:{workspace.root / 'askwise.db'}?mode=ro", uri=True)
    with closing(source), closing(sqlite3.connect(dest / "askwise.db")) as target:
        source.backup(target)
    kinds = ("media", "features", "heads", "encoders")
    files = [f for kind in kinds for f in (workspace.root / kind).rglob("*") if f.is_file()]
    for done, file in enumerate(files, start=1):
        copied = dest / file.relative_to(workspace.root)
        copied.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):  # what a newer model has replaced is removed meanwhile
            shutil.copyfile(file, copied)
        progress(done / len(files), f"Copied {done:,} of {len(files):,} files")
    return len(files)
