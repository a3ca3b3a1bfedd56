"""Several people: signing in, gold items, decisions of experts, threads, and what is known of answers and people."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("user", sa.Column("password", sa.String(), nullable=True))
    op.add_column("user", sa.Column("subject", sa.String(), nullable=True))
    op.create_index("ix_user_subject", "user", ["subject"], unique=True)
    op.add_column("user", sa.Column("administers", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.add_column("user", sa.Column("disabled", sa.Float(), nullable=True))
    op.add_column("membership", sa.Column("set_aside", sa.Float(), nullable=True))
    op.add_column("membership", sa.Column("removed", sa.Float(), nullable=True))
    op.add_column("labelclass", sa.Column("split", sa.Boolean(), server_default=sa.false(), nullable=False))
    # Written out: for a column that refers, SQLite would otherwise have the whole table copied.
    op.execute("ALTER TABLE labelclass ADD COLUMN part_of INTEGER REFERENCES labelclass(id)")
    op.add_column("item", sa.Column("wanted", sa.Integer(), nullable=True))
    op.add_column("item", sa.Column("disputed", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.add_column("item", sa.Column("gold", sa.Boolean(), server_default=sa.false(), nullable=False))
    few = sa.text("wanted IS NOT NULL")
    op.create_index("ix_item_wanted", "item", ["project_id", "wanted"], sqlite_where=few, postgresql_where=few)
    for name in ("gold", "disputed"):
        op.create_index(
            f"ix_item_{name}", "item", ["project_id", name],
            sqlite_where=sa.text(f"{name} = 1"), postgresql_where=sa.text(name),
        )  # fmt: skip
    for name in ("item_state", "user_id", "expires", "project_id"):
        op.drop_index(f"ix_assignment_{name}", "assignment")
    running = sa.text("state = 'leased'")
    for name, of in (("leased", ["item_id", "user_id"]), ("held", ["user_id", "project_id"])):
        op.create_index(f"ix_assignment_{name}", "assignment", of, sqlite_where=running, postgresql_where=running)
    # Perhaps disputed: what the answers say is looked at wherever this is read.
    op.execute("UPDATE item SET disputed = (answers >= 2)")
    for name, column, which, in_sqlite in (
        ("unsure", "verdict", "verdict = 'unsure'", "verdict = 'unsure'"),
        ("flagged", "flagged", "flagged", "flagged = 1"),
        ("decision", "origin", "origin = 'review'", "origin = 'review'"),
    ):
        op.create_index(
            f"ix_annotation_{name}", "annotation", ["project_id", column],
            sqlite_where=sa.text(in_sqlite), postgresql_where=sa.text(which),
        )  # fmt: skip
    op.add_column("label", sa.Column("method", sa.String(length=16), server_default="majority", nullable=False))
    op.add_column("label", sa.Column("distribution", sa.JSON(), nullable=True))
    op.add_column("queueentry", sa.Column("reason", sa.String(length=16), server_default="strategy", nullable=False))
    op.create_table(
        "signin",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("user_id", sa.Integer(), sa.ForeignKey("user.id"), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("created", sa.Float(), nullable=False),
        sa.Column("seen", sa.Float(), nullable=False),
        sa.Column("expires", sa.Float(), nullable=False),
        sa.Column("ended", sa.Float(), nullable=True),
        sa.Column("browser", sa.String(), nullable=False),
    )
    op.create_index("ix_signin_user_id", "signin", ["user_id"])
    op.create_index("ix_signin_digest", "signin", ["digest"], unique=True)
    op.create_table(
        "invitation",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("project_id", sa.Integer(), sa.ForeignKey("project.id"), nullable=True),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("invited_by", sa.Integer(), sa.ForeignKey("user.id"), nullable=False),
        sa.Column("note", sa.String(), nullable=False),
        sa.Column("created", sa.Float(), nullable=False),
        sa.Column("expires", sa.Float(), nullable=False),
        sa.Column("used", sa.Float(), nullable=True),
        sa.Column("user_id", sa.Integer(), sa.ForeignKey("user.id"), nullable=True),
        sa.Column("revoked", sa.Float(), nullable=True),
    )
    op.create_index("ix_invitation_digest", "invitation", ["digest"], unique=True)
    op.create_index("ix_invitation_project_id", "invitation", ["project_id"])
    op.create_table(
        "failedsignin",
        sa.Column("key", sa.String(), primary_key=True),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("last", sa.Float(), nullable=False),
        sa.Column("wait_until", sa.Float(), nullable=False),
    )
    op.create_table(
        "doubt",
        sa.Column("item_id", sa.Integer(), sa.ForeignKey("item.id"), primary_key=True),
        sa.Column("project_id", sa.Integer(), sa.ForeignKey("project.id"), nullable=False),
        sa.Column("score", sa.Float(), nullable=False),
        sa.Column("class_id", sa.Integer(), sa.ForeignKey("labelclass.id"), nullable=True),
        sa.Column("why", sa.String(), nullable=False),
        sa.Column("worth", sa.Float(), nullable=False),
        sa.Column("stuck", sa.Boolean(), nullable=False),
        sa.Column("objects", sa.Boolean(), nullable=False),
    )
    op.create_index("ix_doubt_project_id", "doubt", ["project_id"])
    op.create_table(
        "reliability",
        sa.Column("project_id", sa.Integer(), sa.ForeignKey("project.id"), primary_key=True),
        sa.Column("user_id", sa.Integer(), sa.ForeignKey("user.id"), primary_key=True),
        sa.Column("accuracy", sa.Float(), nullable=True),
        sa.Column("flagged", sa.Boolean(), nullable=False),
        sa.Column("figures", sa.JSON(), nullable=False),
        sa.Column("computed", sa.Float(), nullable=False),
    )
    op.create_table(
        "comment",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("event_id", sa.String(length=64), nullable=False, unique=True),
        sa.Column("project_id", sa.Integer(), sa.ForeignKey("project.id"), nullable=False),
        sa.Column("item_id", sa.Integer(), sa.ForeignKey("item.id"), nullable=False),
        sa.Column("user_id", sa.Integer(), sa.ForeignKey("user.id"), nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        sa.Column("returned_to", sa.Integer(), sa.ForeignKey("user.id"), nullable=True),
        sa.Column("done", sa.Float(), nullable=True),
        sa.Column("created", sa.Float(), nullable=False),
    )
    for column in ("project_id", "item_id", "returned_to"):
        op.create_index(f"ix_comment_{column}", "comment", [column])
