"""What delivery receipts make of a message.

Receipts come late, twice, early and in any order, so what they add up to must not depend on that:
each attempt keeps the best report it ever got, and the message shows its best attempt.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from paceline.domain.message import Cause, Delivery, MessageStatus, Reason, after

_RANK = {Delivery.NONE: 0, Delivery.UNDELIVERED: 1, Delivery.EXPIRED: 1, Delivery.DELIVERED: 2}
_REASON = {Delivery.UNDELIVERED: Reason.UNDELIVERED, Delivery.EXPIRED: Reason.EXPIRED}


def best(one: Delivery, other: Delivery) -> Delivery:
    """Delivered beats a final failure beats an intermediate report; of two failures the one whose
    name comes first, so that their order does not matter.
    """
    return min(one, other, key=lambda delivery: (-_RANK[delivery], delivery.value))


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a message stands once its receipts are counted."""

    status: MessageStatus
    delivery: Delivery
    reason: Reason | None
    in_doubt: bool


def stand(status: MessageStatus, reason: str | None, attempts: Iterable[Delivery]) -> Standing:
    """Work out a message's standing from the best report of each of its accepted attempts.

    A final failure counts only when no attempt is still under way (``Delivery.NONE``): that one may
    yet be delivered. Any report at all proves that the provider had accepted the message.

    Args:
        status: as it is.
        reason: why it is failed, if so.
        attempts: one delivery per attempt that the provider is known to have accepted; not empty.
    """
    reports = list(attempts)
    if Delivery.DELIVERED in reports:
        moved = after(status, Cause.DELIVERED_RECEIPT)
        return Standing(moved, Delivery.DELIVERED, None, in_doubt=False)
    if Delivery.NONE in reports:
        moved = after(status, Cause.ACCEPTED)
        kept = Reason(reason) if reason else None
        return Standing(moved, Delivery.NONE, kept, in_doubt=False)
    worst = min(reports, key=lambda delivery: delivery.value)
    moved = after(status, Cause.FAILURE_RECEIPT)
    return Standing(moved, worst, _REASON[worst], in_doubt=False)
