"""The thread of an item: remarks of experts and of those who answered it, and items that are sent back with one."""

import time
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, Field
from sqlmodel import Session, col, func, select, update

from labeling.annotation.answers import EventId
from labeling.annotation.consensus import standing
from labeling.db.engine import reading, writing
from labeling.db.schema import Annotation, Comment, Item, Membership, Origin, Project, Role, User
from labeling.db.values import Id, clean_text
from labeling.errors import Invalid, NotFound
from labeling.projects import settings_of
from labeling.users import require
from labeling.workspace import Workspace

MAX_REMARK = 2_000  # characters


class Remark(BaseModel):
    """A remark to write into the thread of an item; `return_to` are the answers that are to be given again."""

    event_id: EventId
    item_id: Id
    text: str
    return_to: list[EventId] = Field(default=[], max_length=100)  # not people: in a blind review nobody knows them


class Said(BaseModel):
    """One contribution to a thread."""

    id: int
    event_id: str
    item_id: int
    person: str
    mine: bool
    text: str
    returned_to: str | None
    done: bool
    created: float


def remark(
    workspace: Workspace, actor_id: int, project_id: int, remarks: Sequence[Remark], *, now: float | None = None
) -> list[Said]:
    """Write into the threads of items, each remark exactly once; experts may send items back with it.

    An item that is sent back is the next that its people are asked; their new answers take the place of the old ones.

    Raises
    ------
    Invalid
        If a remark is empty or too long, or names an answer that does not stand or is none to this item, or is of
        somebody who cannot be asked any more.
    NotFound, NotAllowed
        If an item is none of the project's, or an annotator's who has not answered it; or if an annotator sends one
        back.
    """
    said = []
    with writing(workspace.engine) as session:
        now = time.time() if now is None else now
        require(session, actor_id, project_id)
        for one in remarks:
            if one.return_to:
                require(session, actor_id, project_id, Role.EXPERT)
            text = clean_text(one.text)
            if not text or len(text) > MAX_REMARK:
                raise Invalid(f"A remark is a text of 1 to {MAX_REMARK:,} characters.")
            may_discuss(session, actor_id, project_id, one.item_id)
            said += _remark(session, actor_id, project_id, one, text, now)
        session.flush()
        names = names_in_review(session, actor_id, project_id)
        return [as_said(comment, actor_id, names) for comment in said]


def read_thread(workspace: Workspace, actor_id: int, project_id: int, item_id: int) -> list[Said]:
    """The thread of an item, the oldest remark first.

    Raises
    ------
    NotFound
        If the item is none of the project's, or an annotator's who has not answered it.
    """
    with reading(workspace.engine) as session:
        require(session, actor_id, project_id)
        may_discuss(session, actor_id, project_id, item_id)
        return thread(session, actor_id, project_id, [item_id])[item_id]


def thread(session: Session, actor_id: int, project_id: int, item_ids: Sequence[int]) -> dict[int, list[Said]]:
    """The threads of items, in the caller's transaction; the caller has checked who asks."""
    names = names_in_review(session, actor_id, project_id)
    found = session.exec(select(Comment).where(col(Comment.item_id).in_(item_ids)).order_by(col(Comment.id))).all()
    threads: dict[int, list[Said]] = {item_id: [] for item_id in item_ids}
    for comment in found:
        threads[comment.item_id].append(as_said(comment, actor_id, names))
    return threads


def names_in_review(session: Session, actor_id: int, project_id: int) -> dict[int, str]:
    """The names of people by id; in a project that is reviewed blind, a number for everybody but the acting user."""
    people = session.exec(select(User.id, User.name).order_by(col(User.id))).all()
    if not settings_of(session.get_one(Project, project_id)).blind:
        return {user_id: name for user_id, name in people if user_id is not None}
    first: dict[int, float] = {}  # since when each was seen here: in this order a number never changes
    for table in (Annotation, Comment):
        since = select(table.user_id, func.min(table.created)).where(table.project_id == project_id)
        for user_id, created in session.exec(since.group_by(col(table.user_id))).all():
            first[user_id] = min(created, first.get(user_id, created))
    numbers = {user_id: n for n, user_id in enumerate(sorted(first, key=lambda one: (first[one], one)), start=1)}
    return {
        user_id: name if user_id == actor_id else f"Person {numbers.get(user_id, 0)}"
        for user_id, name in people
        if user_id is not None
    }


def names_seen(session: Session, actor_id: int, project_id: int) -> dict[int, str]:
    """The names of people by id; where a project is reviewed blind, only its owners see whose answers are whose."""
    member = session.get(Membership, (project_id, actor_id))
    if member is None or member.role is not Role.OWNER:
        return names_in_review(session, actor_id, project_id)
    return {user_id: name for user_id, name in session.exec(select(User.id, User.name)).all() if user_id is not None}


def may_discuss(session: Session, actor_id: int, project_id: int, item_id: int) -> Item:
    """The item, if the acting user may read and write its thread: experts may, and whoever has answered it.

    Raises
    ------
    NotFound
        Otherwise: a stranger learns nothing from the difference.
    """
    item, member = session.get(Item, item_id), session.get(Membership, (project_id, actor_id))
    own = select(Annotation.id).where(Annotation.item_id == item_id, Annotation.user_id == actor_id)
    if item is None or item.project_id != project_id or member is None:
        raise NotFound(f"There is no item {item_id} in this project.")
    if member.role is Role.ANNOTATOR and session.exec(own.limit(1)).first() is None:
        raise NotFound(f"There is no item {item_id} in this project that you have answered.")
    return item


def active_members(project_id: int) -> Any:
    """The ids of a project's people whose answers count and who can be asked, to select from or to compare with.

    Those who were removed, set aside, or shut out of the workspace are none: what was sent back to them waits for an
    expert again.
    """
    here = (col(Membership.project_id) == project_id) & col(Membership.removed).is_(None)
    counted = select(Membership.user_id).join(User, col(User.id) == Membership.user_id)
    return counted.where(here, col(Membership.set_aside).is_(None), col(User.disabled).is_(None))


def close_returned(session: Session, user_id: int, project_id: int | None = None) -> None:
    """Ask a user for nothing any more that was sent back to them, in the caller's transaction: in one project, or
    everywhere.
    """
    waiting = (col(Comment.returned_to) == user_id) & col(Comment.done).is_(None)
    if project_id is not None:
        waiting &= col(Comment.project_id) == project_id
    session.exec(update(Comment).where(waiting).values(done=time.time()))


def as_said(comment: Comment, actor_id: int, names: dict[int, str]) -> Said:
    """A comment as it is shown; `names` are those of the people."""
    assert comment.id is not None
    to = comment.returned_to
    return Said(
        id=comment.id, event_id=comment.event_id, item_id=comment.item_id, person=names.get(comment.user_id, ""),
        mine=comment.user_id == actor_id, text=comment.text, returned_to=None if to is None else names.get(to, ""),
        done=comment.done is not None, created=comment.created,
    )  # fmt: skip


def _remark(session: Session, actor_id: int, project_id: int, one: Remark, text: str, now: float) -> list[Comment]:
    """The comments that a remark comes to: one, or one for each person that the item is sent back to."""
    # The same ids for the same remark, so that repeating it finds them.
    ids = [one.event_id, *(f"{one.event_id[:56]}-{at}" for at in range(1, len(one.return_to)))]
    there = session.exec(select(Comment).where(col(Comment.event_id).in_(ids)).order_by(col(Comment.id))).all()
    if there:
        if any(comment.user_id != actor_id or comment.item_id != one.item_id for comment in there):
            raise Invalid("This event id belongs to another remark; send a new one.")
        return list(there)
    wanted: list[int | None] = [None]
    if one.return_to:
        answered = select(Annotation.id, Annotation.user_id).where(
            Annotation.item_id == one.item_id, col(Annotation.origin).in_([Origin.ASKED, Origin.GRID]), standing()
        )
        gave = dict(session.exec(answered).all())
        if not set(one.return_to) <= gave.keys():
            raise Invalid("One of these answers was given anew meanwhile, or by nobody; look at the item again.")
        wanted = [*dict.fromkeys(gave[event_id] for event_id in one.return_to)]
        gone = set(wanted) - set(session.exec(active_members(project_id)).all())
        if gone:
            names = names_in_review(session, actor_id, project_id)
            who = ", ".join(sorted(names.get(user_id or 0, "") for user_id in gone))
            raise Invalid(f"{who} cannot be asked any more; send the item back to others, or decide on it.")
    base: dict[str, Any] = {
        "project_id": project_id, "item_id": one.item_id, "user_id": actor_id, "text": text, "created": now,
    }  # fmt: skip
    made = [Comment(event_id=event_id, returned_to=to, **base) for event_id, to in zip(ids, wanted, strict=False)]
    session.add_all(made)
    return made
