"""What a tenant's own servers can be told about, how often that is tried, and how it is signed.

The signature is that of Standard Webhooks (https://www.standardwebhooks.com), so receivers need no
code of ours: there are libraries for it in most languages.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from enum import StrEnum


class EventType(StrEnum):
    """The types of events. Each is told once, with the change that it tells of."""

    CAMPAIGN_STARTED = "campaign.started"
    """Its first messages are queued."""
    CAMPAIGN_PAUSED = "campaign.paused"
    CAMPAIGN_RESUMED = "campaign.resumed"
    CAMPAIGN_COMPLETED = "campaign.completed"
    """Every message is sent or failed. Receipts may change the counters later."""
    CAMPAIGN_CANCELLED = "campaign.cancelled"
    CAMPAIGN_FAILED = "campaign.failed"
    """Nobody to send to when its scheduled time came."""
    CAMPAIGN_NEEDS_DECISION = "campaign.needs_decision"
    """Only unconfirmed messages are left, and nothing that Paceline can do will settle them."""
    MESSAGE_SENT = "message.sent"
    """The provider accepted it."""
    MESSAGE_FAILED = "message.failed"
    MESSAGE_UNCONFIRMED = "message.unconfirmed"
    """It may have been accepted; a receipt or a decision will settle it."""
    MESSAGE_DELIVERED = "message.delivered"
    """A receipt says that it arrived."""
    MESSAGE_UNDELIVERED = "message.undelivered"
    """A receipt says that it did not arrive, or not in time."""
    REPLY_RECEIVED = "reply.received"
    SUPPRESSION_ADDED = "suppression.added"
    TEST = "endpoint.test"
    """Somebody asked for it, to try an endpoint. It goes to that one, whatever types it wants."""


MESSAGE_EVENTS = frozenset(
    {
        EventType.MESSAGE_SENT,
        EventType.MESSAGE_FAILED,
        EventType.MESSAGE_UNCONFIRMED,
        EventType.MESSAGE_DELIVERED,
        EventType.MESSAGE_UNDELIVERED,
    }
)
"""One for each message: an endpoint gets them only if it names them."""
WANTABLE = tuple(each for each in EventType if each is not EventType.TEST)
"""What an endpoint can name."""
WANTED_BY_DEFAULT = tuple(each for each in WANTABLE if each not in MESSAGE_EVENTS)


class DeliveryStatus(StrEnum):
    """Where one event stands on its way to one endpoint."""

    PENDING = "pending"
    """Waits for its next try. Entered with the event, after a failed try, and by a replay."""
    DELIVERED = "delivered"
    """The endpoint answered 2xx. A replay makes it pending again."""
    FAILED = "failed"
    """Out of tries, or the endpoint was disabled. A replay makes it pending again."""


_S, _MIN, _H = 1_000, 60_000, 3_600_000
WAITS_MS = (
    *(5 * _S, 5 * _MIN, 30 * _MIN, 2 * _H, 5 * _H, 10 * _H, 14 * _H, 20 * _H),
    *(24 * _H, 24 * _H, 24 * _H),
)
"""The wait after each failed try, as Standard Webhooks suggests, and on to five days in all."""
MOST_TRIES = len(WAITS_MS) + 1


def wait_ms(failed_tries: int, retry_after_ms: int | None = None) -> int | None:
    """How long to wait after so many failed tries; None: there is no further one.

    Args:
        failed_tries: at least 1.
        retry_after_ms: what the endpoint asked for; it can only make the wait longer.
    """
    if failed_tries >= MOST_TRIES:
        return None
    return max(WAITS_MS[failed_tries - 1], retry_after_ms or 0)


SECRET_BYTES = 24
_SECRET_PREFIX = "whsec_"  # noqa: S105 - how every secret begins


def secret_of(random: bytes) -> str:
    """A secret as receivers are given it: ``whsec_`` and base64."""
    return _SECRET_PREFIX + base64.b64encode(random).decode("ascii")


def signature(secret: str, event_id: str, timestamp_s: int, body: bytes) -> str:
    """The header ``webhook-signature``: HMAC-SHA256 of ``id.timestamp.body`` in base64.

    Raises:
        ValueError: the secret is not one that ``secret_of`` could have made.
    """
    try:
        key = base64.b64decode(secret.removeprefix(_SECRET_PREFIX), validate=True)
    except binascii.Error:
        raise ValueError("the secret of an endpoint is whsec_ and base64") from None
    signed = f"{event_id}.{timestamp_s}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode("ascii")
