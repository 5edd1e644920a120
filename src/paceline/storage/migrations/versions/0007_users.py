"""Make room for those who sign in to the dashboard, and let it find the newest attempts, people by
their names, and who made a key.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")
MOMENT = sa.BigInteger()
_KEYS = ("first_key", "last_key")
_COMMENTS = {
    "api_keys": (
        "`digest` is the SHA-256 of the key; `hint` its first characters. `scopes`: what it may do. `test`: it reaches nobody but the simulator.",
        " `made_by`: as the audit log has it.",
    ),
    "contacts": (
        "`region`: the country of the number (ISO 3166), where it has one.",
        " `*_key`: the names as they are searched.",
    ),
}
"""Before, and what is added."""


def upgrade() -> None:
    op.create_index(op.f("attempts_started_at_tenant_id"), "attempts", ["started_at", "tenant_id"])
    op.add_column("api_keys", sa.Column("made_by", sa.String(200)))
    _add_search_keys()
    _comment(after=True)
    op.create_table(
        "users",
        sa.Column("id", ID, nullable=False),
        sa.Column("tenant_id", ID, nullable=False),
        sa.Column("login", sa.String(100), nullable=False),
        sa.Column("password", sa.Text(), nullable=False),
        sa.Column("role", sa.String(10), nullable=False),
        sa.Column("language", sa.String(10)),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("last_seen_at", MOMENT),
        sa.Column("disabled_at", MOMENT),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("users_tenant_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("users_pkey")),
        sa.UniqueConstraint("login", name=op.f("users_login_key")),
        comment="Who signs in to the dashboard. `password` is its argon2id hash.",
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("users_tenant_id_id"), "users", ["tenant_id", "id"])
    op.create_table(
        "sessions",
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("tenant_id", ID, nullable=False),
        sa.Column("user_id", ID),
        sa.Column("role", sa.String(10), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("expires_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name=op.f("sessions_tenant_id_fkey")
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("sessions_user_id_fkey")),
        sa.PrimaryKeyConstraint("digest", name=op.f("sessions_pkey")),
        comment="Who is signed in. `digest` is the SHA-256 of the cookie; `user_id` NULL: by a link "
        "from the terminal.",
    )
    op.create_index(op.f("sessions_expires_at"), "sessions", ["expires_at"])
    op.create_index(op.f("sessions_user_id"), "sessions", ["user_id"])
    op.create_table(
        "sign_in_links",
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("tenant_id", ID, nullable=False),
        sa.Column("role", sa.String(10), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("expires_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name=op.f("sign_in_links_tenant_id_fkey")
        ),
        sa.PrimaryKeyConstraint("digest", name=op.f("sign_in_links_pkey")),
        comment="Links that sign in once; the row goes when it is used. `digest` is the SHA-256 of "
        "what the link carries.",
    )
    _index_messages()


def downgrade() -> None:
    op.drop_index("messages_single_phone", table_name="messages")
    op.drop_index(op.f("messages_campaign_id_id"), table_name="messages")
    _index_doubt("campaign_id", "id", on_sqlite="in_doubt")
    for table in ("sign_in_links", "sessions", "users"):
        op.drop_table(table)
    for name in _KEYS:
        op.drop_index(op.f(f"contacts_tenant_id_{name}"), table_name="contacts")
        op.drop_column("contacts", name)
    op.drop_column("api_keys", "made_by")
    op.drop_index(op.f("attempts_started_at_tenant_id"), table_name="attempts")
    _comment(after=False)


def _add_search_keys() -> None:
    """Columns that are made of others. PostgreSQL has to write the table anew for them, which it
    does once for both; SQLite computes them when it reads.
    """
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            "ALTER TABLE contacts"
            ' ADD COLUMN first_key text COLLATE "C" GENERATED ALWAYS AS (lower(first_name)) STORED,'
            ' ADD COLUMN last_key text COLLATE "C" GENERATED ALWAYS AS (lower(last_name)) STORED'
        )
    else:
        for name in _KEYS:
            of = sa.Computed(f"lower({name.replace('key', 'name')})", persisted=False)
            op.add_column("contacts", sa.Column(name, sa.Text(), of))
    for name in _KEYS:
        op.create_index(op.f(f"contacts_tenant_id_{name}"), "contacts", ["tenant_id", name])


def _comment(*, after: bool) -> None:
    if op.get_bind().dialect.name != "postgresql":  # SQLite keeps none
        return
    for table, (before, more) in _COMMENTS.items():
        op.create_table_comment(table, before + more * after)


def _index_messages() -> None:
    """Let a page of messages be found by what is asked for, and not by reading a whole campaign."""
    op.create_index(op.f("messages_campaign_id_id"), "messages", ["campaign_id", "id"])
    _index_doubt("campaign_id", "in_doubt", "id", on_sqlite="in_doubt = 1")
    single = sa.text("campaign_id IS NULL")
    op.create_index(
        "messages_single_phone",
        "messages",
        ["tenant_id", "phone"],
        sqlite_where=single,
        postgresql_where=single,
    )


def _index_doubt(*columns: str, on_sqlite: str) -> None:
    """SQLite takes an index only for conditions that are written as the index has them, and prefers
    one of which it knows more columns.
    """
    op.drop_index("messages_doubt", table_name="messages")
    op.create_index(
        "messages_doubt",
        "messages",
        list(columns),
        sqlite_where=sa.text(on_sqlite),
        postgresql_where=sa.text("in_doubt"),
    )
