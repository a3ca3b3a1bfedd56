"""The answers of a project with their provenance, one row each, in the order in which they came."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy
from sqlalchemy import Select, String, type_coerce
from sqlmodel import Session, col

from labeling.annotation.consensus import standing
from labeling.db.schema import Annotation, Assignment, Item
from labeling.delivery.moment import NOTHING, Chunk, Lookup, Moment, in_chunks
from labeling.workspace import Workspace

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
    "origin",
    "batch",
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
    "agreement",
    "method",
    "adjudicator",
)


@dataclass(frozen=True)
class AnswerRows:
    """Every answer that stood at a moment, skips and doubts included."""

    workspace: Workspace
    project_id: int
    moment: Moment
    lookup: Lookup

    columns = COLUMNS

    @property
    def last(self) -> int:
        """The key behind which there is nothing."""
        return self.moment.annotation

    def chunks(self, after: int = 0, size: int | None = None) -> Iterator[Chunk]:
        """The rows behind the key `after`, at most `size` (or `CHUNK`) at a time."""
        return in_chunks(self.workspace, after, size, self._query, lambda found: len(found.text or ""), self._finish)

    def _query(self, after: int) -> Select[Any]:
        def word(column: Any) -> Any:  # the word as it is stored: nothing is made of it
            return type_coerce(column, String).label(column.key)

        columns: tuple[Any, ...] = (
                col(Annotation.seq), word(Annotation.verdict), col(Annotation.class_id), col(Annotation.user_id),
                col(Annotation.created), col(Annotation.seconds), col(Annotation.id), col(Annotation.supersedes),
                col(Annotation.note), col(Annotation.flagged), word(Annotation.origin), col(Annotation.batch),
                col(Annotation.model_version_id), col(Annotation.suggestion_class_id),
                col(Annotation.suggestion_shown), col(Assignment.suggestion_confidence), word(Assignment.reason),
                col(Assignment.why), col(Assignment.utility), col(Annotation.item_id), col(Item.external_id),
                col(Item.content_hash), col(Item.text), col(Item.fields), col(Item.meta),
        )  # fmt: skip
        return (
            sqlalchemy.select(*columns)
            .join(Item, col(Item.id) == Annotation.item_id)
            .outerjoin(Assignment, col(Assignment.id) == Annotation.assignment_id)
            .where(
                col(Annotation.project_id) == self.project_id,
                col(Annotation.seq) > after,
                standing(self.moment.annotation),
            )
            .order_by(col(Annotation.seq))
        )

    def _finish(self, session: Session, found: list[Any]) -> list[tuple[Any, ...]]:
        if not found:
            return []
        answered = sqlalchemy.select(col(Annotation.item_id)).where(
            col(Annotation.project_id) == self.project_id,
            col(Annotation.seq) >= found[0][0],
            col(Annotation.seq) <= found[-1][0],
        )
        labels = self.lookup.labels(session, self.moment.annotation, col(Annotation.item_id).in_(answered))
        names, users, versions = self.lookup.classes, self.lookup.users, self.lookup.versions
        rows = []
        for (
            _, verdict, class_id, user_id, created, seconds, event_id, supersedes, note, flagged, origin, batch,
            model_id, suggested, shown, suggested_confidence, reason, why, utility, item_id, external_id,
            content_hash, text, fields, meta,
        ) in found:  # fmt: skip
            label = labels.get(item_id, NOTHING)
            row = (
                external_id, verdict, names.get(class_id), names.get(label.class_id), label.source, label.confidence,
                users.get(user_id),
                datetime.fromtimestamp(created, UTC).isoformat(timespec="milliseconds"), seconds, event_id,
                supersedes, note, flagged, origin, batch, versions.get(model_id), names.get(suggested),
                suggested_confidence, shown and suggested is not None, reason, why, utility, item_id, class_id,
                content_hash, text, fields, meta or None, label.agreement, label.method, label.adjudicator,
            )  # fmt: skip
            rows.append(row)
        return rows
