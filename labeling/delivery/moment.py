"""The moment that an export is of, and how what stood then is read: in short chunks, by key, with flat memory.

Annotations are append-only, so an export is the state at the moment it began, however long it takes and whoever goes
on labeling. The moment has a name, by which an export that was cut off goes on as of the same moment.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

import sqlalchemy
from sqlalchemy import ColumnElement, Select, String, type_coerce
from sqlmodel import Session, col, func, select

from labeling.annotation.consensus import agreed, is_decision, standing
from labeling.annotation.threads import names_seen
from labeling.db.engine import reading
from labeling.db.schema import (
    Annotation,
    Item,
    Label,
    LabelClass,
    Membership,
    Method,
    ModelVersion,
    Origin,
    Project,
    Source,
    Verdict,
)
from labeling.errors import Invalid
from labeling.learning.versions import find_live
from labeling.workspace import Workspace

CHUNK = 4000  # rows read in one transaction, at most
HEAVY = 8 * 2**20  # characters of text after which a chunk ends early
FETCHED = 200  # rows between two looks at how heavy a chunk has become


class Moment(NamedTuple):
    """What an export holds: the project as it stood after all of these.

    Attributes
    ----------
    annotation, item : int
        The newest annotation (its `seq`) and item.
    classes : int
        The version of the class list: names come from it.
    model : int
        The id of the live model version, which guesses where nobody has answered; 0 for none.
    """

    annotation: int
    item: int
    classes: int
    model: int

    def __str__(self) -> str:
        return ".".join(map(str, (self.annotation, self.item, self.classes, self.model)))

    @classmethod
    def of(cls, session: Session, project: Project) -> Self:
        """The present."""
        newest = select(func.max(Annotation.seq)).where(Annotation.project_id == project.id)
        last = select(func.max(Item.id)).where(Item.project_id == project.id)
        assert project.id is not None
        model = find_live(session, project.id)
        return cls(
            session.exec(newest).one() or 0,
            session.exec(last).one() or 0,
            project.schema_version,
            model.id or 0 if model else 0,
        )

    @classmethod
    def named(cls, session: Session, project: Project, name: str) -> Self:
        """The moment of this name.

        Raises
        ------
        Invalid
            If it is no moment of this project's past, or its classes were changed since: the rest of the export would
            not go with its beginning.
        """
        now = cls.of(session, project)
        then = cls(*map(int, name.split("."))) if re.fullmatch(r"\d{1,18}(\.\d{1,18}){3}", name) else None
        if then is None or any(old > new for old, new in zip(then, now, strict=True)):
            raise Invalid(f"“{name[:60]}” is no moment of this project's past; leave it out to export it as it is now.")
        if then.classes != now.classes:
            raise Invalid("The classes were changed since this export began; begin it anew.")
        return then


class Settled(NamedTuple):
    """What an item's answers come to; no class where they come to nothing.

    Attributes
    ----------
    agreement
        The share of the answers that say what the label says.
    method
        How several answers were made one label.
    adjudicator
        Who decided, where an expert did.
    """

    class_id: int | None
    confidence: float | None
    source: str | None
    answers: int
    agreement: float | None = None
    method: str | None = None
    adjudicator: str | None = None


NOTHING = Settled(None, None, None, 0)
_Votes = tuple[tuple[int, bool], ...]  # of each answer: its class, and whether it was imported


class Chunk(NamedTuple):
    """Rows in the order of the export's columns, and the key of the last of them: reading goes on behind it."""

    rows: Sequence[tuple[Any, ...]]
    after: int


@dataclass
class Lookup:
    """What is short enough to be held: names by id."""

    classes: dict[int | None, str]
    live: dict[int, int]  # what each class stands for today, through any merges
    users: dict[int, str]  # as whoever exports may know them
    versions: dict[int, int]
    ignored: set[int]  # people whose answers were set aside
    split: set[int]  # classes whose answers count for nothing
    _known: dict[_Votes, Settled] = field(default_factory=dict)  # what came of each set of votes

    @classmethod
    def read(cls, session: Session, actor_id: int, project_id: int) -> Self:
        """The names of a project, as the acting user may know them."""
        listed = select(LabelClass.id, LabelClass.name, LabelClass.merged_into, LabelClass.split)
        found = session.exec(listed.where(LabelClass.project_id == project_id)).all()
        merged = {class_id: into for class_id, _, into, _ in found if into is not None}
        aside = select(Membership.user_id).where(
            Membership.project_id == project_id, col(Membership.set_aside).is_not(None)
        )

        def stands_for(class_id: int) -> int:
            return stands_for(merged[class_id]) if class_id in merged else class_id

        versions = select(ModelVersion.id, ModelVersion.number).where(ModelVersion.project_id == project_id)
        return cls(
            classes={class_id: name for class_id, name, *_ in found if class_id is not None},
            live={class_id: stands_for(class_id) for class_id, *_ in found if class_id is not None},
            users=names_seen(session, actor_id, project_id),
            versions={n: number for n, number in session.exec(versions).all() if n is not None},
            ignored=set(session.exec(aside).all()),
            split={class_id for class_id, *_, split in found if split and class_id is not None},
        )

    def labels(self, session: Session, until: int, items: ColumnElement[bool]) -> dict[int, Settled]:
        """What was said of each item came to after annotation `until`, of the items of which anything was.

        `items` is the condition on `Annotation.item_id` that says which items.
        """
        origin = type_coerce(Annotation.origin, String)
        said = sqlalchemy.select(
            col(Annotation.item_id), col(Annotation.class_id), origin, col(Annotation.user_id)
        ).where(items, type_coerce(Annotation.verdict, String) == Verdict.LABEL.value, standing(until))
        chosen: dict[int, _Votes] = {}
        for item_id, class_id, came, user_id in session.connection().execute(said):
            if class_id is None or came == Origin.REVIEW.value or user_id in self.ignored or class_id in self.split:
                continue
            vote = (self.live[class_id], came == Origin.IMPORTED.value)
            chosen[item_id] = (*chosen[item_id], vote) if item_id in chosen else (vote,)
        settled = {item_id: self._settled(given) for item_id, given in chosen.items()}
        self._weighed(session, until, chosen, settled)
        self._decided(session, until, items, chosen, settled)
        return settled

    def _settled(self, given: _Votes) -> Settled:
        if given not in self._known:
            label = agreed([class_id for class_id, _ in given], imported=all(brought for _, brought in given))
            self._known[given] = (
                Settled(
                    label.class_id, label.confidence, label.source.value, len(given), label.confidence,
                    Method.MAJORITY.value if len(given) > 1 else None,
                )
                if label
                else NOTHING._replace(answers=len(given))
            )  # fmt: skip
        return self._known[given]

    def _weighed(self, session: Session, until: int, chosen: dict[int, _Votes], settled: dict[int, Settled]) -> None:
        """Put in what the worker made of several answers, where nothing was said since."""
        several = [item_id for item_id, given in chosen.items() if len(given) > 1]
        if not several:
            return
        newer = select(Annotation.item_id).where(col(Annotation.seq) > until, col(Annotation.item_id).in_(several))
        changed = set(session.exec(newer).all())
        weighed = select(Label).where(col(Label.item_id).in_(several), Label.method != Method.MAJORITY)
        for label in session.exec(weighed).all():
            given = chosen[label.item_id]
            if label.item_id in changed or label.answers != len(given):
                continue
            settled[label.item_id] = Settled(
                label.class_id, label.confidence, label.source.value, len(given), _agreement(given, label.class_id),
                label.method.value,
            )  # fmt: skip

    def _decided(
        self,
        session: Session,
        until: int,
        items: ColumnElement[bool],
        chosen: dict[int, _Votes],
        settled: dict[int, Settled],
    ) -> None:
        """Put in what experts decided: it beats all answers."""
        decisions = select(Annotation).where(items, is_decision(until)).order_by(col(Annotation.seq))
        for decision in session.exec(decisions).all():
            given = chosen.get(decision.item_id, ())
            class_id = None if decision.class_id is None else self.live[decision.class_id]
            settled[decision.item_id] = Settled(
                class_id, None if class_id is None else 1.0, Source.ADJUDICATED.value, len(given),
                _agreement(given, class_id), None, self.users.get(decision.user_id),
            )  # fmt: skip


def _agreement(given: _Votes, class_id: int | None) -> float | None:
    """The share of the answers that say a class."""
    return sum(vote == class_id for vote, _ in given) / len(given) if given and class_id is not None else None


def in_chunks(
    workspace: Workspace,
    after: int,
    size: int | None,
    query: Callable[[int], Select[Any]],
    weight: Callable[[Any], int],
    finish: Callable[[Session, list[Any]], Sequence[tuple[Any, ...]]],
) -> Iterator[Chunk]:
    """Read by key, each chunk in a transaction of its own, so that no save waits for an export.

    Parameters
    ----------
    query
        Selects what comes behind a key, in its order, the key being the first column.
    weight
        The characters of a row that may be long.
    finish
        Makes the rows of the export from those found.
    """
    while True:
        with reading(workspace.engine) as session:
            found: list[Any] = []
            heavy = 0
            wanted = query(after).limit(size or CHUNK).execution_options(yield_per=FETCHED)
            result = session.connection().execute(wanted)
            for part in result.partitions():
                found += part
                heavy += sum(map(weight, part))
                if heavy > HEAVY:
                    break
            result.close()
            rows = finish(session, found)
        if not found:
            return
        after = found[-1][0]
        yield Chunk(rows, after)
