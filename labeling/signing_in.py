"""Signed-in browsers: each has a secret of its own, of which the SHA-256 is kept, until it ends or runs out."""

import secrets
import time
from dataclasses import dataclass
from typing import Any, Literal

from sqlmodel import Session, col, delete, select

from labeling import attempts
from labeling.accounts import named_after, plain_name, rehashed, verify_password
from labeling.db.engine import reading, writing
from labeling.db.schema import Event, SignIn, User
from labeling.errors import NotAllowed, NotFound
from labeling.users import bearer_still, digest_of, has_accounts, require_user
from labeling.workspace import Workspace

IDLE_SECONDS = 14 * 86_400.0  # after which a browser that was not heard of has to sign in again
LONGEST_SECONDS = 30 * 86_400.0  # after which any has to
SEEN_EVERY = 300.0  # seconds between two notes that a browser was heard of
KEPT_SECONDS = 90 * 86_400.0  # that a sign-in which ran out is kept

Kind = Literal["local", "token", "browser", "proxy"]


@dataclass(frozen=True)
class Identity:
    """By what a request says who it comes from.

    Attributes
    ----------
    kind
        Somebody at this machine, the bearer of a token, a signed-in browser, or whom a trusted proxy names.
    key
        The id of the token or of the sign-in; of the user otherwise.
    """

    kind: Kind
    key: int


def sign_in(
    workspace: Workspace, name: str, password: str, *, address: str, browser: str = "", instead_of: str = ""
) -> str:
    """Sign a browser in; returns the secret that its cookie holds from now on.

    Parameters
    ----------
    address
        Where it comes from.
    browser
        What it calls itself.
    instead_of
        The secret that it held before, which ends.

    Raises
    ------
    NotAllowed
        If the name and the password do not go together, whether there is such a name or not.
    labeling.attempts.TooMany
        If there were too many attempts.
    """
    typed, name = name.strip(), plain_name(name)
    attempts.begin(workspace, name, address)
    # Whoever acted by tokens before they had an account may have a name that is not plain.
    named = col(User.name).in_([typed, name]) & col(User.password).is_not(None) & col(User.disabled).is_(None)
    with reading(workspace.engine) as session:
        user = session.exec(select(User).where(named).order_by(col(User.name) != typed)).first()
    stored = user.password if user is not None else None
    if not verify_password(stored, password) or user is None or stored is None:
        raise NotAllowed("This name and this password do not go together.")
    newer = rehashed(stored, password)
    with writing(workspace.engine) as session:
        user = require_user(session, user.id or 0)
        if user.password != stored:  # changed at this very moment
            raise NotAllowed("This name and this password do not go together.")
        user.password = newer or stored
        attempts.succeeded(session, name, address)
        end(session, instead_of)
        return begin(session, user.id or 0, browser)


def sign_in_as(
    workspace: Workspace, subject: str, name: str, *, admitted: bool, browser: str = "", instead_of: str = ""
) -> str:
    """Sign a browser in as whom an identity provider says it is; returns the secret that its cookie holds.

    Parameters
    ----------
    subject
        Issuer and subject: what is known of a person for good.
    name
        What a new user would be called.
    admitted
        Whether somebody who is not known yet may have an account without an invitation.

    Raises
    ------
    NotAllowed
        If they may not come in.
    """
    with writing(workspace.engine) as session:
        user = session.exec(select(User).where(User.subject == subject)).first()
        if user is None:
            if not admitted:
                raise NotAllowed("Nobody has invited you here yet; ask the owner of a project for a link.")
            user = named_after(session, name)
            user.subject = subject
            session.flush()
        user = require_user(session, user.id or 0)
        end(session, instead_of)
        return begin(session, user.id or 0, browser)


def let_in(workspace: Workspace, user_id: int, *, browser: str = "", instead_of: str = "") -> str:
    """Sign a browser in as a user who has just come in by a link; returns the secret that its cookie holds."""
    with writing(workspace.engine) as session:
        require_user(session, user_id)
        end(session, instead_of)
        return begin(session, user_id, browser)


def begin(session: Session, user_id: int, browser: str) -> str:
    """Sign a browser in as a user who has shown who they are, in the caller's transaction; returns its secret."""
    now, secret = time.time(), secrets.token_urlsafe(32)
    session.exec(delete(SignIn).where(col(SignIn.expires) < now - KEPT_SECONDS))
    session.add(
        SignIn(
            user_id=user_id, digest=digest_of(secret), created=now, seen=now, expires=now + LONGEST_SECONDS,
            browser=browser_name(browser),
        )
    )  # fmt: skip
    session.add(Event(user_id=user_id, kind="signed in"))
    return secret


def end(session: Session, secret: str) -> None:
    """End the sign-in with this secret, in the caller's transaction; nothing where there is none."""
    if secret and (found := session.exec(select(SignIn).where(SignIn.digest == digest_of(secret))).first()):
        found.ended = found.ended or time.time()


def sign_out(workspace: Workspace, secret: str) -> None:
    """End the sign-in with this secret."""
    with writing(workspace.engine) as session:
        end(session, secret)


def signed_in(workspace: Workspace, secret: str) -> tuple[Identity, int] | None:
    """The sign-in with this secret and its user, if it stands."""
    with reading(workspace.engine) as session:
        found = session.exec(_standing().where(SignIn.digest == digest_of(secret))).first()
    if found is None:
        return None
    assert found.id is not None
    if found.seen < time.time() - SEEN_EVERY:
        with writing(workspace.engine) as session:
            session.get_one(SignIn, found.id).seen = time.time()
    return Identity("browser", found.id), found.user_id


def known_by(workspace: Workspace, subject: str) -> tuple[Identity, int] | None:
    """The user whom a trusted proxy names so."""
    with reading(workspace.engine) as session:
        found = select(User.id).where(User.subject == subject, col(User.disabled).is_(None))
        user_id = session.exec(found).first()
    return None if user_id is None else (Identity("proxy", user_id), user_id)


def still(workspace: Workspace, identity: Identity) -> int | None:
    """The user whom an identity stands for at this moment; None when it stands for nobody any more."""
    if identity.kind == "token":
        return bearer_still(workspace, identity.key)
    with reading(workspace.engine) as session:
        if identity.kind == "browser":
            found = session.exec(_standing().where(SignIn.id == identity.key)).first()
            return None if found is None else found.user_id
        if identity.kind == "local" and has_accounts(session):
            return None
        user = session.get(User, identity.key)
        return None if user is None or user.disabled is not None else user.id


def _standing() -> Any:
    now = time.time()
    return (
        select(SignIn)
        .join(User)
        .where(col(SignIn.ended).is_(None), SignIn.expires > now, SignIn.seen > now - IDLE_SECONDS)
        .where(col(User.disabled).is_(None))
    )


def list_sign_ins(workspace: Workspace, actor_id: int) -> list[SignIn]:
    """One's own browsers that are signed in, the one heard of last first."""
    with reading(workspace.engine) as session:
        require_user(session, actor_id)
        mine = _standing().where(SignIn.user_id == actor_id)
        return list(session.exec(mine.order_by(col(SignIn.seen).desc())).all())


def end_sign_in(workspace: Workspace, actor_id: int, sign_in_id: int) -> None:
    """Sign one of one's own browsers out.

    Raises
    ------
    NotFound
        If it is not the acting user's.
    """
    with writing(workspace.engine) as session:
        require_user(session, actor_id)
        found = session.get(SignIn, sign_in_id)
        if found is None or found.user_id != actor_id:
            raise NotFound(f"You have no browser {sign_in_id} that is signed in; it may be somebody else's.")
        found.ended = found.ended or time.time()


def browser_name(said: str) -> str:
    """What people would call a browser, from what it says of itself: “Firefox on Linux”."""
    browsers = {"Edg": "Edge", "OPR": "Opera", "Firefox": "Firefox", "Chrom": "Chrome", "Safari": "Safari"}
    systems = {
        "Android": "Android", "iPhone": "iPhone", "iPad": "iPad", "Windows": "Windows", "Mac OS": "macOS",
        "Linux": "Linux",
    }  # fmt: skip
    browser = next((name for mark, name in browsers.items() if mark in said), "A browser")
    system = next((name for mark, name in systems.items() if mark in said), "")
    return f"{browser} on {system}" if system else browser
