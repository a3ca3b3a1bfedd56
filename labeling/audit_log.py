"""The audit log as its readers see it: who did what, when, in plain sentences."""

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from pydantic import BaseModel
from sqlmodel import Session, col, select

from labeling.audit_sentences import NAMED_ITEMS, Known, sentence_of
from labeling.db.engine import reading
from labeling.db.schema import Event, Invitation, Item, Job, LabelClass, Role, User
from labeling.errors import Invalid
from labeling.users import require, require_administrator
from labeling.workspace import Workspace

MOST = 1_000  # events at a time
ITSELF = "Askwise"  # what it did, nobody did


class Told(BaseModel):
    """One event. Its detail stays where it is: the sentence says what people may know of it."""

    id: int
    created: float
    user_id: int | None  # None where nobody did it
    who: str
    kind: str
    sentence: str


class Log(BaseModel):
    """Events, the newest first."""

    events: list[Told]
    earlier: int | None  # the `before` that goes on after these; None where there are no earlier ones


def read_events(
    workspace: Workspace,
    actor_id: int,
    project_id: int | None,
    *,
    before: int | None = None,
    limit: int = 50,
    kinds: Collection[str] | None = None,
) -> Log:
    """What happened in a project, for its owners; or beside all projects, for the workspace's owner.

    Classes and people are named as they are today.

    Parameters
    ----------
    project_id
        None for what belongs to no project: accounts, passwords, signing in.
    before
        The id of an event; only earlier ones are wanted.
    limit
        How many, 1 to `MOST`.
    kinds
        Only events of these kinds.

    Raises
    ------
    Invalid
        If `limit` is out of bounds.
    NotFound, NotAllowed
        If the acting user does not own the project, or the workspace where no project is named.
    """
    with reading(workspace.engine) as session:
        if project_id is None:
            require_administrator(session, actor_id)
        else:
            require(session, actor_id, project_id, Role.OWNER)
        if not 1 <= limit <= MOST:
            raise Invalid(f"A page of the history has 1 to {MOST:,} events; ask for the others with “before”.")
        wanted = select(Event).where(Event.project_id == project_id).order_by(col(Event.id).desc()).limit(limit + 1)
        if before is not None:
            wanted = wanted.where(col(Event.id) < before)
        if kinds is not None:
            wanted = wanted.where(col(Event.kind).in_(kinds))
        found = session.exec(wanted).all()
        events = found[:limit]
        known = _known(session, project_id, events)
        told = [_told(event, known) for event in events]
    return Log(events=told, earlier=told[-1].id if len(found) > limit else None)


def _told(event: Event, known: Known) -> Told:
    assert event.id is not None
    who = ITSELF if event.user_id is None else known.people.get(event.user_id, "")
    return Told(
        id=event.id, created=event.created, user_id=event.user_id, who=who, kind=event.kind,
        sentence=sentence_of(event, known),
    )  # fmt: skip


def _known(session: Session, project_id: int | None, events: Sequence[Event]) -> Known:
    """What the ids in these events stand for, as far as that is of the same project."""
    details = [event.detail for event in events]
    people = {*_ids(details, "user"), *(event.user_id for event in events if event.user_id is not None)}
    items = {one for d in details if isinstance(d.get("items"), list) for one in d["items"][:NAMED_ITEMS]}
    jobs = select(Job.id, Job.payload).where(Job.project_id == project_id, col(Job.id).in_(_ids(details, "job")))
    invitations = select(Invitation.id, Invitation.note).where(
        Invitation.project_id == project_id, col(Invitation.id).in_(_ids(details, "invitation"))
    )
    return Known(
        people=_named(session.exec(select(User.id, User.name).where(col(User.id).in_(people))).all()),
        classes=_named(
            session.exec(select(LabelClass.id, LabelClass.name).where(LabelClass.project_id == project_id)).all()
        ),
        items=_named(
            session.exec(
                select(Item.id, Item.external_id).where(Item.project_id == project_id, col(Item.id).in_(items))
            ).all()
        ),
        files=_named((job_id, str(payload.get("name", ""))) for job_id, payload in session.exec(jobs).all()),
        notes=_named(session.exec(invitations).all()),
    )


def _ids(details: Iterable[dict[str, Any]], name: str) -> set[int]:
    return {detail[name] for detail in details if isinstance(detail.get(name), int)}


def _named(found: Iterable[tuple[int | None, str]]) -> dict[int, str]:
    return {one: name for one, name in found if one is not None}
