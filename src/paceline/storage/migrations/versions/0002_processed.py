"""Let ``sent`` mean sent: the old meaning (sent and failed) moves to ``processed``.

(sent 5100, failed 100) becomes (sent 5000, failed 100, processed 5100).
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

CHECKS = {
    "total": "queued + sent + failed = total",
    "processed": "processed = sent + failed",
    "counters": "queued >= 0 AND sent >= 0 AND failed >= 0",
    "delivered": "delivered >= 0 AND delivered <= sent",
    "unconfirmed": "unconfirmed >= 0 AND unconfirmed <= queued",
}
NEW_COMMENT = "`sent` is sent, `processed` = sent + failed; every counter equals its rows."
OLD_COMMENT = "`sent` counts sent and failed messages."


def convert(connection: sa.Connection) -> None:
    """Convert the counters that are still of the old meaning: those without ``processed``."""
    connection.execute(
        sa.text(
            "UPDATE campaigns SET processed = sent, sent = sent - failed WHERE processed IS NULL"
        )
    )


def upgrade() -> None:
    op.add_column("campaigns", sa.Column("processed", sa.Integer()))
    convert(op.get_bind())
    with op.batch_alter_table("campaigns", table_kwargs={"sqlite_autoincrement": True}) as table:
        table.alter_column("processed", nullable=False, server_default="0")
        for name, condition in CHECKS.items():
            table.create_check_constraint(op.f(f"campaigns_{name}_check"), condition)
        table.create_table_comment(NEW_COMMENT, existing_comment=OLD_COMMENT)


def downgrade() -> None:
    with op.batch_alter_table("campaigns", table_kwargs={"sqlite_autoincrement": True}) as table:
        for name in CHECKS:
            table.drop_constraint(op.f(f"campaigns_{name}_check"), type_="check")
        table.create_table_comment(OLD_COMMENT, existing_comment=NEW_COMMENT)
    op.execute("UPDATE campaigns SET sent = processed")
    with op.batch_alter_table("campaigns", table_kwargs={"sqlite_autoincrement": True}) as table:
        table.drop_column("processed")
