"""The answers of a project as CSV or JSON Lines, streamed, each with its provenance.

Annotations are append-only, so an export is the state at the moment it began, however long it takes and whoever
goes on labeling: it reads short chunks, and never holds up a save.
"""

import csv
import io
import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

import sqlalchemy
from sqlmodel import Session, col, func, select

from labeling.annotation.consensus import Agreed, agreed, live_class, standing
from labeling.db.engine import reading
from labeling.db.schema import (
    Annotation,
    Assignment,
    Item,
    LabelClass,
    ModelVersion,
    Project,
    Role,
    User,
    Verdict,
)
from labeling.errors import Invalid
from labeling.users import require
from labeling.workspace import Workspace

CHUNK = 2000
COLUMNS = (
    "external_id",
    "verdict",
    "class",
    "label",
    "label_source",
    "label_confidence",
    "annotator",
    "created",
    "seconds",
    "event_id",
    "supersedes",
    "note",
    "flagged",
    "model_version",
    "suggestion",
    "suggestion_confidence",
    "suggestion_shown",
    "reason",
    "why",
    "utility",
    "item_id",
    "class_id",
    "content_hash",
    "text",
    "fields",
    "meta",
)


class Delivery(NamedTuple):
    """An export under way."""

    chunks: Iterator[bytes]
    media_type: str
    filename: str


def export_stream(workspace: Workspace, actor_id: int, project_id: int, format: str) -> Delivery:
    """Stream the standing answers of a project, one row each in the order they came, skips and doubts included.

    Parameters
    ----------
    format
        `csv` (cells that a spreadsheet would run are escaped) or `jsonl` (lossless).

    Raises
    ------
    Invalid
        If the format is not known.
    NotAllowed
        If the acting user is neither expert nor owner.
    """
    if format not in _FORMATS:
        raise Invalid(f"There is no export format “{format}”; choose one of: {', '.join(_FORMATS)}.")
    written, media_type = _FORMATS[format]
    project, until = _begin(workspace, actor_id, project_id)
    name = "".join(c if c.isascii() and (c.isalnum() or c in "-_") else "-" for c in project.name)
    return Delivery(written(_chunks(workspace, project_id, until)), media_type, f"{name}.{format}")


def export_rows(workspace: Workspace, actor_id: int, project_id: int) -> Iterator[dict[str, Any]]:
    """The standing answers of a project, one dictionary of `COLUMNS` each, in the order they came."""
    _, until = _begin(workspace, actor_id, project_id)
    return (row for rows in _chunks(workspace, project_id, until) for row in rows)


def _begin(workspace: Workspace, actor_id: int, project_id: int) -> tuple[Project, int]:
    """The project, and the newest annotation that this export will hold."""
    with reading(workspace.engine) as session:
        project = require(session, actor_id, project_id, Role.EXPERT)
        newest = select(func.max(Annotation.seq)).where(Annotation.project_id == project_id)
        return project, session.exec(newest).one() or 0


def _chunks(workspace: Workspace, project_id: int, until: int) -> Iterator[list[dict[str, Any]]]:
    after = 0
    with reading(workspace.engine) as session:
        classes = select(LabelClass.id, LabelClass.name).where(LabelClass.project_id == project_id)
        names: dict[int | None, str] = dict(session.exec(classes).all())
    while True:
        with reading(workspace.engine) as session:
            rows, after = _read(session, project_id, after, until, names)
        if not rows:
            return
        yield rows


def _read(
    session: Session, project_id: int, after: int, until: int, names: dict[int | None, str]
) -> tuple[list[dict[str, Any]], int]:
    query = (  # SQLModel's own `select` takes four at most
        sqlalchemy.select(Annotation, Item, col(User.name), col(ModelVersion.number), Assignment)
        .join(Item, col(Item.id) == Annotation.item_id)
        .join(User, col(User.id) == Annotation.user_id)
        .outerjoin(ModelVersion, col(ModelVersion.id) == Annotation.model_version_id)
        .outerjoin(Assignment, col(Assignment.id) == Annotation.assignment_id)
        .where(col(Annotation.project_id) == project_id, col(Annotation.seq) > after, standing(until))
        .order_by(col(Annotation.seq))
        .limit(CHUNK)
    )
    found = session.execute(query).all()
    labels = _labels(session, {given.item_id for given, *_ in found}, until)
    rows = [
        _row(given, item, who, labels.get(given.item_id), version, assignment, names)
        for given, item, who, version, assignment in found
    ]
    return rows, (found[-1][0].seq or until) if found else until


def _labels(session: Session, item_ids: set[int], until: int) -> dict[int, Agreed]:
    """The label of each item as it stood after annotation `until`."""
    votes = select(Annotation.item_id, Annotation.class_id).where(
        col(Annotation.item_id).in_(item_ids), Annotation.verdict == Verdict.LABEL, standing(until)
    )
    chosen: dict[int, list[int]] = defaultdict(list)
    for item_id, class_id in session.exec(votes).all():
        if class_id is not None:
            chosen[item_id].append(live_class(session, class_id))
    return {item_id: label for item_id, classes in chosen.items() if (label := agreed(classes))}


def _row(
    given: Annotation,
    item: Item,
    annotator: str,
    label: Agreed | None,
    version: int | None,
    assignment: Assignment | None,
    names: dict[int | None, str],
) -> dict[str, Any]:
    return {
        "external_id": item.external_id,
        "verdict": given.verdict.value,
        "class": names.get(given.class_id),
        "label": names.get(label.class_id) if label else None,
        "label_source": label.source.value if label else None,
        "label_confidence": label.confidence if label else None,
        "annotator": annotator,
        "created": datetime.fromtimestamp(given.created, UTC).isoformat(timespec="milliseconds"),
        "seconds": given.seconds,
        "event_id": given.id,
        "supersedes": given.supersedes,
        "note": given.note,
        "flagged": given.flagged,
        "model_version": version,
        "suggestion": names.get(given.suggestion_class_id),
        "suggestion_confidence": assignment.suggestion_confidence if assignment else None,
        "suggestion_shown": given.suggestion_shown and given.suggestion_class_id is not None,
        "reason": assignment.reason.value if assignment else None,
        "why": assignment.why if assignment else None,
        "utility": assignment.utility if assignment else None,
        "item_id": item.id,
        "class_id": given.class_id,
        "content_hash": item.content_hash,
        "text": item.text,
        "fields": item.fields,
        "meta": item.meta or None,
    }


def _as_jsonl(chunks: Iterator[list[dict[str, Any]]]) -> Iterator[bytes]:
    for rows in chunks:
        yield "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def _as_csv(chunks: Iterator[list[dict[str, Any]]]) -> Iterator[bytes]:
    header = io.StringIO()
    csv.DictWriter(header, COLUMNS).writeheader()
    yield header.getvalue().encode()
    for rows in chunks:
        text = io.StringIO()
        csv.DictWriter(text, COLUMNS).writerows({name: _cell(value) for name, value in row.items()} for row in rows)
        yield text.getvalue().encode()


def _cell(value: object) -> object:
    """A CSV cell; text that a spreadsheet would take for a formula is led by an apostrophe."""
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")):
        return "'" + value
    return value


_FORMATS: dict[str, tuple[Callable[[Iterator[list[dict[str, Any]]]], Iterator[bytes]], str]] = {
    "csv": (_as_csv, "text/csv; charset=utf-8"),
    "jsonl": (_as_jsonl, "application/x-ndjson"),
}

FORMATS = tuple(_FORMATS)
