"""Who acts, and whether they may. Every function of annotation and delivery begins with `require`."""

import getpass
import hashlib
import secrets
import time

from sqlmodel import Session, col, select

from labeling.db.engine import reading, writing
from labeling.db.schema import ApiToken, Membership, Project, Role, User
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
    membership = session.get(Membership, (project_id, actor_id))
    if project is None or membership is None:
        raise NotFound(f"There is no project {project_id} that you are a member of; ask its owner to add you.")
    if _STRENGTH[membership.role] < _STRENGTH[role]:
        raise NotAllowed(
            f"This needs the role {role.value} in “{project.name}” and yours is {membership.role.value}; ask its owner."
        )
    return project


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
    """The id of the one user of local mode: whoever is signed in to this machine."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a container may run under a number that has no name
        name = "local"
    with reading(workspace.engine) as session:
        user = session.exec(select(User).where(User.name == name)).first()
    if user is None:
        with writing(workspace.engine) as session:
            user = _named(session, name)
    return _id(user)


def issue_token(workspace: Workspace, name: str, role: Role = Role.ANNOTATOR) -> str:
    """Make an API token for the user of this name, who becomes a member of every project there is.

    Only the token's SHA-256 is kept: it is shown once. A role that a user already has is raised, never lowered.
    """
    name = clean_name(name, "A user needs a name.")
    token = "askwise_" + secrets.token_urlsafe(32)
    with writing(workspace.engine) as session:
        user = _named(session, name)
        session.add(ApiToken(user_id=_id(user), digest=_digest(token)))
        for project_id in session.exec(select(Project.id)).all():
            assert project_id is not None
            grant(session, project_id, _id(user), role)
    return token


def grant(session: Session, project_id: int, user_id: int, role: Role) -> None:
    """Give a user at least this role in a project."""
    membership = session.get(Membership, (project_id, user_id))
    if membership is None:
        session.add(Membership(project_id=project_id, user_id=user_id, role=role))
    elif _STRENGTH[membership.role] < _STRENGTH[role]:
        membership.role = role


def bearer(workspace: Workspace, token: str) -> int | None:
    """The id of the user whose token this is; None for an unknown or revoked one."""
    with reading(workspace.engine) as session:
        found = select(ApiToken.user_id).where(ApiToken.digest == _digest(token), col(ApiToken.revoked).is_(None))
        return session.exec(found).first()


def revoke_tokens(workspace: Workspace, name: str) -> int:
    """End every token of a user; returns how many were live."""
    with writing(workspace.engine) as session:
        query = select(ApiToken).join(User).where(User.name == name, col(ApiToken.revoked).is_(None))
        tokens = session.exec(query).all()
        for token in tokens:
            token.revoked = time.time()
        return len(tokens)


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
