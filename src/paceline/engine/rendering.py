"""From a reserved batch to the messages of a call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import msgspec
from sqlalchemy import Connection

from paceline.domain.message import reference
from paceline.domain.opt_out_link import OptOutTokens
from paceline.domain.template import Template, compile_text
from paceline.engine.drafts import TOKEN
from paceline.providers.base import OutgoingMessage
from paceline.storage import loading
from paceline.storage.batches import ReservedBatch
from paceline.storage.loading import LoadedBatch
from paceline.storage.sealing import Sealer

_VALUES = msgspec.json.Decoder(dict[str, str | None])


@lru_cache(maxsize=8)
def opt_out_tokens(sealer: Sealer) -> OptOutTokens:
    """What makes an installation's opt-out links and reads them: the same in all its processes."""
    return OptOutTokens(sealer.derived("unsubscribe"))


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


def render(
    connection: Connection,
    reserved: Sequence[ReservedBatch],
    *,
    sealer: Sealer | None = None,
) -> list[RenderedBatch]:
    """Load and render reserved batches of an account, on one snapshot and in the database's thread:
    the event loop, which has permits to use in time, is not kept busy with it.

    Args:
        connection: of a read.
        reserved: of one traffic account.
        sealer: the installation's; without it, no text may have an opt-out link.
    """
    rendered = {each.batch: _rendered(each, sealer) for each in loading.load(connection, reserved)}
    return [rendered[batch] for batch in reserved]


def _rendered(loaded: LoadedBatch, sealer: Sealer | None) -> RenderedBatch:
    template = _compiled(loaded.text)
    linked = TOKEN in template.fields
    outgoing = [
        OutgoingMessage(
            to=phone,
            text=_text_of(template, merge_values, _token(sealer, message_id) if linked else None),
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


def exact_text(
    text: str,
    merge_values: str | None,
    message_id: int | None = None,
    *,
    sealer: Sealer | None = None,
) -> str:
    """The exact text of one message, from the frozen text and its snapshot. What is shown and what
    is sent are rendered by the same code.

    Args:
        text: of the campaign, or of the message that has none.
        merge_values: the snapshot, as JSON text.
        message_id: whose opt-out link it has.
        sealer: the installation's.
    """
    template = _compiled(text)
    linked = TOKEN in template.fields
    return _text_of(template, merge_values, _token(sealer, message_id) if linked else None)


def values_of(merge_values: str | None) -> dict[str, str | None]:
    """The values of a snapshot, from its JSON text."""
    return _VALUES.decode(merge_values) if merge_values else {}


def _text_of(template: Template, merge_values: str | None, token: str | None) -> str:
    values = values_of(merge_values)
    return template.render(values if token is None else {**values, TOKEN: token})


def _token(sealer: Sealer | None, message_id: int | None) -> str:
    if sealer is None or message_id is None:
        # A link that leads nowhere must not be sent, nor shown as if it had been.
        raise ValueError("an opt-out link needs its message and the installation's secret")
    return opt_out_tokens(sealer).of(message_id)


@lru_cache(maxsize=256)
def _compiled(text: str) -> Template:
    return compile_text(text)
