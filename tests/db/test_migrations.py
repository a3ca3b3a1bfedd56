"""A database of any past version becomes today's, with what was in it."""

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine
from sqlmodel import SQLModel

from labeling.db import migrations, schema
from labeling.db.engine import connect, reading
from labeling.errors import AskwiseError
from labeling.workspace import Workspace, open_workspace

SCRIPTS = ScriptDirectory.from_config(migrations.configuration())
REVISIONS = [step.revision for step in SCRIPTS.walk_revisions()][::-1]  # oldest first


@pytest.fixture
def empty(tmp_path: Path) -> Engine:
    return connect(f"sqlite:///{tmp_path / 'askwise.db'}")


def difference(engine: Engine) -> list[object]:
    """What Alembic would still have to change to come to the tables of `schema`."""
    with reading(engine) as session:
        context = MigrationContext.configure(session.connection(), opts={"compare_type": True})
        return list(compare_metadata(context, SQLModel.metadata))


def columns(database: Path, table: str) -> dict[str, tuple[str, int]]:
    """Type and "not null" of each column."""
    with sqlite3.connect(database) as connection:
        rows = connection.execute(f"PRAGMA table_info({table})").fetchall()
    connection.close()
    return {name: (kind, notnull) for _, name, kind, notnull, *_ in rows}


def fill(database: Path) -> dict[str, list[dict[str, object]]]:
    """One row in each table, whatever columns it has at this revision; returns them by table."""
    words = {"role": "owner", "verdict": "label", "reason": "strategy", "source": "single", "kind": "train"}
    states = {"assignment": "leased", "modelversion": "live", "job": "done"}
    with sqlite3.connect(database) as connection:
        connection.execute("PRAGMA foreign_keys=OFF")
        stored: dict[str, list[dict[str, object]]] = {}
        tables = [
            name
            for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            if name != "alembic_version" and not name.startswith("sqlite_")
        ]
        for table in tables:
            row: dict[str, object] = {}
            for column, (kind, _) in columns(database, table).items():
                word = states[table] if column == "state" and table in states else words.get(column)
                row[column] = (
                    word if word and "CHAR" in kind
                    else 1 if kind in ("INTEGER", "BOOLEAN")
                    else 1.5 if kind == "FLOAT"
                    else "{}" if kind == "JSON"
                    else "text"
                )  # fmt: skip
            marks = ", ".join("?" * len(row))
            names = ", ".join(f'"{name}"' for name in row)
            connection.execute(f'INSERT INTO "{table}" ({names}) VALUES ({marks})', list(row.values()))
            stored[table] = [row]
    connection.close()
    return stored


@pytest.mark.parametrize("revision", REVISIONS)
def test_every_past_version_comes_to_the_same_tables(empty: Engine, revision: str):
    migrations.upgrade(empty, revision)
    assert migrations.current(empty) == revision
    migrations.upgrade(empty)
    assert migrations.current(empty) == REVISIONS[-1]
    assert difference(empty) == []
    empty.dispose()


@pytest.mark.parametrize("revision", REVISIONS)
def test_what_was_in_a_past_version_is_still_there(tmp_path: Path, empty: Engine, revision: str):
    migrations.upgrade(empty, revision)
    empty.dispose()
    before = fill(tmp_path / "askwise.db")
    migrations.upgrade(empty)
    empty.dispose()
    assert "annotation" in before
    with sqlite3.connect(tmp_path / "askwise.db") as connection:
        for table, rows in before.items():
            names = ", ".join(f'"{name}"' for name in rows[0])
            kept = connection.execute(f'SELECT {names} FROM "{table}"').fetchall()
            assert kept == [tuple(row.values()) for row in rows], table
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()


def test_the_comparison_sees_a_missing_column_and_a_missing_index(empty: Engine):
    migrations.upgrade(empty)
    with empty.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE annotation DROP COLUMN note")
        connection.exec_driver_sql("DROP INDEX one_waiting_job")
    assert len(difference(empty)) == 2
    empty.dispose()


def test_there_is_one_line_of_revisions():
    assert len(SCRIPTS.get_heads()) == len(SCRIPTS.get_bases()) == 1


def test_a_step_that_fails_leaves_the_database_as_it_was(empty: Engine):
    with empty.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE annotation (x)")  # in the way of the last table of the first step
    with pytest.raises(Exception, match="already exists"):
        migrations.upgrade(empty)
    with empty.begin() as connection:
        tables = connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'table'").scalars().all()
    assert tables == ["annotation"]
    empty.dispose()


def test_opening_again_changes_nothing(workspace: Workspace):
    before = (workspace.root / "askwise.db").read_bytes()
    open_workspace(workspace.root).engine.dispose()
    assert (workspace.root / "askwise.db").read_bytes() == before


def test_a_database_of_a_newer_version_is_left_alone_and_says_so(workspace: Workspace):
    with workspace.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(AskwiseError, match="newer"):
        open_workspace(workspace.root)


def test_processes_that_open_a_new_workspace_at_once_all_succeed(tmp_path: Path):
    code = "import sys; from labeling.workspace import open_workspace; open_workspace(sys.argv[1])"
    command = [sys.executable, "-W", "error::UserWarning", "-c", code, str(tmp_path / "workspace")]
    processes = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    assert [(p.communicate()[1], p.returncode) for p in processes] == [("", 0)] * 2
    engine = connect(f"sqlite:///{tmp_path / 'workspace' / 'askwise.db'}")
    assert difference(engine) == []
    engine.dispose()


def test_every_table_of_the_design_is_there():
    named = {"user", "apitoken", "project", "membership", "labelclass", "item", "assignment", "annotation", "label"}
    named |= {"modelversion", "ranking", "queueentry", "job", "event"}
    assert named <= set(schema.SQLModel.metadata.tables)
