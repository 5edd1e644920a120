"""A campaign that somebody is still writing: whom it would reach, and how it would read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import msgspec
from sqlalchemy import Connection

from paceline.domain import parts, plain
from paceline.domain.parts import Parts
from paceline.domain.plain import UnicodeCharacter
from paceline.domain.reach import Recipient
from paceline.engine.drafts import text_for
from paceline.engine.previewing import text_with_empty_token
from paceline.settings import Settings
from paceline.storage import audience, launches, lists, segments
from paceline.storage.audience import Counted
from paceline.storage.database import Database, now
from paceline.storage.schema import campaigns

_VALUES = msgspec.json.Decoder(dict[str, str | None])
_LOOKED_AT = 5_000
"""Contacts among which the first recipient is looked for."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A text as its first recipient would get it."""

    recipient: Recipient | None
    """None: there is nobody, and the text is shown with its tags empty."""
    text: str
    counted: Parts
    unicode: Sequence[UnicodeCharacter]
    plain: str | None
    """The campaign's text in the plain alphabet, if there is one that says the same."""


async def count_audience(
    database: Database, tenant_id: int, *, list_id: int | None, segment_id: int | None
) -> Counted:
    """Whom a campaign to these would go to at this moment.

    Raises:
        NotFoundError: this tenant has no such list or segment.
    """

    def count(connection: Connection) -> Counted:
        draft = _draft(connection, tenant_id, list_id, segment_id)
        return audience.count_of(connection, draft, now(connection))

    return await database.read(count)


async def sample(
    database: Database,
    tenant_id: int,
    text: str,
    settings: Settings,
    *,
    list_id: int | None,
    segment_id: int | None,
) -> Sample:
    """How a text reads to the first of those to whom it would go.

    Raises:
        NotFoundError: this tenant has no such list or segment.
        InvalidInputError: with every fault of the text.
    """

    def read(connection: Connection) -> Sample:
        frozen = text_for(
            connection,
            tenant_id,
            text,
            max_parts=settings.max_parts,
            public_url=settings.public_url,
        )
        draft = _draft(connection, tenant_id, list_id, segment_id)
        draft.text = frozen
        rows, _, _ = launches.people(connection, draft, after=0, limit=_LOOKED_AT)
        template = text_with_empty_token(frozen)
        first = rows[0] if rows else None
        values = _VALUES.decode(first.merge_values) if first and first.merge_values else {}
        exact = template.render(values)
        return Sample(
            None if first is None else Recipient(first.contact_id, first.phone, exact),
            exact,
            parts.count(exact),
            plain.unicode_characters(exact),
            plain.plain_alternative(text),
        )

    return await database.read(read)


def _draft(
    connection: Connection, tenant_id: int, list_id: int | None, segment_id: int | None
) -> Any:
    """What has a campaign's columns, and only says whom it is for."""
    if list_id is not None:
        lists.get(connection, tenant_id, list_id)
    if segment_id is not None:
        segments.get(connection, tenant_id, segment_id)
    nothing = dict.fromkeys(campaigns.columns.keys())
    given = {"tenant_id": tenant_id, "text": "", "list_id": list_id, "segment_id": segment_id}
    return SimpleNamespace(**nothing | given)
