"""Mitto v1.1: bulk submission by JSON; receipts and replies by webhook.

Mitto carries no reference of ours, deduplicates nothing and looks nothing up by reference: what was
not answered stays in doubt. (It tells the status of a message by its own id, which is of no use
without the answer that would have named it, so nothing here asks for it.)

One message goes the same way as many, as a bulk call of one: the endpoint for single messages
accepts nothing that this one does not, and its answer would have to be read in a second way.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from paceline.domain.message import Delivery
from paceline.domain.outcome import Answered, Known, NoAnswer, Outcome, Rejection
from paceline.providers.answers import outcome_of, public_words, secrets_of
from paceline.providers.base import (
    Account,
    Capabilities,
    OutgoingMessage,
    Receipt,
    Reply,
    UnreadableError,
)
from paceline.providers.declared import cannot_be_asked, check_call
from paceline.providers.http import HttpCall, HttpEndpoint
from paceline.providers.lines import INTERNET, HttpAnswer, Network
from paceline.providers.moments import read_moment

SUBMISSION_PATH = "/api/v1.1/Messages/sendmessagesbulk"
CAPABILITIES = Capabilities(max_messages_per_call=10_000)
"""Documents disagree about the largest call (500 advised, 1000, "1M+"): the batch size decides."""

DELIVERIES = {
    "sent": Delivery.NONE,
    "delivered": Delivery.DELIVERED,
    "delivrd": Delivery.DELIVERED,
    "failure": Delivery.UNDELIVERED,
    "failed": Delivery.UNDELIVERED,
    "undelivered": Delivery.UNDELIVERED,
    "rejected": Delivery.UNDELIVERED,
    "expired": Delivery.EXPIRED,
}
"""Receipt statuses in lower case. Any other is taken as intermediate: it changes nothing."""

_NAME = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9]{3,11}")
_NUMBER = re.compile(r"\+?[0-9]{3,15}")
_PHONE_FIELDS = ("from", "sender", "msisdn", "source", "originator")
_NUMBER_FIELDS = ("to", "destination", "recipient", "receiver")
_TEXT_FIELDS = ("text", "message", "body")
_ID_FIELDS = ("messageid", "id")
"""What the fields of a reply may be called, in lower case; the first that is there counts."""
UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


def key_of(account: Account) -> dict[str, str]:
    """The header that carries an account's key."""
    return {"X-Mitto-API-Key": account.api_key}


class _Sms(msgspec.Struct, gc=False):
    text: str
    sender: str


class _Message(msgspec.Struct, rename="camel", gc=False):
    traffic_account_id: str
    destination: str
    sms: _Sms
    reference: str | UnsetType = UNSET


class _Submission(msgspec.Struct):
    messages: list[_Message]


class _Entry(msgspec.Struct, rename="camel"):
    message_id: str | int | None = None
    error: Any = None


class _Answer(msgspec.Struct, rename="camel"):
    messages: list[_Entry]
    bulk_id: str | int | None = None


class _Receipt(msgspec.Struct, rename="camel"):
    delivery_status: str
    message_id: str | int | None = None
    reference: str | None = None
    updated_at: str | int | float | None = None
    done_at: str | int | float | None = None
    timestamp: str | int | float | None = None


_encode = msgspec.json.Encoder().encode
_decode_answer = msgspec.json.Decoder(_Answer).decode
_decode_receipts = msgspec.json.Decoder(_Receipt | list[_Receipt]).decode
_decode_replies = msgspec.json.Decoder(dict[str, Any] | list[dict[str, Any]]).decode


class Mitto:
    """The adapter for one Mitto traffic account (``base.Provider``)."""

    def __init__(
        self,
        account: Account,
        capabilities: Capabilities = CAPABILITIES,
        *,
        sends_reference: bool = False,
        network: Network = INTERNET,
    ) -> None:
        """Check the account.

        Args:
            account: whose ``external_id`` is the trafficAccountId.
            capabilities: of a provider that speaks Mitto and can do more.
            sends_reference: that provider takes a ``reference`` with each message.
            network: where the provider is, and the clock of ``send_by``.

        Raises:
            InvalidInputError: its base URL or its key cannot be used.
        """
        self.capabilities = capabilities
        self._account = account
        self._secrets = secrets_of(account)
        self._sends_reference = sends_reference
        self._endpoint = HttpEndpoint(
            account.base_url.rstrip("/") + SUBMISSION_PATH,
            {"Accept": "application/json", "Content-Type": "application/json", **key_of(account)},
            timeout_ms=account.timeout_ms,
            network=network,
        )

    @staticmethod
    def capabilities_with(options: Mapping[str, Any]) -> Capabilities:  # noqa: ARG004 - knows none
        """What Mitto promises, whatever the account's options."""
        return CAPABILITIES

    def prepare(self, sender: str, messages: Sequence[OutgoingMessage]) -> HttpCall[Outcome]:
        """Render a bulk call."""
        check_call(self.capabilities, messages)

        def read(answer: HttpAnswer) -> Outcome:
            return outcome_of(
                answer,
                accepted=lambda body: self._read_acceptance(body, messages),
                explain=lambda body: self._explain(_error_in(body), (m.text for m in messages)),
            )

        return self._endpoint.call(self._render(sender, messages), read)

    def _render(self, sender: str, messages: Sequence[OutgoingMessage]) -> bytes:
        account = self._account.external_id
        rendered = [
            _Message(
                account,
                message.to,
                _Sms(message.text, sender),
                message.reference if self._sends_reference else UNSET,
            )
            for message in messages
        ]
        return _encode(_Submission(rendered))

    def _read_acceptance(self, body: bytes, messages: Sequence[OutgoingMessage]) -> Outcome:
        """Read a 2xx. Entries and messages are matched by their order, so whatever makes the order
        doubtful leaves the whole call in doubt.
        """
        try:
            answer = _decode_answer(body)
        except UNREADABLE as error:
            return NoAnswer(f"unreadable answer: {type(error).__name__}")
        if len(answer.messages) != len(messages):
            return NoAnswer(f"{len(answer.messages)} entries in the answer to {len(messages)}")
        ids = [_identifier(entry.message_id) for entry in answer.messages]
        rejections: dict[int, Rejection] = {}
        for position, (entry, provider_id) in enumerate(zip(answer.messages, ids, strict=True)):
            if provider_id is not None:
                continue
            if not entry.error:
                return NoAnswer("an entry of the answer has neither messageId nor error")
            code, words = self._explain(entry.error, [messages[position].text])
            rejections[position] = Rejection(
                code or "rejected", words, retryable=_passes(entry.error)
            )
        if len(set(ids) - {None}) + len(rejections) != len(ids):
            return NoAnswer("the answer names a messageId twice")
        return Answered(ids, rejections, bulk_id=_identifier(answer.bulk_id))

    def _explain(self, error: Any, texts: Iterable[str]) -> tuple[str, str]:
        """Read an error, an object with a code and words or bare words, as (code, words)."""
        code, words = None, error
        if isinstance(error, dict):
            code = error.get("code") or error.get("errorCode")
            words = error.get("description") or error.get("message")
        known = list(texts)
        return (
            public_words(code, secrets=self._secrets, texts=known),
            public_words(words, secrets=self._secrets, texts=known),
        )

    async def look_up(
        self,
        references: Sequence[str],  # noqa: ARG002 - the protocol's
    ) -> Mapping[str, Known]:
        """Mitto knows no references.

        Raises:
            LookUpFailedError: always.
        """
        raise cannot_be_asked()

    def is_genuine(
        self,
        url: str,  # noqa: ARG002 - the protocol's
        body: bytes,  # noqa: ARG002
        headers: Mapping[str, str],  # noqa: ARG002
    ) -> bool | None:
        """Mitto signs nothing."""
        return None

    def read_receipts(
        self,
        body: bytes,
        headers: Mapping[str, str],  # noqa: ARG002 - Mitto's say nothing
        query: Mapping[str, str],  # noqa: ARG002 - nor does the address
    ) -> list[Receipt]:
        """Read ``{messageId, deliveryStatus, …}`` or an array of such.

        Raises:
            UnreadableError: it is neither, or one of them names no message.
        """
        try:
            found = _decode_receipts(body)
        except UNREADABLE as error:
            raise UnreadableError(f"not a Mitto receipt: {error}") from error
        return [_read_receipt(each) for each in (found if isinstance(found, list) else [found])]

    def read_replies(
        self,
        body: bytes,
        headers: Mapping[str, str],  # noqa: ARG002 - Mitto's say nothing
    ) -> list[Reply]:
        """Read one reply or an array of them. Mitto publishes no schema: the names of the fields
        are those that have been seen at Mitto and its like, in any case.

        Raises:
            UnreadableError: it is neither, or one of them has no sender or no text.
        """
        try:
            found = _decode_replies(body)
        except UNREADABLE as error:
            raise UnreadableError(f"not a Mitto reply: {error}") from error
        return [_read_reply(each) for each in (found if isinstance(found, list) else [found])]

    @staticmethod
    def check_sender(sender: str) -> str | None:
        """Say what is wrong with a sender; None if it can be used."""
        if _NAME.fullmatch(sender) or _NUMBER.fullmatch(sender):
            return None
        return "must be 3 to 11 letters and digits with at least one letter, or a number"

    async def aclose(self) -> None:
        await self._endpoint.aclose()


def _passes(error: Any) -> bool:
    """Whether an error says of itself that it passes."""
    return isinstance(error, dict) and error.get("retryable") is True


def _identifier(value: str | int | None) -> str | None:
    return None if value is None or value == "" else str(value)


def _error_in(body: bytes) -> Any:
    """Find the error in the body of a refused call; None when there is no telling."""
    try:
        answer = msgspec.json.decode(body)
    except UNREADABLE:
        return None
    return answer.get("error", answer) if isinstance(answer, dict) else None


def _read_receipt(receipt: _Receipt) -> Receipt:
    provider_message_id = _identifier(receipt.message_id) or ""
    reference = receipt.reference or ""
    if not (provider_message_id or reference):
        raise UnreadableError("a receipt has no messageId")
    status = receipt.delivery_status.strip().lower()
    delivery = DELIVERIES.get(status, Delivery.NONE)
    failed = delivery in {Delivery.UNDELIVERED, Delivery.EXPIRED}
    return Receipt(
        provider_message_id,
        reference,
        delivery,
        occurred_at=read_moment(receipt.updated_at or receipt.done_at or receipt.timestamp),
        error=status if failed else "",
    )


def _read_reply(reply: Mapping[str, Any]) -> Reply:
    fields = {name.lower(): value for name, value in reply.items()}

    def first(names: Iterable[str]) -> str | None:
        there = (fields[name] for name in names if name in fields)
        return next((str(value) for value in there if isinstance(value, str | int)), None)

    phone, text = first(_PHONE_FIELDS), first(_TEXT_FIELDS)
    if not phone or text is None:
        raise UnreadableError("a reply has no sender or no text")
    return Reply(first(_ID_FIELDS) or "", phone, first(_NUMBER_FIELDS) or "", text)
