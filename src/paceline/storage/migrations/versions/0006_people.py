"""Make room for scopes, imports that can be undone, segments, quiet hours, caps and prices."""

from __future__ import annotations

from typing import Any

import phonenumbers
import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")
JSON = sa.JSON().with_variant(postgresql.JSONB, "postgresql")
MOMENT = sa.BigInteger()

_COMMENTS = {
    "tenants": (
        (
            "`grants` is the tenant's sliding window; `opt_outs` counts its suppressions as "
            "they are committed. Both change only under this row's lock."
        ),
        (
            "`grants` is the tenant's sliding window; `opt_outs` counts its suppressions as "
            "they are committed; `day_messages` counts what was submitted on the day `day` (in "
            "`timezone`, days since 1970). They change only under this row's lock. `quiet_*`: "
            "minutes of the recipient's day."
        ),
    ),
    "api_keys": (
        "`digest` is the SHA-256 of the key; `hint` its first characters.",
        (
            "`digest` is the SHA-256 of the key; `hint` its first characters. `scopes`: what it may "
            "do. `test`: it reaches nobody but the simulator."
        ),
    ),
    "batches": (
        (
            "`due_at` 0: as soon as possible. `fence` rises at each reservation; a result is "
            "recorded only under the fence it was sent with. `confirm_at`: when to ask the provider "
            "what became of it. `sibling_id`: the other half of a batch that was rejected whole, "
            "`rejected`: why this half was, too, while the other is undecided."
        ),
        (
            "`due_at` 0: as soon as possible. `waits_for`: what a queued batch waits for until then, "
            "if it is another time of the day. `region`: the country of all its numbers (ZZ: none); "
            "NULL: nobody has looked, or a single message that goes at any time. `fence` rises at "
            "each reservation; a result is recorded only under the fence it was sent with. "
            "`confirm_at`: when to ask the provider what became of it. `sibling_id`: the other half "
            "of a batch that was rejected whole, `rejected`: why this half was, too, while the other "
            "is undecided."
        ),
    ),
    "contacts": (
        None,
        "`region`: the country of the number (ISO 3166), where it has one.",
    ),
    "campaigns": (
        "`sent` is sent, `processed` = sent + failed; every counter equals its rows.",
        (
            "`sent` is sent, `processed` = sent + failed; every counter equals its rows. "
            "`filter`: the segment's as the launch read it. `parent_id`: it is sent again to "
            "those whom that campaign failed to reach, for `parent_reasons`. `start_by`: it "
            "starts by then or not at all. `error`: why it failed. `window_*`: the minutes of the "
            "tenant's day in which it is sent. `grants`: the sliding window of its own speed."
        ),
    ),
}
_PAGE = 1_000
_ONLY_ADDED = "the audit log is only ever added to"
_CLOSE_AUDIT_LOG = {
    "sqlite": [
        f"CREATE TRIGGER audit_log_{name} BEFORE {event} ON audit_log {when} "
        f"BEGIN SELECT RAISE(ABORT, '{_ONLY_ADDED}'); END"
        for name, event, when in (
            ("not_changed", "UPDATE", ""),
            ("not_deleted", "DELETE", ""),
            # INSERT OR REPLACE deletes without asking the trigger above.
            (
                "not_replaced",
                "INSERT",
                "WHEN EXISTS (SELECT 1 FROM audit_log WHERE id = NEW.id)",
            ),
        )
    ],
    "postgresql": [
        (
            "CREATE FUNCTION audit_log_only_added() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN RAISE EXCEPTION '{_ONLY_ADDED}'; END $$"
        ),
        (
            "CREATE TRIGGER audit_log_not_changed BEFORE UPDATE OR DELETE ON audit_log "
            "FOR EACH ROW EXECUTE FUNCTION audit_log_only_added()"
        ),
        (
            "CREATE TRIGGER audit_log_not_emptied BEFORE TRUNCATE ON audit_log "
            "FOR EACH STATEMENT EXECUTE FUNCTION audit_log_only_added()"
        ),
    ],
}
_OPEN_AUDIT_LOG = {
    "sqlite": [
        f"DROP TRIGGER audit_log_{name}" for name in ("not_changed", "not_deleted", "not_replaced")
    ],
    "postgresql": ["DROP FUNCTION audit_log_only_added() CASCADE"],
}
_KEYS = sa.table(
    "api_keys",
    sa.column("id"),
    sa.column("scopes", JSON),
    sa.column("admin", sa.Boolean),
    sa.column("test", sa.Boolean),
    sa.column("revoked_at"),
)


def upgrade() -> None:
    for table, column in _columns():
        op.add_column(table, column)
    _create_imports()
    _create_audiences()
    _create_prices()
    _give_scopes()
    _close_audit_log()
    _find_regions()
    _comment(after=True)


def downgrade() -> None:
    op.drop_index(op.f("messages_contact_id"), "messages")
    for table in (
        "prices",
        "contacted",
        "erased_numbers",
        "segments",
        "import_rejects",
        "import_changes",
        "imports",
    ):
        op.drop_table(table)
    _take_scopes()
    _open_audit_log()
    for table, column in _columns():
        op.drop_column(table, column.name)
    _comment(after=False)


def _columns() -> list[tuple[str, sa.Column[Any]]]:
    """What is added to the tables that there were."""
    return [
        ("api_keys", sa.Column("scopes", JSON, server_default=sa.text("'[]'"), nullable=False)),
        ("api_keys", sa.Column("test", sa.Boolean(), server_default=sa.false(), nullable=False)),
        ("api_keys", sa.Column("expires_at", MOMENT)),
        ("batches", sa.Column("region", sa.String(2))),
        ("batches", sa.Column("waits_for", sa.String(12))),
        ("campaigns", sa.Column("error", sa.Text())),
        ("campaigns", sa.Column("segment_id", ID)),
        ("campaigns", sa.Column("filter", JSON)),
        ("campaigns", sa.Column("excluded_campaigns", JSON)),
        ("campaigns", sa.Column("parent_id", ID)),
        ("campaigns", sa.Column("parent_reasons", JSON)),
        ("campaigns", sa.Column("start_by", MOMENT)),
        ("campaigns", sa.Column("window_from", sa.Integer())),
        ("campaigns", sa.Column("window_until", sa.Integer())),
        ("campaigns", sa.Column("rate_max", sa.Integer())),
        ("campaigns", sa.Column("rate_window_ms", sa.Integer())),
        ("campaigns", sa.Column("grants", sa.Text(), server_default="", nullable=False)),
        ("contacts", sa.Column("region", sa.String(2))),
        ("import_rows", sa.Column("region", sa.String(2))),
        ("tenants", sa.Column("timezone", sa.String(64), server_default="UTC", nullable=False)),
        ("tenants", sa.Column("sender", sa.Text())),
        ("tenants", sa.Column("daily_cap", sa.Integer())),
        ("tenants", sa.Column("day", sa.Integer())),
        ("tenants", sa.Column("day_messages", sa.Integer(), server_default="0", nullable=False)),
        ("tenants", sa.Column("quiet_from", sa.Integer())),
        ("tenants", sa.Column("quiet_until", sa.Integer())),
        ("tenants", sa.Column("frequency_max", sa.Integer())),
        ("tenants", sa.Column("frequency_days", sa.Integer())),
    ]


def _create_imports() -> None:
    op.create_table(
        "imports",
        sa.Column("id", ID, nullable=False),
        sa.Column("tenant_id", ID, nullable=False),
        sa.Column("import_id", sa.String(32), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("list_id", ID),
        sa.Column("imported", sa.Integer(), server_default="0", nullable=False),
        sa.Column("updated", sa.Integer(), server_default="0", nullable=False),
        sa.Column("duplicates", sa.Integer(), server_default="0", nullable=False),
        sa.Column("invalid", sa.Integer(), server_default="0", nullable=False),
        sa.Column("header", sa.Text()),
        sa.Column("actor", sa.String(200), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("finished_at", MOMENT),
        sa.Column("undone_at", MOMENT),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("imports_tenant_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("imports_pkey")),
        sa.UniqueConstraint("import_id", name=op.f("imports_import_id_key")),
        comment="What was imported; `name` is the file's, `header` its first row, as JSON. Without `finished_at` it is under way, or died.",
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("imports_tenant_id_id"), "imports", ["tenant_id", "id"])
    op.create_table(
        "import_changes",
        sa.Column("import_id", ID, nullable=False),
        sa.Column("contact_id", ID, nullable=False),
        sa.Column("before", JSON),
        sa.Column("joined", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.ForeignKeyConstraint(
            ["import_id"],
            ["imports.id"],
            name=op.f("import_changes_import_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("import_id", "contact_id", name=op.f("import_changes_pkey")),
        comment="How an import can be undone: `before` is what a contact was (NULL: it is new), `joined`: it was put on the list. Kept for some days.",
    )
    op.create_table(
        "import_rejects",
        sa.Column("import_id", ID, nullable=False),
        sa.Column("row", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("column", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("cells", sa.Text()),
        sa.ForeignKeyConstraint(
            ["import_id"],
            ["imports.id"],
            name=op.f("import_rejects_import_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("import_id", "row", "position", name=op.f("import_rejects_pkey")),
        comment="Rows that an import did not take, and why: one for each fault. `cells`: the row as it was, as JSON, with its first fault. Kept for some days.",
    )


def _create_audiences() -> None:
    op.create_table(
        "segments",
        sa.Column("id", ID, nullable=False),
        sa.Column("tenant_id", ID, nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("filter", JSON, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("updated_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name=op.f("segments_tenant_id_fkey")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("segments_pkey")),
        sa.UniqueConstraint("tenant_id", "name", name=op.f("segments_tenant_id_name_key")),
        comment="Audience segments: a filter over contacts.",
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("segments_tenant_id_id"), "segments", ["tenant_id", "id"])
    op.create_table(
        "erased_numbers",
        sa.Column("tenant_id", ID, nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name=op.f("erased_numbers_tenant_id_fkey")
        ),
        sa.PrimaryKeyConstraint("tenant_id", "digest", name=op.f("erased_numbers_pkey")),
        comment="People who were erased: a keyed hash of their number, by which it is suppressed if it ever comes again.",
    )
    op.create_table(
        "contacted",
        sa.Column("tenant_id", ID, nullable=False),
        sa.Column("phone", sa.String(16), nullable=False),
        sa.Column("message_id", ID, nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "phone", "message_id", name=op.f("contacted_pkey")),
        comment="Who was written to, and when, by the intent: of tenants with a frequency cap only, and for as long as that reaches back.",
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("contacted_at"), "contacted", ["at"])
    op.create_index(op.f("messages_contact_id"), "messages", ["contact_id"])


def _create_prices() -> None:
    op.create_table(
        "prices",
        sa.Column("tenant_id", ID, nullable=False),
        sa.Column("prefix", sa.String(15), nullable=False),
        sa.Column("price", MOMENT, nullable=False),
        sa.Column("currency", sa.String(3), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("prices_tenant_id_fkey")),
        sa.PrimaryKeyConstraint("tenant_id", "prefix", name=op.f("prices_pkey")),
        comment="What a part costs to numbers that begin with `prefix` (digits without +; the longest one counts), in millionths of the currency.",
    )


def _give_scopes() -> None:
    """Keys may do what they could: everything of their tenant, and admin keys the rest."""
    scopes = ["read", "send", "manage"]
    op.execute(_KEYS.update().values(scopes=scopes))
    op.execute(_KEYS.update().where(_KEYS.c.admin).values(scopes=[*scopes, "admin"]))
    op.drop_column("api_keys", "admin")


def _take_scopes() -> None:
    """Of its scopes a key keeps whether it may do everything. One that could not do all that a
    key of its tenant can, or was for tests, ends: it must not be able to do more than before.
    """
    admin: sa.Column[bool] = sa.Column(
        "admin", sa.Boolean(), server_default=sa.false(), nullable=False
    )
    op.add_column("api_keys", admin)
    bind = op.get_bind()
    for row in bind.execute(sa.select(_KEYS.c.id, _KEYS.c.scopes, _KEYS.c.test)).all():
        of_key = _KEYS.update().where(_KEYS.c.id == row.id)
        if "admin" in row.scopes:
            bind.execute(of_key.values(admin=True))
        if row.test or not {"read", "send", "manage"} <= set(row.scopes):
            bind.execute(of_key.values(revoked_at=sa.func.coalesce(_KEYS.c.revoked_at, 0)))


def _close_audit_log() -> None:
    """Let nobody change or delete what the audit log says, by whatever way."""
    for statement in _CLOSE_AUDIT_LOG[op.get_bind().dialect.name]:
        op.execute(statement)


def _open_audit_log() -> None:
    for statement in _OPEN_AUDIT_LOG[op.get_bind().dialect.name]:
        op.execute(statement)


def _find_regions() -> None:
    """Note the country of each contact's number."""
    contacts = sa.table("contacts", sa.column("id"), sa.column("phone"), sa.column("region"))
    bind = op.get_bind()
    last = 0
    while rows := bind.execute(
        sa.select(contacts.c.id, contacts.c.phone)
        .where(contacts.c.id > last)
        .order_by(contacts.c.id)
        .limit(_PAGE)
    ).all():
        last = rows[-1].id
        bind.execute(
            contacts.update()
            .where(contacts.c.id == sa.bindparam("contact"))
            .values(region=sa.bindparam("found")),
            [{"contact": row.id, "found": _region(row.phone)} for row in rows],
        )


def _region(phone: str) -> str | None:
    try:
        region = phonenumbers.region_code_for_number(phonenumbers.parse(phone))
    except phonenumbers.NumberParseException:
        return None
    return region if region is not None and region.isalpha() else None


def _comment(*, after: bool) -> None:
    if op.get_bind().dialect.name != "postgresql":  # SQLite keeps none
        return
    for table, (before, now) in _COMMENTS.items():
        op.create_table_comment(table, now if after else before)
