"""Signing in is slowed after failures: by the name that was tried and by the address that tried, each by itself.

An attempt counts as failed before its password is looked at, so that many at once are counted one by one; success
takes that back. An address waits long, as it is the attacker's own. A name waits a minute at most, as anybody can
make it wait, and not at all from an address where that person signed in lately. A name that nobody has is counted like
any other.
"""

import hashlib
import ipaddress
import time
from typing import Any

from sqlmodel import Session, col, delete, func, select

from labeling.db.engine import reading, writing
from labeling.db.schema import FailedSignIn
from labeling.errors import AskwiseError
from labeling.workspace import Workspace

FREE_BY_ADDRESS, LONGEST_BY_ADDRESS = 5, 900.0  # failures without a wait; seconds
FREE_BY_NAME, LONGEST_BY_NAME = 10, 60.0
FORGOTTEN = 3_600.0  # seconds after which failures are
KNOWN = 30 * 86_400.0  # seconds for which an address is known to be a person's
MOST = 10_000  # rows
SHARED = 64  # bits of an IPv6 address that one household has


class TooMany(AskwiseError):
    """There were too many attempts; `seconds` says for how long to wait."""

    def __init__(self, seconds: float) -> None:
        self.seconds = max(1, round(seconds))
        long = f"{self.seconds} s" if self.seconds < 120 else f"{self.seconds // 60} minutes"
        super().__init__(f"There were too many attempts; try again in {long}.")


def begin(workspace: Workspace, name: str, address: str) -> None:
    """Count an attempt to sign in; `succeeded` takes it back.

    Raises
    ------
    TooMany
        If the address or the name has to wait; then nothing is counted.
    """
    by_address, by_name, known = _keys(name, address)
    with reading(workspace.engine) as session:  # who has to wait costs no write
        _check(session, by_address, by_name, known)
    with writing(workspace.engine) as session:
        _check(session, by_address, by_name, known)
        _count(session, by_address, FREE_BY_ADDRESS, LONGEST_BY_ADDRESS)
        _count(session, by_name, FREE_BY_NAME, LONGEST_BY_NAME)
        _forget(session)


def succeeded(session: Session, name: str, address: str) -> None:
    """Take back what `begin` counted, in the caller's transaction.

    The address keeps its earlier failures: who has an account may not guess other people's by signing in in between.
    """
    by_address, by_name, known = _keys(name, address)
    if row := session.get(FailedSignIn, by_name):
        session.delete(row)
    if row := session.get(FailedSignIn, by_address):
        row.failures = max(0, row.failures - 1)
        row.wait_until = 0.0
    row = session.get(FailedSignIn, known) or FailedSignIn(key=known)
    row.last = time.time()
    session.add(row)


def _keys(name: str, address: str) -> tuple[str, str, str]:
    household = _household(address)
    return _key("address", household), _key("name", name.casefold()), _key("known", name.casefold(), household)


def _key(*parts: str) -> str:
    """Of one length whatever is typed, and no list of who signs in from where."""
    return f"{parts[0]} {hashlib.sha256(chr(0).join(parts).encode(errors='replace')).hexdigest()}"


def _household(address: str) -> str:
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if parsed.version == 6:
        mapped = parsed.ipv4_mapped
        return str(mapped or ipaddress.ip_network((parsed, SHARED), strict=False))
    return str(parsed)


def _check(session: Session, by_address: str, by_name: str, known: str) -> None:
    now = time.time()
    rows = {row.key: row for row in session.exec(_of(by_address, by_name, known)).all()}
    trusted = known in rows and rows[known].last > now - KNOWN
    waits = [by_address] if trusted else [by_address, by_name]
    left = max((rows[key].wait_until - now for key in waits if key in rows), default=0.0)
    if left > 0:
        raise TooMany(left)


def _of(*keys: str) -> Any:
    return select(FailedSignIn).where(col(FailedSignIn.key).in_(keys))


def _count(session: Session, key: str, free: int, longest: float) -> None:
    now = time.time()
    row = session.get(FailedSignIn, key) or FailedSignIn(key=key, last=now)
    row.failures = 1 if row.last < now - FORGOTTEN else row.failures + 1
    row.last = now
    beyond = row.failures - free
    row.wait_until = 0.0 if beyond < 0 else now + min(longest, 2.0 ** min(beyond, 20))
    session.add(row)
    session.flush()


def _forget(session: Session) -> None:
    """Keep the table small: what has no meaning any more goes, and the oldest where there are too many."""
    now = time.time()
    old = (col(FailedSignIn.last) < now - FORGOTTEN) & ~col(FailedSignIn.key).startswith("known ")
    session.exec(delete(FailedSignIn).where(old | (col(FailedSignIn.last) < now - KNOWN)))
    if session.exec(select(func.count()).select_from(FailedSignIn)).one() > MOST:
        oldest = select(FailedSignIn.key).order_by(col(FailedSignIn.last)).limit(MOST // 10)
        session.exec(delete(FailedSignIn).where(col(FailedSignIn.key).in_(oldest)))
