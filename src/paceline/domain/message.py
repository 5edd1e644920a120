"""A message's states, its reasons, and what receipts make of it."""

from __future__ import annotations

import re
from enum import StrEnum


class MessageStatus(StrEnum):
    """The three words of the counters: ``queued + sent + failed = total``."""

    QUEUED = "queued"
    """Written at launch. Not sent yet, on its way, or in doubt. Left for sent or failed."""
    SENT = "sent"
    """The provider accepted it, or a receipt or an operator proved that it did. A receipt of final
    non-delivery moves it to failed."""
    FAILED = "failed"
    """It will not be sent, or was not delivered; ``reason`` says why. A ``delivered`` receipt still
    moves it to sent."""


class Cause(StrEnum):
    """What may change a message's status."""

    ACCEPTED = "accepted"
    GIVEN_UP = "given_up"
    """Rejected, out of tries, opted out, written to often enough, cancelled, or failed by an
    operator."""
    DELIVERED_RECEIPT = "delivered_receipt"
    FAILURE_RECEIPT = "failure_receipt"


_S = MessageStatus
TRANSITIONS: dict[tuple[MessageStatus, Cause], MessageStatus] = {
    (_S.QUEUED, Cause.ACCEPTED): _S.SENT,
    (_S.QUEUED, Cause.GIVEN_UP): _S.FAILED,
    (_S.QUEUED, Cause.DELIVERED_RECEIPT): _S.SENT,
    (_S.QUEUED, Cause.FAILURE_RECEIPT): _S.FAILED,
    (_S.SENT, Cause.DELIVERED_RECEIPT): _S.SENT,
    (_S.SENT, Cause.FAILURE_RECEIPT): _S.FAILED,
    (_S.FAILED, Cause.DELIVERED_RECEIPT): _S.SENT,
}
"""(status, cause) → status. A pair that is not here changes nothing."""


def after(status: MessageStatus, cause: Cause) -> MessageStatus:
    """The status after ``cause``; the same status when the table has no such move."""
    return TRANSITIONS.get((status, cause), status)


class Reason(StrEnum):
    """Why a message is ``failed``."""

    RATE_LIMIT_EXCEEDED = "rate_limit_exceeded"
    """Denied by our own limits on every try (strategy ``backoff`` only)."""
    OPTED_OUT = "opted_out"
    """Suppressed after launch and before its intent, or blocked by the provider at their wish."""
    FREQUENCY_CAP = "frequency_cap"
    """The person has had as many messages as the tenant's frequency cap allows."""
    INVALID_NUMBER = "invalid_number"
    REJECTED = "rejected"
    """The provider said no to this message."""
    UNDELIVERED = "undelivered"
    """Sent, and a receipt says that it did not arrive."""
    EXPIRED = "expired"
    """Sent, and a receipt says that the network gave up after its validity."""
    CANCELLED = "cancelled"
    ATTEMPTS_EXHAUSTED = "attempts_exhausted"
    """Every try met a passing failure; ``error`` has the last one."""
    INTERNAL_ERROR = "internal_error"
    """A bug of ours before anything was sent."""
    GIVEN_UP = "given_up"
    """It was in doubt and an operator decided to count it as failed."""


class Delivery(StrEnum):
    """What receipts say. Ranked: delivered beats a final failure beats nothing."""

    NONE = "none"
    UNDELIVERED = "undelivered"
    EXPIRED = "expired"
    DELIVERED = "delivered"


class BatchStatus(StrEnum):
    """Where a batch stands."""

    QUEUED = "queued"
    """Waits for its turn and for ``due_at``. Entered at launch, and when a try failed for a passing
    reason or a reservation was given back or ran out."""
    RESERVED = "reserved"
    """A worker renders it or waits with it at the gate. No permit is held and nothing is in doubt:
    when its lease runs out it is queued again."""
    SUBMITTING = "submitting"
    """The intent is committed, so the call may have been made. When its lease runs out it is
    unconfirmed, never queued."""
    UNCONFIRMED = "unconfirmed"
    """It may have been accepted. Left when an answer, a receipt or an operator settles it."""
    DONE = "done"
    """Each of its messages is sent or failed, or has been moved to another batch. Final."""
    CANCELLED = "cancelled"
    """Its campaign was cancelled before it was sent. Final."""


UNFINISHED = (
    BatchStatus.QUEUED,
    BatchStatus.RESERVED,
    BatchStatus.SUBMITTING,
    BatchStatus.UNCONFIRMED,
)
"""The states of a batch that something is still to become of."""
_B = BatchStatus
BATCH_TRANSITIONS: dict[BatchStatus, frozenset[BatchStatus]] = {
    # Straight to unconfirmed: in doubt since an earlier try, and cancelled or out of tries now.
    # Straight to done: the rest of a call that was rejected whole, and its scouts as well.
    _B.QUEUED: frozenset({_B.RESERVED, _B.CANCELLED, _B.UNCONFIRMED, _B.DONE}),
    _B.RESERVED: frozenset({_B.QUEUED, _B.SUBMITTING, _B.DONE, _B.CANCELLED, _B.UNCONFIRMED}),
    _B.SUBMITTING: frozenset(
        {_B.DONE, _B.QUEUED, _B.UNCONFIRMED, _B.CANCELLED, _B.RESERVED}  # reserved: permit void
    ),
    _B.UNCONFIRMED: frozenset({_B.DONE, _B.QUEUED, _B.CANCELLED}),
    _B.DONE: frozenset(),
    _B.CANCELLED: frozenset(),
}


ERASED = "#"
"""Begins what stands for the number of a message whose person was erased, its id behind it: each
is another one, as the numbers of a campaign are."""


def is_erased(phone: str) -> bool:
    """Whether a message's number is not one any more."""
    return phone.startswith(ERASED)


_REFERENCE = re.compile(r"([^-]+)-(\d{1,19})-(\d{1,10})", re.ASCII)
_LARGEST_ID = 2**63 - 1
_LARGEST_GENERATION = 2**31 - 1


def parse_reference(reference: str) -> tuple[str, int, int] | None:
    """Take a reference apart into (installation, message id, generation); None if not ours.

    It comes from outside: a number that no column could hold must not reach a query.
    """
    found = _REFERENCE.fullmatch(reference)
    if found is None:
        return None
    message_id, generation = int(found[2]), int(found[3])
    if message_id > _LARGEST_ID or generation > _LARGEST_GENERATION:
        return None
    return found[1], message_id, generation


def reference(installation: str, message_id: int, generation: int) -> str:
    """What the provider knows a message by: the same in every attempt of one generation.

    ``installation`` is random per database, so that a fresh or restored database never meets a
    reference which the provider has seen for another message.
    """
    return f"{installation}-{message_id}-{generation}"
