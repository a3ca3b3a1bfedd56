"""The label of an item, derived from its standing annotations."""

from collections import Counter

from sqlalchemy import ColumnElement
from sqlalchemy.orm import aliased
from sqlmodel import Session, col, exists, select

from labeling.db.schema import Annotation, Item, Label, LabelClass, Source, Verdict

_later = aliased(Annotation)


def standing() -> ColumnElement[bool]:
    """The condition that an `Annotation` counts today: neither superseded nor itself an undo."""
    superseded = exists().where(col(_later.supersedes) == col(Annotation.id))
    return (col(Annotation.verdict) != Verdict.UNDO) & ~superseded


def settle(session: Session, item_id: int) -> None:
    """Derive an item's label and its number of answers anew, in the caller's transaction.

    The class that most people chose is the label, a merged class counting as the one it went into; where two
    classes are level there is no label yet.
    """
    query = select(Annotation.class_id).where(
        Annotation.item_id == item_id,
        Annotation.verdict == Verdict.LABEL,
        standing(),
    )
    chosen = [live_class(session, class_id) for class_id in session.exec(query).all() if class_id is not None]
    item = session.get_one(Item, item_id)
    item.answers = len(chosen)
    label = session.get(Label, item_id)
    ranked = Counter(chosen).most_common(2)
    if not ranked or (len(ranked) == 2 and ranked[0][1] == ranked[1][1]):
        if label is not None:
            session.delete(label)
        return
    class_id, votes = ranked[0]
    source = Source.SINGLE if len(chosen) == 1 else Source.CONSENSUS
    if label is None:
        label = Label(
            item_id=item_id, project_id=item.project_id, class_id=class_id, confidence=1, source=source, answers=1
        )
        session.add(label)
    label.class_id, label.source, label.answers = class_id, source, len(chosen)
    label.confidence = votes / len(chosen)


def live_class(session: Session, class_id: int) -> int:
    """The class that this one stands for today, through any merges."""
    found = session.get_one(LabelClass, class_id)
    while found.merged_into is not None:
        found = session.get_one(LabelClass, found.merged_into)
    assert found.id is not None
    return found.id
