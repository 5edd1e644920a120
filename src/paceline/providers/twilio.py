"""Twilio Programmable Messaging: one message in a call, forms instead of JSON, signed webhooks.

Twilio has no field for our reference, deduplicates nothing and looks nothing up by it. But it posts
receipts to the URL that a call names, so the reference travels in that URL's query, and a receipt
proves even an answer that we never got.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, parse_qsl, quote, urlencode, urlsplit, urlunsplit

import msgspec

from paceline.domain.message import Delivery, Reason
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

CAPABILITIES = Capabilities(
    max_messages_per_call=1, echoes_reference=True, server_error_is_no=False
)
_NO_MESSAGE = OutgoingMessage("", "", "")

_DELIVERIES = {
    "delivered": Delivery.DELIVERED,
    "read": Delivery.DELIVERED,
    "undelivered": Delivery.UNDELIVERED,
    "failed": Delivery.UNDELIVERED,
    "canceled": Delivery.UNDELIVERED,
}
"""MessageStatus; any other (accepted, queued, sending, sent, …) is intermediate."""
_NOT_TAKEN = frozenset({"failed", "undelivered", "canceled"})
"""As the first status of a message these are its last: no callback comes for a first status."""
_VALIDITY_EXPIRED = "30036"
_REASONS = {
    "21211": Reason.INVALID_NUMBER,
    "21610": Reason.OPTED_OUT,
    "21614": Reason.INVALID_NUMBER,
}
_PASSING = frozenset({"21611", "30001", "63017"})
"""The sender's queue is full (for one number, for a service), the account is over its rate."""
_ABOUT_THE_MESSAGE = _REASONS.keys() | _PASSING
_CODE = re.compile(r"[0-9]{5}")
"""Of an error; it reveals nothing, even when it happens to be in the text."""

_NAME = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9 +_&-]{1,11}")
_NUMBER = re.compile(r"\+?[0-9]{3,15}")
_SERVICE = re.compile(r"MG[0-9a-fA-F]{32}")
_STANDARD_PORTS = {"https": 443, "http": 80}
_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class _Answer(msgspec.Struct):
    sid: str
    status: str = ""
    error_code: int | str | None = None
    error_message: str | None = None


class _Error(msgspec.Struct):
    code: int | str | None = None
    message: str | None = None


_decode_answer = msgspec.json.Decoder(_Answer).decode
_decode_error = msgspec.json.Decoder(_Error).decode


class Twilio:
    """The adapter for one Twilio account (``base.Provider``)."""

    def __init__(self, account: Account, *, network: Network = INTERNET) -> None:
        """Check the account.

        Args:
            account: whose ``external_id`` is the Account SID and whose ``api_key`` the Auth Token,
                which signs the webhooks as well.
            network: where the provider is, and the clock of ``send_by``.

        Raises:
            InvalidInputError: its base URL or its credentials cannot be used.
        """
        self.capabilities = replace(CAPABILITIES, echoes_reference=bool(account.receipts_url))
        self._account = account
        credentials = f"{account.external_id}:{account.api_key}".encode()
        basic = base64.b64encode(credentials).decode()
        self._secrets = (*secrets_of(account), basic)
        sid = quote(account.external_id, safe="")
        self._endpoint = HttpEndpoint(
            f"{account.base_url.rstrip('/')}/2010-04-01/Accounts/{sid}/Messages.json",
            {
                "Accept": "application/json",
                "Authorization": f"Basic {basic}",
                "Content-Type": "application/x-www-form-urlencoded",
            },
            timeout_ms=account.timeout_ms,
            network=network,
        )

    @staticmethod
    def capabilities_with(options: Mapping[str, Any]) -> Capabilities:  # noqa: ARG004 - knows none
        """What Twilio promises to an account whose receipts can reach us."""
        return CAPABILITIES

    def prepare(self, sender: str, messages: Sequence[OutgoingMessage]) -> HttpCall[Outcome]:
        """Render the call of one message; without one it is only good for trying the connection."""
        check_call(self.capabilities, messages)
        message = messages[0] if messages else _NO_MESSAGE

        def read(answer: HttpAnswer) -> Outcome:
            return self._read(answer, message.text)

        return self._endpoint.call(self._render(sender, message), read)

    def _render(self, sender: str, message: OutgoingMessage) -> bytes:
        who = "MessagingServiceSid" if _SERVICE.fullmatch(sender) else "From"
        fields = {"To": message.to, who: sender, "Body": message.text}
        if url := self._account.receipts_url:
            fields["StatusCallback"] = f"{url}?{urlencode({'reference': message.reference})}"
        return urlencode(fields).encode("ascii")

    def _read(self, answer: HttpAnswer, text: str) -> Outcome:
        """An error whose code is about the message rejects it, whatever the status: 403 alone would
        hold the account.
        """
        code, words = self._explain(answer.body, text)
        client_error = answer.status // 100 == HTTPStatus.BAD_REQUEST // 100
        throttled = answer.status == HTTPStatus.TOO_MANY_REQUESTS
        if client_error and not throttled and code in _ABOUT_THE_MESSAGE:
            return Answered([None], {0: _rejection(code, words)}, status=answer.status)
        return outcome_of(
            answer,
            accepted=lambda body: self._read_acceptance(body, text),
            explain=lambda _: (code, words),
        )

    def _read_acceptance(self, body: bytes, text: str) -> Outcome:
        try:
            answer = _decode_answer(body)
        except _UNREADABLE as error:
            return NoAnswer(f"unreadable answer: {type(error).__name__}")
        if not answer.sid:
            return NoAnswer("the answer has no sid")
        if answer.status in _NOT_TAKEN:
            code = self._code(answer.error_code, text) or answer.status
            words = self._public(answer.error_message, text)
            return Answered([None], {0: _rejection(code, words)}, status=HTTPStatus.CREATED)
        return Answered([answer.sid], status=HTTPStatus.CREATED)

    def _explain(self, body: bytes, text: str) -> tuple[str, str]:
        try:
            error = _decode_error(body)
        except _UNREADABLE:
            return "", ""
        return self._code(error.code, text), self._public(error.message, text)

    def _code(self, said: int | str | None, text: str) -> str:
        return str(said) if _CODE.fullmatch(str(said)) else self._public(said, text)

    def _public(self, said: Any, text: str) -> str:
        return public_words(said, secrets=self._secrets, texts=[text])

    async def look_up(
        self,
        references: Sequence[str],  # noqa: ARG002 - the protocol's
    ) -> Mapping[str, Known]:
        """Twilio knows no references.

        Raises:
            LookUpFailedError: always.
        """
        raise cannot_be_asked()

    def is_genuine(self, url: str, body: bytes, headers: Mapping[str, str]) -> bool | None:
        """Check ``X-Twilio-Signature``: the URL, then each field of the form, sorted; for JSON the
        URL alone, which then holds a hash of the body.
        """
        signature = headers.get("X-Twilio-Signature", "").encode("utf-8", "replace")
        signed = ""
        if "json" in headers.get("Content-Type", ""):
            if not _is_hash_in(url, body):
                return False
        else:
            fields = parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True)
            signed = "".join(name + value for name, value in sorted(set(fields)))
        expected = [self._signature(spelling + signed) for spelling in _spellings(url)]
        return any(hmac.compare_digest(each, signature) for each in expected)

    def _signature(self, text: str) -> bytes:
        key = self._account.api_key.encode()
        return base64.b64encode(hmac.digest(key, text.encode("utf-8", "replace"), hashlib.sha1))

    def read_receipts(
        self,
        body: bytes,
        headers: Mapping[str, str],  # noqa: ARG002 - all is in the form and the address
        query: Mapping[str, str],
    ) -> list[Receipt]:
        """Read the form ``MessageSid, MessageStatus, ErrorCode, …``. It says no time.

        Raises:
            UnreadableError: it names no message or no status.
        """
        form = _form(body)
        sid = form.get("MessageSid") or form.get("SmsSid", "")
        status = form.get("MessageStatus") or form.get("SmsStatus", "")
        if not (sid and status):
            raise UnreadableError("a receipt has no MessageSid or no MessageStatus")
        delivery = _DELIVERIES.get(status, Delivery.NONE)
        code = form.get("ErrorCode", "")
        failed = delivery is Delivery.UNDELIVERED
        if failed and code == _VALIDITY_EXPIRED:
            delivery = Delivery.EXPIRED
        error = (code or status) if failed else ""
        return [Receipt(sid, query.get("reference", ""), delivery, occurred_at=None, error=error)]

    def read_replies(
        self,
        body: bytes,
        headers: Mapping[str, str],  # noqa: ARG002 - all is in the form
    ) -> list[Reply]:
        """Read the form ``MessageSid, From, To, Body, …``.

        Raises:
            UnreadableError: it has no sender or no text.
        """
        form = _form(body)
        if not form.get("From") or "Body" not in form:
            raise UnreadableError("a reply has no From or no Body")
        sid = form.get("MessageSid") or form.get("SmsSid", "")
        return [Reply(sid, form["From"], form.get("To", ""), form["Body"])]

    @staticmethod
    def check_sender(sender: str) -> str | None:
        """Say what is wrong with a sender; None if it can be used."""
        if any(kind.fullmatch(sender) for kind in (_NAME, _NUMBER, _SERVICE)):
            return None
        return (
            "must be up to 11 letters, digits, spaces, or any of + - _ & with at least one letter, "
            "a number, or the SID of a messaging service (MG and 32 hexadecimal digits)"
        )

    async def aclose(self) -> None:
        """Close the connections."""
        await self._endpoint.aclose()


def _rejection(code: str, words: str) -> Rejection:
    reason = _REASONS.get(code, Reason.REJECTED)
    return Rejection(code, words, reason=reason, retryable=code in _PASSING)


def _form(body: bytes) -> dict[str, str]:
    return dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))


def _is_hash_in(url: str, body: bytes) -> bool:
    [said] = parse_qs(urlsplit(url).query).get("bodySHA256", [""])[:1]
    actual = hashlib.sha256(body).hexdigest()
    return hmac.compare_digest(actual.encode(), said.lower().encode("utf-8", "replace"))


def _spellings(url: str) -> tuple[str, str]:
    """A URL with and without its port, as Twilio signs now the one and now the other (its own
    libraries accept both).
    """
    parts = urlsplit(url)
    if parts.port is None:
        other = f"{parts.netloc}:{_STANDARD_PORTS.get(parts.scheme, 443)}"
    else:
        other = parts.netloc.rpartition(":")[0]
    return url, urlunsplit(parts._replace(netloc=other))
