"""The items of a project with their labels, one row each, in the order in which they came in."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import sqlalchemy
from sqlalchemy import Select
from sqlmodel import Session, col

from labeling.db.aliases import second
from labeling.db.schema import Annotation, Item, Source
from labeling.delivery.moment import NOTHING, Chunk, Lookup, Moment, in_chunks
from labeling.delivery.splits import First, Split
from labeling.workspace import Workspace

if TYPE_CHECKING:
    from labeling.learning.predictions import PoolPredictions

Unlabeled = Literal["keep", "drop", "suggest"]
UNLABELED: tuple[Unlabeled, ...] = ("keep", "drop", "suggest")

_near = second(Item)


class LabelRow(NamedTuple):
    """An item and its label. `class_id` is what `label` is the name of."""

    external_id: str
    label: str | None
    confidence: float | None
    source: str | None
    text: str | None
    fields: dict[str, Any] | None
    image: str | None  # its file, inside the workspace
    meta: dict[str, Any] | None
    split: str | None
    answers: int
    near_duplicate_of: str | None
    item_id: int
    class_id: int | None
    content_hash: str
    agreement: float | None  # the share of the answers that say what the label says
    method: str | None  # how several answers became one label
    adjudicator: str | None  # the expert who decided


@dataclass(frozen=True)
class LabelRows:
    """Every item that was there at a moment, with the label that it had.

    Attributes
    ----------
    unlabeled : {"keep", "drop", "suggest"}
        What becomes of items without a label: kept without one, left out, or given the model's guess.
    beliefs
        What the model of the moment believes of the pool, where it is asked.
    """

    workspace: Workspace
    project_id: int
    moment: Moment
    lookup: Lookup
    split: Split | None = None
    unlabeled: Unlabeled = "keep"
    beliefs: "PoolPredictions | None" = None

    columns = LabelRow._fields

    @property
    def last(self) -> int:
        """The key behind which there is nothing."""
        return self.moment.item

    def chunks(self, after: int = 0, size: int | None = None) -> Iterator[Chunk]:
        """The rows behind the key `after`, at most `size` (or `CHUNK`) at a time."""
        return in_chunks(self.workspace, after, size, self._query, lambda found: len(found.text or ""), self._finish)

    def _query(self, after: int) -> Select[Any]:
        return (
            sqlalchemy.select(
                col(Item.id), col(Item.external_id), col(Item.text), col(Item.fields), col(Item.meta),
                col(Item.media), col(Item.content_hash), col(Item.row), col(_near.external_id).label("near_name"),
                col(_near.content_hash).label("near_hash"), col(_near.meta).label("near_meta"),
            )
            .outerjoin(_near, (col(_near.id) == Item.near_id) & (col(_near.id) != Item.id))
            .where(col(Item.project_id) == self.project_id, col(Item.id) > after, col(Item.id) <= self.moment.item)
            .order_by(col(Item.id))
        )  # fmt: skip

    def _finish(self, session: Session, found: list[Any]) -> list[LabelRow]:
        if not found:
            return []
        # Of other projects' items between these there may be a few: they are read and passed over.
        between = col(Annotation.item_id).between(found[0][0], found[-1][0])
        labels = self.lookup.labels(session, self.moment.annotation, between)
        guesses = self._guesses([row for *_, row, _, _, _ in found]) if self.beliefs is not None else None
        names, rows = self.lookup.classes, list[LabelRow]()
        for at, (item_id, name, text, fields, meta, media, content_hash, _, near, near_hash, near_meta) in enumerate(
            found
        ):
            settled = labels.get(item_id, NOTHING)
            class_id, confidence, source = settled.class_id, settled.confidence, settled.source
            if class_id is None and guesses is not None and (guess := guesses[at]) is not None:
                (class_id, confidence), source = guess, Source.MACHINE.value
            if class_id is None and self.unlabeled == "drop":
                continue
            first = First(content_hash, meta) if near is None else First(near_hash, near_meta)
            row = LabelRow(
                name,
                None if class_id is None else names[class_id],
                confidence,
                source,
                text,
                fields,
                None if media is None else f"media/{media[:2]}/{media}",
                meta or None,
                self.split.side(first) if self.split else None,
                settled.answers,
                near,
                item_id,
                class_id,
                content_hash,
                settled.agreement,
                settled.method,
                settled.adjudicator,
            )
            rows.append(row)
        return rows

    def _guesses(self, rows: list[int]) -> list[tuple[int, float] | None]:
        """The class and probability that the model believes in, for each row of the features; None where it has none.

        A merged class counts as what it was merged into; one that is gone is no guess.
        """
        assert self.beliefs is not None
        known, wanted = len(self.beliefs.classes), np.array(rows)
        inside = np.minimum(wanted, known - 1)
        classes, sure = self.beliefs.classes[inside], self.beliefs.confidence[inside]
        live = [self.lookup.live.get(class_id) for class_id in self.beliefs.class_ids]
        return [
            (class_id, round(float(p), 6)) if row < known and (class_id := live[at]) is not None else None
            for row, at, p in zip(rows, classes, sure, strict=True)
        ]
