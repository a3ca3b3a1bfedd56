"""What waits for an expert, with all that speaks for and against it; `review_order` says in which order."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from pydantic import BaseModel
from sqlmodel import Session, col, select

from labeling.annotation.consensus import chose_split, standing
from labeling.annotation.review_order import Cause, Entry, against_model, decided_items, order
from labeling.annotation.threads import Said, active_members, names_in_review, thread
from labeling.classes import classes_of, stands_for
from labeling.db.engine import reading
from labeling.db.schema import (
    Annotation,
    Assignment,
    Comment,
    Doubt,
    Item,
    Label,
    Membership,
    Method,
    Origin,
    Project,
    Reliability,
    Role,
    Source,
    Verdict,
)
from labeling.errors import Invalid, NotFound
from labeling.projects import settings_of
from labeling.users import require
from labeling.workspace import Workspace

MOST = 100  # items at a time


class Opinion(BaseModel):
    """One person's answer to an item, and how far it can be relied on."""

    event_id: str
    user_id: int | None  # None where the review is blind
    person: str
    verdict: Verdict
    class_id: int | None
    note: str
    flagged: bool
    counts: bool  # False where the person's answers were set aside, or the class was split since
    reliability: float | None  # how often this person's answers are the label
    suggestion_class_id: int | None  # what the person was shown
    seconds: float | None
    created: float
    origin: Origin


class Present(BaseModel):
    """The label that an item has now."""

    class_id: int
    confidence: float
    source: Source
    method: Method


class Decision(BaseModel):
    """What an expert decided; no class where it cannot be told."""

    event_id: str
    person: str
    mine: bool
    class_id: int | None
    note: str
    created: float


class Belief(BaseModel):
    """How likely the model finds a class."""

    class_id: int
    probability: float


class Neighbour(BaseModel):
    """A labeled item that is like another one."""

    item_id: int
    external_id: str
    media_url: str | None
    text: str | None
    fields: dict[str, Any] | None
    class_id: int
    similarity: float


class ReviewItem(BaseModel):
    """An item before an expert. What the model has to say of it comes from `labeling.learning.model_view`."""

    item_id: int
    row: int  # of the feature matrix
    external_id: str
    media_url: str | None
    text: str | None
    fields: dict[str, Any] | None
    score: float
    causes: list[Cause]
    why: str
    label: Present | None
    better: int | None  # the class that it rather is, where its label is doubted
    opinions: list[Opinion]
    decision: Decision | None
    gold: bool
    thread: list[Said]
    model: list[Belief] = []
    neighbours: dict[int, list[Neighbour]] = {}  # of each class that contends


class ReviewQueue(BaseModel):
    """Items that wait for an expert, the first of them in full."""

    items: list[ReviewItem]
    total: int  # of the cause that was asked for
    causes: dict[Cause, int]  # how many wait for each; an item may for several
    waiting: int
    sent_back: int  # how many wait for those who answered them
    decided: int
    against: int  # on how many people and the model disagree


def read_review(
    workspace: Workspace,
    actor_id: int,
    project_id: int,
    *,
    cause: Cause | None = None,
    sent_back: bool = False,
    decided: bool = False,
    against: bool = False,
    offset: int = 0,
    limit: int = 20,
) -> ReviewQueue:
    """The items that wait for an expert.

    Parameters
    ----------
    cause
        Only those that wait for this; all of them where None.
    sent_back
        Those that experts sent back, and that nobody has answered anew, instead: they wait for somebody else.
    decided
        Those that experts have decided on instead, the newest first.
    against
        Those instead on which people and the model disagree, whether they wait or not.

    Raises
    ------
    NotFound, NotAllowed
        If the acting user is no expert of the project.
    Invalid
        If `offset` or `limit` is out of bounds.
    """
    if offset < 0 or not 1 <= limit <= MOST:
        raise Invalid(f"Ask for 1 to {MOST} items at a time, from the first or a later one on.")
    with reading(workspace.engine) as session:
        project = require(session, actor_id, project_id, Role.EXPERT)
        away = set(_sent_back(session, project_id))
        ordered = order(session, project)
        waiting = [entry for entry in ordered if entry.item_id not in away]
        settled = decided_items(session, project_id)
        counts = {one: sum(one in entry.causes for entry in waiting) for one in Cause}
        elsewhere = away | {entry.item_id for entry in settled}
        objections = [entry for entry in against_model(session, project_id) if entry.item_id not in elsewhere]
        known = {entry.item_id: entry for entry in ordered}
        if decided:
            chosen = settled
        elif against:
            chosen = [known.get(entry.item_id, entry) for entry in objections]
        elif sent_back:
            chosen = [known.get(item_id, Entry(item_id, 0.0, (), "")) for item_id in sorted(away)]
        else:
            chosen = [entry for entry in waiting if cause is None or cause in entry.causes]
        items = _items(session, actor_id, project, chosen[offset : offset + limit])
    return ReviewQueue(
        items=items,
        total=len(chosen),
        causes=counts,
        waiting=len(waiting),
        sent_back=len(away),
        decided=len(settled),
        against=len(objections),
    )


def read_item(workspace: Workspace, actor_id: int, project_id: int, item_id: int) -> ReviewItem:
    """One item as an expert sees it, whether it waits for one or not.

    Raises
    ------
    NotFound, NotAllowed
        If there is no such item in the project, or the acting user is no expert of it.
    """
    with reading(workspace.engine) as session:
        project = require(session, actor_id, project_id, Role.EXPERT)
        item = session.get(Item, item_id)
        if item is None or item.project_id != project_id:
            raise NotFound(f"There is no item {item_id} in this project.")
        found = [entry for entry in order(session, project) if entry.item_id == item_id]
        return _items(session, actor_id, project, found or [Entry(item_id, 0.0, (), "")])[0]


def _by_id(session: Session, table: Any, ids: Sequence[int]) -> dict[int, Any]:
    """The rows of a page's items, by their key."""
    (key,) = sa.inspect(table).primary_key
    return {getattr(row, key.name): row for row in session.exec(select(table).where(key.in_(ids))).all()}


def _sent_back(session: Session, project_id: int) -> Sequence[int]:
    """The items that somebody is to answer anew."""
    open_ones = select(Comment.item_id).where(Comment.project_id == project_id, col(Comment.done).is_(None))
    return session.exec(open_ones.where(col(Comment.returned_to).in_(active_members(project_id))).distinct()).all()


def _items(session: Session, actor_id: int, project: Project, page: Sequence[Entry]) -> list[ReviewItem]:
    """The items of a page, without what the model says."""
    assert project.id is not None
    ids = [entry.item_id for entry in page]
    items, labels, doubts = (_by_id(session, table, ids) for table in (Item, Label, Doubt))
    names, blind = names_in_review(session, actor_id, project.id), settings_of(project).blind
    opinions: dict[int, list[Opinion]] = {item_id: [] for item_id in ids}
    decisions: dict[int, Decision] = {}
    living = stands_for(classes_of(session, project.id))
    of_page = select(Annotation, Assignment.suggestion_shown, chose_split()).outerjoin(
        Assignment, col(Assignment.id) == Annotation.assignment_id
    )
    aside, reliable = _people(session, project.id)
    for given, shown, split in session.exec(
        of_page.where(col(Annotation.item_id).in_(ids), standing()).order_by(col(Annotation.seq))
    ).all():
        class_id = None if given.class_id is None else living.get(given.class_id, given.class_id)
        person = names.get(given.user_id, "")
        if given.origin is Origin.REVIEW:
            if split:  # it stands for nothing any more
                continue
            decisions[given.item_id] = Decision(
                event_id=given.id, person=person, mine=given.user_id == actor_id, class_id=class_id, note=given.note,
                created=given.created,
            )  # fmt: skip
            continue
        opinions[given.item_id].append(
            Opinion(
                event_id=given.id, user_id=None if blind else given.user_id, person=person, verdict=given.verdict,
                class_id=class_id, note=given.note, flagged=given.flagged,
                counts=given.user_id not in aside and not split, reliability=reliable.get(given.user_id),
                suggestion_class_id=given.suggestion_class_id if shown else None, seconds=given.seconds,
                created=given.created, origin=given.origin,
            )
        )  # fmt: skip
    threads = thread(session, actor_id, project.id, ids)
    return [
        ReviewItem(
            item_id=entry.item_id, row=item.row, external_id=item.external_id,
            media_url=f"/api/v1/items/{item.id}/media" if item.media else None, text=item.text, fields=item.fields,
            score=entry.score, causes=list(entry.causes), why=entry.why, label=_present(labels.get(entry.item_id)),
            better=doubts[entry.item_id].class_id if entry.item_id in doubts else None,
            opinions=opinions[entry.item_id], decision=decisions.get(entry.item_id), gold=item.gold,
            thread=threads[entry.item_id],
        )
        for entry in page
        if (item := items.get(entry.item_id)) is not None
    ]  # fmt: skip


def _present(label: Label | None) -> Present | None:
    if label is None:
        return None
    return Present(class_id=label.class_id, confidence=label.confidence, source=label.source, method=label.method)


def _people(session: Session, project_id: int) -> tuple[set[int], dict[int, float | None]]:
    """Whose answers were set aside, and how reliable people are as far as that is known."""
    aside = select(Membership.user_id).where(
        Membership.project_id == project_id, col(Membership.set_aside).is_not(None)
    )
    known = select(Reliability.user_id, Reliability.accuracy).where(Reliability.project_id == project_id)
    reliable: dict[int, float | None] = dict(session.exec(known).all())
    return set(session.exec(aside).all()), reliable
