"""Alembic's entry: runs inside the transaction that `labeling.db.migrations.upgrade` opened."""

from alembic import context
from sqlmodel import SQLModel

from labeling.db import schema  # noqa: F401  (fills the metadata)

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=SQLModel.metadata,
    render_as_batch=True,
)
context.run_migrations()
