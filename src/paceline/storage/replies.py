"""What people write to us: kept once each, listed, and what answering one needs to know."""

from __future__ import annotations

from sqlalchemy import Connection, bindparam, select, update

from paceline.storage import webhook_events
from paceline.storage.database import AnyRow, insert_new, now
from paceline.storage.schema import batches, inbound_messages, messages, tenants

ANSWERED_EVERY_MS = 3_600_000
"""A number that sends the same keyword again within this time gets no second answer."""
LONGEST_ID = 255
LONGEST_PHONE = 16
LONGEST_NUMBER = 32


def keep(
    connection: Connection,
    account_id: int,
    tenant_id: int | None,
    *,
    key: str,
    phone: str,
    number: str,
    text: str,
    keyword: str | None,
) -> bool:
    """Keep a reply; False: it is there already, under the same ``key``.

    Args:
        connection: of a write transaction.
        account_id: which account it came through.
        tenant_id: whose it is; None: nobody's that we know of.
        key: tells it from every other reply to the account, at most ``LONGEST_ID`` characters.
        phone: who wrote it, in E.164 if that can be read, at most ``LONGEST_PHONE`` characters.
        number: what it was sent to, at most ``LONGEST_NUMBER`` characters.
        text: its whole text.
        keyword: the ``Keyword`` that it is, if any.
    """
    row = {
        "account_id": account_id,
        "tenant_id": tenant_id,
        "provider_message_id": key,
        "phone": phone,
        "number": number,
        "text": text,
        "keyword": keyword,
        "received_at": now(connection),
    }
    if insert_new(connection, inbound_messages, [row]) == 0:
        return False
    if tenant_id is not None:
        kept = connection.execute(_KEPT, {"account": account_id, "key": key}).scalar_one()
        webhook_events.reply(connection, kept)
    return True


def page(
    connection: Connection, tenant_id: int, *, before: int | None = None, limit: int = 100
) -> list[AnyRow]:
    """A tenant's replies, newest first, from the one before ``before`` on."""
    query = select(inbound_messages).where(inbound_messages.c.tenant_id == tenant_id)
    if before is not None:
        query = query.where(inbound_messages.c.id < before)
    return list(connection.execute(query.order_by(inbound_messages.c.id.desc()).limit(limit)))


def lock_tenant(connection: Connection, tenant_id: int) -> AnyRow:
    """Lock a tenant, so that what its people ask for is done in one order, and in order with its
    intents. Return its id, name and answers.
    """
    return connection.execute(_LOCK_TENANT, {"tenant": tenant_id}).one()


def asked_lately(connection: Connection, tenant_id: int, phone: str, keyword: str) -> bool:
    """Whether the number has sent this keyword before within ``ANSWERED_EVERY_MS``. The newest one
    is the one in hand, kept by this transaction.
    """
    since = now(connection) - ANSWERED_EVERY_MS
    asked = {"tenant": tenant_id, "asker": phone, "word": keyword, "since": since}
    return len(connection.execute(_ASKED, asked).all()) > 1


def let_through(connection: Connection, tenant_id: int, message_id: int) -> None:
    """Let a single message pass the tenant's opt-outs up to now, its own recipient's among them.

    An intent drops who is in a suppression of a higher count than its batch has seen. This one says
    that it has seen them all; whoever opts out after that is heeded as ever.
    """
    connection.execute(_LET_THROUGH, {"tenant": tenant_id, "message": message_id})


def recipient(connection: Connection, message_id: int) -> AnyRow | None:
    """Who a message went to, and from whom: tenant_id, phone and the tenant's name."""
    return connection.execute(_RECIPIENT, {"message": message_id}).first()


_LOCK_TENANT = (
    select(
        tenants.c.id,
        tenants.c.name,
        tenants.c.stop_reply,
        tenants.c.start_reply,
        tenants.c.help_reply,
    )
    .where(tenants.c.id == bindparam("tenant"))
    .with_for_update(key_share=True)
)
_KEPT = select(inbound_messages.c.id).where(
    inbound_messages.c.account_id == bindparam("account"),
    inbound_messages.c.provider_message_id == bindparam("key"),
)
_ASKED = (
    select(inbound_messages.c.id)
    .where(
        inbound_messages.c.tenant_id == bindparam("tenant"),
        inbound_messages.c.phone == bindparam("asker"),
        inbound_messages.c.keyword == bindparam("word"),
        inbound_messages.c.received_at > bindparam("since"),
    )
    .limit(2)
)
_LET_THROUGH = (
    update(batches)
    .where(
        batches.c.id
        == select(messages.c.batch_id)
        .where(messages.c.id == bindparam("message"))
        .scalar_subquery()
    )
    .values(
        seen_opt_outs=select(tenants.c.opt_outs)
        .where(tenants.c.id == bindparam("tenant"))
        .scalar_subquery()
    )
)
_RECIPIENT = (
    select(messages.c.tenant_id, messages.c.phone, tenants.c.name)
    .join(tenants, tenants.c.id == messages.c.tenant_id)
    .where(messages.c.id == bindparam("message"))
)
