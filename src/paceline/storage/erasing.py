"""Erasing a person, in two transactions, so that nothing that runs beside them is missed.

The first one makes sure that nothing new can come: it suppresses the number, keeps its hash, and
deletes the contact. What was begun before it (a launch's chunk, an import, a reservation) either
waits for it or is waited for by the second one, which takes the person out of what was written. If
the process dies between the two, the person is suppressed, and erasing again ends it.

Campaigns, batches and messages keep their rows, and so their counters: of a message there remains
when it was sent and what became of it, under what ``domain.message.ERASED`` begins.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import (
    ColumnElement,
    Connection,
    Text,
    and_,
    bindparam,
    case,
    cast,
    delete,
    func,
    literal,
    or_,
    select,
    update,
)

from paceline.clock import iso
from paceline.domain.campaign import CampaignStatus
from paceline.domain.errors import ConflictError
from paceline.domain.message import ERASED, BatchStatus, MessageStatus, Reason
from paceline.storage import audit_log, counters, erased, scouts, suppressions, webhook_events
from paceline.storage.among import among
from paceline.storage.batches import QUEUED_OR_DONE
from paceline.storage.conclusion import fail_messages, lock_batches
from paceline.storage.database import AnyRow
from paceline.storage.schema import (
    attempts,
    batches,
    campaigns,
    contacted,
    contacts,
    idempotency_keys,
    import_changes,
    import_rejects,
    import_rows,
    imports,
    inbound_messages,
    launches,
    messages,
    tenants,
)
from paceline.storage.schema import suppressions as suppressions_table
from paceline.storage.schema import webhook_events as webhook_events_table


class StillSendingError(ConflictError):
    """A message to the person may be on its way, so they cannot be erased now."""

    code = "still_sending"


@dataclass(frozen=True, slots=True)
class Erased:
    """What there was of a person. ``cancelled``: messages that will not be sent now."""

    contacts: int
    messages: int
    cancelled: int
    replies: int


def begin(connection: Connection, tenant_id: int, phone: str, digest: str) -> int:
    """See to it that nothing more comes of a number; return how many contacts it was.

    Raises:
        StillSendingError: wait, or decide, first. Nothing is changed.
    """
    connection.execute(_LOCK_TENANT, {"tenant": tenant_id})
    _refuse_under_way(_messages_to(connection, tenant_id, phone))
    erased.add(connection, tenant_id, digest)
    suppressions.block_quietly(connection, tenant_id, phone)
    whose = {"tenant": tenant_id, "number": phone}
    connection.execute(_FORGET_CHANGES[connection.dialect.name], whose)
    connection.execute(_FORGET_STAGED, whose)
    return connection.execute(_DELETE_CONTACT, whose).rowcount


def finish(
    connection: Connection,
    tenant_id: int,
    phone: str,
    *,
    contacts: int,
    rejects: Sequence[tuple[int, int]],
    actor: str,
) -> Erased:
    """Take a person out of all that was written about them.

    Args:
        connection: of a write transaction, after that of ``begin``.
        tenant_id: whose person.
        phone: their number (E.164).
        contacts: what ``begin`` returned.
        rejects: import and row of rejected rows that are theirs.
        actor: who erases.

    Raises:
        StillSendingError: as ``begin``; they are suppressed already.
    """
    _wait_for_launches(connection, tenant_id)
    theirs = _messages_to(connection, tenant_id, phone)
    _refuse_under_way(theirs)
    cancelled = _cancel(connection, theirs)
    _take_out_of_messages(connection, theirs, phone)
    whose = {
        "tenant": tenant_id,
        "number": phone,
        "named": f'%"{phone}"%',
    }
    _empty_answers(connection, tenant_id, phone)
    replies = connection.execute(_DELETE_REPLIES, whose).rowcount
    for statement in (_DELETE_EVENTS, _DELETE_CONTACTED, _DELETE_SUPPRESSION):
        connection.execute(statement, whose)
    for which, row in rejects:
        connection.execute(_DELETE_REJECT, {"tenant": tenant_id, "which": which, "number": row})
    done = Erased(contacts, len(theirs), cancelled, replies)
    audit_log.write(
        connection,
        tenant_id=tenant_id,
        actor=actor,
        action="person.erase",
        subject="person",
        messages=done.messages,
        cancelled=done.cancelled,
        replies=done.replies,
    )
    return done


def rejects_page(
    connection: Connection, tenant_id: int, *, after: tuple[int, int], limit: int
) -> list[AnyRow]:
    """Rejected rows of all imports, with their cells, from the one behind ``after`` on."""
    place = import_rejects.c
    return list(
        connection.execute(
            select(place.import_id, place.row, place.cells)
            .join(imports, imports.c.id == place.import_id)
            .where(
                imports.c.tenant_id == tenant_id,
                place.cells.is_not(None),
                or_(
                    place.import_id > after[0],
                    and_(place.import_id == after[0], place.row > after[1]),
                ),
            )
            .order_by(place.import_id, place.row)
            .limit(limit)
        )
    )


def _messages_to(connection: Connection, tenant_id: int, phone: str) -> list[AnyRow]:
    """The person's messages with the state of their batches, of campaigns and single ones."""
    asked = {"tenant": tenant_id, "number": phone}
    return [row for query in _MESSAGES_TO for row in connection.execute(query, asked)]


def _refuse_under_way(theirs: Sequence[AnyRow]) -> None:
    for message in theirs:
        if message.status != MessageStatus.QUEUED:
            continue
        if message.in_doubt:
            asked = message.confirm_at is not None
            raise StillSendingError(
                f"Whether message {message.id} was sent is in doubt. "
                + (
                    f"The provider is asked after {iso(message.confirm_at)}; try again then."
                    if asked
                    else "Decide about it (resend, fail or accept), then try again."
                )
            )
        if message.batch_status == BatchStatus.SUBMITTING:
            raise StillSendingError(
                f"Message {message.id} is on its way. Try again after {iso(message.lease_until)}."
            )


def _wait_for_launches(connection: Connection, tenant_id: int) -> None:
    """Wait for starts and chunks that may still see the contact; later ones do not."""
    asked = {"tenant": tenant_id}
    connection.execute(_LOCK_LAUNCHES, asked)
    counters.lock_all(connection, connection.execute(_LIVE_CAMPAIGNS, asked).scalars().all())


def _cancel(connection: Connection, theirs: Sequence[AnyRow]) -> int:
    """Fail what is queued. A worker that has it in hand loses the reservation, as it has rendered
    the message already; what is left of the batch is queued again.
    """
    queued = [each for each in theirs if each.status == MessageStatus.QUEUED]
    if not queued:
        return 0
    locked, at = lock_batches(connection, {each.batch_id for each in queued})
    ids = [each.id for each in queued]
    fail_messages(connection, ids, reason=Reason.OPTED_OUT, error=None, at=at, even_in_doubt=False)
    connection.execute(_SETTLE_BATCHES, {"ids": sorted(locked), "now": at})
    per_campaign = Counter(each.campaign_id for each in queued)
    for campaign_id, count in sorted(
        (each for each in per_campaign.items() if each[0] is not None), key=lambda each: each[0]
    ):
        counters.add(connection, campaign_id, at=at, queued=-count, failed=count)
    for batch in locked.values():
        if batch.sibling_id is not None:
            scouts.after_scout(connection, batch.id)
    # Before their own events are made, those messages are nobody's any more.
    connection.execute(_TAKE_NUMBERS, {"ids": ids})
    webhook_events.batches(connection, sorted(locked), at)
    return len(ids)


def _take_out_of_messages(connection: Connection, theirs: Sequence[AnyRow], phone: str) -> None:
    ids = [each.id for each in theirs]
    connection.execute(_TAKE_OUT, {"ids": ids})
    batch_ids = sorted({each.batch_id for each in theirs})
    digits = {"ids": batch_ids, "digits": phone.removeprefix("+")}
    connection.execute(_TAKE_OUT_OF_BATCHES, digits)
    connection.execute(_TAKE_OUT_OF_ATTEMPTS, digits)


def _empty_answers(connection: Connection, tenant_id: int, phone: str) -> None:
    """Empty kept answers to requests about them. The keys stay: a request that only mentions the
    number, in the text to somebody else, must not be carried out again. A longer number that begins
    like theirs is another person's.
    """
    asked = {"tenant": tenant_id, "mentioned": f"%{phone}%"}
    theirs = re.compile(re.escape(phone) + "(?![0-9])")
    for answer in connection.execute(_ANSWERS, asked).all():
        about_them = any(f'"{name}":"{phone}"' in answer.body for name in ("to", "phone"))
        instead = '{"erased":true}' if about_them else theirs.sub(ERASED, answer.body)
        if instead != answer.body:
            kept = {"tenant": tenant_id, "of_key": answer.key, "instead": instead}
            connection.execute(_KEEP_ANSWER, kept)


_OF = bindparam("number", type_=Text)
_LOCK_TENANT = select(tenants.c.id).where(tenants.c.id == bindparam("tenant")).with_for_update()
_SEEN = (
    messages.c.id,
    messages.c.campaign_id,
    messages.c.batch_id,
    messages.c.status,
    messages.c.in_doubt,
    batches.c.status.label("batch_status"),
    batches.c.lease_until,
    batches.c.confirm_at,
)
_MESSAGES_TO = (
    select(*_SEEN)
    .select_from(campaigns)
    .join(messages, and_(messages.c.campaign_id == campaigns.c.id, messages.c.phone == _OF))
    .join(batches, batches.c.id == messages.c.batch_id)
    .where(campaigns.c.tenant_id == bindparam("tenant")),
    select(*_SEEN)
    .select_from(messages)
    .join(batches, batches.c.id == messages.c.batch_id)
    .where(
        messages.c.tenant_id == bindparam("tenant"),
        messages.c.campaign_id.is_(None),
        messages.c.phone == _OF,
    ),
)
_LIVE_CAMPAIGNS = (
    select(campaigns.c.id)
    .where(
        campaigns.c.tenant_id == bindparam("tenant"),
        campaigns.c.status.in_(
            (
                CampaignStatus.DRAFT,
                CampaignStatus.SCHEDULED,
                CampaignStatus.SENDING,
                CampaignStatus.PAUSED,
            )
        )
        | (campaigns.c.queued > 0),
    )
    .order_by(campaigns.c.id)
)
_LOCK_LAUNCHES = (
    select(launches.c.campaign_id)
    .where(
        launches.c.campaign_id.in_(
            select(campaigns.c.id).where(campaigns.c.tenant_id == bindparam("tenant"))
        )
    )
    .order_by(launches.c.campaign_id)
    .with_for_update()
)
_ITS_CONTACT = and_(contacts.c.tenant_id == bindparam("tenant"), contacts.c.phone == _OF)
_DELETE_CONTACT = delete(contacts).where(_ITS_CONTACT)
_ITS_IMPORTS = select(imports.c.id).where(imports.c.tenant_id == bindparam("tenant"))
_NUMBER_BEFORE = {
    "sqlite": func.json_extract(import_changes.c.before, "$.phone"),
    "postgresql": import_changes.c.before.op("->>")("phone"),
}
_FORGET_CHANGES = {
    dialect: delete(import_changes).where(
        import_changes.c.import_id.in_(_ITS_IMPORTS),
        or_(
            import_changes.c.contact_id.in_(select(contacts.c.id).where(_ITS_CONTACT)),
            number == _OF,
        ),
    )
    for dialect, number in _NUMBER_BEFORE.items()
}
"""What a contact was that is deleted by now, too."""
_FORGET_STAGED = delete(import_rows).where(
    import_rows.c.tenant_id == bindparam("tenant"), import_rows.c.phone == _OF
)
_SETTLE_BATCHES = (
    update(batches)
    .where(
        among(batches.c.id, "ids"),
        batches.c.status.in_((BatchStatus.QUEUED, BatchStatus.RESERVED)),
    )
    .values(
        status=QUEUED_OR_DONE,
        lease_until=None,
        updated_at=bindparam("now"),
    )
)
_NAMELESS = literal(ERASED) + cast(messages.c.id, Text)
_TAKE_NUMBERS = update(messages).where(among(messages.c.id, "ids")).values(phone=_NAMELESS)
_TAKE_OUT = (
    update(messages)
    .where(among(messages.c.id, "ids"))
    .values(
        phone=_NAMELESS,
        contact_id=None,
        merge_values=None,
        text=case((messages.c.text.is_not(None), ""), else_=None),
        error=None,
    )
)


def _without(column: ColumnElement[str | None]) -> ColumnElement[str | None]:
    return func.replace(column, bindparam("digits", type_=Text), "…")


_TAKE_OUT_OF_BATCHES = (
    update(batches)
    .where(among(batches.c.id, "ids"))
    .values(error=_without(batches.c.error), rejected=_without(batches.c.rejected))
)
_TAKE_OUT_OF_ATTEMPTS = (
    update(attempts)
    .where(among(attempts.c.batch_id, "ids"))
    .values(error=_without(attempts.c.error))
)
_DELETE_REPLIES = delete(inbound_messages).where(
    inbound_messages.c.tenant_id == bindparam("tenant"), inbound_messages.c.phone == _OF
)
_DELETE_EVENTS = delete(webhook_events_table).where(
    webhook_events_table.c.tenant_id == bindparam("tenant"),
    webhook_events_table.c.payload.like(bindparam("named")),
)
_ANSWER = idempotency_keys.c.body
_ANSWERS = select(idempotency_keys.c.key, _ANSWER).where(
    idempotency_keys.c.tenant_id == bindparam("tenant"), _ANSWER.like(bindparam("mentioned"))
)
_KEEP_ANSWER = (
    update(idempotency_keys)
    .where(
        idempotency_keys.c.tenant_id == bindparam("tenant"),
        idempotency_keys.c.key == bindparam("of_key"),
    )
    .values(body=bindparam("instead"))
)
_DELETE_CONTACTED = delete(contacted).where(
    contacted.c.tenant_id == bindparam("tenant"), contacted.c.phone == _OF
)
_DELETE_SUPPRESSION = delete(suppressions_table).where(
    suppressions_table.c.tenant_id == bindparam("tenant"), suppressions_table.c.phone == _OF
)
_DELETE_REJECT = delete(import_rejects).where(
    import_rejects.c.import_id == bindparam("which"),
    import_rejects.c.row == bindparam("number"),
    import_rejects.c.import_id.in_(_ITS_IMPORTS),
)
