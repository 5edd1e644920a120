"""Mitto's JSON, plus an optional `reference` per message."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

NonEmpty = Annotated[str, Meta(min_length=1)]
"""In one look-up."""


class Sms(msgspec.Struct, gc=False):
    text: NonEmpty
    sender: NonEmpty


class Message(msgspec.Struct, rename="camel", gc=False):
    traffic_account_id: NonEmpty
    destination: NonEmpty
    sms: Sms
    reference: NonEmpty | None = None


class _Bulk(msgspec.Struct):
    messages: Annotated[list[Message], Meta(min_length=1)]


class ErrorDetail(msgspec.Struct, gc=False, omit_defaults=True):
    """An error as the wire carries it; `retryable` only where it is: the message was not accepted
    this time and may be another time.
    """

    code: str
    description: str
    retryable: bool = False


class Entry(msgspec.Struct, rename="camel", gc=False, omit_defaults=True):
    """The answer for one message: a message id, or the reason of its rejection."""

    traffic_account_id: str
    message_id: str | UnsetType = UNSET
    error: ErrorDetail | UnsetType = UNSET


class BulkAnswer(msgspec.Struct, rename="camel"):
    bulk_id: str
    messages: list[Entry]


class ErrorAnswer(msgspec.Struct):
    error: ErrorDetail


class MessageStatus(msgspec.Struct, rename="camel"):
    """The answer to a status call or a look-up."""

    message_id: str
    traffic_account_id: str
    destination: str
    text: str
    sender: str
    reference: str | None
    created_at: datetime
    updated_at: datetime
    delivery_status: str
    message_parts: int


class Submission(msgspec.Struct):
    """The messages of one call, all of one traffic account and one sender."""

    account: str
    sender: str
    messages: list[Message]


class Refusal(Exception):  # noqa: N818 -- the provider refuses, which is an answer, not an error
    """A call answered with an error status, nothing of it accepted."""

    def __init__(
        self, status: int, code: str, description: str, *, retry_after: int | None = None
    ) -> None:
        super().__init__(description)
        self.status = status
        self.retry_after = retry_after
        self.detail = ErrorDetail(code, description)


_read_bulk = msgspec.json.Decoder(_Bulk).decode
_read_single = msgspec.json.Decoder(Message).decode
encode = msgspec.json.Encoder().encode


def read_submission(body: bytes, *, bulk: bool) -> Submission:
    """Read a bulk or single call as a strict provider does.

    A call counts against one limit, so it may name only one traffic account and one sender
    (the simulator's own rule; Mitto's documents are silent).

    Raises:
        Refusal: 400 naming the field at fault.
    """
    with refused_when_unreadable():
        messages = _read_bulk(body).messages if bulk else [_read_single(body)]
    return Submission(
        account=_only("trafficAccountId", {m.traffic_account_id for m in messages}),
        sender=_only("sms.sender", {m.sms.sender for m in messages}),
        messages=messages,
    )


@contextmanager
def refused_when_unreadable() -> Iterator[None]:
    """Turn what is wrong with a document into the 400 that it gets."""
    try:
        yield
    except msgspec.ValidationError as error:
        raise Refusal(400, "INVALID_FIELD", str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Refusal(400, "MALFORMED_JSON", str(error)) from error


def _only(field: str, values: set[str]) -> str:
    if len(values) > 1:
        raise Refusal(400, "INVALID_FIELD", f"`{field}` must be the same in the whole call")
    return values.pop()
