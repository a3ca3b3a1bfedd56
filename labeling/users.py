"""Who acts, and whether they may. Every function of annotation and delivery begins with `require`."""

import getpass
import hashlib
import secrets
import time
from typing import Any

from pydantic import BaseModel
from sqlmodel import Session, col, or_, select

from labeling.db.engine import reading, writing
from labeling.db.schema import ApiToken, Event, Membership, Project, Role, User
from labeling.db.values import clean_name
from labeling.errors import NotAllowed, NotFound
from labeling.workspace import Workspace

_STRENGTH = {Role.ANNOTATOR: 0, Role.EXPERT: 1, Role.OWNER: 2}


def require(session: Session, actor_id: int, project_id: int, role: Role = Role.ANNOTATOR) -> Project:
    """The project, if the acting user has at least this role in it.

    Raises
    ------
    NotFound
        If there is no such project or the user is no member of it: a stranger learns nothing from the difference.
    NotAllowed
        If the user's role is weaker.
    """
    project = session.get(Project, project_id)
    membership, user = session.get(Membership, (project_id, actor_id)), session.get(User, actor_id)
    gone = user is None or user.disabled is not None or membership is None or membership.removed is not None
    if project is None or membership is None or gone:
        raise NotFound(f"There is no project {project_id} that you are a member of; ask its owner to add you.")
    if _STRENGTH[membership.role] < _STRENGTH[role]:
        raise NotAllowed(
            f"This needs the role {role.value} in “{project.name}” and yours is {membership.role.value}; ask its owner."
        )
    return project


def sees_everyone(session: Session, actor_id: int, project_id: int) -> bool:
    """Whether a member may see what other people answered, one by one."""
    member = session.get(Membership, (project_id, actor_id))
    return member is not None and _STRENGTH[member.role] >= _STRENGTH[Role.EXPERT]


def require_user(session: Session, actor_id: int) -> User:
    """The acting user, for what belongs to no project.

    Raises
    ------
    NotAllowed
        If there is no such user, or they may do nothing any more.
    """
    user = session.get(User, actor_id)
    if user is None or user.disabled is not None:
        raise NotAllowed("You may do nothing here any more; ask who runs this Askwise.")
    return user


def require_administrator(session: Session, actor_id: int) -> User:
    """The acting user, if the workspace is theirs: the local user, and those who were made so.

    Raises
    ------
    NotAllowed
        If it is not.
    """
    user = require_user(session, actor_id)
    if not user.administers:
        raise NotAllowed("This is for the owner of the workspace; ask who runs this Askwise.")
    return user


def has_accounts(session: Session) -> bool:
    """Whether anybody can sign in. From then on nobody is the local user: it never turns back."""
    account = or_(col(User.password).is_not(None), col(User.subject).is_not(None))
    return session.exec(select(User.id).where(account).limit(1)).first() is not None


def is_account(user: User) -> bool:
    """Whether this user can sign in."""
    return user.password is not None or user.subject is not None


def _named(session: Session, name: str) -> User:
    user = session.exec(select(User).where(User.name == name)).first()
    if user is None:
        user = User(name=name)
        session.add(user)
        session.flush()
    return user


def _id(user: User) -> int:
    assert user.id is not None
    return user.id


def local_user(workspace: Workspace) -> int:
    """The id of who has this machine's shell: the one user of local mode, and whom the command line acts as.

    The workspace is theirs. An account of the same name that does not own the workspace is somebody else.
    """
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a container may run under a number that has no name
        name = "local"
    with reading(workspace.engine) as session:
        user = _local(session, name)
    if user is None or not user.administers:
        with writing(workspace.engine) as session:
            user = _local(session, name) or _named(session, name)
            if is_account(user) and not user.administers:
                user = _named(session, f"{name} at this machine")
            user.administers = True
    return _id(user)


def _local(session: Session, name: str) -> User | None:
    """The local user, as far as there is one."""
    named = select(User).where(col(User.name).in_([name, f"{name} at this machine"])).order_by(col(User.id))
    found = {user.name: user for user in session.exec(named).all()}
    first, second = found.get(name), found.get(f"{name} at this machine")
    return second if first is not None and is_account(first) and not first.administers else first


def issue_token(workspace: Workspace, name: str, role: Role = Role.ANNOTATOR) -> str:
    """Make an API token for the user of this name, who becomes a member of every project there is while nobody signs
    in; where people have accounts, the token opens what its user is a member of.

    Only the token's SHA-256 is kept: it is shown once. A role that a user already has is raised, never lowered.
    """
    name = clean_name(name, "A user needs a name.")
    with writing(workspace.engine) as session:
        user = _named(session, name)
        token = _new_token(session, _id(user))
        if not has_accounts(session):
            for project_id in session.exec(select(Project.id)).all():
                assert project_id is not None
                grant(session, project_id, _id(user), role)
    return token


def make_token(workspace: Workspace, actor_id: int) -> str:
    """Make an API token of one's own; it is shown once."""
    with writing(workspace.engine) as session:
        require_user(session, actor_id)
        session.add(Event(user_id=actor_id, kind="token made"))
        return _new_token(session, actor_id)


def _new_token(session: Session, user_id: int) -> str:
    token = "askwise_" + secrets.token_urlsafe(32)
    session.add(ApiToken(user_id=user_id, digest=digest_of(token)))
    return token


def list_tokens(workspace: Workspace, actor_id: int) -> list[ApiToken]:
    """One's own tokens that are live, newest first."""
    with reading(workspace.engine) as session:
        require_user(session, actor_id)
        live = select(ApiToken).where(ApiToken.user_id == actor_id, col(ApiToken.revoked).is_(None))
        return list(session.exec(live.order_by(col(ApiToken.id).desc())).all())


def end_token(workspace: Workspace, actor_id: int, token_id: int) -> None:
    """End a token of one's own.

    Raises
    ------
    NotFound
        If it is not the acting user's.
    """
    with writing(workspace.engine) as session:
        require_user(session, actor_id)
        token = session.get(ApiToken, token_id)
        if token is None or token.user_id != actor_id:
            raise NotFound(f"You have no token {token_id}; it may be somebody else's.")
        token.revoked = token.revoked or time.time()


def grant(session: Session, project_id: int, user_id: int, role: Role) -> None:
    """Give a user at least this role in a project; whoever was removed comes back in this role."""
    membership = session.get(Membership, (project_id, user_id))
    if membership is None:
        session.add(Membership(project_id=project_id, user_id=user_id, role=role))
    elif membership.removed is not None:
        membership.removed, membership.role = None, role
    elif _STRENGTH[membership.role] < _STRENGTH[role]:
        membership.role = role


def bearer(workspace: Workspace, token: str) -> int | None:
    """The id of the user whose token this is; None for an unknown or revoked one, and for whom may do nothing."""
    found = token_of(workspace, token)
    return None if found is None else found.user_id


def token_of(workspace: Workspace, token: str) -> ApiToken | None:
    """The live token that reads so."""
    with reading(workspace.engine) as session:
        return session.exec(_live_tokens().where(ApiToken.digest == digest_of(token))).first()


def bearer_still(workspace: Workspace, token_id: int) -> int | None:
    """Whose token it is, as long as it is live."""
    with reading(workspace.engine) as session:
        found = session.exec(_live_tokens().where(ApiToken.id == token_id)).first()
    return None if found is None else found.user_id


def _live_tokens() -> Any:
    return select(ApiToken).join(User).where(col(ApiToken.revoked).is_(None), col(User.disabled).is_(None))


def revoke_tokens(workspace: Workspace, name: str) -> int:
    """End every token of a user; returns how many were live."""
    with writing(workspace.engine) as session:
        user = session.exec(select(User).where(User.name == name)).first()
        return 0 if user is None else end_tokens(session, _id(user))


def end_tokens(session: Session, user_id: int) -> int:
    """End every token of a user in the caller's transaction; returns how many were live."""
    live = select(ApiToken).where(ApiToken.user_id == user_id, col(ApiToken.revoked).is_(None))
    tokens = session.exec(live).all()
    for token in tokens:
        token.revoked = time.time()
    return len(tokens)


def digest_of(secret: str) -> str:
    """What is kept of a secret that is random and long: its SHA-256."""
    return hashlib.sha256(secret.encode(errors="replace")).hexdigest()


class Me(BaseModel):
    """The acting user."""

    id: int
    name: str
    account: bool  # whether they sign in
    password: bool  # whether with a password
    administers: bool
    accounts: bool  # whether anybody signs in here


def read_me(workspace: Workspace, actor_id: int) -> Me:
    """Who acts."""
    with reading(workspace.engine) as session:
        user = require_user(session, actor_id)
        return Me(
            id=actor_id, name=user.name, account=is_account(user), password=user.password is not None,
            administers=user.administers, accounts=has_accounts(session),
        )  # fmt: skip
