"""Doubt: what ran out is taken back, and what an operator decides is carried out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, bindparam, func, select, update

from paceline.domain.campaign import CampaignStatus
from paceline.domain.errors import ConflictError
from paceline.domain.message import UNFINISHED, BatchStatus, MessageStatus, Reason
from paceline.domain.verdict import Policy, remembers
from paceline.storage import accounts, audit_log, counters, webhook_events
from paceline.storage import campaigns as campaigns_table
from paceline.storage.batches import tries_of
from paceline.storage.database import AnyRow, now
from paceline.storage.schema import batches, messages

SINGLES_IN_DOUBT = select(func.count()).where(
    batches.c.campaign_id.is_(None), batches.c.status.in_(UNFINISHED), batches.c.in_doubt
)
"""How many messages without a campaign may have been accepted; each is a batch of its own."""
_IN_HAND = (BatchStatus.RESERVED, BatchStatus.SUBMITTING)


class Decision(StrEnum):
    """What an operator can say about messages that may have been accepted."""

    RESEND = "resend"
    """Send again, at the risk of a second SMS; tries begin anew under a new reference."""
    FAIL = "fail"
    """Count them as failed (``given_up``)."""
    ACCEPT = "accept"
    """Count them as sent, without an id from the provider."""


def expired(connection: Connection, *, limit: int = 200) -> list[int]:
    """Batches whose worker let the lease run out."""
    return list(connection.execute(_EXPIRED, {"now": now(connection), "limit": limit}).scalars())


def in_hand(connection: Connection) -> list[int]:
    """Batches that a worker holds, whatever their lease."""
    return list(
        connection.execute(
            select(batches.c.id)
            .where(batches.c.lease_until.is_not(None), batches.c.status.in_(_IN_HAND))
            .order_by(batches.c.id)
        ).scalars()
    )


def undecided(connection: Connection, tenant_id: int, campaign_id: int) -> Sequence[int]:
    """The campaign's unconfirmed batches.

    Raises:
        NotFoundError: this tenant has no such campaign.
    """
    campaigns_table.get(connection, tenant_id, campaign_id)
    return (
        connection.execute(
            select(batches.c.id)
            .where(
                batches.c.campaign_id == campaign_id,
                batches.c.tenant_id == tenant_id,
                batches.c.status == BatchStatus.UNCONFIRMED,
            )
            .order_by(batches.c.id)
        )
        .scalars()
        .all()
    )


def decide(
    connection: Connection,
    batch_id: int,
    decision: Decision,
    *,
    actor: str,
    policy_of: Callable[[AnyRow], Policy],
) -> int:
    """Carry out an operator's decision on one unconfirmed batch; return how many messages it
    concerned. 0: the batch was settled meanwhile, or it is to be sent again and its provider will
    be asked about it first.

    Args:
        connection: of a write transaction.
        batch_id: the batch.
        decision: what is to become of what is in doubt.
        actor: who decided, for the audit log.
        policy_of: the policy on an account, from its row.

    Raises:
        ConflictError: a resend is asked for and the campaign is cancelled.
    """
    campaign_id = connection.execute(
        select(batches.c.campaign_id).where(batches.c.id == batch_id)
    ).scalar_one()
    campaign_status = counters.lock(connection, campaign_id)
    if decision is Decision.RESEND and campaign_status == CampaignStatus.CANCELLED:
        raise ConflictError(
            "The campaign is cancelled, so nothing of it can be sent again: "
            "accept or fail its unconfirmed messages."
        )
    batch = connection.execute(
        select(batches).where(batches.c.id == batch_id).with_for_update()
    ).one()
    if batch.status != BatchStatus.UNCONFIRMED:
        return 0
    at = now(connection)
    doubtful = connection.execute(select(func.count()).where(_in_doubt(batch_id))).scalar_one()
    if decision is Decision.RESEND:
        policy = policy_of(accounts.get(connection, batch.account_id))
        if policy.looks_up and batch.confirm_at is not None:
            return 0  # a second SMS for want of a minute's patience
        if remembers(policy, tries_of(batch, at)):
            _send_again_as_it_was(connection, batch, at)
        else:
            _settle(connection, batch, decision, at, doubtful)
    else:
        _settle(connection, batch, decision, at, doubtful)
    audit_log.write(
        connection,
        tenant_id=batch.tenant_id,
        actor=actor,
        action=f"unconfirmed.{decision}",
        subject=f"batch {batch_id}" if campaign_id is None else f"campaign {campaign_id}",
        batch_id=batch_id,
        messages=int(doubtful),
    )
    webhook_events.batches(connection, [batch_id], at)
    return int(doubtful)


def end(connection: Connection, batch: AnyRow, at: int) -> None:
    """End the doubt of a batch: the only attempt that was in doubt has told what became of it.

    Needs the locks of the campaign and the batch.
    """
    doubtful = connection.execute(
        update(messages).where(_in_doubt(batch.id)).values(in_doubt=False)
    ).rowcount
    connection.execute(
        update(batches).where(batches.c.id == batch.id).values(in_doubt=False, doubt_since=None)
    )
    counters.add(connection, batch.campaign_id, at=at, unconfirmed=-doubtful)


def _send_again_as_it_was(connection: Connection, batch: AnyRow, at: int) -> None:
    """Queue a batch with its tries back, under the references that the provider deduplicates on. It
    stays in doubt until that has answered: only so are the references kept whatever comes between.
    """
    connection.execute(
        update(batches)
        .where(batches.c.id == batch.id)
        .values(**_AFRESH, due_at=at, confirm_at=None, updated_at=at)
    )


def _settle(
    connection: Connection, batch: AnyRow, decision: Decision, at: int, doubtful: int
) -> None:
    """Give what is in doubt the status that the operator says, and the counters theirs."""
    connection.execute(
        update(messages).where(_in_doubt(batch.id)).values(**_MESSAGE_VALUES[decision](at))
    )
    _move(connection, batch, decision, at)
    counters.add(
        connection,
        batch.campaign_id,
        at=at,
        unconfirmed=-doubtful,
        queued=0 if decision is Decision.RESEND else -doubtful,
        sent=doubtful if decision is Decision.ACCEPT else 0,
        failed=doubtful if decision is Decision.FAIL else 0,
    )


def _move(connection: Connection, batch: AnyRow, decision: Decision, at: int) -> None:
    values: dict[str, Any] = {
        "status": BatchStatus.DONE,
        "in_doubt": False,
        "doubt_since": None,
        "confirm_at": None,
        "updated_at": at,
    }
    if decision is Decision.RESEND:
        values |= {**_AFRESH, "generation": batch.generation + 1, "due_at": at}
    connection.execute(update(batches).where(batches.c.id == batch.id).values(**values))


_AFRESH = {"status": BatchStatus.QUEUED, "tries": 0, "retry_count": 0}
_MESSAGE_VALUES: dict[Decision, Any] = {
    Decision.RESEND: lambda _at: {"in_doubt": False},
    Decision.FAIL: lambda at: {
        "in_doubt": False,
        "status": MessageStatus.FAILED,
        "reason": Reason.GIVEN_UP,
        "failed_at": at,
    },
    Decision.ACCEPT: lambda at: {
        "in_doubt": False,
        "status": MessageStatus.SENT,
        "sent_at": at,
    },
}


def _in_doubt(batch_id: int) -> Any:
    return (
        (messages.c.batch_id == batch_id)
        & (messages.c.status == MessageStatus.QUEUED)
        & messages.c.in_doubt
    )


_EXPIRED = (
    select(batches.c.id)
    .where(
        batches.c.lease_until.is_not(None),
        batches.c.status.in_(_IN_HAND),
        batches.c.lease_until <= bindparam("now"),
    )
    .order_by(batches.c.lease_until)
    .limit(bindparam("limit"))
)
