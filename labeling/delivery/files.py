"""An export into a file, which is there whole or not at all; one that was cut off is gone on with.

Beside `<file>.partial` lies `<file>.partial.json`: what was wanted, as of which moment, and how far it is on disk.
CSV and JSON Lines go on from there, as of the same moment. Parquet files and archives, whose end tells of all that is
in them, are begun anew.
"""

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from labeling.delivery.exports import FORMATS, Delivery, Wanted, export_stream
from labeling.errors import Invalid
from labeling.workspace import Workspace

NOTED = 0.25  # seconds between two notes of how far it is: what is lost by a kill at most
STALE = 24 * 3600.0  # seconds after which what was cut off is not gone on with


class Written(NamedTuple):
    """A file that an export was written to, and whether an earlier one was gone on with."""

    path: Path
    continued: bool


@dataclass(frozen=True)
class _Note:
    """How far an export is.

    Attributes
    ----------
    what : dict
        The workspace, the project and what was wanted of it.
    size, after : int
        So many bytes are on disk, and they end behind this key.
    """

    what: dict[str, Any]
    moment: str
    size: int
    after: int
    begun: float


def export_file(
    workspace: Workspace,
    actor_id: int,
    project_id: int,
    folder: Path,
    wanted: Wanted | None = None,
    *,
    progress: Callable[[float, str], None] | None = None,
) -> Written:
    """Write a project (its answers as CSV, unless told otherwise) into a file in `folder`, made where it is missing.

    Parameters
    ----------
    progress
        Called now and then with the share done (0 to 1) and a line of text.

    Raises
    ------
    Invalid, NotAllowed, NotFound
        As `export_stream`; Invalid also if the folder cannot be written to.
    """
    wanted = wanted or Wanted()
    begin = partial(export_stream, workspace, actor_id, project_id, **asdict(wanted))
    delivery = begin()
    what = {"workspace": str(workspace.engine.url), "project": project_id, **asdict(wanted)}
    target = folder / delivery.filename
    begun, note_path = target.with_name(f"{target.name}.partial"), target.with_name(f"{target.name}.partial.json")
    note = _unfinished(note_path, begun, what) if FORMATS[wanted.format].resumes else None
    if note is not None:
        with suppress(Invalid):  # the classes were changed since: it begins anew
            delivery = begin(at=note.moment, after=note.after)
    continued = note is not None and note.moment == str(delivery.moment)
    if note is None or not continued:
        note = _Note(what, str(delivery.moment), 0, 0, time.time())
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with begun.open("r+b" if continued else "wb") as file:
            for share in _written(file, delivery, note, note_path):
                if progress:
                    progress(share, f"{file.tell():,} bytes")
        begun.replace(target)
        note_path.unlink(missing_ok=True)
    except OSError as error:
        raise Invalid(f"{target} cannot be written ({error.strerror}); choose another folder.") from error
    return Written(target, continued)


def _written(file: Any, delivery: Delivery, note: _Note, note_path: Path) -> Iterator[float]:
    """Write what is still to come; gives the share done after each part."""
    file.truncate(note.size)
    file.seek(note.size)
    noted = time.monotonic()
    _leave(note, note_path)
    for part in delivery.parts:
        file.write(part.data)
        yield part.after / max(delivery.last, 1)
        if time.monotonic() - noted >= NOTED:
            file.flush()
            os.fsync(file.fileno())  # what the note says is on disk before the note is
            _leave(_Note(note.what, note.moment, file.tell(), part.after, note.begun), note_path)
            noted = time.monotonic()
    file.flush()
    os.fsync(file.fileno())


def _leave(note: _Note, path: Path) -> None:
    new = path.with_name(f"{path.name}.new")
    new.write_text(json.dumps(asdict(note)), encoding="utf-8")
    new.replace(path)


def _unfinished(path: Path, begun: Path, what: dict[str, Any]) -> _Note | None:
    """The note of the same export, if it was cut off a while ago and what it wrote is still there."""
    try:
        note = _Note(**json.loads(path.read_text(encoding="utf-8")))
        fresh = time.time() - note.begun < STALE
        return note if fresh and note.after and note.what == what and begun.stat().st_size >= note.size else None
    except (OSError, ValueError, TypeError):
        return None
