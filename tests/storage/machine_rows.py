"""What must hold of the rows after every transaction, whatever it was."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from sqlalchemy import Connection, Table, select

from paceline.domain import campaign, message
from paceline.domain.message import BatchStatus, Delivery, MessageStatus, Reason
from paceline.storage.database import AnyRow
from paceline.storage.schema import batches, campaigns, launches, messages, suppressions

_HELD = {BatchStatus.RESERVED, BatchStatus.SUBMITTING}
_BY_RECEIPT = {Reason.UNDELIVERED, Reason.EXPIRED}


def _reachable(steps: Iterable[tuple[str, str]]) -> dict[str, set[str]]:
    """Status → all that can come of it: one transaction may take several steps."""
    further: dict[str, set[str]] = defaultdict(set)
    for start, target in steps:
        further[start].add(target)
    for middle in list(further):
        for start in list(further):
            if middle in further[start]:
                further[start] |= further[middle]
    return further


_CAMPAIGN_STEPS = _reachable(
    (start, target) for starts, target in campaign.TRANSITIONS.values() for start in starts
)
_BATCH_STEPS = _reachable(
    (start, target) for start, targets in message.BATCH_TRANSITIONS.items() for target in targets
)
_MESSAGE_STEPS = _reachable((start, target) for (start, _), target in message.TRANSITIONS.items())


@dataclass(frozen=True)
class Rows:
    """The rows that say where everything stands, by id."""

    campaigns: Mapping[int, AnyRow] = field(default_factory=dict)
    batches: Mapping[int, AnyRow] = field(default_factory=dict)
    messages: Mapping[int, AnyRow] = field(default_factory=dict)
    launching: frozenset[int] = frozenset()
    """Campaigns that have chunks left."""
    suppressed: frozenset[tuple[int, str]] = frozenset()
    """(tenant, number)."""

    def of_batch(self, batch_id: int) -> list[AnyRow]:
        return [each for each in self.messages.values() if each.batch_id == batch_id]


def look(connection: Connection, before: Rows, attempts: int) -> Rows:
    """Read all rows and hold them against everything that must be true of them.

    Args:
        connection: of a read.
        before: the rows as they were seen last.
        attempts: how many tries a batch may have.
    """
    rows = Rows(
        _by_id(connection, campaigns),
        _by_id(connection, batches),
        _by_id(connection, messages),
        frozenset(connection.execute(select(launches.c.campaign_id)).scalars()),
        frozenset(
            (row.tenant_id, row.phone)
            for row in connection.execute(select(suppressions.c.tenant_id, suppressions.c.phone))
        ),
    )
    in_batch: dict[int, list[AnyRow]] = defaultdict(list)
    in_campaign: dict[int, list[AnyRow]] = defaultdict(list)
    for each in rows.messages.values():
        in_batch[each.batch_id].append(each)
        if each.campaign_id is not None:
            in_campaign[each.campaign_id].append(each)
    for row in rows.campaigns.values():
        _check_counters(row, in_campaign[row.id])
        _check_end(row, rows.launching)
    for row in rows.batches.values():
        _check_batch(row, in_batch[row.id], attempts)
    for row in rows.messages.values():
        _check_message(row, rows)
    _check_steps(before, rows)
    return rows


def _by_id(connection: Connection, table: Table) -> dict[int, AnyRow]:
    return {row.id: row for row in connection.execute(select(table).order_by(table.c.id))}


def _check_counters(row: AnyRow, its_messages: list[AnyRow]) -> None:
    """The counters are what GROUP BY would say, and add up."""
    grouped = Counter(each.status for each in its_messages)
    assert (row.total, row.queued, row.sent, row.failed, row.delivered, row.unconfirmed) == (
        len(its_messages),
        grouped[MessageStatus.QUEUED],
        grouped[MessageStatus.SENT],
        grouped[MessageStatus.FAILED],
        sum(each.delivery == Delivery.DELIVERED for each in its_messages),
        sum(each.in_doubt for each in its_messages),
    ), f"counters of campaign {row.id}"
    assert row.queued + row.sent + row.failed == row.total
    assert row.processed == row.sent + row.failed
    assert row.delivered <= row.sent
    assert row.unconfirmed <= row.queued


def _check_end(row: AnyRow, launching: frozenset[int]) -> None:
    if row.status == "completed":
        assert row.queued == 0, f"campaign {row.id} is completed with something queued"
    if row.status in {"sending", "paused"}:
        assert row.queued or row.launching, f"campaign {row.id} is not completed"
    if row.status in {"completed", "failed", "draft"}:
        assert not row.launching, f"campaign {row.id} is {row.status} while it is launched"
        assert row.id not in launching
    if row.status in {"draft", "scheduled", "failed"}:
        assert row.total == 0, f"campaign {row.id} is {row.status} and has messages"


def _check_batch(row: AnyRow, its_messages: list[AnyRow], attempts: int) -> None:
    which = f"batch {row.id}, {row.status}"
    queued = [each for each in its_messages if each.status == MessageStatus.QUEUED]
    assert row.size == len(its_messages), f"size of {which}"
    assert 0 <= row.tries <= attempts, f"tries of {which}: {row.tries}"
    assert 0 <= row.retry_count <= attempts, f"retry_count of {which}: {row.retry_count}"
    assert (row.lease_until is not None) == (row.status in _HELD), f"lease of {which}"
    # The flag of a batch may outlive its last message in doubt, but they never differ.
    assert all(each.in_doubt == row.in_doubt for each in queued), f"doubt of {which}"
    assert (row.doubt_since is not None) == row.in_doubt, f"doubt_since of {which}"
    if row.status == BatchStatus.UNCONFIRMED:
        assert row.in_doubt, f"{which} without doubt"
        assert queued, f"{which} with nothing in doubt"


def _check_message(row: AnyRow, rows: Rows) -> None:
    which = f"message {row.id}, {row.status}"
    batch = rows.batches[row.batch_id]
    assert (row.tenant_id, row.campaign_id) == (batch.tenant_id, batch.campaign_id), which
    assert (row.reason is not None) == (row.status == MessageStatus.FAILED), which
    assert not row.in_doubt or row.status == MessageStatus.QUEUED, which
    if row.status == MessageStatus.QUEUED:
        assert batch.status not in {BatchStatus.DONE, BatchStatus.CANCELLED}, f"{which} is lost"
        assert row.delivery == Delivery.NONE, which


def _check_steps(before: Rows, after: Rows) -> None:
    """Nothing is lost, and everything has moved along the tables."""
    for name, steps in (
        ("campaigns", _CAMPAIGN_STEPS),
        ("batches", _BATCH_STEPS),
        ("messages", _MESSAGE_STEPS),
    ):
        was, now = getattr(before, name), getattr(after, name)
        assert was.keys() <= now.keys(), f"{name} are missing"
        for key, row in was.items():
            old, new = row.status, now[key].status
            assert old == new or new in steps[old], f"{name} {key}: {old} became {new}"
    for key, old in before.batches.items():
        new = after.batches[key]
        assert new.fence >= old.fence, f"fence of batch {key}"
        assert new.generation >= old.generation, f"generation of batch {key}"
        if new.status == BatchStatus.RESERVED and old.status != BatchStatus.RESERVED:
            assert new.fence > old.fence, f"batch {key} was reserved under its old fence"
    for key, old in before.messages.items():
        _check_receipts_alone_turn(old, after.messages[key])
    for key, old in before.campaigns.items():
        assert after.campaigns[key].total >= old.total, f"campaign {key} has shrunk"


def _check_receipts_alone_turn(old: AnyRow, new: AnyRow) -> None:
    """What was sent or failed is turned by receipts only, and what has arrived by nothing."""
    assert (old.campaign_id, old.phone) == (new.campaign_id, new.phone)
    if old.delivery == Delivery.DELIVERED:
        assert new.delivery == Delivery.DELIVERED, f"message {new.id}"
    if (old.status, new.status) == (MessageStatus.FAILED, MessageStatus.SENT):
        assert new.delivery == Delivery.DELIVERED, f"message {new.id}"
    if (old.status, new.status) == (MessageStatus.SENT, MessageStatus.FAILED):
        assert new.reason in _BY_RECEIPT, f"message {new.id}"
