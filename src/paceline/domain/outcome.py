"""What one submission told us. An adapter maps whatever happened to exactly one of these.

The question each outcome answers is not "did it work?" but "may the provider have accepted it?":
that, and nothing else, decides whether sending again can be a second SMS (see ``verdict``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar, TypeAlias

from paceline.domain.message import Delivery


class OutcomeKind(StrEnum):
    """The words of ``attempts.outcome``, of the logs and of the metrics."""

    ANSWERED = "answered"
    REJECTED = "rejected"
    REFUSED = "refused"
    NOT_SENT = "not_sent"
    THROTTLED = "throttled"
    SERVER_ERROR = "server_error"
    NO_ANSWER = "no_answer"
    VOID = "void"
    """The permit ran out before the first byte: nothing was sent and no try was spent."""


@dataclass(frozen=True, slots=True)
class Rejection:
    """The provider's word that it did not take one message (or a whole call), and why."""

    code: str
    detail: str = ""
    reason: str = "rejected"
    """One of ``message.Reason``: ``opted_out`` when the provider blocks the number for us."""
    retryable: bool = False
    """It passes by itself: this message may be tried again, and was not accepted this time."""

    def __str__(self) -> str:
        return f"{self.code}: {self.detail}" if self.detail else self.code


@dataclass(frozen=True, slots=True)
class Answered:
    """The provider answered for each message of the call.

    ``provider_ids[i]`` belongs to the i-th message of the call, ``None`` where it was rejected;
    ``rejections`` maps those positions to the reason. "Duplicate reference" counts as accepted.
    """

    kind: ClassVar = OutcomeKind.ANSWERED
    provider_ids: Sequence[str | None]
    rejections: Mapping[int, Rejection] = field(default_factory=dict)
    bulk_id: str | None = None
    status: int | None = 200
    error: ClassVar[str] = ""


@dataclass(frozen=True, slots=True)
class Rejected:
    """400 or 422 for the whole call: nothing of it was accepted."""

    kind: ClassVar = OutcomeKind.REJECTED
    rejection: Rejection
    status: int | None = 400

    @property
    def error(self) -> str:
        return str(self.rejection)


@dataclass(frozen=True, slots=True)
class Refused:
    """401, 402, 403, 404: credentials, money or route. The account is at fault, no message is."""

    kind: ClassVar = OutcomeKind.REFUSED
    error: str
    status: int | None


@dataclass(frozen=True, slots=True)
class NotSent:
    """Provably before the first byte: name resolution, connect, TLS, no free connection."""

    kind: ClassVar = OutcomeKind.NOT_SENT
    error: str
    status: ClassVar[None] = None


@dataclass(frozen=True, slots=True)
class Throttled:
    """429, known not to be processed. ``retry_after_ms`` is the provider's wish, if it has one."""

    kind: ClassVar = OutcomeKind.THROTTLED
    error: str = "429 Too Many Requests"
    retry_after_ms: int | None = None
    status: int | None = 429


@dataclass(frozen=True, slots=True)
class ServerError:
    """5xx, answered. Whether it was accepted first is the provider's secret."""

    kind: ClassVar = OutcomeKind.SERVER_ERROR
    error: str
    status: int | None = 500
    retry_after_ms: int | None = None


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """Bytes went out and no usable answer came: time-out, reset, unreadable, short, long, death."""

    kind: ClassVar = OutcomeKind.NO_ANSWER
    error: str
    status: int | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """What a look-up found out about one message: the provider has accepted it."""

    provider_message_id: str
    delivery: Delivery = Delivery.NONE


Outcome: TypeAlias = Answered | Rejected | Refused | NotSent | Throttled | ServerError | NoAnswer
