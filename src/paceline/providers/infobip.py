"""Infobip SMS API 3: bulk submission by JSON, receipts and replies by webhook, look-ups in logs.

Our reference travels as each destination's ``messageId``, so it is the provider's id as well: an
answer is matched by it and not by order, receipts carry it, and the logs are asked for it.

A ``messageId`` that was seen before is rejected as a duplicate (status 23), which proves that the
message was accepted the first time. How long Infobip remembers is not published.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, UnsetType

from paceline.domain.message import Delivery, Reason
from paceline.domain.outcome import Answered, Known, NoAnswer, Outcome, Rejection
from paceline.providers.answers import outcome_of, public_words, secrets_of
from paceline.providers.base import (
    Account,
    Capabilities,
    LookUpFailedError,
    OutgoingMessage,
    Receipt,
    Reply,
    UnreadableError,
)
from paceline.providers.declared import check_call, check_look_up, read_options
from paceline.providers.http import HttpCall, HttpEndpoint
from paceline.providers.lines import INTERNET, HttpAnswer, Network
from paceline.providers.look_ups import LookUps
from paceline.providers.moments import read_moment

SUBMISSION_PATH = "/sms/3/messages"
LOGS_PATH = "/sms/3/logs"
"""Never ``/sms/3/reports``: that one tells of each message once, and whoever asked first has it."""
MAX_MESSAGES_PER_CALL = 1_000
"""Not published; a call that is too large is answered by 413 and split."""
DEDUPE_HORIZON_MS = 24 * 3_600_000
LOOK_UP_HORIZON_MS = 47 * 3_600_000
"""The logs go back 48 hours; what is nearly as old is not asked about any more."""
"""Ours, and cautious: a messageId is still in the logs for twice as long."""
MAX_LOOK_UPS = 100
"""The logs give up to 1000 entries, but the references travel in the URL, and 8 KB of it is what
servers commonly take."""
_MOST_ENTRIES = 1_000

_PENDING, _UNDELIVERABLE, _DELIVERED, _EXPIRED, _REJECTED = 1, 2, 3, 4, 5
"""Status groups. Group 0 is "OK"."""
_ACCEPTED_GROUPS = frozenset({0, _PENDING, _DELIVERED})
_NOT_ACCEPTED_GROUPS = frozenset({_UNDELIVERABLE, _EXPIRED, _REJECTED})
_DELIVERIES = {
    _UNDELIVERABLE: Delivery.UNDELIVERED,
    _DELIVERED: Delivery.DELIVERED,
    _EXPIRED: Delivery.EXPIRED,
    _REJECTED: Delivery.UNDELIVERED,
}
_DELIVERED_TO_OPERATOR = 2
_DUPLICATE = 23
_INTERMEDIATE = frozenset({_DELIVERED_TO_OPERATOR, _DUPLICATE})
"""Statuses that do not say what their group does: the first is on its way, and the second is about
a later submission of a message, whose fate is told by the first one's."""
_REASONS = {
    8: Reason.INVALID_NUMBER,  # prefix missing
    10: Reason.OPTED_OUT,  # do not disturb
    14: Reason.OPTED_OUT,  # destination on a block list
    51: Reason.INVALID_NUMBER,  # no destination
    52: Reason.INVALID_NUMBER,  # no such prefix or length
}
"""Statuses by id, as their names differ from document to document."""
_PASSING = frozenset({12, 17, 21})
"""Out of credits, credits expired, system error. Credits are not ``Refused``: the messageIds have
been seen by then, and only a retry takes new ones."""

_NAME = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9 ._-]{3,11}")
_NUMBER = re.compile(r"\+?[0-9]{3,15}")
_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class _Options(msgspec.Struct, forbid_unknown_fields=True):
    deduplicates: bool = True
    """False: trust the logs alone, and ask them before anything is sent again."""


class _Destination(msgspec.Struct, rename="camel", gc=False):
    to: str
    message_id: str


class _Content(msgspec.Struct, gc=False):
    text: str


class _Delivery(msgspec.Struct, gc=False):
    url: str


class _Webhooks(msgspec.Struct, rename="camel", gc=False):
    delivery: _Delivery
    content_type: str = "application/json"


class _Message(msgspec.Struct, gc=False):
    sender: str
    destinations: list[_Destination]
    content: _Content
    webhooks: _Webhooks | UnsetType = UNSET


class _Submission(msgspec.Struct):
    messages: list[_Message]


class _Status(msgspec.Struct, rename="camel"):
    group_id: int
    id: int = 0
    name: str = ""


class _Error(msgspec.Struct, rename="camel"):
    id: int = 0
    name: str = ""
    description: str = ""
    permanent: bool = True


class _Entry(msgspec.Struct, rename="camel"):
    """One message in an answer, a receipt or the logs."""

    message_id: str
    status: _Status
    error: _Error | None = None
    done_at: str | None = None


class _Answer(msgspec.Struct, rename="camel"):
    messages: list[_Entry]
    bulk_id: str | None = None


class _Results(msgspec.Struct):
    results: list[_Entry]


class _Reply(msgspec.Struct, rename={"sender": "from", "message_id": "messageId"}):
    sender: Annotated[str, msgspec.Meta(min_length=1)]
    text: str
    to: str = ""
    message_id: str = ""


class _Replies(msgspec.Struct):
    results: list[_Reply]


_encode = msgspec.json.Encoder().encode
_decode_answer = msgspec.json.Decoder(_Answer).decode
_decode_results = msgspec.json.Decoder(_Results).decode
_decode_replies = msgspec.json.Decoder(_Replies).decode


class Infobip:
    """The adapter for one Infobip account (``base.Provider``)."""

    def __init__(self, account: Account, *, network: Network = INTERNET) -> None:
        """Check the account, whose ``base_url`` is the one that Infobip gave it.

        Raises:
            InvalidInputError: its base URL, its key or an option cannot be used.
        """
        self.capabilities = self.capabilities_with(account.options)
        self._account = account
        self._secrets = secrets_of(account)
        headers = {"Accept": "application/json", "Authorization": f"App {account.api_key}"}
        self._endpoint = HttpEndpoint(
            account.base_url.rstrip("/") + SUBMISSION_PATH,
            {**headers, "Content-Type": "application/json"},
            timeout_ms=account.timeout_ms,
            network=network,
        )
        self._logs = LookUps(account, LOGS_PATH, headers, network=network)

    @staticmethod
    def capabilities_with(options: Mapping[str, Any]) -> Capabilities:
        """What Infobip promises.

        Raises:
            InvalidInputError: an option is unknown or cannot be used.
        """
        told = read_options(_Options, options)
        return Capabilities(
            max_messages_per_call=MAX_MESSAGES_PER_CALL,
            deduplicates=told.deduplicates,
            dedupe_horizon_ms=DEDUPE_HORIZON_MS if told.deduplicates else None,
            looks_up=True,
            max_look_ups=MAX_LOOK_UPS,
            look_up_horizon_ms=LOOK_UP_HORIZON_MS,
            echoes_reference=True,
        )

    def prepare(self, sender: str, messages: Sequence[OutgoingMessage]) -> HttpCall[Outcome]:
        """Render a bulk call."""
        check_call(self.capabilities, messages)

        def read(answer: HttpAnswer) -> Outcome:
            return outcome_of(
                answer,
                accepted=lambda body: self._read_acceptance(body, messages),
                explain=lambda body: self._explain(body, messages),
            )

        return self._endpoint.call(self._render(sender, messages), read)

    def _render(self, sender: str, messages: Sequence[OutgoingMessage]) -> bytes:
        url = self._account.receipts_url
        webhooks = _Webhooks(_Delivery(url)) if url else UNSET
        rendered = [
            _Message(
                sender,
                [_Destination(message.to.removeprefix("+"), message.reference)],
                _Content(message.text),
                webhooks,
            )
            for message in messages
        ]
        return _encode(_Submission(rendered))

    def _read_acceptance(self, body: bytes, messages: Sequence[OutgoingMessage]) -> Outcome:
        """Read a 2xx. Whatever makes it doubtful which entry is about which message leaves the
        whole call in doubt, and so does a status group that nobody has heard of.
        """
        try:
            answer = _decode_answer(body)
        except _UNREADABLE as error:
            return NoAnswer(f"unreadable answer: {type(error).__name__}")
        if len(answer.messages) != len(messages):
            return NoAnswer(f"{len(answer.messages)} entries in the answer to {len(messages)}")
        entries = {entry.message_id: entry for entry in answer.messages}
        if entries.keys() != {message.reference for message in messages}:
            return NoAnswer("the answer names other messageIds than the call")
        if {e.status.group_id for e in answer.messages} - _ACCEPTED_GROUPS - _NOT_ACCEPTED_GROUPS:
            return NoAnswer("the answer has a status of an unknown group")
        ids: list[str | None] = []
        rejections: dict[int, Rejection] = {}
        for position, message in enumerate(messages):
            entry = entries[message.reference]
            taken = entry.status.group_id in _ACCEPTED_GROUPS or entry.status.id == _DUPLICATE
            ids.append(message.reference if taken else None)
            if not taken:
                rejections[position] = self._rejection(entry, message.text)
        return Answered(ids, rejections, bulk_id=answer.bulk_id)

    def _rejection(self, entry: _Entry, text: str) -> Rejection:
        error = entry.error if entry.error and entry.error.id else _Error()
        code = public_words(entry.status.name, secrets=self._secrets, texts=[text])
        detail = public_words(error.description or error.name, secrets=self._secrets, texts=[text])
        return Rejection(
            code or "rejected",
            detail,
            reason=_REASONS.get(entry.status.id, Reason.REJECTED),
            retryable=entry.status.id in _PASSING or not error.permanent,
        )

    def _explain(self, body: bytes, messages: Sequence[OutgoingMessage]) -> tuple[str, str]:
        code, words = _error_in(body)
        texts = [message.text for message in messages]
        return (
            public_words(code, secrets=self._secrets, texts=texts),
            public_words(words, secrets=self._secrets, texts=texts),
        )

    async def look_up(self, references: Sequence[str]) -> Mapping[str, Known]:
        """Ask the logs, which go back 48 hours.

        Raises:
            LookUpFailedError: they did not answer, or there is more in them than an answer takes.
        """
        check_look_up(self.capabilities, references)
        query = [("messageId", reference) for reference in references]
        answer = await self._logs.ask([*query, ("limit", str(_MOST_ENTRIES))])
        try:
            entries = _decode_results(answer.body).results
        except _UNREADABLE as error:
            raise LookUpFailedError(f"unreadable answer: {type(error).__name__}") from error
        if len(entries) >= _MOST_ENTRIES:
            raise LookUpFailedError("the logs have more to say than fits into an answer")
        known: dict[str, Known] = {}
        for entry in entries:
            if entry.message_id not in references:
                raise LookUpFailedError("the answer is about other messages")
            delivery = _delivery(entry.status)
            before = known.get(entry.message_id)
            if before is None or before.delivery is Delivery.NONE:
                known[entry.message_id] = Known(entry.message_id, delivery)
        return known

    def is_genuine(
        self,
        url: str,  # noqa: ARG002 - the protocol's
        body: bytes,  # noqa: ARG002
        headers: Mapping[str, str],  # noqa: ARG002
    ) -> bool | None:
        """Infobip signs nothing, unless that is arranged with it."""
        return None

    def read_receipts(
        self,
        body: bytes,
        headers: Mapping[str, str],  # noqa: ARG002 - all is in the body
        query: Mapping[str, str],  # noqa: ARG002
    ) -> list[Receipt]:
        """Read ``{"results": [{messageId, status, error, doneAt, …}]}``.

        Raises:
            UnreadableError: it is something else, or one of them names no message.
        """
        try:
            found = _decode_results(body).results
        except _UNREADABLE as error:
            raise UnreadableError(f"not an Infobip receipt: {error}") from error
        return [_read_receipt(each) for each in found]

    def read_replies(
        self,
        body: bytes,
        headers: Mapping[str, str],  # noqa: ARG002 - all is in the body
    ) -> list[Reply]:
        """Read ``{"results": [{messageId, from, to, text, …}]}`` (Infobip's ``MO_JSON_2``). The
        text is the whole one, not ``cleanText``, from which a keyword has been taken away.

        Raises:
            UnreadableError: it is something else, or one of them has no sender or no text.
        """
        try:
            found = _decode_replies(body).results
        except _UNREADABLE as error:
            raise UnreadableError(f"not an Infobip reply: {error}") from error
        return [Reply(each.message_id, each.sender, each.to, each.text) for each in found]

    @staticmethod
    def check_sender(sender: str) -> str | None:
        """Say what is wrong with a sender; None if it can be used."""
        if _NAME.fullmatch(sender) or _NUMBER.fullmatch(sender):
            return None
        return (
            "must be 3 to 11 letters, digits, spaces, dots, hyphens or underscores with at least "
            "one letter, or a number"
        )

    async def aclose(self) -> None:
        """Close the connections of both kinds."""
        await self._logs.aclose()
        await self._endpoint.aclose()


def _delivery(status: _Status) -> Delivery:
    if status.id in _INTERMEDIATE:
        return Delivery.NONE
    return _DELIVERIES.get(status.group_id, Delivery.NONE)


def _read_receipt(entry: _Entry) -> Receipt:
    if not entry.message_id:
        raise UnreadableError("a receipt has no messageId")
    delivery = _delivery(entry.status)
    failed = delivery in {Delivery.UNDELIVERED, Delivery.EXPIRED}
    cause = entry.error.name if entry.error and entry.error.id else entry.status.name
    return Receipt(
        provider_message_id=entry.message_id,
        reference=entry.message_id,
        delivery=delivery,
        occurred_at=read_moment(entry.done_at),
        error=cause if failed else "",
    )


def _error_in(body: bytes) -> tuple[Any, Any]:
    """Find code and words in the body of a refused call, which Infobip writes in two ways."""
    try:
        answer = msgspec.json.decode(body, type=dict[str, Any])
    except _UNREADABLE:
        return None, None
    if "errorCode" in answer:
        return answer["errorCode"], answer.get("description")
    try:
        error = answer["requestError"]["serviceException"]
        return error.get("messageId"), error.get("text")
    except (KeyError, TypeError, AttributeError):
        return None, None
