"""Labels that came with items: known answers for simulations, or answers that count like those of people."""

import time
import uuid
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import BindParameter, bindparam
from sqlmodel import Session, col, func, insert, select, update

from labeling.annotation.consensus import live_class, settle, standing
from labeling.classes import add_classes
from labeling.db.schema import Annotation, Item, Label, Origin, Project, Source, Verdict
from labeling.errors import Invalid
from labeling.projects import settings_of

MAX_CLASSES = 1000

_EVENTS = uuid.uuid5(uuid.NAMESPACE_OID, "answers that came with an import")
_ITEM: BindParameter[int] = bindparam("item")
_CLASS: BindParameter[int] = bindparam("known")


class Brought(NamedTuple):
    """An item, what it is called, and the class that it is said to have."""

    item_id: int
    name: str
    class_id: int


def class_ids(session: Session, project_id: int, names: Sequence[str]) -> dict[str, int]:
    """The ids of the classes that labels name, made where they are missing, in the caller's transaction.

    Raises
    ------
    Invalid
        If there are more classes than people could choose from: what names them is no column of labels.
    """
    if not names:
        return {}
    ids = add_classes(session, project_id, list(dict.fromkeys(names)))
    if len(ids) > MAX_CLASSES:
        way_out = "choose another column for them, or import without labels"
        raise Invalid(f"The labels name more than {MAX_CLASSES:,} classes; {way_out}.")
    return ids


def remember(session: Session, brought: Sequence[Brought]) -> None:
    """Keep classes as what an oracle would answer, in the caller's transaction."""
    if brought:
        known = update(Item).where(col(Item.id) == _ITEM).values(known_class_id=_CLASS)
        session.connection().execute(known, [{"item": b.item_id, "known": b.class_id} for b in brought])


def answer(session: Session, project_id: int, actor_id: int, brought: Sequence[Brought]) -> int:
    """Bring answers to items that may still be asked and that neither an import nor the acting user has answered, in
    the caller's transaction; returns to how many.

    What people have settled stands: an item that has as many answers as the project wants is left alone.
    """
    if not brought:
        return 0
    named = [b.item_id for b in brought]
    mine = (col(Annotation.user_id) == actor_id) & standing()
    spoken = select(Annotation.item_id).where(
        col(Annotation.item_id).in_(named), (col(Annotation.origin) == Origin.IMPORTED) | mine
    )
    answered = set(session.exec(spoken).all())
    undecided = func.coalesce(Item.wanted, 1) > 0
    asked = select(Item.id, Item.answers).where(col(Item.id).in_(named), undecided)
    answers_of = dict(session.exec(asked).all())
    overlap = settings_of(session.get_one(Project, project_id)).overlap
    wanted = [b for b in brought if b.item_id not in answered and answers_of.get(b.item_id, overlap) < overlap]
    first = [b for b in wanted if answers_of[b.item_id] == 0]
    answer_first(session, project_id, actor_id, first)
    if first:
        counted = update(Item).where(col(Item.id) == _ITEM).values(answers=1)
        session.connection().execute(counted, [{"item": b.item_id} for b in first])
    beside = [b for b in wanted if answers_of[b.item_id]]
    _annotate(session, project_id, actor_id, beside)
    for b in beside:
        settle(session, b.item_id)
    return len(wanted)


def answer_first(session: Session, project_id: int, actor_id: int, brought: Sequence[Brought]) -> None:
    """Bring answers to items that have none, and the labels that `annotation.consensus.settle` would derive from them.

    The items' own count of answers is the caller's to write.
    """
    _annotate(session, project_id, actor_id, brought)
    live = {class_id: live_class(session, class_id) for class_id in {b.class_id for b in brought}}
    derived = {"project_id": project_id, "confidence": 1.0, "source": Source.IMPORTED, "answers": 1}
    labels = [{"item_id": b.item_id, "class_id": live[b.class_id], **derived} for b in brought]
    if labels:
        session.connection().execute(insert(Label), labels)


def _annotate(session: Session, project_id: int, actor_id: int, brought: Sequence[Brought]) -> None:
    common: Mapping[str, object] = {
        "project_id": project_id, "user_id": actor_id, "verdict": Verdict.LABEL, "created": time.time(), "note": "",
        "flagged": False, "suggestion_shown": False, "origin": Origin.IMPORTED,
    }  # fmt: skip
    answers = [
        # The same id for the same answer, however often it is imported.
        {"id": str(uuid.uuid5(_EVENTS, f"{project_id} {b.class_id} {b.name}")), "item_id": b.item_id,
         "class_id": b.class_id, **common}
        for b in brought
    ]  # fmt: skip
    if answers:
        session.connection().execute(insert(Annotation), answers)
