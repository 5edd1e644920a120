"""A campaign that somebody is still writing: whom it would reach, and how it would read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from sqlalchemy import Connection

from paceline.domain import parts, plain
from paceline.domain.parts import Parts
from paceline.domain.plain import UnicodeCharacter
from paceline.domain.reach import Recipient
from paceline.engine.drafts import text_for
from paceline.engine.previewing import text_with_empty_token
from paceline.engine.rendering import values_of
from paceline.settings import Settings
from paceline.storage import audience, launches, lists, segments
from paceline.storage.audience import Counted
from paceline.storage.database import AnyRow, Database, now
from paceline.storage.schema import campaigns

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Whom:
    """Whom what somebody is writing is for, as ``NewCampaign`` has it."""

    list_id: int | None = None
    segment_id: int | None = None
    filter: Mapping[str, Any] | None = None
    exclude_campaign_ids: Sequence[int] = ()
    again: AnyRow | None = None
    """The draft, if it sends another campaign again: then it is for whom that failed to reach."""


async def count_audience(database: Database, tenant_id: int, whom: Whom) -> Counted:
    """Whom a campaign to these would go to at this moment.

    Raises:
        NotFoundError: this tenant has no such list or segment.
    """

    def count(connection: Connection) -> Counted:
        draft = _draft(connection, tenant_id, whom)
        return audience.count_of(connection, draft, now(connection))

    return await database.read(count)


async def sample(
    database: Database, tenant_id: int, text: str, settings: Settings, whom: Whom
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
        draft = _draft(connection, tenant_id, whom)
        draft.text = frozen
        rows, _, _ = launches.people(connection, draft, after=0, limit=_LOOKED_AT)
        template = text_with_empty_token(frozen)
        first = rows[0] if rows else None
        exact = template.render(values_of(first.merge_values if first else None))
        return Sample(
            None if first is None else Recipient(first.contact_id, first.phone, exact),
            exact,
            parts.count(exact),
            plain.unicode_characters(exact),
            plain.plain_alternative(text),
        )

    return await database.read(read)


def _draft(connection: Connection, tenant_id: int, whom: Whom) -> Any:
    """What has a campaign's columns, and only says whom it is for."""
    nothing = dict.fromkeys(campaigns.columns.keys())
    given: dict[str, Any] = {"tenant_id": tenant_id, "text": ""}
    if whom.again is not None:
        row = whom.again
        given |= {name: getattr(row, name) for name in ("id", "parent_id", "parent_reasons")}
        return SimpleNamespace(**nothing | given)
    if whom.list_id is not None:
        lists.get(connection, tenant_id, whom.list_id)
    if whom.segment_id is not None:
        segments.get(connection, tenant_id, whom.segment_id)
    given |= {
        "list_id": whom.list_id,
        "segment_id": whom.segment_id,
        "filter": whom.filter,
        "excluded_campaigns": list(whom.exclude_campaign_ids),
    }
    return SimpleNamespace(**nothing | given)
