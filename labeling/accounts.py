"""Accounts: who can sign in with a password or through an identity provider, and what the workspace's owner decides.

The first account is made on the command line, by whoever has the machine's shell; all others are made there too, or by
invitation (`labeling.invitations`). There is no password that ships, and nobody registers themselves.
"""

import threading
import time
import unicodedata
from functools import cache
from itertools import count

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from pydantic import BaseModel
from sqlmodel import Session, col, select, update

from labeling import attempts
from labeling.db.engine import reading, writing
from labeling.db.schema import Assignment, Event, Lease, Membership, Project, Role, SignIn, User
from labeling.db.values import MAX_NAME, clean_name
from labeling.errors import Invalid, NotAllowed, NotFound
from labeling.users import (
    end_tokens,
    grant,
    has_accounts,
    is_account,
    local_user,
    require_administrator,
    require_user,
)
from labeling.workspace import Workspace

SHORTEST, LONGEST = 10, 1_000  # characters of a password
OF_THE_SHELL = " at this machine"  # what the local user's name may end with; nobody else's does
HASHER = PasswordHasher()  # Argon2id with the parameters of RFC 9106 for little memory: 64 MiB a hash
_turns = threading.BoundedSemaphore(2)  # hashes at once: they are made to be dear


class Person(BaseModel):
    """A user as the workspace's owner sees them."""

    id: int
    name: str
    account: bool  # whether they can sign in; others act by tokens, or are the local user
    administers: bool
    disabled: float | None
    projects: int
    seen: float | None  # when one of their browsers was last heard of


def add_account(workspace: Workspace, actor_id: int, name: str, password: str, *, administers: bool = False) -> int:
    """Make an account, or give one to a user who had none; returns the user's id.

    The first account owns the workspace and every project there is; from then on pages need signing in.

    Raises
    ------
    Invalid
        If the name or the password cannot be taken.
    NotAllowed
        If the acting user does not own the workspace.
    """
    name = clean_name(name, "An account needs a name.")
    hashed = hash_password(password, name)
    with writing(workspace.engine) as session:
        require_administrator(session, actor_id)
        first = not has_accounts(session)
        user = session.exec(select(User).where(User.name == name)).first()
        if user is None:
            user = new_user(session, name)
        elif is_account(user):
            raise Invalid(f"“{name}” has an account already; choose another name, or make a link to set its password.")
        user.password = hashed
        user.administers = user.administers or administers or first
        session.flush()
        assert user.id is not None
        if first:
            for project_id in session.exec(select(Project.id)).all():
                assert project_id is not None
                grant(session, project_id, user.id, Role.OWNER)
        session.add(Event(user_id=actor_id, kind="account made", detail={"user": user.id, "name": user.name}))
        return user.id


def plain_name(name: str) -> str:
    """A name as accounts have it: in one form of Unicode, one blank between words, nothing that nobody sees.

    Keyboards and identity providers put joiners, marks of direction and tabs into names; two that differ only in those
    would look the same. What is left may be nothing.
    """
    seen = "".join(each for each in name if each.isprintable() or each.isspace())
    return " ".join(unicodedata.normalize("NFKC", seen).split())


def new_user(session: Session, name: str) -> User:
    """A user of a new name, in the caller's transaction.

    Raises
    ------
    Invalid
        If the name is taken, by one that looks the same too; or is none.
    """
    name = clean_name(plain_name(name), "An account needs a name.")
    if _is_taken(name, _alike(session)):
        raise Invalid(f"The name “{name}” is taken; choose another one.")
    return _added(session, name)


def named_after(session: Session, name: str) -> User:
    """A new user whose name is this one, with a number where it is taken, in the caller's transaction."""
    name = plain_name(name)[: MAX_NAME - 10].strip() or "somebody"
    alike = _alike(session)
    numbered = (name if number == 1 else f"{name} {number}" for number in count(1))
    return _added(session, next(each for each in numbered if not _is_taken(each, alike)))


def _alike(session: Session) -> set[str]:
    """Every name there is, so that those which look the same are the same."""
    return {plain_name(taken).casefold() for taken in session.exec(select(User.name)).all()}


def _is_taken(name: str, alike: set[str]) -> bool:
    return name.casefold() in alike or name.casefold().endswith(OF_THE_SHELL)


def _added(session: Session, name: str) -> User:
    user = User(name=name)
    session.add(user)
    session.flush()
    return user


def hash_password(password: str, name: str) -> str:
    """The Argon2 hash of a new password.

    Raises
    ------
    Invalid
        If it is too short, too long, or the name.
    """
    if len(password) < SHORTEST:
        raise Invalid(f"A password has at least {SHORTEST} characters; a few words in a row are easy to remember.")
    if len(password) > LONGEST:
        raise Invalid(f"A password has at most {LONGEST:,} characters; shorten it.")
    if password.strip().casefold() == name.strip().casefold() or len(set(password)) < 4:
        raise Invalid("This password is too easy to guess; take a few words in a row.")
    with _turns:
        return HASHER.hash(password.encode(errors="replace"))


def verify_password(stored: str | None, password: str) -> bool:
    """Whether a password is the one that was hashed; as much work where there is none, so that time tells nothing."""
    given = password[: LONGEST + 1].encode(errors="replace")
    with _turns:
        try:
            return HASHER.verify(stored or _nobodys(), given) and stored is not None and len(password) <= LONGEST
        except (VerificationError, InvalidHashError):
            return False


@cache
def _nobodys() -> str:
    return HASHER.hash("of nobody")


def rehashed(stored: str, password: str) -> str | None:
    """A new hash of a password that was right, where its old one was made with other parameters."""
    if not HASHER.check_needs_rehash(stored):
        return None
    with _turns:
        return HASHER.hash(password.encode(errors="replace"))


def change_password(
    workspace: Workspace, actor_id: int, old: str, new: str, *, address: str = "", keep: int | None = None
) -> None:
    """Change one's own password; every browser but the sign-in `keep` has to sign in again, and tokens end.

    Raises
    ------
    NotAllowed
        If the old password is not right.
    Invalid
        If the new one cannot be taken.
    labeling.attempts.TooMany
        If it was tried too often.
    """
    with reading(workspace.engine) as session:
        user = require_user(session, actor_id)
    if user.password is None:
        raise NotAllowed("You sign in without a password; ask who runs this Askwise for a link to set one.")
    attempts.begin(workspace, plain_name(user.name), address)
    if not verify_password(user.password, old):
        raise NotAllowed("The old password is not right.")
    hashed = hash_password(new, user.name)
    with writing(workspace.engine) as session:
        user = require_user(session, actor_id)
        user.password = hashed
        attempts.succeeded(session, plain_name(user.name), address)
        end_sign_ins(session, actor_id, but=keep)
        end_tokens(session, actor_id)
        session.add(Event(user_id=actor_id, kind="password changed"))


def list_people(workspace: Workspace, actor_id: int) -> list[Person]:
    """Every user of the workspace, for its owner."""
    with reading(workspace.engine) as session:
        require_administrator(session, actor_id)
        people = session.exec(select(User).order_by(col(User.id))).all()
        projects: dict[int, int] = {}
        for user_id in session.exec(select(Membership.user_id).where(col(Membership.removed).is_(None))).all():
            projects[user_id] = projects.get(user_id, 0) + 1
        seen: dict[int, float] = {}
        for user_id, last in session.exec(select(SignIn.user_id, SignIn.seen)).all():
            seen[user_id] = max(last, seen.get(user_id, 0.0))
    return [
        Person(
            id=user.id or 0, name=user.name, account=is_account(user), administers=user.administers,
            disabled=user.disabled, projects=projects.get(user.id or 0, 0), seen=seen.get(user.id or 0),
        )
        for user in people
    ]  # fmt: skip


def find_user(workspace: Workspace, actor_id: int, name: str) -> int:
    """The id of the user of this name, for the workspace's owner."""
    with reading(workspace.engine) as session:
        require_administrator(session, actor_id)
        found = session.exec(select(User.id).where(User.name == name)).first()
    if found is None:
        raise NotFound(f"There is nobody named “{name}”; `askwise people list` shows who there is.")
    return found


def disable_user(workspace: Workspace, actor_id: int, user_id: int) -> None:
    """Let a user do nothing any more, from this moment on: sign-ins and tokens end, leases go back; answers stay.

    Raises
    ------
    Invalid
        If it is the acting user, or the one whom the command line acts as.
    NotFound, NotAllowed
        If there is no such user, or the workspace is not the acting user's.
    """
    shell = local_user(workspace)
    with writing(workspace.engine) as session:
        require_administrator(session, actor_id)
        user = _there(session, user_id)
        if user_id in (actor_id, shell):
            raise Invalid(f"“{user.name}” cannot be shut out: that would leave nobody who could let them in again.")
        user.disabled = user.disabled or time.time()
        end_sign_ins(session, user_id)
        end_tokens(session, user_id)
        release_leases(session, user_id)
        session.add(Event(user_id=actor_id, kind="user disabled", detail={"user": user_id}))


def enable_user(workspace: Workspace, actor_id: int, user_id: int) -> None:
    """Let a user in again; they sign in anew."""
    with writing(workspace.engine) as session:
        require_administrator(session, actor_id)
        _there(session, user_id).disabled = None
        session.add(Event(user_id=actor_id, kind="user enabled", detail={"user": user_id}))


def take_over(workspace: Workspace, actor_id: int, project_id: int) -> None:
    """Become an owner of a project, as the workspace's owner; the project's history says so."""
    with writing(workspace.engine) as session:
        require_administrator(session, actor_id)
        if session.get(Project, project_id) is None:
            raise NotFound(f"There is no project {project_id}.")
        grant(session, project_id, actor_id, Role.OWNER)
        session.add(Event(project_id=project_id, user_id=actor_id, kind="project taken over"))


def end_sign_ins(session: Session, user_id: int, *, but: int | None = None) -> None:
    """End every sign-in of a user in the caller's transaction, except perhaps one."""
    live = (col(SignIn.user_id) == user_id) & col(SignIn.ended).is_(None)
    session.exec(update(SignIn).where(live & (col(SignIn.id) != (but or 0))).values(ended=time.time()))


def release_leases(session: Session, user_id: int, project_id: int | None = None) -> None:
    """Give back what a user holds, in the caller's transaction: everywhere, or in one project."""
    held = (col(Assignment.user_id) == user_id) & (col(Assignment.state) == Lease.LEASED)
    if project_id is not None:
        held &= col(Assignment.project_id) == project_id
    session.exec(update(Assignment).where(held).values(state=Lease.RELEASED))


def _there(session: Session, user_id: int) -> User:
    user = session.get(User, user_id)
    if user is None:
        raise NotFound(f"There is no user {user_id}.")
    return user
