"""Where an answer is saved. What is reported as saved is committed; repeating an event changes nothing.

Annotations are only ever added: a correction supersedes the answer it corrects, an undo withdraws it.
"""

import time
import uuid
from collections.abc import Collection, Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, Field
from sqlmodel import Session, col, select, update

from labeling import jobs
from labeling.annotation.claims import Claim, with_keywords
from labeling.annotation.consensus import chose_split, decision_on, live_class, settle, standing
from labeling.annotation.queue import has_room, held_claim, reclaim
from labeling.db.engine import writing
from labeling.db.schema import (
    Annotation,
    Assignment,
    Comment,
    Event,
    Item,
    JobKind,
    LabelClass,
    Lease,
    Membership,
    Origin,
    Project,
    Reason,
    Role,
    User,
    Verdict,
)
from labeling.db.values import Id
from labeling.errors import NotFound
from labeling.projects import settings_of
from labeling.users import require
from labeling.workspace import Workspace

TAKEN = "This event id belongs to another answer, perhaps somebody else's; send a new one."

EventId = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.:-]{1,64}$")]  # made by the client; a UUID is best


class Answer(BaseModel):
    """One answer as it comes from a person: to a leased item, or to correct an earlier answer."""

    event_id: EventId
    assignment_id: Id | None = None
    token: str = ""
    supersedes: EventId | None = None
    verdict: Literal["label", "skip", "unsure"]
    class_id: Id | None = None
    seconds: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    note: str = Field(default="", max_length=10_000)
    flagged: bool = False
    batch: EventId | None = None  # of answers given together, so that they can be undone together


class Outcome(BaseModel):
    """What became of one answer."""

    event_id: str
    status: Literal["saved", "repeated", "refused"]
    why: str = ""
    project_id: int | None = None


class Undone(BaseModel):
    """What became of an undo; the claim puts the item before the person again."""

    status: Literal["undone", "repeated", "refused"]
    why: str = ""
    project_id: int
    claim: Claim | None = None


class BatchUndone(BaseModel):
    """What became of the undo of a batch; the claims put its items before the person again, in their order."""

    status: Literal["undone", "repeated", "refused"]
    why: str = ""
    project_id: int
    claims: list[Claim] = []


class _Refused(Exception):
    """An answer that cannot stand, and why; the others of its batch are saved all the same."""


def submit(
    workspace: Workspace, actor_id: int, answers: Sequence[Answer], *, now: float | None = None
) -> list[Outcome]:
    """Save answers, each exactly once, in one transaction; returns one outcome each, in order.

    An answer whose lease has lapsed is taken as long as nobody else's answer or lease has filled the item.
    """
    outcomes = []
    with writing(workspace.engine) as session:
        now = time.time() if now is None else now
        _held = _at_hand(session, actor_id, answers)
        for answer in answers:
            try:
                outcomes.append(_save(session, actor_id, answer, now))
            except (_Refused, NotFound) as refusal:
                outcomes.append(Outcome(event_id=answer.event_id, status="refused", why=str(refusal)))
        _learn_from(session, {o.project_id for o in outcomes if o.status == "saved" and o.project_id is not None})
    return outcomes


def _at_hand(session: Session, actor_id: int, answers: Sequence[Answer]) -> list[object]:
    """What the answers are checked against, read at once: a session forgets, and reads anew, what nobody holds."""
    assignments = session.exec(
        select(Assignment).where(col(Assignment.id).in_({a.assignment_id for a in answers}))
    ).all()
    projects = {a.project_id for a in assignments}
    return [
        *assignments,
        *session.exec(select(Item).where(col(Item.id).in_({a.item_id for a in assignments}))).all(),
        *session.exec(select(Project).where(col(Project.id).in_(projects))).all(),
        *session.exec(
            select(Membership).where(Membership.user_id == actor_id, col(Membership.project_id).in_(projects))
        ).all(),
        *session.exec(select(LabelClass).where(col(LabelClass.id).in_({a.class_id for a in answers}))).all(),
        session.get(User, actor_id),
    ]


def _learn_from(session: Session, project_ids: Collection[int]) -> None:
    for project_id in project_ids:
        jobs.request(session, project_id, JobKind.TRAIN)


def undo(
    workspace: Workspace,
    actor_id: int,
    event_id: str,
    *,
    undo_id: str | None = None,
    client: str | None = None,
    now: float | None = None,
) -> Undone:
    """Withdraw one's own answer and lease its item again.

    Where it is a decision, everything is as it was before it: an earlier decision that it changed stands again, with
    whether people are checked by it, and what it spared people to look at again is asked of them again.

    Raises
    ------
    NotFound
        If the acting user has no such answer.
    NotAllowed
        If it is a decision, and the acting user is no expert any more.
    """
    undo_id = undo_id or _undo_of(event_id)
    with writing(workspace.engine) as session:
        now = time.time() if now is None else now
        given = _own(session, actor_id, event_id)
        try:
            new = _withdraw(session, given, undo_id, now)
        except _Refused as refusal:
            return Undone(project_id=given.project_id, status="refused", why=str(refusal))
        if not new:
            claim = held_claim(session, actor_id, given.item_id, now)
            return Undone(project_id=given.project_id, status="repeated", claim=claim)
        _learn_from(session, [given.project_id])
        if given.assignment_id is None:  # a decision, or it came with an import: nobody had leased the item
            decided = decision_on(session, given.item_id) is not None
            why = "The decision before it stands again." if decided else "Its item is open again."
            return Undone(project_id=given.project_id, status="undone", why=why)
        claim = reclaim(session, session.get_one(Assignment, given.assignment_id), client, now)
        why = "" if claim else "Somebody else has this item now."
        if claim:
            with_keywords(workspace, [claim])
        return Undone(project_id=given.project_id, status="undone", claim=claim, why=why)


def undo_batch(
    workspace: Workspace, actor_id: int, batch: str, *, client: str | None = None, now: float | None = None
) -> BatchUndone:
    """Withdraw all of one's own answers that were given as one batch, and lease their items again.

    All or nothing: where one of them was corrected since, none is withdrawn. One that was withdrawn by itself before
    is no hindrance.

    Raises
    ------
    NotFound
        If the acting user has no answers of this batch.
    """
    with writing(workspace.engine) as session:
        now = time.time() if now is None else now
        given = _own_batch(session, actor_id, batch)
        withdrawn = []
        try:
            with session.begin_nested():
                for each in given:
                    last = _last(session, each)
                    if last is each:
                        _withdraw(session, each, _undo_of(each.id), now)
                        withdrawn.append(each)
                    elif last.verdict is not Verdict.UNDO and last.batch != batch:
                        raise _Refused("An answer of this screen was corrected since; undo its correction instead.")
        except _Refused as refusal:
            return BatchUndone(project_id=given[0].project_id, status="refused", why=str(refusal))
        _learn_from(session, {each.project_id for each in withdrawn})
        claims = []
        for each in given:
            claim = held_claim(session, actor_id, each.item_id, now)
            if claim is None and each in withdrawn:
                claim = reclaim(session, session.get_one(Assignment, each.assignment_id), client, now)
            if claim is not None and claim not in claims:
                claims.append(claim)
        missing = len(withdrawn) - len(claims) if withdrawn else 0
        why = f"{missing} of its items went to somebody else meanwhile." if missing > 0 else ""
        status: Literal["undone", "repeated"] = "undone" if withdrawn else "repeated"
        undone = BatchUndone(project_id=given[0].project_id, status=status, why=why, claims=claims)
    with_keywords(workspace, claims)
    return undone


def _undo_of(event_id: str) -> str:
    """The id of the undo of an answer, where its sender names none."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"undo {event_id}"))


def _withdraw(session: Session, given: Annotation, undo_id: str, now: float) -> bool:
    """Supersede an answer by an undo; False where this very undo was saved before."""
    later = _superseding(session, given.id)
    if later is not None and later.id == undo_id:
        return False
    if later is not None:
        raise _Refused("This answer was already changed; undo the newer one instead.")
    if session.exec(select(Annotation.id).where(col(Annotation.id).in_([undo_id, _again(undo_id)]))).first():
        raise _Refused(TAKEN)
    undo = Annotation(
        id=undo_id,
        project_id=given.project_id,
        item_id=given.item_id,
        user_id=given.user_id,
        verdict=Verdict.UNDO,
        supersedes=given.id,
        assignment_id=given.assignment_id,
        created=now,
    )
    session.add(undo)
    if given.origin is Origin.REVIEW:
        session.flush()
        _give_back(session, given, undo)
    _after(session, given)
    return True


def _again(undo_id: str) -> str:
    """The id of the decision that is given again with an undo."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"again {undo_id}"))


def _give_back(session: Session, undone: Annotation, undo: Annotation) -> None:
    """Let what a decision changed be as it was before it.

    The decision before it is given again, by a row that supersedes the undo: as of when it was made, since nobody
    decided anything now.
    """
    first = _first_given(session, undone)
    spared = (col(Comment.item_id) == undone.item_id) & col(Comment.returned_to).is_not(None)
    session.exec(update(Comment).where(spared, col(Comment.done) == first.created).values(done=None))
    if first.supersedes is None:
        return
    before = _there(session, first.supersedes)
    again = {"project_id", "item_id", "user_id", "verdict", "class_id", "note", "origin", "created"}
    session.add(Annotation(id=_again(undo.id), supersedes=undo.id, **before.model_dump(include=again)))
    changed = select(Event.detail).where(
        Event.project_id == undone.project_id, Event.user_id == undone.user_id, Event.kind == "gold items"
    )
    item = session.get_one(Item, undone.item_id)
    for detail in session.exec(changed).all():
        if detail.get("decision") == first.id and item.gold == detail["gold"]:
            item.gold = not item.gold
            given_back = {"items": [item.id], "gold": item.gold}
            session.add(Event(project_id=item.project_id, user_id=undone.user_id, kind="gold items", detail=given_back))


def _first_given(session: Session, decision: Annotation) -> Annotation:
    """The decision itself, or the one that it gives again."""
    undo = None if decision.supersedes is None else _there(session, decision.supersedes)
    if undo is None or undo.verdict is not Verdict.UNDO:
        return decision
    assert undo.supersedes is not None
    undone = _first_given(session, _there(session, undo.supersedes))
    assert undone.supersedes is not None
    return _first_given(session, _there(session, undone.supersedes))


def _there(session: Session, event_id: str) -> Annotation:
    return session.exec(select(Annotation).where(Annotation.id == event_id)).one()


def _save(session: Session, actor_id: int, answer: Answer, now: float) -> Outcome:
    earlier = session.exec(select(Annotation).where(Annotation.id == answer.event_id)).first()
    if earlier is not None:
        if earlier.user_id != actor_id or earlier.verdict is Verdict.UNDO:
            raise _Refused(TAKEN)
        return Outcome(event_id=answer.event_id, status="repeated", project_id=earlier.project_id)
    supersedes: str | None
    if answer.supersedes:
        assignment, supersedes = _corrected(session, actor_id, answer, now), answer.supersedes
    else:
        assignment, supersedes = _leased(session, actor_id, answer, now)
    class_id = _class(session, assignment.project_id, answer)
    assignment.state = Lease.ANSWERED
    saved = Annotation(
        id=answer.event_id,
        project_id=assignment.project_id,
        item_id=assignment.item_id,
        user_id=actor_id,
        verdict=Verdict(answer.verdict),
        class_id=class_id,
        note=answer.note,
        flagged=answer.flagged,
        assignment_id=assignment.id,
        model_version_id=assignment.model_version_id,
        suggestion_class_id=assignment.suggestion_class_id,
        suggestion_shown=assignment.suggestion_shown,
        seconds=answer.seconds,
        supersedes=supersedes,
        origin=Origin.GRID if answer.batch else Origin.ASKED,
        batch=answer.batch,
        created=now,
    )
    session.add(saved)
    # Leases of the same item in the person's other tabs are answered with this one.
    own = (col(Assignment.item_id) == assignment.item_id) & (col(Assignment.user_id) == actor_id)
    session.exec(update(Assignment).where(own, col(Assignment.state) == Lease.LEASED).values(state=Lease.ANSWERED))
    if assignment.reason is Reason.REVIEW:
        sent_back = (col(Comment.item_id) == assignment.item_id) & (col(Comment.returned_to) == actor_id)
        session.exec(update(Comment).where(sent_back, col(Comment.done).is_(None)).values(done=now))
    _after(session, saved)
    return Outcome(event_id=answer.event_id, status="saved", project_id=saved.project_id)


def _leased(session: Session, actor_id: int, answer: Answer, now: float) -> tuple[Assignment, str | None]:
    """The assignment that an answer fulfils, if it still may; and the person's earlier answer that it takes the place
    of: to an item that was sent back, or whose class was split.
    """
    assignment = session.get(Assignment, answer.assignment_id) if answer.assignment_id is not None else None
    if assignment is None or assignment.user_id != actor_id or assignment.token != answer.token:
        raise _Refused("This item is not leased to you; claim it again.")
    project = require(session, actor_id, assignment.project_id)
    given = select(Annotation.id, chose_split()).where(
        Annotation.item_id == assignment.item_id,
        Annotation.user_id == actor_id,
        Annotation.origin != Origin.REVIEW,
        standing(),
    )
    mine = session.exec(given).first()
    if mine is not None and not (mine[1] or assignment.reason is Reason.REVIEW):
        raise _Refused("You have already answered this item; correct that answer instead.")
    if assignment.state is Lease.ANSWERED:
        raise _Refused("This lease was used for an answer that you have since undone; claim the item again.")
    held = assignment.state is Lease.LEASED and assignment.expires > now
    if not held and not has_room(session, assignment, settings_of(project), now):
        raise _Refused("Your time on this item ran out and somebody else has it now; nothing more is needed from you.")
    return assignment, mine[0] if mine else None


def _corrected(session: Session, actor_id: int, answer: Answer, now: float) -> Assignment:
    """The assignment of the answer that this one corrects."""
    assert answer.supersedes is not None
    given = _own(session, actor_id, answer.supersedes)
    if _superseding(session, answer.supersedes) is not None:
        raise _Refused("That answer was already changed or withdrawn; correct the newest one.")
    if given.origin is Origin.REVIEW:
        raise _Refused("That was a decision; decide on the item again, in Review.")
    if given.assignment_id is None:
        raise _Refused("That answer came with an import; undo it, and the item can be claimed.")
    assignment = session.get_one(Assignment, given.assignment_id)
    becomes_label = answer.verdict == "label" and given.verdict is not Verdict.LABEL
    settings = settings_of(session.get_one(Project, given.project_id))
    if becomes_label and not has_room(session, assignment, settings, now):
        raise _Refused("Somebody else has this item now; nothing more is needed from you.")
    return assignment


def _class(session: Session, project_id: int, answer: Answer) -> int | None:
    if answer.verdict != "label":
        return None
    chosen = session.get(LabelClass, answer.class_id) if answer.class_id is not None else None
    if chosen is None or chosen.project_id != project_id:
        raise _Refused("That class is not one of this project's; choose another.")
    assert chosen.id is not None
    living = session.get_one(LabelClass, live_class(session, chosen.id))
    if living.retired:
        raise _Refused(f"The class “{chosen.name}” was {'split' if living.split else 'retired'}; choose another.")
    return chosen.id


def _after(session: Session, annotation: Annotation) -> None:
    session.flush()
    settle(session, annotation.item_id)


def _own(session: Session, actor_id: int, event_id: str) -> Annotation:
    given = session.exec(select(Annotation).where(Annotation.id == event_id)).first()
    if given is None or given.user_id != actor_id or given.verdict is Verdict.UNDO:
        raise NotFound("There is no answer of yours with this id.")
    require(session, actor_id, given.project_id, Role.EXPERT if given.origin is Origin.REVIEW else Role.ANNOTATOR)
    return given


def _own_batch(session: Session, actor_id: int, batch: str) -> list[Annotation]:
    query = select(Annotation).where(
        Annotation.batch == batch, Annotation.user_id == actor_id, Annotation.origin == Origin.GRID
    )
    given = list(session.exec(query.order_by(col(Annotation.seq))).all())
    if not given:
        raise NotFound("There are no answers of yours with this batch id.")
    for project_id in {each.project_id for each in given}:
        require(session, actor_id, project_id)
    return given


def _last(session: Session, given: Annotation) -> Annotation:
    """The answer itself, or what became of it: its newest correction, or the undo."""
    while (later := _superseding(session, given.id)) is not None:
        given = later
    return given


def _superseding(session: Session, event_id: str) -> Annotation | None:
    return session.exec(select(Annotation).where(Annotation.supersedes == event_id)).first()
