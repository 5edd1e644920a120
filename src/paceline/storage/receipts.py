"""Receipts: the fold that empties their inbox."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    Connection,
    bindparam,
    case,
    delete,
    func,
    literal,
    select,
    update,
)

from paceline.domain.message import BatchStatus, Delivery, MessageStatus
from paceline.domain.receipt import Standing, best, stand
from paceline.domain.webhook_event import EventType
from paceline.storage import counters, late_names, suppressions, webhook_events
from paceline.storage import provider_messages as names
from paceline.storage.among import among
from paceline.storage.database import AnyRow, insert_new, now
from paceline.storage.schema import (
    batches,
    messages,
    provider_messages,
    receipts,
)

FIRST_WAIT_MS = 1_000
LONGEST_WAIT_MS = 3_600_000
FOLD_AT_ONCE = 500
KEPT_MS = 3 * 24 * 3_600_000
"""A receipt whose message is not known yet is looked at again from 1 s on, for three days."""
BLOCKED = "21610"
"""The error of a receipt that says the provider refuses the number at its person's wish (Twilio's
code, its error reference)."""


@dataclass(frozen=True, slots=True)
class Folded:
    """What one round of the fold did; ``taken`` 0: the inbox has nothing that is due."""

    taken: int = 0
    matched: int = 0
    changed: int = 0
    dropped: int = 0


def fold(connection: Connection, *, limit: int = FOLD_AT_ONCE) -> Folded:
    """Take up due receipts: match, lock, count, write. Order and repetition change nothing.

    Unmatched ones wait for their message (an answer that is still being recorded) and are looked at
    again, less and less often; after three days they are dropped.
    """
    at = now(connection)
    taken = connection.execute(_DUE, {"at": at, "limit": limit}).all()
    if not taken:
        return Folded()
    if any(row.message_id is None or row.delivery in _FAILURES for row in taken):
        names.alone(connection)
    late = late_names.match(connection, [row for row in taken if row.message_id is None])
    matched: list[int] = []
    message_ids: set[int] = set()
    blocked: set[int] = set()
    reports: dict[tuple[int, str], str] = {}
    unmatched: list[AnyRow] = []
    for row in taken:
        key = (row.account_id, row.provider_id)
        message_id = row.message_id or late.message_ids.get(key)
        if message_id is None:
            unmatched.append(row)
            continue
        matched.append(row.id)
        message_ids.add(message_id)
        key = late.named.get(key, key)
        reports[key] = _best(reports.get(key, Delivery.NONE), row.delivery)
        if row.error == BLOCKED:
            blocked.add(message_id)
    changed = _apply(connection, reports, sorted(message_ids), sorted(blocked), late.adopted, at)
    connection.execute(_DELETE, {"ids": matched})
    dropped = _postpone(connection, unmatched, at)
    return Folded(len(taken), len(matched), changed, dropped)


def _apply(
    connection: Connection,
    reports: dict[tuple[int, str], str],
    message_ids: list[int],
    blocked: list[int],
    adopted: list[dict[str, Any]],
    at: int,
) -> int:
    """Lock campaigns, then the tenants of the ``blocked``, the batches of single messages, and
    messages; write each message's new standing; return how many changed.
    """
    if not message_ids:
        return 0
    ids = {"ids": message_ids}
    campaign_ids = set(connection.execute(_CAMPAIGNS_OF, ids).scalars())
    for campaign_id in sorted(i for i in campaign_ids if i is not None):
        counters.lock(connection, campaign_id)
    if blocked:
        suppressions.block_recipients(connection, blocked)
    if None in campaign_ids:  # no campaign's lock stands for theirs
        connection.execute(_LOCK_BATCHES_OF_SINGLES, ids).all()
    before = connection.execute(_LOCK_MESSAGES, ids).all()
    if adopted or any(report in _FAILURES for report in reports.values()):
        # Another attempt may have been accepted, and then the message has not failed.
        names.index_batches(connection, {row.batch_id for row in before})
    if adopted:
        # After the index, which may wait for somebody who waits for these; and in its order.
        adopted.sort(key=lambda row: (row["account_id"], row["provider_message_id"]))
        insert_new(connection, provider_messages, adopted)
    deliveries = _improve(connection, reports, message_ids)
    changed: dict[Standing, list[AnyRow]] = defaultdict(list)
    for row in before:
        standing = _standing(row.status, row.reason, tuple(deliveries[row.id]))
        if _differs(row, standing):
            changed[standing].append(row)
    _write(connection, changed, at)
    rows = [row for group in changed.values() for row in group]
    settled = {row.batch_id for row in rows if row.status == MessageStatus.QUEUED}
    _settle_batches(connection, settled, at)
    webhook_events.messages(connection, _events(changed), at)
    return len(rows)


def _events(changed: Mapping[Standing, Sequence[AnyRow]]) -> dict[int, EventType]:
    """What there is to tell of messages whose delivery is known now, or is another now."""
    return {
        row.id: _EVENTS[standing.delivery]
        for standing, rows in changed.items()
        if standing.delivery in _EVENTS
        for row in rows
        if row.delivery != standing.delivery
    }


_EVENTS = {
    Delivery.DELIVERED: EventType.MESSAGE_DELIVERED,
    Delivery.UNDELIVERED: EventType.MESSAGE_UNDELIVERED,
    Delivery.EXPIRED: EventType.MESSAGE_UNDELIVERED,
}


def _improve(
    connection: Connection, reports: dict[tuple[int, str], str], message_ids: list[int]
) -> dict[int, list[str]]:
    """Let each attempt keep its best report; message id → the reports of its attempts."""
    deliveries: dict[int, list[str]] = defaultdict(list)
    improved: dict[tuple[int, str], list[str]] = defaultdict(list)
    for account_id, provider_id, message_id, was in connection.execute(
        _ATTEMPTS_OF, {"ids": message_ids}
    ):
        report = _best(was, reports.get((account_id, provider_id), Delivery.NONE))
        deliveries[message_id].append(report)
        if report != was:
            improved[account_id, report].append(provider_id)
    for (account_id, report), provider_ids in improved.items():
        connection.execute(
            _IMPROVE, {"account": account_id, "provider_ids": provider_ids, "report": report}
        )
    return deliveries


@cache
def _best(one: str, other: str) -> str:
    """``best`` of deliveries as the database has them; there are sixteen pairs."""
    return best(Delivery(one), Delivery(other)).value


@lru_cache(1024)
def _standing(status: str, reason: str | None, deliveries: tuple[str, ...]) -> Standing:
    """``stand`` of what the database has; a million messages share a handful of standings."""
    return stand(MessageStatus(status), reason, map(Delivery, deliveries))


def _differs(row: AnyRow, standing: Standing) -> bool:
    return (row.status, row.delivery, row.reason, row.in_doubt) != (
        standing.status,
        standing.delivery,
        standing.reason,
        standing.in_doubt,
    )


def _write(connection: Connection, changed: Mapping[Standing, list[AnyRow]], at: int) -> None:
    """Write standings, each with one statement for all its messages, and count them."""
    by_campaign: dict[int, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for standing, rows in changed.items():
        connection.execute(
            _STAND,
            {
                "ids": [row.id for row in rows],
                "status_after": standing.status.value,
                "delivery_after": standing.delivery.value,
                "why": standing.reason,
                "doubt": standing.in_doubt,
                "sent": at if standing.status is MessageStatus.SENT else None,
                "failed": at if standing.status is MessageStatus.FAILED else None,
                "delivered": at if standing.delivery is Delivery.DELIVERED else None,
            },
        )
        for row in rows:
            if row.campaign_id is not None:
                count = by_campaign[row.campaign_id]
                count[row.status] -= 1
                count[standing.status] += 1
                count["unconfirmed"] -= row.in_doubt
                count["delivered"] += standing.delivery is Delivery.DELIVERED
                count["delivered"] -= row.delivery == Delivery.DELIVERED
    for campaign_id, count in sorted(by_campaign.items()):
        counters.add(
            connection,
            campaign_id,
            at=at,
            queued=count[MessageStatus.QUEUED],
            sent=count[MessageStatus.SENT],
            failed=count[MessageStatus.FAILED],
            delivered=count["delivered"],
            unconfirmed=count["unconfirmed"],
        )


def _settle_batches(connection: Connection, batch_ids: set[int], at: int) -> None:
    """A batch that nobody holds is done when its last message was proven."""
    for batch_id in sorted(batch_ids):
        connection.execute(_SETTLE_BATCH, {"batch": batch_id, "now": at})


def _postpone(connection: Connection, unmatched: list[AnyRow], at: int) -> int:
    old = [row.id for row in unmatched if at - row.received_at >= KEPT_MS]
    if old:
        connection.execute(_DELETE, {"ids": old})
    waiting = [row for row in unmatched if at - row.received_at < KEPT_MS]
    if waiting:
        connection.execute(
            _WAIT,
            [
                {
                    "receipt": row.id,
                    "due": at + min(FIRST_WAIT_MS << min(row.tries, 20), LONGEST_WAIT_MS),
                }
                for row in waiting
            ],
        )
    return len(old)


_FAILURES = (Delivery.UNDELIVERED, Delivery.EXPIRED)
_PROVIDER_ID = case(
    (receipts.c.provider_message_id == "", literal(late_names.REFERENCE) + receipts.c.reference),
    else_=receipts.c.provider_message_id,
)
"""What the provider calls the message; a receipt without that is known by its reference."""
_MESSAGE_ID = (
    select(provider_messages.c.message_id)
    .where(
        provider_messages.c.account_id == receipts.c.account_id,
        provider_messages.c.provider_message_id == _PROVIDER_ID,
    )
    .scalar_subquery()  # not a join: a planner that errs would read the whole table for that
)
_DUE = (
    select(
        receipts.c.id,
        receipts.c.account_id,
        receipts.c.reference,
        receipts.c.delivery,
        receipts.c.error,
        receipts.c.received_at,
        receipts.c.tries,
        _PROVIDER_ID.label("provider_id"),
        _MESSAGE_ID.label("message_id"),
    )
    .where(receipts.c.due_at <= bindparam("at"))
    .order_by(receipts.c.due_at, receipts.c.id)
    .limit(bindparam("limit"))
    .with_for_update(skip_locked=True, of=receipts)
)
_DELETE = delete(receipts).where(among(receipts.c.id, "ids"))
_CAMPAIGNS_OF = select(messages.c.campaign_id).where(among(messages.c.id, "ids")).distinct()
_LOCK_MESSAGES = (
    select(
        messages.c.id,
        messages.c.campaign_id,
        messages.c.batch_id,
        messages.c.status,
        messages.c.reason,
        messages.c.delivery,
        messages.c.in_doubt,
    )
    .where(among(messages.c.id, "ids"))
    .order_by(messages.c.id)
    .with_for_update()
)
_LOCK_BATCHES_OF_SINGLES = (
    select(batches.c.id)
    .where(
        batches.c.id.in_(
            select(messages.c.batch_id).where(
                among(messages.c.id, "ids"), messages.c.campaign_id.is_(None)
            )
        )
    )
    .order_by(batches.c.id)
    .with_for_update()
)
_ATTEMPTS_OF = select(
    provider_messages.c.account_id,
    provider_messages.c.provider_message_id,
    provider_messages.c.message_id,
    provider_messages.c.delivery,
).where(among(provider_messages.c.message_id, "ids"))
_IMPROVE = (
    update(provider_messages)
    .where(
        provider_messages.c.account_id == bindparam("account"),
        among(provider_messages.c.provider_message_id, "provider_ids"),
    )
    .values(delivery=bindparam("report"))
)
_DELIVERED_AT = bindparam("delivered", type_=BigInteger)
_STAND = (
    update(messages)
    .where(among(messages.c.id, "ids"))
    .values(
        status=bindparam("status_after"),
        delivery=bindparam("delivery_after"),
        reason=bindparam("why"),
        in_doubt=bindparam("doubt"),
        # Times that are there already stay.
        sent_at=func.coalesce(messages.c.sent_at, bindparam("sent", type_=BigInteger)),
        failed_at=bindparam("failed"),
        delivered_at=case(
            (_DELIVERED_AT.is_not(None), func.coalesce(messages.c.delivered_at, _DELIVERED_AT))
        ),
    )
)
_SETTLE_BATCH = (
    update(batches)
    .where(
        batches.c.id == bindparam("batch"),
        batches.c.status.in_((BatchStatus.UNCONFIRMED, BatchStatus.QUEUED)),
        ~select(messages.c.id)
        .where(messages.c.batch_id == batches.c.id, messages.c.status == MessageStatus.QUEUED)
        .exists(),
    )
    .values(status=BatchStatus.DONE, in_doubt=False, doubt_since=None, updated_at=bindparam("now"))
)
_WAIT = (
    update(receipts)
    .where(receipts.c.id == bindparam("receipt"))
    .values(due_at=bindparam("due"), tries=receipts.c.tries + 1)
)
