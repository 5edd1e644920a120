"""Keep what the provider calls an attempt's messages in one row until it is indexed.

On PostgreSQL new pages of ``messages`` also get room for a second version of every row.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "answers",
        sa.Column("attempt_id", ID, autoincrement=False, nullable=False),
        sa.Column("account_id", ID, nullable=False),
        sa.Column("provider_ids", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("attempt_id", name=op.f("answers_pkey")),
        comment="What the provider calls the messages of an attempt, until it is indexed in "
        "`provider_messages`: a JSON object, message id to provider's id.",
    )
    if op.get_bind().dialect.name == "postgresql":
        # They are gone in seconds: compressing them costs more than it saves.
        op.execute("ALTER TABLE answers ALTER provider_ids SET STORAGE EXTERNAL")
    _set_fill_factor(45)


def downgrade() -> None:
    # Whatever is not indexed yet would be lost with the table.
    if op.get_bind().execute(sa.text("SELECT count(*) FROM answers")).scalar_one():
        raise RuntimeError("Start a worker until `answers` is empty, then downgrade.")
    op.drop_table("answers")
    _set_fill_factor(80)


def _set_fill_factor(percent: int) -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute(f"ALTER TABLE messages SET (fillfactor = {percent})")
