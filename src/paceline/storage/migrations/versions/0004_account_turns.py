"""Keep an account's turn in a row of its own, so that reserving and intents do not wait for each
other.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_ACCOUNTS = (
    "`tenant_id` NULL: shared by all tenants. `{first}`, `failures`, `closed_*` and `held_*` change "
    "only under this row's lock."
)
_LANES = "Whose turn it is on an account; changes only under {whose}."
ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "account_turns",
        sa.Column("account_id", ID, nullable=False),
        sa.Column("turn", sa.BigInteger(), server_default="0", nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"],
            ["traffic_accounts.id"],
            name=op.f("account_turns_account_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("account_id", name=op.f("account_turns_pkey")),
        comment="The pass at which an account last served a lane. Apart from the account's row, so "
        "that reserving keeps nobody waiting at the gate.",
    )
    op.execute("INSERT INTO account_turns (account_id, turn) SELECT id, turn FROM traffic_accounts")
    op.drop_column("traffic_accounts", "turn")
    _comment(first="grants", whose="the lock of the account's turn")


def downgrade() -> None:
    op.add_column(
        "traffic_accounts",
        sa.Column("turn", sa.BigInteger(), server_default="0", nullable=False),
    )
    op.execute(
        "UPDATE traffic_accounts SET turn ="
        " (SELECT turn FROM account_turns WHERE account_id = traffic_accounts.id)"
    )
    op.drop_table("account_turns")
    _comment(first="turn", whose="the account's lock")


def _comment(*, first: str, whose: str) -> None:
    if op.get_bind().dialect.name == "postgresql":  # SQLite keeps none
        op.create_table_comment("traffic_accounts", _ACCOUNTS.format(first=first))
        op.create_table_comment("lanes", _LANES.format(whose=whose))
