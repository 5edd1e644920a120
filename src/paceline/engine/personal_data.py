"""Everything that is kept about a person, as a file for them: what the API answers, too."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from paceline.clock import iso
from paceline.domain import parts
from paceline.engine.rendering import exact_text
from paceline.storage.database import AnyRow
from paceline.storage.person import Person
from paceline.storage.sealing import Sealer

_CONTACT = ("id", "phone", "first_name", "last_name", "attributes", "created_at", "updated_at")
_SUPPRESSION = ("phone", "reason", "source", "created_at")
_MESSAGE = (
    *("id", "campaign_id", "status", "reason", "error", "delivery", "in_doubt", "retry_count"),
    *("provider_message_id", "bulk_id", "created_at", "sent_at", "failed_at", "delivered_at"),
)
_REPLY = ("id", "phone", "number", "text", "keyword", "received_at")


def as_json(phone: str, kept: Person, sealer: Sealer) -> bytes:
    """The file.

    Args:
        phone: the person's number (E.164).
        kept: what ``storage.person.of`` says of it.
        sealer: makes the links that the texts had.
    """
    document = {
        "phone": phone,
        "contact": None if kept.contact is None else _facts(kept.contact, _CONTACT),
        "lists": [_facts(row, ("id", "name")) for row in kept.lists],
        "suppression": None if kept.suppression is None else _facts(kept.suppression, _SUPPRESSION),
        "messages": [_message(row, sealer) for row in kept.messages],
        "replies": [
            _facts(row, _REPLY) | {"traffic_account_id": row.account_id} for row in kept.replies
        ],
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=2)


def _message(row: AnyRow, sealer: Sealer) -> dict[str, Any]:
    text = exact_text(row.text, row.merge_values, row.id, sealer=sealer)
    return _facts(row, _MESSAGE) | {
        "to": row.phone,
        "text": text,
        "parts": parts.count(text).parts,
    }


def _facts(row: AnyRow, columns: Iterable[str]) -> dict[str, Any]:
    values = {name: getattr(row, name) for name in columns}
    return {
        name: iso(value) if name.endswith("_at") and value is not None else value
        for name, value in values.items()
    }
