"""The people of a project: their roles, who leaves, and whose answers are set aside."""

import time

from pydantic import BaseModel
from sqlmodel import Session, col, func, select

from labeling import jobs
from labeling.accounts import release_leases
from labeling.annotation.consensus import settle_person
from labeling.annotation.threads import close_returned
from labeling.db.engine import reading, writing
from labeling.db.schema import Annotation, Event, JobKind, Membership, Role, User, Verdict
from labeling.errors import Invalid, NotFound
from labeling.users import grant, is_account, require, require_administrator
from labeling.workspace import Workspace


class Member(BaseModel):
    """A person in a project, as its owners see them."""

    user_id: int
    name: str
    role: Role
    account: bool  # whether they can sign in
    disabled: bool  # may do nothing in the whole workspace
    removed: float | None  # since when they are no member any more; their answers are here
    set_aside: float | None  # since when their answers count for nothing
    answers: int
    answered: float | None  # when last


def list_team(workspace: Workspace, actor_id: int, project_id: int) -> list[Member]:
    """Everybody in a project, owners first, and those who were, for its owners."""
    with reading(workspace.engine) as session:
        require(session, actor_id, project_id, Role.OWNER)
        given = (
            select(Annotation.user_id, func.count(), func.max(Annotation.created))
            .where(Annotation.project_id == project_id, Annotation.verdict != Verdict.UNDO)
            .group_by(col(Annotation.user_id))
        )
        answers = {user_id: (count, last) for user_id, count, last in session.exec(given).all()}
        people = session.exec(
            select(Membership, User).join(User).where(Membership.project_id == project_id).order_by(User.name)
        ).all()
    members = []
    for membership, user in people:
        count, last = answers.get(membership.user_id, (0, None))
        members.append(
            Member(
                user_id=membership.user_id, name=user.name, role=membership.role, account=is_account(user),
                disabled=user.disabled is not None, removed=membership.removed, set_aside=membership.set_aside,
                answers=count, answered=last,
            )
        )  # fmt: skip
    return sorted(members, key=lambda member: (member.removed is not None, -list(Role).index(member.role)))


def list_owners(workspace: Workspace, actor_id: int, project_id: int) -> list[str]:
    """The names of a project's owners, for whoever is in it: whom to ask."""
    with reading(workspace.engine) as session:
        require(session, actor_id, project_id)
        owners = select(User.name).join(Membership).where(
            Membership.project_id == project_id, Membership.role == Role.OWNER, col(Membership.removed).is_(None),
            col(User.disabled).is_(None),
        )  # fmt: skip
        return list(session.exec(owners.order_by(User.name)).all())


def add_member(workspace: Workspace, actor_id: int, project_id: int, name: str, role: Role) -> None:
    """Take somebody who is known by name into a project, at least in this role.

    Owners of a project invite by link; who is known here by which name is for the owner of the workspace to know.

    Raises
    ------
    NotFound
        If there is nobody of this name.
    NotAllowed
        If the acting user does not own the project and the workspace.
    """
    with writing(workspace.engine) as session:
        require(session, actor_id, project_id, Role.OWNER)
        require_administrator(session, actor_id)
        user = session.exec(select(User).where(User.name == name)).first()
        if user is None or user.id is None:
            raise NotFound(f"There is nobody named “{name}”; make an account for them, or invite them by a link.")
        grant(session, project_id, user.id, role)
        _note(session, actor_id, project_id, "member added", user=user.id, role=role.value)


def change_role(workspace: Workspace, actor_id: int, project_id: int, user_id: int, role: Role) -> None:
    """Give a member another role.

    Raises
    ------
    Invalid
        If nobody would be left who owns the project.
    NotFound, NotAllowed
        If there is no such member, or the acting user is no owner.
    """
    with writing(workspace.engine) as session:
        member = _member(session, actor_id, project_id, user_id)
        if role is not Role.OWNER:
            _one_stays(session, project_id, user_id)
        member.role = role
        _note(session, actor_id, project_id, "role changed", user=user_id, role=role.value)


def remove_member(workspace: Workspace, actor_id: int, project_id: int, user_id: int) -> None:
    """Take a person out of a project, from this moment on. Their answers stay as they are; what they held goes back,
    and what was sent back to them waits for an expert again.

    Raises
    ------
    Invalid
        If nobody would be left who owns the project.
    NotFound, NotAllowed
        If there is no such member, or the acting user is no owner.
    """
    with writing(workspace.engine) as session:
        member = _member(session, actor_id, project_id, user_id)
        _one_stays(session, project_id, user_id)
        member.removed = time.time()
        release_leases(session, user_id, project_id)
        close_returned(session, user_id, project_id)
        _note(session, actor_id, project_id, "member removed", user=user_id)


def set_aside(workspace: Workspace, actor_id: int, project_id: int, user_id: int, *, aside: bool = True) -> None:
    """Let a person's answers count for nothing, or count again. Labels follow at once, the model soon after.

    Raises
    ------
    NotFound, NotAllowed
        If there is no such member, or the acting user is no owner.
    """
    with writing(workspace.engine) as session:
        member = _member(session, actor_id, project_id, user_id, removed_too=True)
        if (member.set_aside is not None) == aside:
            return
        member.set_aside = time.time() if aside else None
        session.flush()
        settle_person(session, project_id, user_id)
        for kind in (JobKind.WEIGH, JobKind.TRAIN):
            jobs.request(session, project_id, kind)
        _note(session, actor_id, project_id, "answers set aside" if aside else "answers count again", user=user_id)


def _member(session: Session, actor_id: int, project_id: int, user_id: int, *, removed_too: bool = False) -> Membership:
    require(session, actor_id, project_id, Role.OWNER)
    member = session.get(Membership, (project_id, user_id))
    if member is None or (member.removed is not None and not removed_too):
        raise NotFound(f"There is no member {user_id} in this project; somebody else may have removed them.")
    return member


def _one_stays(session: Session, project_id: int, user_id: int) -> None:
    others = select(Membership).join(User).where(
        Membership.project_id == project_id, Membership.role == Role.OWNER, Membership.user_id != user_id,
        col(Membership.removed).is_(None), col(User.disabled).is_(None),
    )  # fmt: skip
    if session.exec(others.limit(1)).first() is None:
        raise Invalid("A project needs an owner; make somebody else one first.")


def _note(session: Session, actor_id: int, project_id: int, kind: str, **detail: object) -> None:
    session.add(Event(project_id=project_id, user_id=actor_id, kind=kind, detail=detail))
