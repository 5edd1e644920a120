"""From a reserved batch to the messages of a call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import msgspec
from sqlalchemy import Connection

from paceline.domain.message import reference
from paceline.domain.template import Template, compile_text
from paceline.providers.base import OutgoingMessage
from paceline.storage import loading
from paceline.storage.batches import ReservedBatch
from paceline.storage.loading import LoadedBatch

_VALUES = msgspec.json.Decoder(dict[str, str | None])
_NO_VALUES: dict[str, str | None] = {}


@dataclass(frozen=True, slots=True)
class RenderedBatch:
    """All that the call needs, and the order in which the answer will come."""

    message_ids: list[int]
    outgoing: list[OutgoingMessage]
    sender: str
    opt_outs: int
    account: Any
    """The traffic account's row."""

    def without(self, message_ids: list[int]) -> RenderedBatch:
        """The same without some messages."""
        gone = set(message_ids)
        kept = [i for i, message_id in enumerate(self.message_ids) if message_id not in gone]
        return RenderedBatch(
            [self.message_ids[i] for i in kept],
            [self.outgoing[i] for i in kept],
            self.sender,
            self.opt_outs,
            self.account,
        )


def render(connection: Connection, reserved: Sequence[ReservedBatch]) -> list[RenderedBatch]:
    """Load and render reserved batches of an account, on one snapshot and in the database's thread:
    the event loop, which has permits to use in time, is not kept busy with it.
    """
    rendered = {each.batch.id: _rendered(each) for each in loading.load(connection, reserved)}
    return [rendered[batch.id] for batch in reserved]


def _rendered(loaded: LoadedBatch) -> RenderedBatch:
    template = _compiled(loaded.text)
    outgoing = [
        OutgoingMessage(
            to=phone,
            text=text_of(template, merge_values),
            reference=reference(loaded.installation, message_id, loaded.batch.generation),
        )
        for message_id, phone, merge_values, _ in loaded.recipients
    ]
    return RenderedBatch(
        [row.id for row in loaded.recipients],
        outgoing,
        loaded.sender,
        loaded.opt_outs,
        loaded.account,
    )


def text_of(template: Template, merge_values: str | None) -> str:
    """The exact text of one message, from the frozen text and its snapshot."""
    return template.render(_VALUES.decode(merge_values) if merge_values else _NO_VALUES)


def exact_text(text: str, merge_values: str | None) -> str:
    """As ``text_of``, from the text itself. What is shown and what is sent are rendered by the same
    code.
    """
    return text_of(_compiled(text), merge_values)


@lru_cache(maxsize=256)
def _compiled(text: str) -> Template:
    return compile_text(text)
