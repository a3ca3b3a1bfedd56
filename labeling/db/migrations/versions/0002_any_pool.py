"""What any pool needs: answers that were imported or given in bulk, near-duplicates, colours and examples of classes."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("annotation", sa.Column("origin", sa.String(length=16), server_default="asked", nullable=False))
    op.add_column("annotation", sa.Column("batch", sa.String(length=64), nullable=True))
    op.create_index("ix_annotation_batch", "annotation", ["batch"])
    # Whether a person has answered an item is asked of every item that may be next.
    op.drop_index("ix_annotation_item_id", "annotation")
    op.create_index("ix_annotation_item_user", "annotation", ["item_id", "user_id"])
    op.add_column("item", sa.Column("fingerprint", sa.BigInteger(), nullable=True))
    # Written out: for a column that refers, SQLite would otherwise have the whole table copied.
    op.execute("ALTER TABLE item ADD COLUMN near_id INTEGER REFERENCES item(id)")
    op.create_index("ix_item_near_id", "item", ["near_id"])
    op.add_column("labelclass", sa.Column("colour", sa.String(), nullable=True))
    op.add_column("labelclass", sa.Column("examples", sa.JSON(), server_default="[]", nullable=False))
    # Hashes go to places all over an index, and a million of them are slow to put into two: `ix_item_open` has them too.
    op.drop_index("ix_item_content_hash", "item")
