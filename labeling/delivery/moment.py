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

from labeling.annotation.consensus import agreed, standing
from labeling.db.engine import reading
from labeling.db.schema import Annotation, Item, LabelClass, ModelVersion, Origin, Project, User, Verdict
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
    """What an item's answers come to; no class where they come to nothing."""

    class_id: int | None
    confidence: float | None
    source: str | None
    answers: int


NOTHING = Settled(None, None, None, 0)


class Chunk(NamedTuple):
    """Rows in the order of the export's columns, and the key of the last of them: reading goes on behind it."""

    rows: Sequence[tuple[Any, ...]]
    after: int


@dataclass
class Lookup:
    """What is short enough to be held: names by id."""

    classes: dict[int | None, str]
    live: dict[int, int]  # what each class stands for today, through any merges
    users: dict[int, str]
    versions: dict[int, int]
    _known: dict[tuple[tuple[int, bool], ...], Settled] = field(default_factory=dict)  # what came of each set of votes

    @classmethod
    def read(cls, session: Session, project_id: int) -> Self:
        """The names of a project."""
        listed = select(LabelClass.id, LabelClass.name, LabelClass.merged_into)
        found = session.exec(listed.where(LabelClass.project_id == project_id)).all()
        merged = {class_id: into for class_id, _, into in found if into is not None}

        def stands_for(class_id: int) -> int:
            return stands_for(merged[class_id]) if class_id in merged else class_id

        versions = select(ModelVersion.id, ModelVersion.number).where(ModelVersion.project_id == project_id)
        return cls(
            classes={class_id: name for class_id, name, _ in found if class_id is not None},
            live={class_id: stands_for(class_id) for class_id, *_ in found if class_id is not None},
            users={n: name for n, name in session.exec(select(User.id, User.name)).all() if n is not None},
            versions={n: number for n, number in session.exec(versions).all() if n is not None},
        )

    def labels(self, session: Session, until: int, items: ColumnElement[bool]) -> dict[int, Settled]:
        """What the answers to each item came to after annotation `until`, of the items that had any.

        `items` is the condition on `Annotation.item_id` that says which items.
        """
        imported = type_coerce(Annotation.origin, String) == Origin.IMPORTED.value
        votes = sqlalchemy.select(col(Annotation.item_id), col(Annotation.class_id), imported).where(
            items, type_coerce(Annotation.verdict, String) == Verdict.LABEL.value, standing(until)
        )
        chosen: dict[int, tuple[tuple[int, bool], ...]] = {}
        for item_id, class_id, brought in session.connection().execute(votes):
            if class_id is None:
                continue
            vote = (self.live[class_id], bool(brought))
            chosen[item_id] = (*chosen[item_id], vote) if item_id in chosen else (vote,)
        return {item_id: self._settled(given) for item_id, given in chosen.items()}

    def _settled(self, given: tuple[tuple[int, bool], ...]) -> Settled:
        if given not in self._known:
            label = agreed([class_id for class_id, _ in given], imported=all(brought for _, brought in given))
            self._known[given] = (
                Settled(label.class_id, label.confidence, label.source.value, len(given))
                if label
                else NOTHING._replace(answers=len(given))
            )
        return self._known[given]


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
