"""The tables, as the newest migration leaves them.

Conventions: times are whole milliseconds since 1970 (``*_at``, ``*_until``); ids are integers that
are never used again; ``tenant_id`` leads every large table. The large tables (``messages``,
``provider_messages``) declare no foreign keys: on PostgreSQL each would cost one look-up per row of
a launch, and all their rows are written by a handful of functions that the audit checks.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Computed,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

metadata = MetaData(
    naming_convention={
        "ix": "%(table_name)s_%(column_0_N_name)s",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "ck": "%(table_name)s_%(constraint_name)s_check",
        "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
        "pk": "%(table_name)s_pkey",
    }
)

Id = BigInteger().with_variant(Integer, "sqlite")
Json = JSON().with_variant(JSONB, "postgresql")
NEVER_REUSED: dict[str, Any] = {"sqlite_autoincrement": True}


def _count(name: str) -> Column[int]:
    return Column(name, Integer, nullable=False, server_default="0")


def _flag(name: str) -> Column[bool]:
    return Column(name, Boolean, nullable=False, server_default=false())


def _moment(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False)


def _maybe(name: str) -> Column[int | None]:
    return Column(name, BigInteger)


def _search_key(name: str, of: str) -> Column[str | None]:
    """A column in small letters, by which those that begin alike stand together in an index: on
    PostgreSQL that takes the order of code points, which is SQLite's anyway.
    """
    kind = Text().with_variant(Text(collation="C"), "postgresql")
    return Column(name, kind, Computed(f"lower({of})"))


installation = Table(
    "installation",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("prefix", String(16), nullable=False),
    Column("default_account_id", Id),
    Column("key_check", Text),
    _moment("created_at"),
    CheckConstraint("id = 1", name="one_row"),
    comment="One row: who we are to the providers; the prefix begins every reference. `key_check` "
    "tells the key that credentials are sealed with from any other.",
)

tenants = Table(
    "tenants",
    metadata,
    Column("id", Id, primary_key=True),
    Column("name", String(100), nullable=False, unique=True),
    Column("default_account_id", Id),
    Column("rate_max", Integer),
    Column("rate_window_ms", Integer),
    Column("grants", Text, nullable=False, server_default=""),
    Column("opt_outs", BigInteger, nullable=False, server_default="0"),
    Column("stop_reply", Text),
    Column("start_reply", Text),
    Column("help_reply", Text),
    Column("timezone", String(64), nullable=False, server_default="UTC"),
    Column("sender", Text),
    Column("daily_cap", Integer),
    Column("day", Integer),
    _count("day_messages"),
    Column("quiet_from", Integer),
    Column("quiet_until", Integer),
    Column("frequency_max", Integer),
    Column("frequency_days", Integer),
    _moment("created_at"),
    comment="`grants` is the tenant's sliding window; `opt_outs` counts its suppressions as they "
    "are committed; `day_messages` counts what was submitted on the day `day` (in `timezone`, days "
    "since 1970). They change only under this row's lock. `quiet_*`: minutes of the recipient's "
    "day.",
    **NEVER_REUSED,
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", Id, primary_key=True),
    Column("tenant_id", Id, ForeignKey("tenants.id"), nullable=False),
    Column("name", String(100), nullable=False),
    Column("hint", String(16), nullable=False),
    Column("digest", String(64), nullable=False, unique=True),
    _moment("created_at"),
    Column("scopes", Json, nullable=False, server_default=text("'[]'")),
    _flag("test"),
    _maybe("expires_at"),
    _maybe("last_used_at"),
    _maybe("revoked_at"),
    Column("made_by", String(200)),
    Index(None, "tenant_id"),
    Index(None, "hint"),
    comment="`digest` is the SHA-256 of the key; `hint` its first characters. `scopes`: what it "
    "may do. `test`: it reaches nobody but the simulator. `made_by`: as the audit log has it.",
    **NEVER_REUSED,
)

traffic_accounts = Table(
    "traffic_accounts",
    metadata,
    Column("id", Id, primary_key=True),
    Column("name", String(100), nullable=False, unique=True),
    Column("tenant_id", Id, ForeignKey("tenants.id")),
    Column("provider", String(30), nullable=False),
    Column("base_url", Text, nullable=False),
    Column("external_id", Text, nullable=False),
    Column("api_key", Text, nullable=False),
    Column("sender", Text, nullable=False),
    Column("options", Json, nullable=False, server_default=text("'{}'")),
    Column("server_error", String(10), nullable=False, server_default="retry"),
    Column("webhook_token", String(64), nullable=False, unique=True),
    Column("rate_max", Integer),
    Column("rate_window_ms", Integer),
    Column("grants", Text, nullable=False, server_default=""),
    _count("failures"),
    _maybe("closed_at"),
    _maybe("closed_until"),
    Column("closed_why", Text),
    _maybe("held_at"),
    Column("held_why", Text),
    _moment("created_at"),
    comment="`tenant_id` NULL: shared by all tenants. `grants`, `failures`, `closed_*` and "
    "`held_*` change only under this row's lock.",
    **NEVER_REUSED,
)

account_turns = Table(
    "account_turns",
    metadata,
    Column("account_id", Id, ForeignKey("traffic_accounts.id"), primary_key=True),
    Column("turn", BigInteger, nullable=False, server_default="0"),
    comment="The pass at which an account last served a lane. Apart from the account's row, so "
    "that reserving keeps nobody waiting at the gate.",
)

lanes = Table(
    "lanes",
    metadata,
    Column("account_id", Id, ForeignKey("traffic_accounts.id"), nullable=False),
    Column("tenant_id", Id, ForeignKey("tenants.id"), nullable=False),
    Column("pass", BigInteger, nullable=False, server_default="0"),
    Column("last_campaign_id", Id),
    PrimaryKeyConstraint("account_id", "tenant_id"),
    comment="Whose turn it is on an account; changes only under the lock of the account's turn.",
)

contacts = Table(
    "contacts",
    metadata,
    Column("id", Id, primary_key=True),
    Column("tenant_id", Id, ForeignKey("tenants.id"), nullable=False),
    Column("phone", String(16), nullable=False),
    Column("first_name", Text),
    Column("last_name", Text),
    Column("attributes", Json, nullable=False, server_default=text("'{}'")),
    Column("region", String(2)),
    _moment("created_at"),
    _moment("updated_at"),
    _search_key("first_key", "first_name"),
    _search_key("last_key", "last_name"),
    UniqueConstraint("tenant_id", "phone"),
    Index(None, "tenant_id", "id"),
    Index(None, "tenant_id", "first_key"),
    Index(None, "tenant_id", "last_key"),
    comment="`region`: the country of the number (ISO 3166), where it has one. `*_key`: the names "
    "as they are searched.",
    **NEVER_REUSED,
)

lists = Table(
    "lists",
    metadata,
    Column("id", Id, primary_key=True),
    Column("tenant_id", Id, ForeignKey("tenants.id"), nullable=False),
    Column("name", String(200), nullable=False),
    _moment("created_at"),
    UniqueConstraint("tenant_id", "name"),
    **NEVER_REUSED,
)

list_members = Table(
    "list_members",
    metadata,
    Column("list_id", Id, ForeignKey("lists.id", ondelete="CASCADE"), nullable=False),
    Column("contact_id", Id, ForeignKey("contacts.id", ondelete="CASCADE"), nullable=False),
    PrimaryKeyConstraint("list_id", "contact_id"),
    Index(None, "contact_id"),
)

import_rows = Table(
    "import_rows",
    metadata,
    Column("import_id", String(32), nullable=False),
    Column("row", Integer, nullable=False),
    Column("tenant_id", Id, nullable=False),
    Column("phone", String(16), nullable=False),
    Column("first_name", Text),
    Column("last_name", Text),
    Column("attributes", Json),
    Column("region", String(2)),
    _moment("created_at"),
    PrimaryKeyConstraint("import_id", "row"),
    comment="Rows of an import on their way; merged into contacts by one transaction.",
)

imports = Table(
    "imports",
    metadata,
    Column("id", Id, primary_key=True),
    Column("tenant_id", Id, ForeignKey("tenants.id"), nullable=False),
    Column("import_id", String(32), nullable=False, unique=True),
    Column("name", String(255), nullable=False),
    Column("list_id", Id),
    _count("imported"),
    _count("updated"),
    _count("duplicates"),
    _count("invalid"),
    Column("header", Text),
    Column("actor", String(200), nullable=False),
    _moment("created_at"),
    _maybe("finished_at"),
    _maybe("undone_at"),
    Index(None, "tenant_id", "id"),
    comment="What was imported; `name` is the file's, `header` its first row, as JSON. Without "
    "`finished_at` it is under way, or died.",
    **NEVER_REUSED,
)

import_changes = Table(
    "import_changes",
    metadata,
    Column("import_id", Id, ForeignKey("imports.id", ondelete="CASCADE"), nullable=False),
    Column("contact_id", Id, nullable=False),
    Column("before", Json),
    _flag("joined"),
    PrimaryKeyConstraint("import_id", "contact_id"),
    comment="How an import can be undone: `before` is what a contact was (NULL: it is new), "
    "`joined`: it was put on the list. Kept for some days.",
)

import_rejects = Table(
    "import_rejects",
    metadata,
    Column("import_id", Id, ForeignKey("imports.id", ondelete="CASCADE"), nullable=False),
    Column("row", Integer, nullable=False),
    Column("position", Integer, nullable=False),
    Column("column", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("cells", Text),
    PrimaryKeyConstraint("import_id", "row", "position"),
    comment="Rows that an import did not take, and why: one for each fault. `cells`: the row as it "
    "was, as JSON, with its first fault. Kept for some days.",
)

segments = Table(
    "segments",
    metadata,
    Column("id", Id, primary_key=True),
    Column("tenant_id", Id, ForeignKey("tenants.id"), nullable=False),
    Column("name", String(200), nullable=False),
    Column("filter", Json, nullable=False),
    _moment("created_at"),
    _moment("updated_at"),
    UniqueConstraint("tenant_id", "name"),
    Index(None, "tenant_id", "id"),
    comment="Audience segments: a filter over contacts.",
    **NEVER_REUSED,
)

suppressions = Table(
    "suppressions",
    metadata,
    Column("tenant_id", Id, ForeignKey("tenants.id"), nullable=False),
    Column("phone", String(16), nullable=False),
    Column("reason", Text, nullable=False),
    Column("source", String(10), nullable=False, server_default="operator"),
    Column("seq", BigInteger, nullable=False),
    _moment("created_at"),
    PrimaryKeyConstraint("tenant_id", "phone"),
    Index(None, "tenant_id", "seq"),
    comment="`seq` is the tenant's `opt_outs` at the commit that wrote the row. `source`: "
    "operator, stop (a reply), link or provider; a START ends a `stop` only.",
)

erased_numbers = Table(
    "erased_numbers",
    metadata,
    Column("tenant_id", Id, ForeignKey("tenants.id"), nullable=False),
    Column("digest", String(64), nullable=False),
    _moment("created_at"),
    PrimaryKeyConstraint("tenant_id", "digest"),
    comment="People who were erased: a keyed hash of their number, by which it is suppressed if it "
    "ever comes again.",
)

prices = Table(
    "prices",
    metadata,
    Column("tenant_id", Id, ForeignKey("tenants.id"), nullable=False),
    Column("prefix", String(15), nullable=False),
    Column("price", BigInteger, nullable=False),
    Column("currency", String(3), nullable=False),
    PrimaryKeyConstraint("tenant_id", "prefix"),
    comment="What a part costs to numbers that begin with `prefix` (digits without +; the longest "
    "one counts), in millionths of the currency.",
)

campaigns = Table(
    "campaigns",
    metadata,
    Column("id", Id, primary_key=True),
    Column("tenant_id", Id, ForeignKey("tenants.id"), nullable=False),
    Column("account_id", Id, ForeignKey("traffic_accounts.id"), nullable=False),
    Column("name", String(200), nullable=False),
    Column("text", Text, nullable=False),
    Column("sender", Text, nullable=False),
    Column("list_id", Id),
    Column("segment_id", Id),
    Column("filter", Json),
    Column("excluded_campaigns", Json),
    Column("parent_id", Id),
    Column("parent_reasons", Json),
    Column("status", String(10), nullable=False),
    _maybe("scheduled_at"),
    Column("timezone", String(64)),
    _maybe("start_by"),
    Column("error", Text),
    Column("window_from", Integer),
    Column("window_until", Integer),
    Column("rate_max", Integer),
    Column("rate_window_ms", Integer),
    Column("grants", Text, nullable=False, server_default=""),
    _count("audience"),
    _flag("launching"),
    _count("total"),
    _count("queued"),
    _count("sent"),
    _count("failed"),
    _count("processed"),
    _count("delivered"),
    _count("unconfirmed"),
    _moment("created_at"),
    _maybe("started_at"),
    _maybe("completed_at"),
    _moment("updated_at"),
    CheckConstraint("queued + sent + failed = total", name="total"),
    CheckConstraint("processed = sent + failed", name="processed"),
    CheckConstraint("queued >= 0 AND sent >= 0 AND failed >= 0", name="counters"),
    CheckConstraint("delivered >= 0 AND delivered <= sent", name="delivered"),
    CheckConstraint("unconfirmed >= 0 AND unconfirmed <= queued", name="unconfirmed"),
    Index(None, "tenant_id", "id"),
    Index(None, "account_id", "tenant_id", "status", "id"),
    Index(None, "status", "scheduled_at"),
    comment="`sent` is sent, `processed` = sent + failed; every counter equals its rows. `filter`: "
    "the segment's as the launch read it. `parent_id`: it is sent again to those whom that "
    "campaign failed to reach, for `parent_reasons`. `start_by`: it starts by then or not at all. "
    "`error`: why it failed. `window_*`: the minutes of the tenant's day in which it is sent. "
    "`grants`: the sliding window of its own speed.",
    **NEVER_REUSED,
)

launches = Table(
    "launches",
    metadata,
    Column("campaign_id", Id, ForeignKey("campaigns.id"), primary_key=True, autoincrement=False),
    Column("cursor", Id, nullable=False),
    Column("until", Id, nullable=False),
    Column("batch_size", Integer, nullable=False),
    comment="A launch that is under way: contacts up to `cursor` have their messages.",
)

batch_blocks = Table(
    "batch_blocks",
    metadata,
    Column("id", Id, primary_key=True),
    _moment("created_at"),
    comment="Hands out batch ids: block n owns the ids n * 65536 to n * 65536 + 65535.",
    **NEVER_REUSED,
)

batches = Table(
    "batches",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=False),
    Column("tenant_id", Id, nullable=False),
    Column("account_id", Id, nullable=False),
    Column("campaign_id", Id),
    Column("status", String(12), nullable=False),
    Column("size", Integer, nullable=False),
    _count("tries"),
    _count("retry_count"),
    _count("generation"),
    _flag("in_doubt"),
    _maybe("doubt_since"),
    _count("fence"),
    Column("due_at", BigInteger, nullable=False, server_default="0"),
    Column("waits_for", String(12)),
    _maybe("lease_until"),
    Column("seen_opt_outs", BigInteger, nullable=False, server_default="0"),
    Column("region", String(2)),
    Column("error", Text),
    _maybe("confirm_at"),
    Column("sibling_id", Id),
    Column("rejected", Text),
    _moment("created_at"),
    _moment("updated_at"),
    Index(
        "batches_confirm",
        "confirm_at",
        sqlite_where=text("confirm_at IS NOT NULL"),
        postgresql_where=text("confirm_at IS NOT NULL"),
    ),
    Index(
        "batches_ready",
        "account_id",
        "tenant_id",
        "campaign_id",
        "due_at",
        "id",
        sqlite_where=text("status = 'queued'"),
        postgresql_where=text("status = 'queued'"),
    ),
    Index(
        "batches_leased",
        "account_id",
        "status",
        "lease_until",
        sqlite_where=text("lease_until IS NOT NULL"),
        postgresql_where=text("lease_until IS NOT NULL"),
    ),
    Index(
        "batches_waiting",
        "due_at",
        sqlite_where=text("status = 'queued' AND due_at > 0"),
        postgresql_where=text("status = 'queued' AND due_at > 0"),
    ),
    Index("batches_campaign", "campaign_id", "status"),
    comment="`due_at` 0: as soon as possible. `waits_for`: what a queued batch waits for until "
    "then, if it is another time of the day. `region`: the country of all its numbers (ZZ: none); "
    "NULL: nobody has looked, or a single message that goes at any time. `fence` rises at each "
    "reservation; a result is recorded only under the fence it was sent with. `confirm_at`: when "
    "to ask the provider what became of it. `sibling_id`: the other half of a batch that was "
    "rejected whole, `rejected`: why this half was, too, while the other is undecided.",
)

messages = Table(
    "messages",
    metadata,
    Column("id", Id, primary_key=True),
    Column("tenant_id", Id, nullable=False),
    Column("campaign_id", Id),
    Column("batch_id", Id, nullable=False),
    Column("contact_id", Id),
    Column("phone", String(16), nullable=False),
    Column("merge_values", Text),
    Column("text", Text),
    Column("sender", Text),
    Column("status", String(8), nullable=False),
    Column("reason", String(24)),
    Column("error", Text),
    Column("delivery", String(12), nullable=False, server_default="none"),
    _flag("in_doubt"),
    _moment("created_at"),
    _maybe("sent_at"),
    _maybe("failed_at"),
    _maybe("delivered_at"),
    UniqueConstraint("campaign_id", "phone"),
    Index(None, "campaign_id", "id"),
    Index(None, "batch_id"),
    Index(None, "contact_id"),
    Index(
        "messages_reason",
        "campaign_id",
        "reason",
        "id",
        sqlite_where=text("reason IS NOT NULL"),
        postgresql_where=text("reason IS NOT NULL"),
    ),
    Index(
        "messages_doubt",
        "campaign_id",
        "in_doubt",
        "id",
        sqlite_where=text("in_doubt = 1"),
        postgresql_where=text("in_doubt"),
    ),
    Index(
        "messages_single",
        "tenant_id",
        "id",
        sqlite_where=text("campaign_id IS NULL"),
        postgresql_where=text("campaign_id IS NULL"),
    ),
    Index(
        "messages_single_phone",
        "tenant_id",
        "phone",
        sqlite_where=text("campaign_id IS NULL"),
        postgresql_where=text("campaign_id IS NULL"),
    ),
    comment="`text` and `sender` only without a campaign; no indexed column changes when a message "
    "is sent, so that PostgreSQL can update it in place.",
    # Sending updates every row of a page: each needs room for its new version beside the old one,
    # or it moves to another page and all indexes with it (four times the cost).
    postgresql_with={"fillfactor": "45"},
    **NEVER_REUSED,
)

contacted = Table(
    "contacted",
    metadata,
    Column("tenant_id", Id, nullable=False),
    Column("phone", String(16), nullable=False),
    Column("message_id", Id, nullable=False),
    _moment("at"),
    PrimaryKeyConstraint("tenant_id", "phone", "message_id"),
    Index(None, "at"),
    comment="Who was written to, and when, by the intent: of tenants with a frequency cap only, "
    "and for as long as that reaches back.",
    sqlite_with_rowid=False,
)

attempts = Table(
    "attempts",
    metadata,
    Column("id", Id, primary_key=True),
    Column("tenant_id", Id, nullable=False),
    Column("account_id", Id, nullable=False),
    Column("campaign_id", Id),
    Column("batch_id", Id, ForeignKey("batches.id"), nullable=False),
    Column("fence", Integer, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("size", Integer, nullable=False),
    Column("worker", String(64), nullable=False),
    _moment("started_at"),
    _moment("send_by"),
    _maybe("finished_at"),
    Column("outcome", String(16)),
    Column("http_status", Integer),
    Column("error", Text),
    Column("bulk_id", Text),
    UniqueConstraint("batch_id", "fence"),
    Index(None, "started_at", "tenant_id"),
    comment="One submission, committed before its call. No outcome: it may have been made.",
    **NEVER_REUSED,
)

answers = Table(
    "answers",
    metadata,
    Column("attempt_id", Id, primary_key=True, autoincrement=False),
    Column("account_id", Id, nullable=False),
    Column("provider_ids", Text, nullable=False),
    comment="What the provider calls the messages of an attempt, until it is indexed in "
    "`provider_messages`: a JSON object, message id to provider's id.",
)

provider_messages = Table(
    "provider_messages",
    metadata,
    Column("account_id", Id, nullable=False),
    Column("provider_message_id", Text, nullable=False),
    Column("message_id", Id, nullable=False),
    Column("attempt_id", Id, nullable=False),
    Column("delivery", String(12), nullable=False, server_default="none"),
    PrimaryKeyConstraint("account_id", "provider_message_id"),
    Index(None, "message_id"),
    comment="What the provider calls a message, once per attempt that it accepted; receipts are "
    "joined here. Apart from `messages`, whose rows then need no indexed column to change.",
    sqlite_with_rowid=False,
)

receipts = Table(
    "receipts",
    metadata,
    Column("id", Id, primary_key=True),
    Column("account_id", Id, ForeignKey("traffic_accounts.id"), nullable=False),
    Column("provider_message_id", Text, nullable=False),
    Column("reference", Text, nullable=False),
    Column("delivery", String(12), nullable=False),
    Column("error", Text, nullable=False, server_default=""),
    _maybe("occurred_at"),
    _moment("received_at"),
    _count("tries"),
    _moment("due_at"),
    Index(None, "due_at", "id"),
    comment="The inbox: what webhooks brought and the fold has not taken up yet.",
    **NEVER_REUSED,
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("tenant_id", Id, ForeignKey("tenants.id"), nullable=False),
    Column("key", String(255), nullable=False),
    Column("request_digest", String(64), nullable=False),
    Column("status", Integer),
    Column("body", Text),
    _moment("created_at"),
    PrimaryKeyConstraint("tenant_id", "key"),
    Index(None, "created_at"),
    comment="Answers kept for repeats of a request; no status yet: still being made.",
)


audit_log = Table(
    "audit_log",
    metadata,
    Column("id", Id, primary_key=True),
    Column("tenant_id", Id),
    Column("actor", String(200), nullable=False),
    Column("action", String(64), nullable=False),
    Column("subject", String(200), nullable=False),
    Column("detail", Json, nullable=False, server_default=text("'{}'")),
    _moment("at"),
    Index(None, "tenant_id", "id"),
    comment="Who changed what, and when. Rows are only ever added.",
    **NEVER_REUSED,
)

inbound_numbers = Table(
    "inbound_numbers",
    metadata,
    Column("account_id", Id, ForeignKey("traffic_accounts.id"), nullable=False),
    Column("number", String(32), nullable=False),
    Column("tenant_id", Id, ForeignKey("tenants.id"), nullable=False),
    _moment("created_at"),
    PrimaryKeyConstraint("account_id", "number"),
    comment="Whose a reply is that came to this number or sender. An account of one tenant needs "
    "none.",
)

inbound_messages = Table(
    "inbound_messages",
    metadata,
    Column("id", Id, primary_key=True),
    Column("account_id", Id, ForeignKey("traffic_accounts.id"), nullable=False),
    Column("tenant_id", Id),
    Column("provider_message_id", String(255)),
    Column("phone", String(16), nullable=False),
    Column("number", String(32), nullable=False),
    Column("text", Text, nullable=False),
    Column("keyword", String(8)),
    _moment("received_at"),
    UniqueConstraint("account_id", "provider_message_id"),
    Index(None, "tenant_id", "id"),
    Index(None, "tenant_id", "phone", "id"),
    comment="Replies. `phone` wrote `text` to `number`; `tenant_id` NULL: nobody's that we know "
    "of, so nothing came of it.",
    **NEVER_REUSED,
)

webhook_endpoints = Table(
    "webhook_endpoints",
    metadata,
    Column("id", Id, primary_key=True),
    Column("tenant_id", Id, ForeignKey("tenants.id"), nullable=False),
    Column("url", Text, nullable=False),
    Column("secret", Text, nullable=False),
    Column("events", Json, nullable=False),
    _moment("created_at"),
    _maybe("disabled_at"),
    Column("disabled_why", Text),
    Index(None, "tenant_id", "id"),
    comment="Where a tenant wants to be told. `secret` is sealed; `events` are the types it wants.",
    **NEVER_REUSED,
)

webhook_events = Table(
    "webhook_events",
    metadata,
    Column("id", Id, primary_key=True),
    Column("tenant_id", Id, nullable=False),
    Column("type", String(32), nullable=False),
    Column("subject_id", Id, nullable=False),
    Column("payload", Text, nullable=False),
    _moment("created_at"),
    Index(None, "tenant_id", "id"),
    comment="What there is to tell, written with the change that it tells of.",
    **NEVER_REUSED,
)

webhook_deliveries = Table(
    "webhook_deliveries",
    metadata,
    Column("id", Id, primary_key=True),
    Column("event_id", Id, ForeignKey("webhook_events.id", ondelete="CASCADE"), nullable=False),
    Column(
        "endpoint_id", Id, ForeignKey("webhook_endpoints.id", ondelete="CASCADE"), nullable=False
    ),
    Column("status", String(10), nullable=False, server_default="pending"),
    _count("tries"),
    _maybe("due_at"),
    Column("http_status", Integer),
    Column("error", Text),
    _maybe("delivered_at"),
    UniqueConstraint("event_id", "endpoint_id"),
    Index(None, "endpoint_id", "id"),
    Index(
        "webhook_deliveries_due",
        "due_at",
        sqlite_where=text("due_at IS NOT NULL"),
        postgresql_where=text("due_at IS NOT NULL"),
    ),
    comment="One event on its way to one endpoint: pending (`due_at` is its next try), delivered "
    "or failed.",
    **NEVER_REUSED,
)

users = Table(
    "users",
    metadata,
    Column("id", Id, primary_key=True),
    Column("tenant_id", Id, ForeignKey("tenants.id"), nullable=False),
    Column("login", String(100), nullable=False, unique=True),
    Column("password", Text, nullable=False),
    Column("role", String(10), nullable=False),
    Column("language", String(10)),
    _moment("created_at"),
    _maybe("last_seen_at"),
    _maybe("disabled_at"),
    Index(None, "tenant_id", "id"),
    comment="Who signs in to the dashboard. `password` is its argon2id hash.",
    **NEVER_REUSED,
)

sessions = Table(
    "sessions",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("tenant_id", Id, ForeignKey("tenants.id"), nullable=False),
    Column("user_id", Id, ForeignKey("users.id")),
    Column("role", String(10), nullable=False),
    _moment("created_at"),
    _moment("expires_at"),
    Index(None, "expires_at"),
    Index(None, "user_id"),
    comment="Who is signed in. `digest` is the SHA-256 of the cookie; `user_id` NULL: by a link "
    "from the terminal.",
)

sign_in_links = Table(
    "sign_in_links",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("tenant_id", Id, ForeignKey("tenants.id"), nullable=False),
    Column("role", String(10), nullable=False),
    _moment("created_at"),
    _moment("expires_at"),
    comment="Links that sign in once; the row goes when it is used. `digest` is the SHA-256 of "
    "what the link carries.",
)
