"""Links by which people come in, each for one person and a few days; only the SHA-256 of its secret is kept.

An invitation is into a project, or into the workspace alone. It counts for nothing once whoever made it could not make
it any more. A reset link lets an account that is there have a new password.
"""

import secrets
import time
from typing import Any

from pydantic import BaseModel
from sqlmodel import Session, col, select

from labeling.accounts import end_sign_ins, hash_password, named_after, new_user
from labeling.db.engine import reading, writing
from labeling.db.schema import Event, Invitation, Project, Role, User
from labeling.db.values import clean_name, clean_text
from labeling.errors import AskwiseError, Invalid, NotFound
from labeling.users import (
    digest_of,
    end_tokens,
    grant,
    has_accounts,
    is_account,
    require,
    require_administrator,
    require_user,
)
from labeling.workspace import Workspace

LASTS = 7 * 86_400.0  # seconds
MAX_NOTE = 200
LEADS_NOWHERE = "This link leads nowhere any more: it was used, taken back, or is too old. Ask for a new one."


class Link(BaseModel):
    """A link that was just made: its path is shown this once."""

    id: int
    path: str
    expires: float


class Waiting(BaseModel):
    """An invitation that nobody has used yet."""

    id: int
    role: Role
    note: str
    invited_by: str
    created: float
    expires: float


class Invited(BaseModel):
    """What a link offers to whoever holds it."""

    project_id: int | None
    project: str | None
    role: Role
    invited_by: str
    resets: str | None  # the name of the account that gets a new password


def invite(
    workspace: Workspace, actor_id: int, project_id: int | None, role: Role = Role.ANNOTATOR, note: str = ""
) -> Link:
    """Make a link by which one person may join a project in a role; or, without a project, have an account.

    Raises
    ------
    Invalid
        If nobody has an account yet: whoever invites needs one, as pages need signing in from then on.
    NotFound, NotAllowed
        If the acting user does not own the project, or the workspace where no project is named.
    """
    note = clean_text(note)[:MAX_NOTE]
    with writing(workspace.engine) as session:
        _may_invite(session, actor_id, project_id)
        if not has_accounts(session):
            raise Invalid(
                "Make an account for yourself first, with `askwise people add NAME` on the machine that Askwise runs "
                "on: once others can sign in, you have to as well."
            )
        return _link(session, actor_id, project_id=project_id, role=role, note=note)


def reset_link(workspace: Workspace, actor_id: int, user_id: int) -> Link:
    """Make a link by which a user chooses a new password, for the workspace's owner to hand on.

    Raises
    ------
    NotFound, NotAllowed
        If there is no such account, or the workspace is not the acting user's.
    """
    with writing(workspace.engine) as session:
        require_administrator(session, actor_id)
        user = session.get(User, user_id)
        if user is None or not is_account(user):
            raise NotFound(f"There is no account {user_id}.")
        return _link(session, actor_id, user_id=user_id)


def _may_invite(session: Session, actor_id: int, project_id: int | None) -> None:
    if project_id is None:
        require_administrator(session, actor_id)
    else:
        require(session, actor_id, project_id, Role.OWNER)


def _link(session: Session, actor_id: int, **what: Any) -> Link:
    secret = secrets.token_urlsafe(32)
    made = Invitation(invited_by=actor_id, digest=digest_of(secret), expires=time.time() + LASTS, **what)
    session.add(made)
    session.flush()
    kind = "reset link made" if made.user_id is not None else "invitation made"
    detail = {"invitation": made.id, "role": made.role.value, "user": made.user_id}
    session.add(Event(project_id=made.project_id, user_id=made.invited_by, kind=kind, detail=detail))
    assert made.id is not None
    return Link(id=made.id, path=f"/join/{secret}", expires=made.expires)


def list_invitations(workspace: Workspace, actor_id: int, project_id: int | None) -> list[Waiting]:
    """A project's invitations that wait, newest first; without a project, those into the workspace alone."""
    with reading(workspace.engine) as session:
        _may_invite(session, actor_id, project_id)
        waiting = (
            select(Invitation, User.name)
            .join(User, col(Invitation.invited_by) == User.id)
            .where(Invitation.project_id == project_id, col(Invitation.user_id).is_(None), _open())
            .order_by(col(Invitation.id).desc())
        )
        found = session.exec(waiting).all()
    return [Waiting.model_validate({**made.model_dump(), "invited_by": name}) for made, name in found]


def revoke_invitation(workspace: Workspace, actor_id: int, invitation_id: int) -> None:
    """Take an invitation back.

    Raises
    ------
    NotFound
        If it is none of a project, or workspace, that the acting user owns.
    """
    with writing(workspace.engine) as session:
        made = session.get(Invitation, invitation_id)
        try:
            _may_invite(session, actor_id, made.project_id if made is not None else None)
        except AskwiseError:
            made = None
        if made is None:
            raise NotFound(f"There is no invitation {invitation_id} that you may take back.")
        made.revoked = made.revoked or time.time()
        session.add(
            Event(
                project_id=made.project_id, user_id=actor_id, kind="invitation revoked",
                detail={"invitation": invitation_id},
            )
        )  # fmt: skip


def _open() -> Any:
    return col(Invitation.used).is_(None) & col(Invitation.revoked).is_(None) & (Invitation.expires > time.time())


def read_link(workspace: Workspace, secret: str) -> Invited:
    """What a link offers. Looking at it uses nothing up.

    Raises
    ------
    NotFound
        If it was used, taken back, is too old or never was, or whoever made it may not invite any more.
    """
    with reading(workspace.engine) as session:
        made = _found(session, secret)
        project = None if made.project_id is None else session.get_one(Project, made.project_id).name
        resets = None if made.user_id is None else session.get_one(User, made.user_id).name
        return Invited(
            project_id=made.project_id, project=project, role=made.role, resets=resets,
            invited_by=session.get_one(User, made.invited_by).name,
        )  # fmt: skip


def _found(session: Session, secret: str) -> Invitation:
    query = select(Invitation).where(Invitation.digest == digest_of(secret), _open())
    made = session.exec(query).first()
    if made is None:
        raise NotFound(LEADS_NOWHERE)
    try:
        if made.user_id is not None:
            require_administrator(session, made.invited_by)
            require_user(session, made.user_id)
        else:
            _may_invite(session, made.invited_by, made.project_id)
    except AskwiseError:
        raise NotFound(LEADS_NOWHERE) from None
    return made


def accept(workspace: Workspace, secret: str, name: str, password: str) -> int:
    """Come in as a new user of this name and password, or set the password of the account that a reset link is for.

    Returns the user's id.

    Raises
    ------
    NotFound
        If the link leads nowhere.
    Invalid
        If the name is taken, or the password cannot be.
    """
    offered = read_link(workspace, secret)  # a hash is dear: not for whoever has no link
    chosen = offered.resets or clean_name(name, "An account needs a name.")
    hashed = hash_password(password, chosen)
    with writing(workspace.engine) as session:
        made = _found(session, secret)
        user = new_user(session, chosen) if made.user_id is None else require_user(session, made.user_id)
        user.password = hashed
        return _use(session, made, user)


def accept_as(workspace: Workspace, secret: str, subject: str, name: str) -> int:
    """Come in as whom an identity provider or a trusted proxy says it is; returns the user's id.

    A reset link ties the account that it is for to this subject.

    Raises
    ------
    NotFound
        If the link leads nowhere.
    Invalid
        If a reset link is for another account than the one that this subject has.
    """
    with writing(workspace.engine) as session:
        made = _found(session, secret)
        known = session.exec(select(User).where(User.subject == subject)).first()
        if known is not None:
            known = require_user(session, known.id or 0)
            if made.user_id not in (None, known.id):
                raise Invalid(f"You are known here as “{known.name}” already, and this link is for somebody else.")
            user = known
        elif made.user_id is not None:
            user = require_user(session, made.user_id)
            user.subject = subject
        else:
            user = named_after(session, name)
            user.subject = subject
        return _use(session, made, user)


def join(workspace: Workspace, secret: str, actor_id: int) -> None:
    """Join a project with the account that one has.

    Raises
    ------
    NotFound
        If the link leads nowhere.
    Invalid
        If it is to set a password.
    """
    with writing(workspace.engine) as session:
        made = _found(session, secret)
        user = require_user(session, actor_id)
        if made.user_id is not None:
            raise Invalid("This link sets a password; choose one.")
        _use(session, made, user)


def _use(session: Session, made: Invitation, user: User) -> int:
    session.flush()
    assert user.id is not None
    if made.user_id is not None:
        end_sign_ins(session, user.id)
        end_tokens(session, user.id)
    made.used, made.user_id = time.time(), user.id
    if made.project_id is not None:
        grant(session, made.project_id, user.id, made.role)
    session.add(
        Event(
            project_id=made.project_id, user_id=user.id, kind="invitation used",
            detail={"invitation": made.id, "role": made.role.value},
        )
    )  # fmt: skip
    return user.id
