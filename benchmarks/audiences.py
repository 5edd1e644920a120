"""How long does it take to see whom a filter means, and to launch a campaign to them?

Fills a database with contacts, lists and what earlier campaigns have sent, then previews filters
and launches a campaign chunk by chunk, by the functions that the API calls. One JSON document.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zlib import crc32

from sqlalchemy import Connection, insert, text

from benchmarks.machine import facts, filesystem_of
from paceline.domain import segment_text
from paceline.settings import sqlalchemy_url
from paceline.storage import accounts, audience, campaigns, launches, lists, migrate, tenants
from paceline.storage.database import Database, is_postgres, now
from paceline.storage.schema import contacts, list_members, messages

FILTERS = {
    "attribute": 'city is "Athens"',
    "number": "age above 30",
    "list": "not in list 1",
    "text_of_two": 'city is "Athens" and first_name contains "ri"',
    "last_message": "last message more than 30 days ago",
    "all_together": 'city is "Athens" and not in list 1 and last message more than 30 days ago',
}
NAMES = ["Maria", "Nikos", "Eleni"]
CITIES = ["Athens", "Patras", "Volos", "Chania"]
EARLIER = 3
"""Campaigns that have been sent to everybody."""
DAY_MS = 86_400_000
_ROWS = 10_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--contacts", type=int, default=300_000)
    parser.add_argument("--database", choices=("sqlite", "postgres"), default="sqlite")
    parser.add_argument("--json", action="store_true", help="Is understood everywhere.")
    asked = parser.parse_args()
    with a_database(asked.database) as database:
        tenant, draft = database.write_now(furnish)
        for first in range(0, asked.contacts, _ROWS):
            size = min(_ROWS, asked.contacts - first)
            database.write_now(fill, tenant, first, size)
        database.write_now(lambda c: c.execute(text("ANALYZE")))
        figures = {
            "preview_s": {
                name: timed(database, tenant, written) for name, written in FILTERS.items()
            },
            "audience_without_two_campaigns_s": excluding(database, tenant, draft),
            "launch": {
                "everybody": launch(database, tenant, draft, None),
                "attribute": launch(database, tenant, draft, FILTERS["attribute"]),
                "all_together": launch(database, tenant, draft, FILTERS["all_together"]),
            },
        }
    print(
        json.dumps(
            {"contacts": asked.contacts, "database": asked.database, **figures}
            | {"machine": facts() | {"filesystem": filesystem_of(Path(tempfile.gettempdir()))}}
        )
    )


@contextmanager
def a_database(kind: str) -> Iterator[Database]:
    if kind == "postgres":
        # A development dependency, which SQLite needs none of.
        from tests.postgres import running_postgres  # noqa: PLC0415

        with running_postgres() as server:
            yield from _migrated(server.create_database())
    else:
        with tempfile.TemporaryDirectory() as folder:
            yield from _migrated(f"sqlite:///{folder}/paceline.db")


def _migrated(url: str) -> Iterator[Database]:
    database = Database(sqlalchemy_url(url))
    migrate.upgrade(database)
    yield database
    database.close()


def furnish(connection: Connection) -> tuple[int, Callable[..., int]]:
    """A tenant, its list, and how it drafts a campaign."""
    tenant = tenants.keep(connection, "acme").id
    values = {"provider": "simulated", "base_url": "http://localhost", "external_id": "1"}
    account = accounts.keep(
        connection, name="main", values={**values, "api_key": "k", "sender": "ACME"}
    ).id
    lists.create(connection, tenant, name="regulars")

    def draft(
        connection: Connection, written: str | None = None, excluded: Sequence[int] = ()
    ) -> int:
        wanted = None if written is None else segment_text.parse(written)
        made: int = campaigns.create(
            connection,
            tenant,
            account_id=account,
            name="n",
            text="Hello {{first_name}}",
            sender="ACME",
            wanted=wanted,
            exclude_campaign_ids=excluded,
        ).id
        return made

    for _ in range(EARLIER):
        draft(connection)
    return tenant, draft


def fill(connection: Connection, tenant: int, first: int, size: int) -> None:
    """Some contacts, of whom a third is on the list, and what they have been sent."""
    at = now(connection)
    people: list[dict[str, Any]] = [
        {
            "id": first + n + 1,
            "tenant_id": tenant,
            "phone": f"+3069{first + n:08}",
            "first_name": NAMES[chance(first + n, "name") % 3],
            "attributes": {
                "city": CITIES[chance(first + n, "city") % 4],
                "age": str(18 + chance(first + n, "age") % 72),
            },
            "created_at": at,
            "updated_at": at,
        }
        for n in range(size)
    ]
    connection.execute(insert(contacts), people)
    on_list = [{"list_id": 1, "contact_id": each["id"]} for each in people if each["id"] % 3 == 0]
    connection.execute(insert(list_members), on_list)
    sent = [
        {
            "tenant_id": tenant,
            "campaign_id": campaign,
            "batch_id": first // 500 + campaign,
            "contact_id": person["id"],
            "phone": person["phone"],
            "status": "sent",
            "created_at": at,
            "sent_at": at - chance(person["id"], campaign) % 60 * DAY_MS,
        }
        for campaign in range(1, EARLIER + 1)
        for person in people
    ]
    connection.execute(insert(messages), sent)
    if is_postgres(connection):
        connection.execute(text("SELECT setval('contacts_id_seq', :last)"), {"last": first + size})


def chance(person: int, what: object) -> int:
    """A number that looks random and is the same in every run."""
    return crc32(f"{person} {what}".encode())


def timed(database: Database, tenant: int, written: str) -> float:
    wanted = segment_text.parse(written)
    began = time.perf_counter()
    database.read_now(audience.preview, tenant, wanted)
    return round(time.perf_counter() - began, 2)


def excluding(database: Database, tenant: int, draft: Callable[..., int]) -> float:
    campaign = database.write_now(draft, None, (1, 2))
    began = time.perf_counter()
    database.read_now(audience.count, tenant, campaign)
    return round(time.perf_counter() - began, 2)


def launch(
    database: Database, tenant: int, draft: Callable[..., int], written: str | None
) -> dict[str, Any]:
    """Launch a campaign; how long its transactions took."""
    campaign = database.write_now(draft, written)
    began = time.perf_counter()
    database.write_now(launches.start, tenant, campaign, batch_size=500)
    took = [time.perf_counter() - began]
    finished = False
    while not finished:
        began = time.perf_counter()
        chunk = database.write_now(launches.write_chunk, campaign)
        finished = chunk is None or chunk.finished
        took.append(time.perf_counter() - began)
    total = database.read_now(campaigns.get, tenant, campaign).total
    return {
        "messages": total,
        "seconds": round(sum(took), 2),
        "first_chunk_s": round(took[0], 2),
        "longest_other_chunk_s": round(max(took[1:]), 2),
        "chunks": len(took),
    }


if __name__ == "__main__":
    main()
