"""What it costs the database that people watch a campaign while it is sent.

`paceline api` and `paceline worker` run on a database of their own, and viewers follow the same
campaign's stream. What is counted are the SELECT statements of the API's process, without those
that it makes when nobody watches.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from sqlalchemy import Connection

from benchmarks.browsers import Person
from benchmarks.counted import counted, counter
from benchmarks.furnishing import PASSWORD, PEOPLE
from benchmarks.installation import Ground, WrongRunError, audience, draft, start
from benchmarks.processes import Client, served, working
from paceline.engine.signing_in import hashed
from paceline.storage import tenants, users

MOST_READS_PER_S = 2.0
_TENANT = "watched"
_PACE = {
    "SMS_BATCH_SIZE": "10",
    "RATE_LIMIT_TRAFFIC_ACCOUNT_MAX": "20",
    "RATE_LIMIT_MARGIN_MS": "500",  # a busy machine does not use its permits too late
}
_A_SECOND = 200
"""Messages that are sent then, at most."""
_LOGIN = "manager"
_OPENED_OVER_S = 1.0
"""Viewers come one after another, so that they do not look at the same moments by chance."""


@dataclass(frozen=True, slots=True)
class Watched:
    viewers: int
    reads_per_s: float
    """Of the database, for the campaign that they watch."""
    events_per_s: float
    """That each of them got."""


def measure(here: Ground, viewers: Sequence[int], seconds: float) -> list[Watched]:
    """Let so many people watch for so long, one crowd after the other.

    Raises:
        WrongRunError: somebody was told nothing.
    """
    with here.install(**_PACE) as installation:
        key = installation.key_of(_TENANT)
        installation.database.write_now(_user)
        file = counter(here.home)
        by = (sys.executable, "-m", "benchmarks.counted", str(file))
        with (
            served(installation.environ, "api", by=by) as (url, _),
            working(installation.environ),
            Client(url, key) as client,
        ):
            audience(client, round(_A_SECOND * (seconds + 10) * (len(viewers) + 1)))
            campaign_id = draft(client)
            start(client, campaign_id)
            with Person(url, _LOGIN) as person:
                crowd = _Crowd(url, f"/campaigns/{campaign_id}/events", person.cookie, file)
                idle = asyncio.run(crowd.watch(0, seconds)).reads_per_s
                return [_above(idle, asyncio.run(crowd.watch(each, seconds))) for each in viewers]


def _above(idle: float, seen: Watched) -> Watched:
    reads = max(seen.reads_per_s - idle, 0.0)
    return Watched(seen.viewers, round(reads, 2), round(seen.events_per_s, 2))


def _user(connection: Connection) -> None:
    tenant_id = tenants.keep(connection, _TENANT).id
    password, role = hashed(PASSWORD), PEOPLE[_LOGIN]
    users.add(connection, tenant_id, login=_LOGIN, password=password, role=role)


@dataclass(frozen=True, slots=True)
class _Crowd:
    url: str
    path: str
    cookie: str
    reads: Path

    async def watch(self, viewers: int, seconds: float) -> Watched:
        """From when all of them have been told something."""
        told = [0] * viewers
        ready = [asyncio.Event() for _ in range(viewers)]
        watching = [
            asyncio.create_task(self._follow(each, told, ready[each])) for each in range(viewers)
        ]
        try:
            async with asyncio.timeout(60):
                for each in ready:
                    await each.wait()
            began, first, told_first = time.monotonic(), counted(self.reads), sum(told)
            await asyncio.sleep(seconds)
            passed = time.monotonic() - began
            reads, events = counted(self.reads) - first, sum(told) - told_first
        except TimeoutError:
            raise WrongRunError("a viewer was told nothing for a minute") from None
        finally:
            for task in watching:
                task.cancel()
            await asyncio.gather(*watching, return_exceptions=True)
        return Watched(viewers, reads / passed, events / passed / max(viewers, 1))

    async def _follow(self, number: int, told: list[int], ready: asyncio.Event) -> None:
        await asyncio.sleep(_OPENED_OVER_S * number / len(told))
        address = urlsplit(self.url)
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        head = (
            f"GET {self.path} HTTP/1.1\r\nHost: {address.netloc}\r\nCookie: {self.cookie}\r\n\r\n"
        )
        writer.write(head.encode())
        try:
            while line := await reader.readline():
                if line.startswith(b"event: figures"):
                    told[number] += 1
                    ready.set()
        finally:
            writer.close()
