"""How the database is reached: SQLite by default, PostgreSQL by URL, and the two kinds of transaction.

Acknowledged means committed. On SQLite every connection runs with `synchronous=FULL`, every transaction that
writes begins with `BEGIN IMMEDIATE`, and the journal is a write-ahead log only where the library is new enough
(older ones can corrupt a log that two connections reset at once). It is Python's own library: a newer one of ours
beside it would take and drop its locks whenever somebody else's code in the process opens the file with Python's.
"""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlmodel import Session

WAL_SAFE_FROM = (3, 51, 3)
BUSY_SECONDS = 30
WRITERS_LOCK = 0x61736B77697365  # "askwise": the advisory lock that PostgreSQL's writers take in turn

_writers: dict[str, threading.RLock] = {}
_thread = threading.local()


def connect(url: str) -> Engine:
    """Open an engine on a database URL (`sqlite:///path` or `postgresql+psycopg://...`)."""
    if not url.startswith("sqlite"):
        return create_engine(url, pool_pre_ping=True)
    engine = create_engine(
        url, connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False}, pool_size=20, max_overflow=40
    )
    journal = "WAL" if sqlite3.sqlite_version_info >= WAL_SAFE_FROM else "TRUNCATE"
    # One lock for the writers of this process: they queue in turn, where SQLite's own waiting is a lottery of sleeps.
    _writers.setdefault(str(engine.url), threading.RLock())

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # transactions are begun by `_begin`, never by the driver
        for pragma in (
            f"journal_mode={journal}",
            "synchronous=FULL",
            "foreign_keys=ON",
            f"busy_timeout={BUSY_SECONDS * 1000}",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options().get("writes") else "BEGIN")

    return engine


@contextmanager
def reading(engine: Engine) -> Iterator[Session]:
    """A short transaction that only reads. With a rollback journal a long one would keep writers waiting."""
    with _alone(), Session(engine, expire_on_commit=False) as session:
        yield session


@contextmanager
def writing(engine: Engine) -> Iterator[Session]:
    """A transaction that writes: committed when the block ends, rolled back when it raises.

    One writes at a time, on either database: what a claim or an answer checks cannot change before it commits.
    The block begins when its turn has come, so a clock is read inside it.
    """
    with (
        _alone(),
        _writers.get(str(engine.url), nullcontext()),
        Session(engine.execution_options(writes=True), expire_on_commit=False) as session,
        session.begin(),
    ):
        connection = session.connection()  # begins now, and not with the first statement
        if engine.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": WRITERS_LOCK})
        yield session


@contextmanager
def _alone() -> Iterator[None]:
    """Hold that a thread has one transaction at a time.

    With a rollback journal, a second one inside the first waits for a writer that waits for the first to end.
    """
    if getattr(_thread, "busy", False):
        raise RuntimeError("Transactions do not nest: end the one that this thread has open before beginning another.")
    _thread.busy = True
    try:
        yield
    finally:
        _thread.busy = False
