"""The label of an item, derived from its standing annotations."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy import ColumnElement
from sqlmodel import Session, col, delete, exists, func, insert, select

from labeling.db.aliases import second
from labeling.db.schema import Annotation, Item, Label, LabelClass, Origin, Source, Verdict

_later = second(Annotation)


class Agreed(NamedTuple):
    """What people agree that an item is."""

    class_id: int
    confidence: float  # the share of them that says so
    source: Source


def standing(until: int | None = None) -> ColumnElement[bool]:
    """The condition that an `Annotation` counts: neither superseded nor itself an undo.

    As things stood after annotation `until`, where that is given; today otherwise.
    """
    supersedes = [col(_later.supersedes) == col(Annotation.id)]
    here = col(Annotation.verdict) != Verdict.UNDO
    if until is not None:
        supersedes.append(col(_later.seq) <= until)
        here &= col(Annotation.seq) <= until
    return here & ~exists().where(*supersedes)


def agreed(chosen: Sequence[int], *, imported: bool = False) -> Agreed | None:
    """The class that most people chose, of one class id each; None where nobody did, or two classes are level.

    `imported` says that all of these answers came with an import: then that is where the label is from.
    """
    ranked = Counter(chosen).most_common(2)
    if not ranked or (len(ranked) == 2 and ranked[0][1] == ranked[1][1]):
        return None
    class_id, votes = ranked[0]
    source = Source.IMPORTED if imported else Source.SINGLE if len(chosen) == 1 else Source.CONSENSUS
    return Agreed(class_id, votes / len(chosen), source)


def settle(session: Session, item_id: int) -> None:
    """Derive an item's label and its number of answers anew, in the caller's transaction."""
    query = select(Annotation.class_id, Annotation.origin).where(
        Annotation.item_id == item_id, Annotation.verdict == Verdict.LABEL, standing()
    )
    given = session.exec(query).all()
    chosen = [live_class(session, class_id) for class_id, _ in given if class_id is not None]
    item, label = session.get_one(Item, item_id), session.get(Label, item_id)
    item.answers = len(chosen)
    now = agreed(chosen, imported={origin for _, origin in given} == {Origin.IMPORTED})
    if now is None:
        if label is not None:
            session.delete(label)
    elif label is None:
        made = Label(item_id=item_id, project_id=item.project_id, answers=len(chosen), **now._asdict())
        session.add(made)
    else:
        label.class_id, label.confidence, label.source = now
        label.answers = len(chosen)


def settle_answers(session: Session, project_id: int, class_ids: Sequence[int]) -> None:
    """Derive the labels of all items anew that were ever answered with one of these classes.

    In the caller's transaction: what `settle` does for one item, in a few statements of the database for any number.
    The numbers of answers stay, as which class was chosen does not matter for them.
    """
    session.flush()
    concerned = select(Annotation.item_id).where(
        Annotation.project_id == project_id, col(Annotation.class_id).in_(class_ids)
    )
    session.exec(delete(Label).where(col(Label.project_id) == project_id, col(Label.item_id).in_(concerned)))
    alive = (
        sa.select(col(LabelClass.id), col(LabelClass.id).label("living"))
        .where(col(LabelClass.project_id) == project_id, col(LabelClass.merged_into).is_(None))
        .cte("alive", recursive=True)
    )
    alive = alive.union_all(
        sa.select(col(LabelClass.id), alive.c.living).join(alive, alive.c.id == col(LabelClass.merged_into))
    )
    asked = sa.case((col(Annotation.origin) == Origin.IMPORTED, 0), else_=1)
    chosen = (
        sa.select(col(Annotation.item_id), alive.c.living, func.count().label("votes"), func.max(asked).label("asked"))
        .join(alive, alive.c.id == col(Annotation.class_id))
        .where(
            col(Annotation.project_id) == project_id,
            col(Annotation.verdict) == Verdict.LABEL,
            standing(),
            col(Annotation.item_id).in_(concerned),
        )
        .group_by(col(Annotation.item_id), alive.c.living)
        .subquery()
    )
    tally = sa.select(
        chosen.c.item_id,
        chosen.c.living,
        chosen.c.votes,
        func.sum(chosen.c.votes).over(partition_by=chosen.c.item_id).label("answers"),
        func.max(chosen.c.asked).over(partition_by=chosen.c.item_id).label("asked"),
        func.max(chosen.c.votes).over(partition_by=chosen.c.item_id).label("most"),
        func.count().over(partition_by=[chosen.c.item_id, chosen.c.votes]).label("level"),
    ).subquery()
    source = sa.case(
        (tally.c.asked == 0, sa.literal(Source.IMPORTED.value)),
        (tally.c.answers == 1, sa.literal(Source.SINGLE.value)),
        else_=sa.literal(Source.CONSENSUS.value),
    )
    agreed_on = sa.select(
        tally.c.item_id,
        sa.literal(project_id),
        tally.c.living,
        sa.cast(tally.c.votes, sa.Float) / tally.c.answers,
        source,
        tally.c.answers,
    ).where(tally.c.votes == tally.c.most, tally.c.level == 1)
    columns = ["item_id", "project_id", "class_id", "confidence", "source", "answers"]
    session.connection().execute(insert(Label).from_select(columns, agreed_on))
    session.expire_all()


def live_class(session: Session, class_id: int) -> int:
    """The class that this one stands for today, through any merges."""
    found = session.get_one(LabelClass, class_id)
    while found.merged_into is not None:
        found = session.get_one(LabelClass, found.merged_into)
    assert found.id is not None
    return found.id
