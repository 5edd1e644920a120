"""Receipts: an inbox that webhooks fill, and the fold that empties it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    BindParameter,
    Connection,
    and_,
    bindparam,
    delete,
    func,
    insert,
    select,
    update,
)

from paceline.domain.message import Delivery, MessageStatus, parse_reference
from paceline.domain.receipt import Standing, best, stand
from paceline.storage import counters
from paceline.storage.database import AnyRow, insert_new, now
from paceline.storage.schema import (
    attempts,
    batches,
    installation,
    messages,
    provider_messages,
    receipts,
)

FIRST_WAIT_MS = 1_000
LONGEST_WAIT_MS = 3_600_000
FOLD_AT_ONCE = 500
KEPT_MS = 3 * 24 * 3_600_000
"""A receipt whose message is not known yet is looked at again from 1 s on, for three days."""


@dataclass(frozen=True, slots=True)
class InboxRow:
    """One receipt as a webhook brought it."""

    provider_message_id: str
    reference: str
    delivery: str
    error: str
    occurred_at: int | None


def put(connection: Connection, account_id: int, rows: Sequence[InboxRow]) -> int:
    """Keep receipts until the fold takes them up; when this commits they are safe."""
    at = now(connection)
    connection.execute(
        insert(receipts),
        [
            {
                "account_id": account_id,
                "provider_message_id": row.provider_message_id,
                "reference": row.reference,
                "delivery": row.delivery,
                "error": row.error,
                "occurred_at": row.occurred_at,
                "received_at": at,
                "due_at": at,
            }
            for row in rows
        ],
    )
    return len(rows)


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
    targets = _match(connection, taken)
    matched = [row for row in taken if row.id in targets]
    reports: dict[tuple[int, str], Delivery] = {}
    for row in matched:
        key = (row.account_id, targets[row.id].provider_message_id)
        reports[key] = best(reports.get(key, Delivery.NONE), Delivery(row.delivery))
    changed = _apply(connection, reports, {t.message_id for t in targets.values()}, at)
    connection.execute(
        delete(receipts).where(receipts.c.id.in_([row.id for row in matched] or [0]))
    )
    dropped = _postpone(connection, [row for row in taken if row.id not in targets], at)
    return Folded(len(taken), len(matched), changed, dropped)


def _match(connection: Connection, taken: Sequence[AnyRow]) -> dict[int, Any]:
    """Receipt id → its row of ``provider_messages``, made on the spot where our own reference
    proves an acceptance whose answer we never had.
    """
    by_account: dict[int, list[AnyRow]] = defaultdict(list)
    for row in taken:
        by_account[row.account_id].append(row)
    found: dict[int, Any] = {}
    for account_id, rows in by_account.items():
        known = _known(connection, account_id, rows)
        if strangers := [row for row in rows if row.reference and _provider_id(row) not in known]:
            _adopt_by_reference(connection, account_id, strangers)
            known |= _known(connection, account_id, strangers)
        found |= {row.id: known[_provider_id(row)] for row in rows if _provider_id(row) in known}
    return found


def _known(connection: Connection, account_id: int, rows: list[AnyRow]) -> dict[str, Any]:
    ids = sorted({_provider_id(row) for row in rows})
    found = connection.execute(_KNOWN, {"account": account_id, "ids": ids})
    return {known.provider_message_id: known for known in found}


def _provider_id(row: AnyRow) -> str:
    """What the provider calls the message; a receipt without that is known by its reference."""
    return str(row.provider_message_id or f"reference:{row.reference}")


def _adopt_by_reference(connection: Connection, account_id: int, rows: list[AnyRow]) -> None:
    prefix = connection.execute(select(installation.c.prefix)).scalar_one()
    for row in rows:
        ours = parse_reference(row.reference)
        if ours is None or ours[0] != prefix:
            continue
        attempt = connection.execute(
            _ATTEMPT_OF,
            {"account": account_id, "message": ours[1], "generation": ours[2]},
        ).first()
        if attempt is not None:
            insert_new(
                connection,
                provider_messages,
                [
                    {
                        "account_id": account_id,
                        "provider_message_id": _provider_id(row),
                        "message_id": ours[1],
                        "attempt_id": attempt.id,
                    }
                ],
            )


def _apply(
    connection: Connection,
    reports: dict[tuple[int, str], Delivery],
    message_ids: set[int],
    at: int,
) -> int:
    """Lock campaigns, then messages; write each message's new standing; return how many changed."""
    if not message_ids:
        return 0
    ids = sorted(message_ids)
    campaign_ids = connection.execute(_CAMPAIGNS_OF, {"ids": ids}).scalars()
    for campaign_id in sorted(i for i in campaign_ids if i is not None):
        counters.lock(connection, campaign_id)
    before = {row.id: row for row in connection.execute(_LOCK_MESSAGES, {"ids": ids})}
    deliveries: dict[int, list[Delivery]] = defaultdict(list)
    improved: list[dict[str, Any]] = []
    for row in connection.execute(_ATTEMPTS_OF, {"ids": ids}):
        key = (row.account_id, row.provider_message_id)
        was = Delivery(row.delivery)
        now_best = best(was, reports.get(key, Delivery.NONE))
        deliveries[row.message_id].append(now_best)
        if now_best is not was:
            improved.append({"account": key[0], "provider_id": key[1], "report": now_best})
    if improved:
        connection.execute(_IMPROVE, improved)
    standings = {
        message_id: (
            row,
            stand(MessageStatus(row.status), row.reason, deliveries[message_id]),
        )
        for message_id, row in before.items()
    }
    changed = {i: pair for i, pair in standings.items() if _differs(*pair)}
    _write(connection, changed, at)
    _settle_batches(connection, {row.batch_id for row, _ in changed.values() if row.in_doubt}, at)
    return len(changed)


def _differs(row: AnyRow, standing: Standing) -> bool:
    return (row.status, row.delivery, row.reason, row.in_doubt) != (
        standing.status,
        standing.delivery,
        standing.reason,
        standing.in_doubt,
    )


def _write(connection: Connection, changed: dict[int, tuple[AnyRow, Standing]], at: int) -> None:
    if not changed:
        return
    connection.execute(
        _STAND,
        [
            {
                "message": message_id,
                "status_after": standing.status,
                "delivery_after": standing.delivery,
                "why": standing.reason,
                "doubt": standing.in_doubt,
                "sent": (row.sent_at or at)
                if standing.status == MessageStatus.SENT
                else row.sent_at,
                "failed": at if standing.status == MessageStatus.FAILED else None,
                "delivered": (row.delivered_at or at)
                if standing.delivery is Delivery.DELIVERED
                else None,
            }
            for message_id, (row, standing) in changed.items()
        ],
    )
    by_campaign: dict[int, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for row, standing in changed.values():
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
    """A batch whose last doubtful message was proven is done."""
    for batch_id in sorted(batch_ids):
        connection.execute(_SETTLE_BATCH, {"batch": batch_id, "now": at})


def _postpone(connection: Connection, unmatched: list[AnyRow], at: int) -> int:
    old = [row.id for row in unmatched if at - row.received_at >= KEPT_MS]
    if old:
        connection.execute(delete(receipts).where(receipts.c.id.in_(old)))
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


def waiting(connection: Connection) -> int:
    """How many receipts are in the inbox."""
    return int(connection.execute(select(func.count()).select_from(receipts)).scalar_one())


_IDS: BindParameter[Any] = bindparam("ids", expanding=True)
_DUE = (
    select(receipts)
    .where(receipts.c.due_at <= bindparam("at"))
    .order_by(receipts.c.due_at, receipts.c.id)
    .limit(bindparam("limit"))
    .with_for_update(skip_locked=True)
)
_KNOWN = select(provider_messages).where(
    provider_messages.c.account_id == bindparam("account"),
    provider_messages.c.provider_message_id.in_(_IDS),
)
_ATTEMPT_OF = (
    select(attempts.c.id)
    .join(messages, messages.c.batch_id == attempts.c.batch_id)
    .where(
        messages.c.id == bindparam("message"),
        attempts.c.account_id == bindparam("account"),
        attempts.c.generation == bindparam("generation"),
    )
    .order_by(attempts.c.id.desc())
    .limit(1)
)
_CAMPAIGNS_OF = select(messages.c.campaign_id).where(messages.c.id.in_(_IDS)).distinct()
_LOCK_MESSAGES = (
    select(
        messages.c.id,
        messages.c.campaign_id,
        messages.c.batch_id,
        messages.c.status,
        messages.c.reason,
        messages.c.delivery,
        messages.c.in_doubt,
        messages.c.sent_at,
        messages.c.delivered_at,
    )
    .where(messages.c.id.in_(_IDS))
    .order_by(messages.c.id)
    .with_for_update()
)
_ATTEMPTS_OF = select(provider_messages).where(provider_messages.c.message_id.in_(_IDS))
_IMPROVE = (
    update(provider_messages)
    .where(
        provider_messages.c.account_id == bindparam("account"),
        provider_messages.c.provider_message_id == bindparam("provider_id"),
    )
    .values(delivery=bindparam("report"))
)
_STAND = (
    update(messages)
    .where(messages.c.id == bindparam("message"))
    .values(
        status=bindparam("status_after"),
        delivery=bindparam("delivery_after"),
        reason=bindparam("why"),
        in_doubt=bindparam("doubt"),
        sent_at=bindparam("sent"),
        failed_at=bindparam("failed"),
        delivered_at=bindparam("delivered"),
    )
)
_SETTLE_BATCH = (
    update(batches)
    .where(
        batches.c.id == bindparam("batch"),
        batches.c.status == "unconfirmed",
        ~select(messages.c.id)
        .where(
            messages.c.batch_id == batches.c.id,
            and_(messages.c.status == MessageStatus.QUEUED, messages.c.in_doubt),
        )
        .exists(),
    )
    .values(status="done", in_doubt=False, doubt_since=None, updated_at=bindparam("now"))
)
_WAIT = (
    update(receipts)
    .where(receipts.c.id == bindparam("receipt"))
    .values(due_at=bindparam("due"), tries=receipts.c.tries + 1)
)
