"""Make room for look-ups, split batches, replies, outbound webhooks and the audit log."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")
JSON = sa.JSON().with_variant(postgresql.JSONB, "postgresql")
MOMENT = sa.BigInteger()
EMPTY = sa.text("'{}'")

_BATCHES = (
    "`due_at` 0: as soon as possible. `fence` rises at each reservation; a result is recorded only "
    "under the fence it was sent with."
)
_BATCHES_MORE = (
    " `confirm_at`: when to ask the provider what became of it. `sibling_id`: the other half of a "
    "batch that was rejected whole, `rejected`: why this half was, too, while the other is "
    "undecided."
)
_COMMENTS = {
    "installation": [
        "One row: who we are to the providers; the prefix begins every reference.",
        " `key_check` tells the key that credentials are sealed with from any other.",
    ],
    "suppressions": [
        "`seq` is the tenant's `opt_outs` at the commit that wrote the row.",
        " `source`: operator, stop (a reply), link or provider; a START ends a `stop` only.",
    ],
    "batches": [
        _BATCHES,
        _BATCHES_MORE,
    ],
}


def upgrade() -> None:
    for table, column in _columns():
        op.add_column(table, column)
    op.create_index(
        "batches_confirm",
        "batches",
        ["confirm_at"],
        sqlite_where=sa.text("confirm_at IS NOT NULL"),
        postgresql_where=sa.text("confirm_at IS NOT NULL"),
    )
    _create_audit_log()
    _create_replies()
    _create_webhooks()
    _comment(after=True)


def downgrade() -> None:
    for table in (
        "webhook_deliveries",
        "webhook_events",
        "webhook_endpoints",
        "inbound_messages",
        "inbound_numbers",
        "audit_log",
    ):
        op.drop_table(table)
    op.drop_index("batches_confirm", table_name="batches")
    for table, column in _columns():
        op.drop_column(table, column.name)
    _comment(after=False)


def _columns() -> list[tuple[str, sa.Column[Any]]]:
    """What is added to the tables that there were."""
    source = sa.Column("source", sa.String(10), server_default="operator", nullable=False)
    return [
        ("installation", sa.Column("key_check", sa.Text())),
        ("tenants", sa.Column("stop_reply", sa.Text())),
        ("tenants", sa.Column("start_reply", sa.Text())),
        ("tenants", sa.Column("help_reply", sa.Text())),
        ("suppressions", source),
        ("batches", sa.Column("confirm_at", MOMENT)),
        ("batches", sa.Column("sibling_id", ID)),
        ("batches", sa.Column("rejected", sa.Text())),
    ]


def _create_audit_log() -> None:
    op.create_table(
        "audit_log",
        sa.Column("id", ID, nullable=False),
        sa.Column("tenant_id", ID),
        sa.Column("actor", sa.String(200), nullable=False),
        sa.Column("action", sa.String(64), nullable=False),
        sa.Column("subject", sa.String(200), nullable=False),
        sa.Column("detail", JSON, server_default=EMPTY, nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("audit_log_pkey")),
        comment="Who changed what, and when. Rows are only ever added.",
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("audit_log_tenant_id_id"), "audit_log", ["tenant_id", "id"])


def _create_replies() -> None:
    op.create_table(
        "inbound_numbers",
        sa.Column("account_id", ID, nullable=False),
        sa.Column("number", sa.String(32), nullable=False),
        sa.Column("tenant_id", ID, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["traffic_accounts.id"], name=op.f("inbound_numbers_account_id_fkey")
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name=op.f("inbound_numbers_tenant_id_fkey")
        ),
        sa.PrimaryKeyConstraint("account_id", "number", name=op.f("inbound_numbers_pkey")),
        comment="Whose a reply is that came to this number or sender. An account of one tenant "
        "needs none.",
    )
    op.create_table(
        "inbound_messages",
        sa.Column("id", ID, nullable=False),
        sa.Column("account_id", ID, nullable=False),
        sa.Column("tenant_id", ID),
        sa.Column("provider_message_id", sa.String(255)),
        sa.Column("phone", sa.String(16), nullable=False),
        sa.Column("number", sa.String(32), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("keyword", sa.String(8)),
        sa.Column("received_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["traffic_accounts.id"], name=op.f("inbound_messages_account_id_fkey")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("inbound_messages_pkey")),
        sa.UniqueConstraint(
            "account_id",
            "provider_message_id",
            name=op.f("inbound_messages_account_id_provider_message_id_key"),
        ),
        comment="Replies. `phone` wrote `text` to `number`; `tenant_id` NULL: nobody's that we "
        "know of, so nothing came of it.",
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("inbound_messages_tenant_id_id"), "inbound_messages", ["tenant_id", "id"])
    op.create_index(
        op.f("inbound_messages_tenant_id_phone_id"),
        "inbound_messages",
        ["tenant_id", "phone", "id"],
    )


def _create_webhooks() -> None:
    op.create_table(
        "webhook_endpoints",
        sa.Column("id", ID, nullable=False),
        sa.Column("tenant_id", ID, nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("secret", sa.Text(), nullable=False),
        sa.Column("events", JSON, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("disabled_at", MOMENT),
        sa.Column("disabled_why", sa.Text()),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name=op.f("webhook_endpoints_tenant_id_fkey")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("webhook_endpoints_pkey")),
        comment="Where a tenant wants to be told. `secret` is sealed; `events` are the types it "
        "wants.",
        sqlite_autoincrement=True,
    )
    op.create_index(
        op.f("webhook_endpoints_tenant_id_id"), "webhook_endpoints", ["tenant_id", "id"]
    )
    op.create_table(
        "webhook_events",
        sa.Column("id", ID, nullable=False),
        sa.Column("tenant_id", ID, nullable=False),
        sa.Column("type", sa.String(32), nullable=False),
        sa.Column("subject_id", ID, nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("webhook_events_pkey")),
        comment="What there is to tell, written with the change that it tells of.",
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("webhook_events_tenant_id_id"), "webhook_events", ["tenant_id", "id"])
    op.create_table(
        "webhook_deliveries",
        sa.Column("id", ID, nullable=False),
        sa.Column("event_id", ID, nullable=False),
        sa.Column("endpoint_id", ID, nullable=False),
        sa.Column("status", sa.String(10), server_default="pending", nullable=False),
        sa.Column("tries", sa.Integer(), server_default="0", nullable=False),
        sa.Column("due_at", MOMENT),
        sa.Column("http_status", sa.Integer()),
        sa.Column("error", sa.Text()),
        sa.Column("delivered_at", MOMENT),
        sa.ForeignKeyConstraint(
            ["event_id"],
            ["webhook_events.id"],
            name=op.f("webhook_deliveries_event_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["endpoint_id"],
            ["webhook_endpoints.id"],
            name=op.f("webhook_deliveries_endpoint_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("webhook_deliveries_pkey")),
        sa.UniqueConstraint(
            "event_id", "endpoint_id", name=op.f("webhook_deliveries_event_id_endpoint_id_key")
        ),
        comment="One event on its way to one endpoint: pending (`due_at` is its next try), "
        "delivered or failed.",
        sqlite_autoincrement=True,
    )
    op.create_index(
        op.f("webhook_deliveries_endpoint_id_id"), "webhook_deliveries", ["endpoint_id", "id"]
    )
    op.create_index(
        "webhook_deliveries_due",
        "webhook_deliveries",
        ["due_at"],
        sqlite_where=sa.text("due_at IS NOT NULL"),
        postgresql_where=sa.text("due_at IS NOT NULL"),
    )


def _comment(*, after: bool) -> None:
    if op.get_bind().dialect.name != "postgresql":  # SQLite keeps none
        return
    for table, (before, more) in _COMMENTS.items():
        op.create_table_comment(table, before + more if after else before)
