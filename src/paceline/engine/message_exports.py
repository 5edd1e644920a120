"""A campaign's messages as a file, page by page: memory does not grow with the campaign."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import Connection

from paceline.clock import iso
from paceline.domain import parts
from paceline.engine.exporting import Format
from paceline.engine.rendering import exact_text
from paceline.engine.sheets.writing import csv_text
from paceline.storage import exports
from paceline.storage.database import AnyRow, Database
from paceline.storage.sealing import Sealer

PAGE = 2_000
COLUMNS = (
    "id",
    "to",
    "text",
    "status",
    "reason",
    "error",
    "delivery",
    "in_doubt",
    "retry_count",
    "parts",
    "provider_message_id",
    "bulk_id",
    "created_at",
    "sent_at",
    "failed_at",
    "delivered_at",
)
_MOMENTS = ("created_at", "sent_at", "failed_at", "delivered_at")


@dataclass(frozen=True, slots=True)
class Export:
    """An export that has begun: the campaign is there."""

    database: Database
    sealer: Sealer
    campaign_id: int
    first: int
    last: int
    format: Format
    status: str | None

    async def chunks(self) -> AsyncIterator[bytes]:
        """The file, a page at a time. Each page is of a snapshot of its own."""
        if self.format is Format.CSV:
            yield csv_text([COLUMNS]).encode()
        after = self.first - 1
        while after < self.last:
            after, lines = await self.database.read(self._page, after)
            yield lines

    def _page(self, connection: Connection, after: int) -> tuple[int, bytes]:
        """Where the next page begins, and this one. Written in the database's thread, so that the
        event loop is free for others.
        """
        rows = exports.page(
            connection,
            self.campaign_id,
            after=after,
            until=self.last,
            limit=PAGE,
            status=self.status,
        )
        last = rows[-1].id if len(rows) == PAGE else self.last
        messages = [_message(row, self.sealer) for row in rows]
        if self.format is Format.JSONL:
            return last, b"".join(msgspec.json.encode(each) + b"\n" for each in messages)
        cells = ([_cell(each[name]) for name in COLUMNS] for each in messages)
        return last, csv_text(cells).encode()


async def export(
    database: Database,
    sealer: Sealer,
    tenant_id: int,
    campaign_id: int,
    kind: Format,
    status: str | None = None,
) -> Export:
    """Begin an export.

    Args:
        database: where the campaign is.
        sealer: the installation's, for opt-out links.
        tenant_id: whose it is.
        campaign_id: in any state.
        kind: of the file.
        status: only messages in this state; None: all.

    Raises:
        NotFoundError: this tenant has no such campaign.
    """
    first, last = await database.read(exports.ends, tenant_id, campaign_id)
    return Export(database, sealer, campaign_id, first, last, kind, status)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _message(row: AnyRow, sealer: Sealer) -> dict[str, Any]:
    text = exact_text(row.text, row.merge_values, row.id, sealer=sealer)
    found = {
        **row._mapping,  # noqa: SLF001 - SQLAlchemy's public name
        "to": row.phone,
        "text": text,
        "parts": parts.count(text).parts,
        "in_doubt": bool(row.in_doubt),
    }
    for name in _MOMENTS:
        found[name] = None if found[name] is None else iso(found[name])
    return {name: found[name] for name in COLUMNS}
