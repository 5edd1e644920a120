"""The first schema. Its ``campaigns.sent`` still counts sent *and* failed messages."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
JSON: Any = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def upgrade() -> None:
    op.create_table(
        "batch_blocks",
        sa.Column("id", ID, nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("batch_blocks_pkey")),
        comment="Hands out batch ids: block n owns the ids n * 65536 to n * 65536 + 65535.",
        sqlite_autoincrement=True,
    )
    op.create_table(
        "batches",
        sa.Column("id", ID, autoincrement=False, nullable=False),
        sa.Column("tenant_id", ID, nullable=False),
        sa.Column("account_id", ID, nullable=False),
        sa.Column("campaign_id", ID, nullable=True),
        sa.Column("status", sa.String(length=12), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("tries", sa.Integer(), server_default="0", nullable=False),
        sa.Column("retry_count", sa.Integer(), server_default="0", nullable=False),
        sa.Column("generation", sa.Integer(), server_default="0", nullable=False),
        sa.Column("in_doubt", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("doubt_since", sa.BigInteger(), nullable=True),
        sa.Column("fence", sa.Integer(), server_default="0", nullable=False),
        sa.Column("due_at", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("lease_until", sa.BigInteger(), nullable=True),
        sa.Column("seen_opt_outs", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("batches_pkey")),
        comment="`due_at` 0: as soon as possible. `fence` rises at each reservation; a result is recorded only under the fence it was sent with.",
    )
    op.create_index("batches_campaign", "batches", ["campaign_id", "status"], unique=False)
    op.create_index(
        "batches_leased",
        "batches",
        ["account_id", "status", "lease_until"],
        unique=False,
        sqlite_where=sa.text("lease_until IS NOT NULL"),
        postgresql_where=sa.text("lease_until IS NOT NULL"),
    )
    op.create_index(
        "batches_ready",
        "batches",
        ["account_id", "tenant_id", "campaign_id", "due_at", "id"],
        unique=False,
        sqlite_where=sa.text("status = 'queued'"),
        postgresql_where=sa.text("status = 'queued'"),
    )
    op.create_index(
        "batches_waiting",
        "batches",
        ["due_at"],
        unique=False,
        sqlite_where=sa.text("status = 'queued' AND due_at > 0"),
        postgresql_where=sa.text("status = 'queued' AND due_at > 0"),
    )
    op.create_table(
        "import_rows",
        sa.Column("import_id", sa.String(length=32), nullable=False),
        sa.Column("row", sa.Integer(), nullable=False),
        sa.Column("tenant_id", ID, nullable=False),
        sa.Column("phone", sa.String(length=16), nullable=False),
        sa.Column("first_name", sa.Text(), nullable=True),
        sa.Column("last_name", sa.Text(), nullable=True),
        sa.Column("attributes", JSON, nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("import_id", "row", name=op.f("import_rows_pkey")),
        comment="Rows of an import on their way; merged into contacts by one transaction.",
    )
    op.create_table(
        "installation",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("prefix", sa.String(length=16), nullable=False),
        sa.Column("default_account_id", ID, nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("installation_one_row_check")),
        sa.PrimaryKeyConstraint("id", name=op.f("installation_pkey")),
        comment="One row: who we are to the providers; the prefix begins every reference.",
    )
    op.create_table(
        "messages",
        sa.Column("id", ID, nullable=False),
        sa.Column("tenant_id", ID, nullable=False),
        sa.Column("campaign_id", ID, nullable=True),
        sa.Column("batch_id", ID, nullable=False),
        sa.Column("contact_id", ID, nullable=True),
        sa.Column("phone", sa.String(length=16), nullable=False),
        sa.Column("merge_values", sa.Text(), nullable=True),
        sa.Column("text", sa.Text(), nullable=True),
        sa.Column("sender", sa.Text(), nullable=True),
        sa.Column("status", sa.String(length=8), nullable=False),
        sa.Column("reason", sa.String(length=24), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("delivery", sa.String(length=12), server_default="none", nullable=False),
        sa.Column("in_doubt", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("sent_at", sa.BigInteger(), nullable=True),
        sa.Column("failed_at", sa.BigInteger(), nullable=True),
        sa.Column("delivered_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("messages_pkey")),
        sa.UniqueConstraint("campaign_id", "phone", name=op.f("messages_campaign_id_phone_key")),
        comment="`text` and `sender` only without a campaign; no indexed column changes when a message is sent, so that PostgreSQL can update it in place.",
        postgresql_with={"fillfactor": "80"},
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("messages_batch_id"), "messages", ["batch_id"], unique=False)
    op.create_index(
        "messages_doubt",
        "messages",
        ["campaign_id", "id"],
        unique=False,
        sqlite_where=sa.text("in_doubt"),
        postgresql_where=sa.text("in_doubt"),
    )
    op.create_index(
        "messages_reason",
        "messages",
        ["campaign_id", "reason", "id"],
        unique=False,
        sqlite_where=sa.text("reason IS NOT NULL"),
        postgresql_where=sa.text("reason IS NOT NULL"),
    )
    op.create_index(
        "messages_single",
        "messages",
        ["tenant_id", "id"],
        unique=False,
        sqlite_where=sa.text("campaign_id IS NULL"),
        postgresql_where=sa.text("campaign_id IS NULL"),
    )
    op.create_table(
        "provider_messages",
        sa.Column("account_id", ID, nullable=False),
        sa.Column("provider_message_id", sa.Text(), nullable=False),
        sa.Column("message_id", ID, nullable=False),
        sa.Column("attempt_id", ID, nullable=False),
        sa.Column("delivery", sa.String(length=12), server_default="none", nullable=False),
        sa.PrimaryKeyConstraint(
            "account_id", "provider_message_id", name=op.f("provider_messages_pkey")
        ),
        comment="What the provider calls a message, once per attempt that it accepted; receipts are joined here. Apart from `messages`, whose rows then need no indexed column to change.",
        sqlite_with_rowid=False,
    )
    op.create_index(
        op.f("provider_messages_message_id"), "provider_messages", ["message_id"], unique=False
    )
    op.create_table(
        "tenants",
        sa.Column("id", ID, nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("default_account_id", ID, nullable=True),
        sa.Column("rate_max", sa.Integer(), nullable=True),
        sa.Column("rate_window_ms", sa.Integer(), nullable=True),
        sa.Column("grants", sa.Text(), server_default="", nullable=False),
        sa.Column("opt_outs", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("tenants_pkey")),
        sa.UniqueConstraint("name", name=op.f("tenants_name_key")),
        comment="`grants` is the tenant's sliding window; `opt_outs` counts its suppressions as they are committed. Both change only under this row's lock.",
        sqlite_autoincrement=True,
    )
    op.create_table(
        "api_keys",
        sa.Column("id", ID, nullable=False),
        sa.Column("tenant_id", ID, nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("hint", sa.String(length=16), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("admin", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("last_used_at", sa.BigInteger(), nullable=True),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name=op.f("api_keys_tenant_id_fkey")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("api_keys_pkey")),
        sa.UniqueConstraint("digest", name=op.f("api_keys_digest_key")),
        comment="`digest` is the SHA-256 of the key; `hint` its first characters.",
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("api_keys_hint"), "api_keys", ["hint"], unique=False)
    op.create_index(op.f("api_keys_tenant_id"), "api_keys", ["tenant_id"], unique=False)
    op.create_table(
        "attempts",
        sa.Column("id", ID, nullable=False),
        sa.Column("tenant_id", ID, nullable=False),
        sa.Column("account_id", ID, nullable=False),
        sa.Column("campaign_id", ID, nullable=True),
        sa.Column("batch_id", ID, nullable=False),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("worker", sa.String(length=64), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("send_by", sa.BigInteger(), nullable=False),
        sa.Column("finished_at", sa.BigInteger(), nullable=True),
        sa.Column("outcome", sa.String(length=16), nullable=True),
        sa.Column("http_status", sa.Integer(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("bulk_id", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["batch_id"], ["batches.id"], name=op.f("attempts_batch_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("attempts_pkey")),
        sa.UniqueConstraint("batch_id", "fence", name=op.f("attempts_batch_id_fence_key")),
        comment="One submission, committed before its call. No outcome: it may have been made.",
        sqlite_autoincrement=True,
    )
    op.create_table(
        "contacts",
        sa.Column("id", ID, nullable=False),
        sa.Column("tenant_id", ID, nullable=False),
        sa.Column("phone", sa.String(length=16), nullable=False),
        sa.Column("first_name", sa.Text(), nullable=True),
        sa.Column("last_name", sa.Text(), nullable=True),
        sa.Column("attributes", JSON, server_default=sa.text("'{}'"), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name=op.f("contacts_tenant_id_fkey")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("contacts_pkey")),
        sa.UniqueConstraint("tenant_id", "phone", name=op.f("contacts_tenant_id_phone_key")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("contacts_tenant_id_id"), "contacts", ["tenant_id", "id"], unique=False)
    op.create_table(
        "idempotency_keys",
        sa.Column("tenant_id", ID, nullable=False),
        sa.Column("key", sa.String(length=255), nullable=False),
        sa.Column("request_digest", sa.String(length=64), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("body", sa.Text(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name=op.f("idempotency_keys_tenant_id_fkey")
        ),
        sa.PrimaryKeyConstraint("tenant_id", "key", name=op.f("idempotency_keys_pkey")),
        comment="Answers kept for repeats of a request; no status yet: still being made.",
    )
    op.create_index(
        op.f("idempotency_keys_created_at"), "idempotency_keys", ["created_at"], unique=False
    )
    op.create_table(
        "lists",
        sa.Column("id", ID, nullable=False),
        sa.Column("tenant_id", ID, nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("lists_tenant_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("lists_pkey")),
        sa.UniqueConstraint("tenant_id", "name", name=op.f("lists_tenant_id_name_key")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "suppressions",
        sa.Column("tenant_id", ID, nullable=False),
        sa.Column("phone", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name=op.f("suppressions_tenant_id_fkey")
        ),
        sa.PrimaryKeyConstraint("tenant_id", "phone", name=op.f("suppressions_pkey")),
        comment="`seq` is the tenant's `opt_outs` at the commit that wrote the row.",
    )
    op.create_index(
        op.f("suppressions_tenant_id_seq"), "suppressions", ["tenant_id", "seq"], unique=False
    )
    op.create_table(
        "traffic_accounts",
        sa.Column("id", ID, nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("tenant_id", ID, nullable=True),
        sa.Column("provider", sa.String(length=30), nullable=False),
        sa.Column("base_url", sa.Text(), nullable=False),
        sa.Column("external_id", sa.Text(), nullable=False),
        sa.Column("api_key", sa.Text(), nullable=False),
        sa.Column("sender", sa.Text(), nullable=False),
        sa.Column("options", JSON, server_default=sa.text("'{}'"), nullable=False),
        sa.Column("server_error", sa.String(length=10), server_default="retry", nullable=False),
        sa.Column("webhook_token", sa.String(length=64), nullable=False),
        sa.Column("rate_max", sa.Integer(), nullable=True),
        sa.Column("rate_window_ms", sa.Integer(), nullable=True),
        sa.Column("grants", sa.Text(), server_default="", nullable=False),
        sa.Column("turn", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("failures", sa.Integer(), server_default="0", nullable=False),
        sa.Column("closed_at", sa.BigInteger(), nullable=True),
        sa.Column("closed_until", sa.BigInteger(), nullable=True),
        sa.Column("closed_why", sa.Text(), nullable=True),
        sa.Column("held_at", sa.BigInteger(), nullable=True),
        sa.Column("held_why", sa.Text(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name=op.f("traffic_accounts_tenant_id_fkey")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("traffic_accounts_pkey")),
        sa.UniqueConstraint("name", name=op.f("traffic_accounts_name_key")),
        sa.UniqueConstraint("webhook_token", name=op.f("traffic_accounts_webhook_token_key")),
        comment="`tenant_id` NULL: shared by all tenants. `turn`, `failures`, `closed_*` and `held_*` change only under this row's lock.",
        sqlite_autoincrement=True,
    )
    op.create_table(
        "campaigns",
        sa.Column("id", ID, nullable=False),
        sa.Column("tenant_id", ID, nullable=False),
        sa.Column("account_id", ID, nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("sender", sa.Text(), nullable=False),
        sa.Column("list_id", ID, nullable=True),
        sa.Column("status", sa.String(length=10), nullable=False),
        sa.Column("scheduled_at", sa.BigInteger(), nullable=True),
        sa.Column("timezone", sa.String(length=64), nullable=True),
        sa.Column("audience", sa.Integer(), server_default="0", nullable=False),
        sa.Column("launching", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("total", sa.Integer(), server_default="0", nullable=False),
        sa.Column("queued", sa.Integer(), server_default="0", nullable=False),
        sa.Column("sent", sa.Integer(), server_default="0", nullable=False),
        sa.Column("failed", sa.Integer(), server_default="0", nullable=False),
        sa.Column("delivered", sa.Integer(), server_default="0", nullable=False),
        sa.Column("unconfirmed", sa.Integer(), server_default="0", nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=True),
        sa.Column("completed_at", sa.BigInteger(), nullable=True),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["traffic_accounts.id"], name=op.f("campaigns_account_id_fkey")
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name=op.f("campaigns_tenant_id_fkey")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("campaigns_pkey")),
        comment="`sent` counts sent and failed messages.",
        sqlite_autoincrement=True,
    )

    op.create_index(
        op.f("campaigns_account_id_tenant_id_status_id"),
        "campaigns",
        ["account_id", "tenant_id", "status", "id"],
        unique=False,
    )
    op.create_index(
        op.f("campaigns_status_scheduled_at"), "campaigns", ["status", "scheduled_at"], unique=False
    )
    op.create_index(op.f("campaigns_tenant_id_id"), "campaigns", ["tenant_id", "id"], unique=False)
    op.create_table(
        "lanes",
        sa.Column("account_id", ID, nullable=False),
        sa.Column("tenant_id", ID, nullable=False),
        sa.Column("pass", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("last_campaign_id", ID, nullable=True),
        sa.ForeignKeyConstraint(
            ["account_id"], ["traffic_accounts.id"], name=op.f("lanes_account_id_fkey")
        ),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("lanes_tenant_id_fkey")),
        sa.PrimaryKeyConstraint("account_id", "tenant_id", name=op.f("lanes_pkey")),
        comment="Whose turn it is on an account; changes only under the account's lock.",
    )
    op.create_table(
        "list_members",
        sa.Column("list_id", ID, nullable=False),
        sa.Column("contact_id", ID, nullable=False),
        sa.ForeignKeyConstraint(
            ["contact_id"],
            ["contacts.id"],
            name=op.f("list_members_contact_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["list_id"], ["lists.id"], name=op.f("list_members_list_id_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("list_id", "contact_id", name=op.f("list_members_pkey")),
    )
    op.create_index(op.f("list_members_contact_id"), "list_members", ["contact_id"], unique=False)
    op.create_table(
        "receipts",
        sa.Column("id", ID, nullable=False),
        sa.Column("account_id", ID, nullable=False),
        sa.Column("provider_message_id", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("delivery", sa.String(length=12), nullable=False),
        sa.Column("error", sa.Text(), server_default="", nullable=False),
        sa.Column("occurred_at", sa.BigInteger(), nullable=True),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("tries", sa.Integer(), server_default="0", nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["traffic_accounts.id"], name=op.f("receipts_account_id_fkey")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("receipts_pkey")),
        comment="The inbox: what webhooks brought and the fold has not taken up yet.",
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("receipts_due_at_id"), "receipts", ["due_at", "id"], unique=False)
    op.create_table(
        "launches",
        sa.Column("campaign_id", ID, autoincrement=False, nullable=False),
        sa.Column("cursor", ID, nullable=False),
        sa.Column("until", ID, nullable=False),
        sa.Column("batch_size", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["campaign_id"], ["campaigns.id"], name=op.f("launches_campaign_id_fkey")
        ),
        sa.PrimaryKeyConstraint("campaign_id", name=op.f("launches_pkey")),
        comment="A launch that is under way: contacts up to `cursor` have their messages.",
    )


def downgrade() -> None:

    op.drop_table("launches")
    op.drop_index(op.f("receipts_due_at_id"), table_name="receipts")
    op.drop_table("receipts")
    op.drop_index(op.f("list_members_contact_id"), table_name="list_members")
    op.drop_table("list_members")
    op.drop_table("lanes")
    op.drop_index(op.f("campaigns_tenant_id_id"), table_name="campaigns")
    op.drop_index(op.f("campaigns_status_scheduled_at"), table_name="campaigns")
    op.drop_index(op.f("campaigns_account_id_tenant_id_status_id"), table_name="campaigns")
    op.drop_table("campaigns")
    op.drop_table("traffic_accounts")
    op.drop_index(op.f("suppressions_tenant_id_seq"), table_name="suppressions")
    op.drop_table("suppressions")
    op.drop_table("lists")
    op.drop_index(op.f("idempotency_keys_created_at"), table_name="idempotency_keys")
    op.drop_table("idempotency_keys")
    op.drop_index(op.f("contacts_tenant_id_id"), table_name="contacts")
    op.drop_table("contacts")
    op.drop_table("attempts")
    op.drop_index(op.f("api_keys_tenant_id"), table_name="api_keys")
    op.drop_index(op.f("api_keys_hint"), table_name="api_keys")
    op.drop_table("api_keys")
    op.drop_table("tenants")
    op.drop_index(op.f("provider_messages_message_id"), table_name="provider_messages")
    op.drop_table("provider_messages")
    op.drop_index(
        "messages_single",
        table_name="messages",
        sqlite_where=sa.text("campaign_id IS NULL"),
        postgresql_where=sa.text("campaign_id IS NULL"),
    )
    op.drop_index(
        "messages_reason",
        table_name="messages",
        sqlite_where=sa.text("reason IS NOT NULL"),
        postgresql_where=sa.text("reason IS NOT NULL"),
    )
    op.drop_index(
        "messages_doubt",
        table_name="messages",
        sqlite_where=sa.text("in_doubt"),
        postgresql_where=sa.text("in_doubt"),
    )
    op.drop_index(op.f("messages_batch_id"), table_name="messages")
    op.drop_table("messages")
    op.drop_table("installation")
    op.drop_table("import_rows")
    op.drop_index(
        "batches_waiting",
        table_name="batches",
        sqlite_where=sa.text("status = 'queued' AND due_at > 0"),
        postgresql_where=sa.text("status = 'queued' AND due_at > 0"),
    )
    op.drop_index(
        "batches_ready",
        table_name="batches",
        sqlite_where=sa.text("status = 'queued'"),
        postgresql_where=sa.text("status = 'queued'"),
    )
    op.drop_index(
        "batches_leased",
        table_name="batches",
        sqlite_where=sa.text("lease_until IS NOT NULL"),
        postgresql_where=sa.text("lease_until IS NOT NULL"),
    )
    op.drop_index("batches_campaign", table_name="batches")
    op.drop_table("batches")
    op.drop_table("batch_blocks")
