"""Files on their way in: what was uploaded, and what lies in the server's import folder.

An upload is called by a number of ours: nothing of its own name becomes a path but the ending, which tells what it is.
"""

import os
import re
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Self

from labeling.db.engine import reading
from labeling.db.schema import Role
from labeling.errors import Invalid, NotFound
from labeling.users import require
from labeling.workspace import Workspace, resolve_inside

MAX_UPLOAD = 2 * 1024**3  # bytes
TOO_LARGE = f"The file is larger than {MAX_UPLOAD // 1024**3} GB; put it into the import folder of the server instead."
KEPT_SECONDS = 7 * 86_400.0  # an upload that was not imported, or whose import was cancelled, goes after a week
LISTED = 1000  # entries of the import folder that are offered

_UPLOAD = re.compile(r"(\d{1,18})-[0-9a-f]{32}(\.[a-z0-9]{1,10}){0,2}")
_ENDING = re.compile(r"(\.[a-z][a-z0-9]{0,9})?\.[a-z0-9]{1,10}$")


class Upload:
    """A file that is coming in; it is there under its id when the block ends well, and leaves nothing otherwise.

    Attributes
    ----------
    id : str
        What `open_upload` takes.
    bytes : int
        How much has come.
    """

    def __init__(self, workspace: Workspace, project_id: int, name: str) -> None:
        self.bytes = 0
        self._folder = workspace.uploads()
        self._number = f"{project_id}-{uuid.uuid4().hex}"
        self._partial = resolve_inside(self._folder, f"{self._number}.partial")
        self.named(name)

    def named(self, name: str) -> None:
        """Let the id end as the file's own name does."""
        ending = _ENDING.search(name.lower())
        self.id = self._number + (ending.group() if ending else "")

    @property
    def path(self) -> Path:
        """Where it lies in the end."""
        return resolve_inside(self._folder, self.id)

    def __enter__(self) -> Self:
        self._file = self._partial.open("wb")
        return self

    def __exit__(self, failed: object, *_: object) -> None:
        self._file.close()
        if failed is None:
            self._partial.replace(self.path)
        else:
            self._partial.unlink(missing_ok=True)

    def write(self, chunk: bytes) -> None:
        """Take the next bytes.

        Raises
        ------
        Invalid
            If that is more than an upload may have, or more than the disk holds.
        """
        self.bytes += len(chunk)
        if self.bytes > MAX_UPLOAD:
            raise Invalid(TOO_LARGE)
        try:
            self._file.write(chunk)
        except OSError as error:
            raise Invalid(f"The file cannot be stored ({error.strerror}); make room on the server's disk.") from error


def begin_upload(workspace: Workspace, actor_id: int, project_id: int, name: str = "") -> Upload:
    """Take a file in for a project of the acting user's.

    Raises
    ------
    NotFound, NotAllowed
        If the acting user is not an owner of the project.
    """
    _require(workspace, actor_id, project_id)
    sweep(workspace)
    return Upload(workspace, project_id, name)


def open_upload(workspace: Workspace, actor_id: int, project_id: int, upload: str) -> Path:
    """Where an upload for this project lies.

    Raises
    ------
    NotFound, NotAllowed
        If there is none (any more), or the acting user is not an owner of the project.
    """
    _require(workspace, actor_id, project_id)
    named = _UPLOAD.fullmatch(upload)
    path = resolve_inside(workspace.uploads(), upload) if named and int(named.group(1)) == project_id else None
    if path is None or not path.is_file():
        raise NotFound("There is no such upload for this project; upload the file again (it is kept for a week).")
    return path


def import_folder(workspace: Workspace) -> Path:
    """The folder that the server imports from: `ASKWISE_IMPORT_FOLDER`, else `import` in the workspace."""
    named = os.environ.get("ASKWISE_IMPORT_FOLDER")
    return (Path(named).expanduser() if named else workspace.root / "import").resolve()


def list_folder(workspace: Workspace, actor_id: int, project_id: int) -> list[str]:
    """What lies in the import folder and may be imported: names of files and folders, without links."""
    _require(workspace, actor_id, project_id)
    with suppress(OSError), os.scandir(import_folder(workspace)) as entries:
        shown = (e.name for e in entries if not e.name.startswith(".") and not e.is_symlink())
        return sorted(name for name in shown if name.isprintable())[:LISTED]
    return []


def find_in_folder(workspace: Workspace, actor_id: int, project_id: int, path: str) -> Path:
    """A file or folder inside the import folder.

    Raises
    ------
    Invalid
        If it lies outside, links followed, or is not there.
    NotFound, NotAllowed
        If the acting user is not an owner of the project.
    """
    _require(workspace, actor_id, project_id)
    root = import_folder(workspace)
    try:
        found = resolve_inside(root, path)
    except (Invalid, OSError, ValueError):  # a NUL, or links in a circle
        raise Invalid("That path lies outside the server's import folder; give one inside it.") from None
    if found == root or not found.exists():
        raise Invalid("There is no such file in the server's import folder; check the name.")
    return found


def is_upload(workspace: Workspace, path: Path) -> bool:
    """Whether a file is one that was uploaded, to be removed once it is in."""
    return path.is_relative_to(workspace.uploads())


def sweep(workspace: Workspace) -> None:
    """Remove uploads that nobody has come back to for a week."""
    for path in workspace.uploads().iterdir():
        with suppress(OSError):
            if path.is_file() and path.stat().st_mtime < time.time() - KEPT_SECONDS:
                path.unlink()


def _require(workspace: Workspace, actor_id: int, project_id: int) -> None:
    with reading(workspace.engine) as session:
        require(session, actor_id, project_id, Role.OWNER)
