"""The label of an item, derived from its standing annotations."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import ColumnElement
from sqlalchemy.orm import aliased
from sqlmodel import Session, col, exists, select

from labeling.db.schema import Annotation, Item, Label, LabelClass, Source, Verdict

_later = aliased(Annotation)


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


def agreed(chosen: Sequence[int]) -> Agreed | None:
    """The class that most people chose, of one class id each; None where nobody did, or two classes are level."""
    ranked = Counter(chosen).most_common(2)
    if not ranked or (len(ranked) == 2 and ranked[0][1] == ranked[1][1]):
        return None
    class_id, votes = ranked[0]
    return Agreed(class_id, votes / len(chosen), Source.SINGLE if len(chosen) == 1 else Source.CONSENSUS)


def settle(session: Session, item_id: int) -> None:
    """Derive an item's label and its number of answers anew, in the caller's transaction."""
    query = select(Annotation.class_id).where(
        Annotation.item_id == item_id, Annotation.verdict == Verdict.LABEL, standing()
    )
    chosen = [live_class(session, class_id) for class_id in session.exec(query).all() if class_id is not None]
    item, label = session.get_one(Item, item_id), session.get(Label, item_id)
    item.answers = len(chosen)
    now = agreed(chosen)
    if now is None:
        if label is not None:
            session.delete(label)
    elif label is None:
        made = Label(item_id=item_id, project_id=item.project_id, answers=len(chosen), **now._asdict())
        session.add(made)
    else:
        label.class_id, label.confidence, label.source = now
        label.answers = len(chosen)


def live_class(session: Session, class_id: int) -> int:
    """The class that this one stands for today, through any merges."""
    found = session.get_one(LabelClass, class_id)
    while found.merged_into is not None:
        found = session.get_one(LabelClass, found.merged_into)
    assert found.id is not None
    return found.id
