"""What waits for an expert, in the order of what a decision would change, and all that speaks for and against it."""

from collections import defaultdict
from collections.abc import Sequence
from enum import StrEnum
from typing import Any, NamedTuple

import sqlalchemy as sa
from pydantic import BaseModel
from sqlmodel import Session, col, func, or_, select

from labeling.annotation.consensus import is_decision, is_opinion, live_class, places, standing
from labeling.annotation.threads import Said, names_in_review, thread
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
from labeling.projects import Settings, settings_of
from labeling.users import require
from labeling.workspace import Workspace

MOST = 100  # items at a time
LIKELY_WRONG = 0.5  # from this probability on that a label is wrong, an expert is to look at it
LOOKED_UP = 1000  # items that one query names


class Cause(StrEnum):
    """Why an item waits for an expert."""

    DISAGREEMENT = "disagreement"
    UNSURE = "unsure"
    FLAGGED = "flagged"
    LIKELY_ERROR = "likely_error"


class Entry(NamedTuple):
    """One place of the review queue."""

    item_id: int
    score: float  # the probability that a decision changes the item's label, as far as it is known
    causes: tuple[Cause, ...]
    why: str


class Opinion(BaseModel):
    """One person's answer to an item, and how far it can be relied on."""

    event_id: str
    user_id: int | None  # None where the review is blind
    person: str
    verdict: Verdict
    class_id: int | None
    note: str
    flagged: bool
    counts: bool  # False where the person's answers were set aside
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


def read_review(
    workspace: Workspace,
    actor_id: int,
    project_id: int,
    *,
    cause: Cause | None = None,
    sent_back: bool = False,
    decided: bool = False,
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
        settled = _decided(session, project_id)
        counts = {one: sum(one in entry.causes for entry in waiting) for one in Cause}
        if decided:
            chosen = settled
        elif sent_back:
            doubted = {entry.item_id: entry for entry in ordered}
            chosen = [doubted.get(item_id, Entry(item_id, 0.0, (), "")) for item_id in sorted(away)]
        else:
            chosen = [entry for entry in waiting if cause is None or cause in entry.causes]
        items = _items(session, actor_id, project, chosen[offset : offset + limit])
    return ReviewQueue(
        items=items, total=len(chosen), causes=counts, waiting=len(waiting), sent_back=len(away), decided=len(settled)
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


def order(session: Session, project: Project) -> list[Entry]:
    """Everything that waits for an expert, in the caller's transaction: what a decision changes most likely first."""
    assert project.id is not None
    settings = settings_of(project)
    causes: dict[int, list[Cause]] = defaultdict(list)
    scores: dict[int, float] = {}
    whys: dict[int, str] = {}

    for item_id, share, why in _disagreements(session, project.id, settings):
        causes[item_id].append(Cause.DISAGREEMENT)
        scores[item_id], whys[item_id] = 1 - share, why
    for cause, condition, why in (
        (Cause.UNSURE, col(Annotation.verdict) == Verdict.UNSURE, "somebody was unsure"),
        (Cause.FLAGGED, col(Annotation.flagged).is_(True), "flagged for a second look"),
    ):
        said = select(Annotation.item_id).where(Annotation.project_id == project.id, condition, standing()).distinct()
        for item_id in session.exec(said.where(Annotation.origin != Origin.REVIEW)).all():
            causes[item_id].append(cause)
            scores[item_id] = max(scores.get(item_id, 0.0), LIKELY_WRONG)
            whys.setdefault(item_id, why)
    for doubt in session.exec(select(Doubt).where(Doubt.project_id == project.id)).all():
        if doubt.score > LIKELY_WRONG:
            causes[doubt.item_id].append(Cause.LIKELY_ERROR)
            whys.setdefault(doubt.item_id, doubt.why)
        if doubt.item_id in causes:
            scores[doubt.item_id] = doubt.score
    settled = {entry.item_id for entry in _decided(session, project.id)}
    entries = [
        Entry(item_id, scores[item_id], tuple(why), whys[item_id])
        for item_id, why in causes.items()
        if item_id not in settled
    ]
    return sorted(entries, key=lambda entry: (-entry.score, entry.item_id))


def _disagreements(session: Session, project_id: int, settings: Settings) -> list[tuple[int, float, str]]:
    """Items whose answers differ and leave their label less sure than the project wants, when nobody is left to ask:
    the item, the share of the most frequent answer, and the votes in words.
    """
    classes = classes_of(session, project_id)
    living, names = stands_for(classes), {c.id: c.name for c in classes}
    several = select(Item.id).where(Item.project_id == project_id, Item.answers >= 2)
    given = (
        select(Annotation.item_id, Annotation.class_id, func.count())
        .where(Annotation.project_id == project_id, col(Annotation.item_id).in_(several), is_opinion())
        .group_by(col(Annotation.item_id), col(Annotation.class_id))
    )
    votes: dict[int, dict[int, int]] = defaultdict(lambda: defaultdict(int))
    for item_id, class_id, count in session.exec(given).all():
        if class_id is not None:
            votes[item_id][living.get(class_id, class_id)] += count
    split = {item_id: counted for item_id, counted in votes.items() if len(counted) > 1}
    items, labels = _by_id(session, Item, split), _by_id(session, Label, split)
    people = _active_people(session, project_id)
    found = []
    for item_id, counted in split.items():
        first, second, *_ = sorted(counted.values(), reverse=True)
        label, answers = labels.get(item_id), sum(counted.values())
        sure = label is not None and first > second and label.confidence >= settings.certainty
        if sure or answers < min(places(items[item_id], settings), people):
            continue
        told = sorted(counted.items(), key=lambda pair: -pair[1])
        why = ", ".join(f"{count} {'says' if count == 1 else 'say'} “{names[class_id]}”" for class_id, count in told)
        found.append((item_id, first / answers, why))
    return found


def _by_id(session: Session, table: Any, wanted: Any) -> dict[int, Any]:
    """Rows of a table by their key, of so many items."""
    ids, found = list(wanted), {}
    (key,) = sa.inspect(table).primary_key
    for start in range(0, len(ids), LOOKED_UP):
        for row in session.exec(select(table).where(key.in_(ids[start : start + LOOKED_UP]))).all():
            found[getattr(row, key.name)] = row
    return found


def _active_people(session: Session, project_id: int) -> int:
    """How many people can be asked: annotators, and who else has answered, without those who were set aside."""
    answered = select(Annotation.user_id).where(Annotation.project_id == project_id).distinct()
    asked = or_(col(Membership.role) == Role.ANNOTATOR, col(Membership.user_id).in_(answered))
    here = (col(Membership.project_id) == project_id) & col(Membership.removed).is_(None)
    counted = select(func.count()).select_from(Membership)
    return session.exec(counted.where(here, asked, col(Membership.set_aside).is_(None))).one()


def _decided(session: Session, project_id: int) -> list[Entry]:
    """What experts have decided on, the newest first."""
    decisions = select(Annotation.item_id).where(Annotation.project_id == project_id, is_decision())
    newest = session.exec(decisions.order_by(col(Annotation.seq).desc())).all()
    return [Entry(item_id, 0.0, (), "") for item_id in dict.fromkeys(newest)]


def _sent_back(session: Session, project_id: int) -> Sequence[int]:
    """The items that somebody is to answer anew."""
    open_ones = select(Comment.item_id).where(Comment.project_id == project_id, col(Comment.done).is_(None))
    return session.exec(open_ones.where(col(Comment.returned_to).is_not(None)).distinct()).all()


def _items(session: Session, actor_id: int, project: Project, page: Sequence[Entry]) -> list[ReviewItem]:
    """The items of a page, without what the model says."""
    assert project.id is not None
    ids = [entry.item_id for entry in page]
    items, labels, doubts = (_by_id(session, table, ids) for table in (Item, Label, Doubt))
    names, blind = names_in_review(session, actor_id, project.id), settings_of(project).blind
    opinions: dict[int, list[Opinion]] = {item_id: [] for item_id in ids}
    decisions: dict[int, Decision] = {}
    of_page = select(Annotation, Assignment.suggestion_shown).outerjoin(
        Assignment, col(Assignment.id) == Annotation.assignment_id
    )
    aside, reliable = _people(session, project.id)
    for given, shown in session.exec(
        of_page.where(col(Annotation.item_id).in_(ids), standing()).order_by(col(Annotation.seq))
    ).all():
        class_id = None if given.class_id is None else live_class(session, given.class_id)
        person = names.get(given.user_id, "")
        if given.origin is Origin.REVIEW:
            decisions[given.item_id] = Decision(
                event_id=given.id, person=person, mine=given.user_id == actor_id, class_id=class_id, note=given.note,
                created=given.created,
            )  # fmt: skip
            continue
        opinions[given.item_id].append(
            Opinion(
                event_id=given.id, user_id=None if blind else given.user_id, person=person, verdict=given.verdict,
                class_id=class_id, note=given.note, flagged=given.flagged, counts=given.user_id not in aside,
                reliability=reliable.get(given.user_id),
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


def _people(session: Session, project_id: int) -> tuple[set[int], dict[int, float]]:
    """Whose answers were set aside, and how reliable people are as far as that is known."""
    aside = select(Membership.user_id).where(
        Membership.project_id == project_id, col(Membership.set_aside).is_not(None)
    )
    known = select(Reliability.user_id, Reliability.accuracy).where(Reliability.project_id == project_id)
    return set(session.exec(aside).all()), dict(session.exec(known).all())
