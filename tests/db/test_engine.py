"""How SQLite is driven: committed means on the disk, and writers wait their turn instead of failing."""

import sqlite3
import threading
import time

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, select

from labeling.db.engine import BUSY_SECONDS, WAL_SAFE_FROM, reading, writing
from labeling.db.schema import ApiToken, User
from labeling.workspace import Workspace

PRAGMAS = ("synchronous", "foreign_keys", "journal_mode", "busy_timeout")


def pragmas(session: Session) -> dict[str, object]:
    return {name: session.connection().exec_driver_sql(f"PRAGMA {name}").scalar() for name in PRAGMAS}


def test_every_connection_syncs_fully_and_holds_foreign_keys(workspace: Workspace):
    journal = "wal" if sqlite3.sqlite_version_info >= WAL_SAFE_FROM else "truncate"
    expected = {"synchronous": 2, "foreign_keys": 1, "journal_mode": journal, "busy_timeout": BUSY_SECONDS * 1000}
    sessions = [Session(workspace.engine) for _ in range(30)]  # more than the pool keeps
    try:
        assert [pragmas(session) for session in sessions] == [expected] * 30
    finally:
        for session in sessions:
            session.close()
    with writing(workspace.engine) as session:
        assert pragmas(session) == expected


def test_a_write_ahead_log_is_used_only_where_the_library_cannot_corrupt_it():
    assert WAL_SAFE_FROM == (3, 51, 3)


def test_a_writing_transaction_takes_the_write_lock_before_its_first_statement(workspace: Workspace):
    other = sqlite3.connect(workspace.root / "askwise.db", timeout=0, isolation_level=None)
    with writing(workspace.engine) as session:
        session.connection()
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("BEGIN IMMEDIATE")
    other.execute("BEGIN IMMEDIATE")
    other.close()


def test_reading_takes_no_write_lock(workspace: Workspace):
    other = sqlite3.connect(workspace.root / "askwise.db", timeout=0, isolation_level=None)
    with reading(workspace.engine) as session:
        session.exec(select(User)).all()
        other.execute("BEGIN IMMEDIATE")
        other.execute("ROLLBACK")
    other.close()


def test_a_block_that_raises_leaves_nothing(workspace: Workspace):
    with pytest.raises(KeyError), writing(workspace.engine) as session:
        session.add(User(name="ada"))
        session.flush()
        raise KeyError
    with reading(workspace.engine) as session:
        assert session.exec(select(User)).all() == []


def test_what_was_written_is_seen_by_any_other_connection_once_the_block_has_ended(workspace: Workspace):
    with writing(workspace.engine) as session:
        session.add(User(name="ada"))
    with sqlite3.connect(workspace.root / "askwise.db") as other:
        assert other.execute("SELECT name FROM user").fetchall() == [("ada",)]
    other.close()


def test_a_row_cannot_refer_to_what_is_not_there(workspace: Workspace):
    with pytest.raises(IntegrityError), writing(workspace.engine) as session:
        session.add(ApiToken(user_id=999, digest="x"))


def test_many_threads_that_write_at_once_lose_nothing_and_meet_no_lock_error(workspace: Workspace):
    start = threading.Barrier(5)

    def write(thread: int) -> None:
        start.wait()
        for turn in range(6):
            with writing(workspace.engine) as session:
                users = session.exec(text("SELECT count(*) FROM user")).scalar()  # type: ignore[call-overload]
                session.add(User(name=f"{thread}-{turn}-{users}"))

    threads = [threading.Thread(target=write, args=(i,)) for i in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with reading(workspace.engine) as session:
        counts = sorted(int(user.name.rpartition("-")[2]) for user in session.exec(select(User)).all())
    assert counts == list(range(30))  # each saw all that were written before it


def test_a_writer_waits_for_a_writer_of_another_process(workspace: Workspace):
    other = sqlite3.connect(workspace.root / "askwise.db", isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")

    def let_go() -> None:
        time.sleep(0.2)
        other.execute("COMMIT")

    thread = threading.Thread(target=let_go)
    thread.start()
    with writing(workspace.engine) as session:
        session.add(User(name="ada"))
    thread.join()
    other.close()
