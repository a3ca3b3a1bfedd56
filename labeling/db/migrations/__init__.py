"""How the database has grown: one Alembic revision a step, in `versions/`, applied when a workspace is opened."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine

from labeling.db.engine import reading, writing
from labeling.errors import Invalid


def configuration() -> Config:
    """Alembic's configuration, without a file."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.set_main_option("path_separator", "os")
    return config


def current(engine: Engine) -> str | None:
    """The revision that the database is at; None when it is empty."""
    with reading(engine) as session:
        return MigrationContext.configure(session.connection()).get_current_revision()


def upgrade(engine: Engine, revision: str = "head") -> None:
    """Bring the database to `revision`, in one transaction: all of it or nothing.

    Raises
    ------
    Invalid
        If the database is of a version that this Askwise does not know.
    """
    config = configuration()
    known = ScriptDirectory.from_config(config)
    here = current(engine)
    if revision == "head" and here == known.get_current_head():
        return
    if here is not None and here not in {script.revision for script in known.walk_revisions()}:
        raise Invalid("This workspace was made by a newer Askwise; update this one, or open another workspace.")
    with writing(engine) as session:
        config.attributes["connection"] = session.connection()
        command.upgrade(config, revision)
