"""The seam between the engine and the providers.

A provider is one file: it builds the request, reads the answer, reads receipts, and *declares* what
it can do. It knows no storage and never retries: it maps whatever happened to one ``Outcome``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec

from paceline.domain.message import Delivery
from paceline.domain.outcome import Known, Outcome


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a provider promises; everything that is doubtful is decided by these."""

    max_messages_per_call: int
    """1: one call per message."""
    deduplicates: bool = False
    dedupe_horizon_ms: int | None = None
    looks_up: bool = False
    max_look_ups: int = 1
    """References that one look-up may ask about."""
    look_up_horizon_ms: int | None = None
    """How far back a look-up reaches; None: as far as we could ever ask."""
    server_error_is_no: bool = True
    """A 5xx answer usually means "not accepted"; what an account says counts more."""
    echoes_reference: bool = False
    """Receipts carry our reference, so that they can prove an answer we never got."""


class OutgoingMessage(msgspec.Struct, frozen=True, gc=False):
    """One SMS as the provider needs it; there are many, and this kind is made three times as fast
    as a dataclass.
    """

    to: str
    """E.164."""
    text: str
    reference: str


@dataclass(frozen=True, slots=True)
class Account:
    """A traffic account as an adapter sees it. ``api_key`` is secret: never logged or repeated."""

    provider: str
    base_url: str
    api_key: str
    external_id: str
    """What the provider calls the account (Mitto: ``trafficAccountId``)."""
    timeout_ms: int = 30_000
    receipts_url: str = ""
    """Where this account's receipts are to be posted, for providers that want it in each call."""
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """What only this provider's adapter knows."""

    def __repr__(self) -> str:
        return f"Account({self.provider} {self.external_id} at {self.base_url})"


@dataclass(frozen=True, slots=True)
class Receipt:
    """One delivery report; of ``provider_message_id`` and ``reference`` one may be empty."""

    provider_message_id: str
    reference: str
    delivery: Delivery
    """``Delivery.NONE`` for an intermediate report."""
    occurred_at: int | None
    """Milliseconds since 1970 as the provider says, or None."""
    error: str = ""


@dataclass(frozen=True, slots=True)
class Reply:
    """One message that a person sent to us."""

    provider_message_id: str
    """Perhaps empty."""
    phone: str
    """Who wrote it, as the provider says."""
    number: str
    """The number or name it was sent to."""
    text: str


class LookUpFailedError(Exception):
    """A look-up told nothing, neither "known" nor "unknown"; the message says why."""

    def __init__(self, why: str, retry_after_ms: int | None = None) -> None:
        super().__init__(why)
        self.retry_after_ms = retry_after_ms


class PermitVoidError(Exception):
    """The permit ran out before the first byte was written: nothing was sent."""


class UnreadableError(ValueError):
    """A webhook's body is not what the provider sends; the message says what is wrong."""


class PreparedCall(Protocol):
    """A request rendered to its last byte, so that nothing but writing it remains.

    Preparing and opening the connection come before the permit; ``submit`` after it.
    """

    async def connect(self) -> Outcome | None:
        """Have an open connection at hand. ``None`` when there is one, else ``NotSent``."""

    async def submit(
        self, send_by: float, *, written: Callable[[float], None] | None = None
    ) -> Outcome:
        """Write the request and read the answer.

        Args:
            send_by: the last moment at which the first byte may go out, on the clock that
                the provider was made with.
            written: told, on the same clock, a moment by which the first byte had gone out.

        Raises:
            PermitVoidError: that moment had passed; not one byte was written.
        """

    def release(self) -> None:
        """Give back a connection that is still held: this call will not be submitted now."""


class Provider(Protocol):
    """One provider's adapter, for one traffic account."""

    capabilities: Capabilities

    def prepare(self, sender: str, messages: Sequence[OutgoingMessage]) -> PreparedCall:
        """Render the call that submits ``messages`` (at most ``max_messages_per_call``)."""

    async def look_up(self, references: Sequence[str]) -> Mapping[str, Known]:
        """Ask which of these references the provider knows, at most ``max_look_ups`` of them. One
        that is missing from the answer was not accepted.

        Raises:
            LookUpFailedError: nothing is known about any of them, or the provider cannot be asked
                (``capabilities.looks_up``).
        """

    def is_genuine(self, url: str, body: bytes, headers: Mapping[str, str]) -> bool | None:
        """Whether the provider signed this webhook; None: this provider signs none.

        Args:
            url: the public address it was posted to, with its query.
            body: the raw body.
            headers: found in any case.
        """

    def read_receipts(
        self, body: bytes, headers: Mapping[str, str], query: Mapping[str, str]
    ) -> list[Receipt]:
        """Read a delivery webhook; ``query`` is of the address it was posted to.

        Raises:
            UnreadableError: the body is not the provider's.
        """

    def read_replies(self, body: bytes, headers: Mapping[str, str]) -> list[Reply]:
        """Read an inbound webhook.

        Raises:
            UnreadableError: the body is not the provider's.
        """

    async def aclose(self) -> None:
        """Close the connections."""
