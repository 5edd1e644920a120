"""One provider, as the conformance suite has to know it, and what all of them are given to send."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from paceline.domain.outcome import Known, Rejection
from paceline.providers import capabilities_of, create
from paceline.providers.base import Account, Capabilities, OutgoingMessage, Provider, Receipt, Reply
from tests.providers.scripted import answer

API_KEY = "key-7f3a9c51d2e84b06"
TOKEN = "webhook-token-0123456789abcdef"
PHONE = "+306912345678"
TEXT = "Dear Eleni, your parcel waits at the usual place"
SENDER = "Brand"


def messages(count: int, padding: str = "") -> list[OutgoingMessage]:
    return [
        OutgoingMessage(f"+3069123{n + 45_678:05}", f"{TEXT} ({n}){padding}", f"inst-{n}-0")
        for n in range(count)
    ]


GREEK = [
    OutgoingMessage(PHONE, 'Γεια "Ζωή" \\ 🙂\n', "inst-1-0"),
    OutgoingMessage("+4915112345678", "Hi & bye", "inst-2-0"),
]
"""What the golden requests are made of: whatever needs an escape somewhere."""


@dataclass(frozen=True)
class LookUps:
    """How a provider is asked, and what it answers."""

    parameter: str
    """Of the query, that carries a reference."""
    answer: Callable[[Sequence[str], Mapping[str, Known]], bytes]
    """A whole answer to a request that asks for these references, when it knows those."""
    inconclusive: Sequence[bytes]
    """Whole answers from which nothing follows."""


@dataclass(frozen=True)
class Subject:
    """One provider: a table of cases."""

    name: str
    capabilities: Capabilities
    golden: bytes
    """The request for ``GREEK``, as much of it as fits; with PORT, VERSION and LENGTH left open."""
    accepts: Callable[[Sequence[OutgoingMessage]], bytes]
    """The body of an answer that accepts these."""
    ids: Callable[[Sequence[OutgoingMessage]], list[str]]
    """The provider's ids in that answer."""
    error: Callable[[str, str], bytes]
    """The body of a refused call, from a code and words."""
    doubtful: Sequence[bytes]
    """Bodies of a 2xx to ``messages(2)``, or as much of it as fits, which cannot be matched."""
    rejections: Sequence[tuple[int, bytes, Rejection]]
    """Status and body of an answer to ``messages(1)``, and the rejection that it is."""
    receipts: Sequence[tuple[bytes, Mapping[str, str], list[Receipt]]]
    """Body, query, and what they say."""
    no_receipts: Sequence[bytes]
    replies: Sequence[tuple[bytes, list[Reply]]]
    no_replies: Sequence[bytes]
    senders: Sequence[str]
    no_senders: Sequence[str]
    look_ups: LookUps | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    secrets: Sequence[str] = ()
    """Beside the key and the token of the receipts' address."""
    matched_by_reference: bool = False
    """Entries of an answer say which message they are about, so their order does not matter."""
    accepted_status: int = 200

    def __str__(self) -> str:
        return self.name

    @property
    def most(self) -> int:
        return self.capabilities.max_messages_per_call

    def accepted(self, sent: Sequence[OutgoingMessage]) -> bytes:
        """A whole answer that accepts these."""
        return answer(self.accepted_status, self.accepts(sent))

    def account(self, url: str, timeout_ms: int = 10_000) -> Account:
        receipts_url = f"https://sms.example.org/webhooks/{self.name}/{TOKEN}/dlr"
        return Account(
            self.name, url, API_KEY, "acc-1", timeout_ms, receipts_url, options=self.options
        )

    def provider(self, url: str = "http://localhost", timeout_ms: int = 10_000) -> Provider:
        return create(self.account(url, timeout_ms))

    def declared(self) -> Capabilities:
        return capabilities_of(self.name, self.options)
