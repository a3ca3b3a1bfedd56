"""Images into a project: each opened safely, stored under the hash of its bytes, and given the next row.

An import can be stopped or killed at any instant and started again: what is there already counts as a duplicate.
"""

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from sqlmodel import Session, col, func, or_, select

from labeling.db.engine import reading, writing
from labeling.db.schema import Event, Item, Project, Role
from labeling.errors import Invalid
from labeling.intake.images import ImageOpener
from labeling.intake.sources import Entry, Source, open_source
from labeling.projects import add_classes
from labeling.users import require
from labeling.workspace import Workspace

BATCH_FILES = 200
BATCH_BYTES = 32 * 1024**2

NAME_TAKEN = "An item of this name with other content is already in the project; rename the file to add it."


@dataclass
class ImportReport:
    """What an import did; `refused` holds `(name, sentence)` of each file that could not be taken."""

    added: int = 0
    duplicates: int = 0
    refused: list[tuple[str, str]] = field(default_factory=list)
    cancelled: bool = False


@dataclass(frozen=True)
class _Arrival:
    """A file that was read."""

    entry: Entry
    data: bytes
    content_hash: str  # SHA-256 of the original bytes


def import_images(
    workspace: Workspace,
    project_id: int,
    source: str | Path | Source,
    *,
    actor_id: int,
    labels: Literal["oracle", "ignore"] = "oracle",
    job_id: int | None = None,
    progress: Callable[[float, str], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> ImportReport:
    """Import the images of a folder, a zip archive or an opened source; bad files are reported, the others go in.

    Parameters
    ----------
    source
        See `labeling.intake.sources.open_source`.
    actor_id
        The acting user, an owner of the project.
    labels
        Whether the classes that the source knows are kept for simulations ("oracle") or not ("ignore").
    job_id
        Of the job this import is, kept with each item.
    progress
        Called after each batch with the share done (0 to 1) and a line of text.
    cancelled
        Asked before each batch; True ends the import, keeping what went in.

    Raises
    ------
    Invalid
        If the source as a whole cannot be read.
    NotFound, NotAllowed
        If the acting user may not import into this project.
    """
    with reading(workspace.engine) as session:
        require(session, actor_id, project_id, Role.OWNER)
    with nullcontext(source) if isinstance(source, Source) else open_source(source) as opened, ImageOpener() as opener:
        report = ImportReport(refused=list(opened.refused))
        total = len(opened.entries)
        for done, batch in _batches(opened.entries, report):
            if cancelled and cancelled():
                report.cancelled = True
                break
            arrivals = _stored(workspace, opener, batch, report)
            with writing(workspace.engine) as session:
                _insert(session, project_id, arrivals, report, oracle=labels == "oracle", job_id=job_id)
            if progress:
                progress(done / total, f"{done:,} of {total:,} files")
    with writing(workspace.engine) as session:
        counts = {"added": report.added, "duplicates": report.duplicates, "refused": len(report.refused)}
        session.add(Event(project_id=project_id, user_id=actor_id, kind="import", detail={"job": job_id, **counts}))
    return report


def _batches(entries: Iterable[Entry], report: ImportReport) -> Iterator[tuple[int, list[_Arrival]]]:
    """Read the entries in batches bounded in number and bytes, each with how many entries are behind it."""
    batch: list[_Arrival] = []
    size = done = 0
    for done, entry in enumerate(entries, start=1):
        try:
            data = entry.read()
        except Invalid as error:
            report.refused.append((entry.external_id, str(error)))
            continue
        batch.append(_Arrival(entry, data, hashlib.sha256(data).hexdigest()))
        size += len(data)
        if len(batch) == BATCH_FILES or size >= BATCH_BYTES:
            yield done, batch
            batch, size = [], 0
    if batch:
        yield done, batch


def _stored(workspace: Workspace, opener: ImageOpener, batch: list[_Arrival], report: ImportReport) -> list[_Arrival]:
    """Open and store what is not stored yet; returns the arrivals whose image lies in the workspace."""
    # By hash, and before asking whether the project has it: a file that went missing is put back by importing it again.
    missing = {a.content_hash: a.data for a in batch if not workspace.media(a.content_hash).exists()}
    wrong: dict[str, str] = {}
    right: dict[Path, bytes] = {}
    for content_hash, image in zip(missing, opener.open_many(list(missing.values())), strict=True):
        if isinstance(image, Invalid):
            wrong[content_hash] = str(image)
        else:
            right[workspace.media(content_hash)] = image.data
    # Flushes that wait side by side share a commit of the file system's journal: ten times faster than in turn.
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(_store, right, right.values()))
    report.refused += [(a.entry.external_id, wrong[a.content_hash]) for a in batch if a.content_hash in wrong]
    return [a for a in batch if a.content_hash not in wrong]


def _store(path: Path, data: bytes) -> None:
    """Write a file so that it is there whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(prefix=".part-", dir=path.parent)
    with open(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    try:
        Path(temporary).replace(path)
    except PermissionError:  # Windows: somebody reads the very image that another import stored meanwhile
        Path(temporary).unlink()
        if not path.exists():
            raise


def _insert(
    session: Session,
    project_id: int,
    arrivals: list[_Arrival],
    report: ImportReport,
    *,
    oracle: bool,
    job_id: int | None,
) -> None:
    """Insert the items that the project does not have, in one transaction with the reading of its last row."""
    # SQLite has one writer at a time; elsewhere this lock makes imports into one project take turns.
    session.exec(select(Project.id).where(Project.id == project_id).with_for_update()).one()
    same_name = col(Item.external_id).in_([arrival.entry.external_id for arrival in arrivals])
    same_content = col(Item.content_hash).in_([arrival.content_hash for arrival in arrivals])
    there = select(Item.external_id, Item.content_hash).where(
        Item.project_id == project_id, or_(same_name, same_content)
    )
    hash_of = dict(session.exec(there).all())
    known = set(hash_of.values())
    new: list[_Arrival] = []
    for arrival in arrivals:
        name = arrival.entry.external_id
        if arrival.content_hash in known:
            report.duplicates += 1
        elif name in hash_of:
            report.refused.append((name, NAME_TAKEN))
        else:
            new.append(arrival)
            known.add(arrival.content_hash)
            hash_of[name] = arrival.content_hash
    classes: dict[str, int] = {}
    if oracle:
        classes = add_classes(
            session, project_id, list(dict.fromkeys(a.entry.class_name for a in new if a.entry.class_name))
        )
    last = session.exec(select(func.max(Item.row)).where(Item.project_id == project_id)).one()
    for row, arrival in enumerate(new, start=0 if last is None else last + 1):
        item = Item(
            project_id=project_id,
            external_id=arrival.entry.external_id,
            content_hash=arrival.content_hash,
            media=arrival.content_hash,
            row=row,
            import_job_id=job_id,
            known_class_id=classes.get(arrival.entry.class_name or ""),
        )
        session.add(item)
    report.added += len(new)
