"""A tenant's blocks on numbers.

Adding one takes the tenant's lock and raises the tenant's count of opt-outs, the same lock that an
intent takes: the two are in order, and the intent need only compare a number.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from sqlalchemy import Connection, Text, bindparam, delete, select, type_coerce, update

from paceline.domain.errors import InvalidInputError, NotFoundError
from paceline.domain.message import ERASED
from paceline.storage import audit_log, webhook_events
from paceline.storage.among import among
from paceline.storage.database import AnyRow, insert_new, now
from paceline.storage.schema import contacts, messages, suppressions, tenants

SUPPRESSED = (
    select(suppressions.c.phone)
    .where(
        suppressions.c.tenant_id == contacts.c.tenant_id, suppressions.c.phone == contacts.c.phone
    )
    .exists()
)
"""The condition that a row of ``contacts`` is suppressed."""


class Source(StrEnum):
    """Who brought a suppression about, and so who may end it."""

    OPERATOR = "operator"
    """Through the API. Only an operator ends it."""
    STOP = "stop"
    """The person replied STOP. The same person's START ends it, as an operator does."""
    LINK = "link"
    """The person followed an opt-out link. Only an operator ends it."""
    PROVIDER = "provider"
    """The provider refuses the number at the person's wish. Only an operator ends it."""


def add(
    connection: Connection,
    tenant_id: int,
    phones: Sequence[str],
    reason: str,
    *,
    source: Source = Source.OPERATOR,
    actor: str = audit_log.SYSTEM,
) -> int:
    """Suppress these numbers (E.164); return how many were not suppressed before.

    A number that is suppressed already keeps its first reason; but if only a STOP was the source so
    far, a START will not end it any more.
    """
    seq = connection.execute(_COUNT_UP, {"tenant": tenant_id}).scalar_one()
    at = now(connection)
    numbers = sorted(set(phones))
    row = {"tenant_id": tenant_id, "reason": reason, "source": source, "seq": seq, "created_at": at}
    added = insert_new(connection, suppressions, [row | {"phone": phone} for phone in numbers])
    if added:
        webhook_events.suppressed(connection, tenant_id, seq, at)
    strengthened = 0
    if source is not Source.STOP:
        strengthened = connection.execute(
            _STRENGTHEN, {"tenant": tenant_id, "phones": numbers, "stronger": source}
        ).rowcount
    if added or strengthened:
        audit_log.write(
            connection,
            tenant_id=tenant_id,
            actor=actor,
            action="suppression.add",
            subject="suppressions",
            source=source,
            added=added,
        )
    return added


def block_quietly(connection: Connection, tenant_id: int, phone: str) -> None:
    """Suppress the number of somebody who is being erased, for as long as that takes. Nobody is
    told, and nothing is written down.
    """
    seq = connection.execute(_COUNT_UP, {"tenant": tenant_id}).scalar_one()
    row = {
        "tenant_id": tenant_id,
        "phone": phone,
        "reason": "is being erased",
        "source": Source.OPERATOR,
        "seq": seq,
        "created_at": now(connection),
    }
    insert_new(connection, suppressions, [row])


def block(connection: Connection, tenant_id: int, phones: Sequence[str]) -> int:
    """Suppress numbers that the provider refuses at their wish; return how many were not before.

    Locks the tenant: call it before any later lock is taken, or in a transaction of its own.
    """
    return add(
        connection,
        tenant_id,
        phones,
        "opted out at the provider",
        source=Source.PROVIDER,
        actor=audit_log.PROVIDER,
    )


def block_recipients(connection: Connection, message_ids: Sequence[int]) -> None:
    """``block`` the recipients of these messages, each for the tenant whose message it was."""
    recipients: dict[int, list[str]] = {}
    for tenant_id, phone in connection.execute(_RECIPIENTS, {"ids": message_ids}):
        recipients.setdefault(tenant_id, []).append(phone)
    for tenant_id, phones in sorted(recipients.items()):
        block(connection, tenant_id, phones)


def remove(
    connection: Connection, tenant_id: int, phone: str, *, actor: str = audit_log.SYSTEM
) -> None:
    """End a suppression.

    Raises:
        NotFoundError: the number is not suppressed for this tenant.
    """
    removed = connection.execute(_REMOVE, {"tenant": tenant_id, "number": phone})
    if removed.rowcount == 0:
        raise NotFoundError("suppression of", phone)
    _note_end(connection, tenant_id, actor)


def end_stop(connection: Connection, tenant_id: int, phone: str) -> bool:
    """End a suppression whose source is a STOP, as the person wishes; False: there is none."""
    ended = connection.execute(_END_STOP, {"tenant": tenant_id, "number": phone}).rowcount > 0
    if ended:
        _note_end(connection, tenant_id, audit_log.RECIPIENT)
    return ended


def exists(connection: Connection, tenant_id: int, phone: str) -> bool:
    """Whether the number is suppressed for this tenant, whatever the source."""
    found = connection.execute(_REASON, {"tenant": tenant_id, "number": phone})
    return found.first() is not None


def among_numbers(connection: Connection, tenant_id: int, phones: Sequence[str]) -> list[AnyRow]:
    """The suppressions of those of these numbers that have one."""
    return list(connection.execute(_AMONG_NUMBERS, {"tenant": tenant_id, "phones": list(phones)}))


def page(connection: Connection, tenant_id: int, *, after: str, limit: int) -> list[AnyRow]:
    """Suppressions by number, from the one behind ``after`` on."""
    return list(
        connection.execute(
            select(suppressions)
            .where(suppressions.c.tenant_id == tenant_id, suppressions.c.phone > after)
            .order_by(suppressions.c.phone)
            .limit(limit)
        )
    )


def refuse(connection: Connection, tenant_id: int, phone: str) -> None:
    """Say no to a number that is suppressed.

    Raises:
        InvalidInputError: it is, with the reason.
    """
    row = connection.execute(_REASON, {"tenant": tenant_id, "number": phone}).first()
    if row is not None:
        raise InvalidInputError.of("to", f"this number is suppressed ({row.reason})")


def _note_end(connection: Connection, tenant_id: int, actor: str) -> None:
    audit_log.write(
        connection,
        tenant_id=tenant_id,
        actor=actor,
        action="suppression.remove",
        subject="suppressions",
    )


_COUNT_UP = (
    update(tenants)
    .where(tenants.c.id == bindparam("tenant"))
    .values(opt_outs=tenants.c.opt_outs + 1)
    .returning(tenants.c.opt_outs)
)
_OF_TENANT = suppressions.c.tenant_id == bindparam("tenant")
_OF_NUMBER = suppressions.c.phone == bindparam("number")
_REASON = select(suppressions.c.reason).where(_OF_TENANT, _OF_NUMBER)
_AMONG_NUMBERS = select(suppressions).where(
    _OF_TENANT, among(type_coerce(suppressions.c.phone, Text), "phones")
)
_REMOVE = delete(suppressions).where(_OF_TENANT, _OF_NUMBER)
_END_STOP = _REMOVE.where(suppressions.c.source == Source.STOP)
_STRENGTHEN = (
    update(suppressions)
    .where(
        _OF_TENANT,
        among(type_coerce(suppressions.c.phone, Text), "phones"),
        suppressions.c.source == Source.STOP,
    )
    .values(source=bindparam("stronger"))
)
_RECIPIENTS = select(messages.c.tenant_id, messages.c.phone).where(
    among(messages.c.id, "ids"), ~messages.c.phone.startswith(ERASED)
)
