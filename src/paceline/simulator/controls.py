"""What a test may tell the simulator to do: one document, settable at run time."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

Share = Annotated[float, Meta(ge=0, le=1)]
Milliseconds = Annotated[float, Meta(ge=0)]
Count = Annotated[int, Meta(ge=1)]

FaultName = Literal[
    "ok",
    "throttle",
    "unauthorized",
    "fail_before",
    "fail_after",
    "drop_before",
    "drop_after",
    "short_answer",
    "slow",
    "reset_before",
    "reset_after",
]


class StatusFault(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Answer with this HTTP status, before accepting anything."""

    status: Annotated[int, Meta(ge=400, le=599)]


Fault = FaultName | StatusFault


class Limit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The provider's own limit: at most `max` calls per traffic account in any sliding window."""

    max: Count
    window_ms: Count


class Receipts(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where and how delivery receipts are posted; every share is a share of messages."""

    url: Annotated[str, Meta(pattern=r"^https?://")]
    delay_ms: Milliseconds = 0
    fail_share: Share = 0
    duplicate_share: Share = 0
    shuffle: bool = False
    before_answer: bool = False
    intermediate: bool = False
    echo_reference: bool = False


class Controls(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The whole control document; its defaults are a provider without a fault.

    The six fault shares are shares of calls. A call has at most one fault, so together they are
    at most 1. An entry of `next` is consumed by each call and replaces the drawn fault of that
    call; the limit and the rejections hold beside it.

    `poison_destinations` and `reject_senders` get the whole call a 400 that names no message.
    `retryable_share` is a share of messages, drawn anew in each call; `retry_destinations` says how
    often a destination fails before it passes, and is consumed by the failures.
    """

    api_keys: frozenset[str] = frozenset()
    lookup: bool = True
    deduplicate: bool = False
    max_messages: Count = 10_000

    reject_share: Share = 0
    reject_destinations: frozenset[str] = frozenset()
    reject_senders: frozenset[str] = frozenset()
    poison_destinations: frozenset[str] = frozenset()

    retryable_share: Share = 0
    retry_destinations: dict[str, Count] = {}

    latency_ms: Milliseconds = 0
    latency_jitter_ms: Milliseconds = 0

    limit: Limit | None = None
    retry_after: Annotated[int, Meta(ge=0)] | None = None

    drop_before_share: Share = 0
    fail_before_share: Share = 0
    drop_after_share: Share = 0
    fail_after_share: Share = 0
    short_answer_share: Share = 0
    slow_share: Share = 0
    slow_ms: Milliseconds = 1_000

    next: tuple[Fault, ...] = ()
    receipts: Receipts | None = None

    def __post_init__(self) -> None:
        if sum(share for _, share in self.fault_shares()) > 1 + 1e-9:
            names = ", ".join(f"{name}_share" for name, _ in self.fault_shares())
            raise ValueError(f"{names} add up to more than 1")

    def fault_shares(self) -> tuple[tuple[FaultName, float], ...]:
        return (
            ("drop_before", self.drop_before_share),
            ("fail_before", self.fail_before_share),
            ("drop_after", self.drop_after_share),
            ("fail_after", self.fail_after_share),
            ("short_answer", self.short_answer_share),
            ("slow", self.slow_share),
        )


class Outage(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The provider is down for a while: every call and every look-up meets this, in place of the
    faults that are scripted or drawn.

    `refuse` closes the port, for the control document and the log as well, and cuts off calls that
    are in progress; `status` answers with `status`; `reset` resets the connection once the request
    has been received whole, after taking its messages if `accept` is set.
    """

    kind: Literal["refuse", "status", "reset"]
    for_ms: Annotated[float, Meta(gt=0)]
    status: Annotated[int, Meta(ge=400, le=599)] = 503
    accept: bool = False


def read_outage(document: bytes) -> Outage:
    """Decode an outage.

    Raises:
        msgspec.DecodeError: as `read_controls`.
    """
    return msgspec.json.decode(document, type=Outage)


def read_controls(document: bytes | str) -> Controls:
    """Decode a whole control document; what it leaves out has its default.

    Raises:
        msgspec.DecodeError: not JSON, or a field unknown or out of range; the text names it.
    """
    return msgspec.json.decode(document, type=Controls)


def patch_controls(current: Controls, document: bytes) -> Controls:
    """Apply a JSON merge patch (RFC 7396): null puts a field back to its default.

    Raises:
        msgspec.DecodeError: as `read_controls`.
    """
    patch = msgspec.json.decode(document, type=dict[str, Any])
    return msgspec.convert(_merged(msgspec.to_builtins(current), patch), type=Controls)


def _merged(target: object, patch: object) -> object:
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = _merged(result.get(name), value)
    return result
