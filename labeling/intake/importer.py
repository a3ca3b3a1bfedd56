"""Records into a project: each given the next row, images opened safely and stored under the hash of their bytes.

An import can be stopped or killed at any instant and started again: what is there already counts as a duplicate. It
goes through its source once, in batches, and holds no more than one of them in memory.
"""

import hashlib
import json
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal, NamedTuple

from sqlmodel import Session, col, func, insert, select

from labeling.db.engine import reading, writing
from labeling.db.schema import Assignment, Event, Item, Lease, Role
from labeling.db.values import clean_name
from labeling.errors import Invalid
from labeling.intake.brought import Brought, answer, answer_first, class_ids, remember
from labeling.intake.images import ImageOpener
from labeling.intake.ledger import Duplicate, ImportReport, Ledger
from labeling.intake.records import Kind, Record, Refused, Source
from labeling.users import require
from labeling.workspace import Workspace

Labels = Literal["oracle", "imported", "ignore"]

BATCH_RECORDS: dict[Kind, int] = {"image": 200, "text": 2000, "row": 2000}  # at first
MOST_RECORDS = 10_000  # in a batch of texts or rows: the larger it is, the fewer pages of the indexes are written anew
TURN_SECONDS, LONG_TURN_SECONDS = 0.2, 2.0  # that others wait for a batch to go in: while people label, and otherwise
BATCH_BYTES = 32 * 1024**2
MAX_EXTERNAL_ID = 1000  # characters
DERIVED_ID = 16  # digits of the content hash that name a record without a name of its own
# Random hashes go to places all over an index; with room for its pages in memory they are written once a batch.
CACHE_KIB = 64 * 1024

NAME_TAKEN = "An item of this name with other content is already in the project; rename it to add it."
NOT_TEXT = "It holds characters that are not valid Unicode; save the file anew as UTF-8."
HOLDS_NUL = "It holds NUL characters, which no text has; remove them or check the encoding."
NO_JSON = "It holds a value that cannot be stored (not a number, text, date or list); change or leave out that column."
KIND_WORDS: dict[Kind, str] = {"image": "images", "text": "texts", "row": "rows"}

_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


@dataclass(slots=True)
class _Arrival:
    """A record that was read and checked."""

    record: Record
    name: str
    content_hash: str  # SHA-256 of an image's original bytes, of a text, or of the canonical JSON of a row
    label: str | None
    data: bytes = b""  # of an image


class _There(NamedTuple):
    """An item that the project has; its id is None where it comes in with this very batch."""

    id: int | None
    name: str
    content_hash: str
    job_id: int | None = None
    known: int | None = None


def import_records(
    workspace: Workspace,
    project_id: int,
    source: Source,
    *,
    actor_id: int,
    labels: Labels = "oracle",
    ledger: Ledger | None = None,
    progress: Callable[[float, str], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> ImportReport:
    """Import what a source holds; bad records are reported, the others go in.

    Parameters
    ----------
    source
        See `labeling.intake.sources.open_source`.
    actor_id
        The acting user, an owner of the project.
    labels
        What the classes that the source knows become: known answers for simulations ("oracle"), answers of the acting
        user that the model learns from ("imported"), or nothing ("ignore").
    ledger
        The account of the job that this import is; what it says is behind is passed over.
    progress
        Called after each batch with the share done (0 to 1; 0 where it is not known) and a line of text.
    cancelled
        Asked after each batch; True ends the import, keeping what went in.

    Raises
    ------
    Invalid
        If the source as a whole cannot be read, is of another kind than the project's items, or has too many classes.
    NotFound, NotAllowed
        If the acting user may not import into this project.
    labeling.jobs.Cancelled
        If the job was cancelled meanwhile, or `progress` raises it.
    """
    ledger = ledger or Ledger()
    report = ledger.report
    with reading(workspace.engine) as session:
        require(session, actor_id, project_id, Role.OWNER)
        _check_kind(session, project_id, source.kind)
    began, behind = time.monotonic(), report.read
    with ledger, ImageOpener() if source.kind == "image" else nullcontext() as opener:
        pace = _Pace(source.kind)
        batches = _batches(islice(source.records, behind, None), pace, ledger)
        while not report.cancelled and (batch := next(batches, None)) is not None:
            arrivals = _stored(workspace, opener, batch, ledger) if opener else batch
            with writing(workspace.engine) as session, pace.keeping(session):
                _insert(session, _Target(project_id, actor_id, source.kind, labels), arrivals, ledger)
                ledger.keep(session)
            if progress:
                rate = (report.read - behind) / max(time.monotonic() - began, 1e-9)
                progress(*_how_far(source, report.read, rate))
            report.cancelled = cancelled is not None and cancelled()
        with writing(workspace.engine) as session:
            ledger.keep(session)
            counts = {"added": report.added, "duplicates": report.duplicates, "refused": report.refused_count}
            detail = {"job": ledger.job_id, **counts, "labeled": report.labeled}
            session.add(Event(project_id=project_id, user_id=actor_id, kind="import", detail=detail))
    return report


class _Target(NamedTuple):
    """Where records go, from whom, and as what."""

    project_id: int
    actor_id: int
    kind: Kind
    labels: Labels


def _how_far(source: Source, done: int, rate: float) -> tuple[float, str]:
    """The share done, and the same in words with how many come in per second."""
    words = KIND_WORDS[source.kind]
    if source.total:
        return min(done / source.total, 1.0), f"{done:,} of {source.total:,} {words}, {rate:,.0f} a second"
    return source.share() if source.share else 0.0, f"{done:,} {words}, {rate:,.0f} a second"


class _Pace:
    """How many records go in at once: as many as do not keep people waiting for long."""

    def __init__(self, kind: Kind) -> None:
        self.records = BATCH_RECORDS[kind]
        self._fixed = kind == "image"  # what takes time there, opening them, keeps nobody waiting

    @contextmanager
    def keeping(self, session: Session) -> Iterator[None]:
        """Set the size of the next batch by how long the block takes."""
        now, began = time.time(), time.monotonic()
        working = select(Assignment.id).where(Assignment.state == Lease.LEASED, Assignment.expires > now).limit(1)
        turn = LONG_TURN_SECONDS if session.exec(working).first() is None else TURN_SECONDS
        yield
        if not self._fixed:
            wanted = self.records * turn / max(time.monotonic() - began, 1e-3)
            self.records = int(min(max(wanted, self.records / 2, 100), self.records * 2, MOST_RECORDS))


def _batches(found: Iterator[Record | Refused], pace: _Pace, ledger: Ledger) -> Iterator[list[_Arrival]]:
    """Read the records in batches bounded in number and bytes; what cannot be read is refused."""
    batch: list[_Arrival] = []
    size = count = 0
    for record in found:
        ledger.report.read += 1
        count += 1
        if isinstance(record, Refused):
            ledger.refuse(record)
        else:
            try:
                batch.append(arrival := _arrival(record))
                size += len(arrival.data) + len(record.text or "")
            except Invalid as error:
                ledger.refuse(Refused(record.external_id, record.line, str(error)))
        if count >= pace.records or size >= BATCH_BYTES:
            yield batch
            batch, size, count = [], 0, 0
    if count:
        yield batch


def _arrival(record: Record) -> _Arrival:
    """Read a record and check that a database can hold it."""
    data = b""
    if record.read is not None:
        data = content = record.read()
    elif record.text is not None:
        content = _checked(record.text)
    else:
        content = _canonical(record.fields or {})
    if record.meta:
        _canonical(record.meta)
    content_hash = hashlib.sha256(content).hexdigest()
    name = record.external_id or content_hash[:DERIVED_ID]
    _checked(name)
    if len(name) > MAX_EXTERNAL_ID:
        raise Invalid(f"Its name is longer than {MAX_EXTERNAL_ID:,} characters; shorten it.")
    label = None
    if record.label is not None and record.label.strip():
        label = clean_name(record.label, "Its label is not valid text; correct it.")
    return _Arrival(record, name, content_hash, label, data)


def _checked(text: str) -> bytes:
    if "\0" in text:
        raise Invalid(HOLDS_NUL)
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise Invalid(NOT_TEXT) from None


def _canonical(fields: Mapping[str, Any]) -> bytes:
    """The same bytes for the same fields, whatever their order."""
    try:
        text = json.dumps(fields, sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError):
        raise Invalid(NO_JSON) from None
    if "\\u0000" in text and _NUL.search(text):
        raise Invalid(HOLDS_NUL)
    return _checked(text)


def _stored(workspace: Workspace, opener: ImageOpener, batch: list[_Arrival], ledger: Ledger) -> list[_Arrival]:
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
    for arrival in batch:
        if arrival.content_hash in wrong:
            ledger.refuse(Refused(arrival.name, arrival.record.line, wrong[arrival.content_hash]))
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


def mixes_kinds(session: Session, project_id: int, kind: Kind) -> str:
    """Why items of this kind cannot go into a project: those of several kinds could not be encoded by one encoder, nor
    learned from by one model. Empty where they can.
    """
    first = session.exec(select(Item.media, Item.text).where(Item.project_id == project_id).limit(1)).first()
    if first is None:
        return ""
    there: Kind = "image" if first[0] is not None else "text" if first[1] is not None else "row"
    words, others = KIND_WORDS[kind], KIND_WORDS[there]
    return (
        ""
        if there == kind
        else f"These are {words} and the project has {others}; make a project of their own for them."
    )


def _check_kind(session: Session, project_id: int, kind: Kind) -> None:
    if sentence := mixes_kinds(session, project_id, kind):
        raise Invalid(sentence)


def _insert(session: Session, target: _Target, arrivals: list[_Arrival], ledger: Ledger) -> None:
    """Insert the items that the project does not have, and the labels that they lack, in the caller's transaction."""
    if not arrivals:
        return
    if session.get_bind().dialect.name == "sqlite":
        session.connection().exec_driver_sql(f"PRAGMA cache_size=-{CACHE_KIB}")
    _check_kind(session, target.project_id, target.kind)
    by_name, by_content = _there(session, target.project_id, arrivals)
    new: list[_Arrival] = []
    again: dict[int, tuple[_There, str]] = {}  # items that are there, and the label that comes now
    for arrival in arrivals:
        line = arrival.record.line
        if equal := by_content.get(arrival.content_hash):
            ledger.report.duplicates += 1
            came_now = equal.id is None or (ledger.job_id is not None and equal.job_id == ledger.job_id)
            if arrival.name != equal.name or (came_now and not arrival.record.external_id):
                ledger.equals(Duplicate(arrival.record.external_id, line, equal.name))
            if equal.id is not None and arrival.label is not None:
                again.setdefault(equal.id, (equal, arrival.label))
        elif arrival.name in by_name:
            ledger.refuse(Refused(arrival.name, line, NAME_TAKEN))
        else:
            new.append(arrival)
            by_name[arrival.name] = by_content[arrival.content_hash] = _There(None, arrival.name, arrival.content_hash)
    named = [a.label for a in new if a.label] + [label for _, label in again.values()]
    classes = class_ids(session, target.project_id, named if target.labels != "ignore" else [])
    ids = _add_items(session, target, new, classes, ledger.job_id)
    ledger.report.added += len(new)
    if target.labels == "oracle":
        remember(session, [Brought(i, t.name, classes[label]) for i, (t, label) in again.items() if t.known is None])
    elif target.labels == "imported":
        first = [Brought(i, a.name, classes[a.label]) for i, a in zip(ids, new, strict=True) if a.label]
        answer_first(session, target.project_id, target.actor_id, first)
        later = [Brought(i, t.name, classes[label]) for i, (t, label) in again.items()]
        ledger.report.labeled += len(first) + answer(session, target.project_id, target.actor_id, later)


def _there(session: Session, project_id: int, arrivals: list[_Arrival]) -> tuple[dict[str, _There], dict[str, _There]]:
    """The project's items that have the name or the content of one of the arrivals, by name and by content."""
    columns = (Item.id, Item.external_id, Item.content_hash, Item.import_job_id, Item.known_class_id)
    query = select(*columns).where(Item.project_id == project_id)  # type: ignore[call-overload]
    same_name = query.where(col(Item.external_id).in_([a.name for a in arrivals]))
    # The index over hashes has the number of answers before them, and few numbers there are.
    most = session.exec(select(func.max(Item.answers)).where(Item.project_id == project_id)).one() or 0
    same_content = query.where(
        col(Item.answers).in_(range(most + 1)), col(Item.content_hash).in_([a.content_hash for a in arrivals])
    )
    by_name = {item.external_id: _There(*item) for item in session.exec(same_name).all()}
    by_content = {item.content_hash: _There(*item) for item in session.exec(same_content).all()}
    return by_name, by_content


def _add_items(
    session: Session, target: _Target, new: list[_Arrival], classes: dict[str, int], job_id: int | None
) -> list[int]:
    """Insert new items with the next rows; returns their ids."""
    if not new:
        return []
    last = session.exec(select(func.max(Item.row)).where(Item.project_id == target.project_id)).one()
    first = 0 if last is None else last + 1
    oracle, answered = target.labels == "oracle", target.labels == "imported"
    now = time.time()
    rows = []
    for row, arrival in enumerate(new, start=first):
        values = {
            "project_id": target.project_id,
            "external_id": arrival.name,
            "content_hash": arrival.content_hash,
            "meta": dict(arrival.record.meta),
            "row": row,
            "answers": int(answered and arrival.label is not None),
            "import_job_id": job_id,
            "known_class_id": classes.get(arrival.label or "") if oracle else None,
            "created": now,
        }
        if target.kind == "image":
            values["media"] = arrival.content_hash
        elif target.kind == "text":
            values["text"] = arrival.record.text
        else:
            values["fields"] = dict(arrival.record.fields or {})
        rows.append(values)
    session.connection().execute(insert(Item), rows)
    added = select(Item.id).where(Item.project_id == target.project_id, col(Item.row) >= first)
    return [i for i in session.exec(added.order_by(col(Item.row))).all() if i is not None]
