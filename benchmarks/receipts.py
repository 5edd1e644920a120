"""Delivery receipts, one in each POST over many connections, taken in as they are folded.

    python -m benchmarks.receipts --seconds 30 --during-launch --database sqlite

`paceline api` takes them and `paceline worker` folds them: two processes, on either database, as
one would run them for much traffic. Both share the machine with the clients here.

A campaign is sent first; then the provider's ids of its messages come back as receipts. An answer
of 202 means that the receipt is committed, so `accepted_per_s` is a rate of durable acceptance.
When it ends, what waits in the inbox and for how long is reported. Then the inbox has to run empty
and every message that a receipt was accepted for has to be delivered, or the exit code is 1.

`--during-launch` measures once more while the launch of a large campaign runs, which sends nothing.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import uvloop
from sqlalchemy import Connection, func, select

from benchmarks import program
from benchmarks.installation import (
    Ground,
    Installation,
    audience,
    complete,
    draft,
    ground,
    launched,
    start,
)
from benchmarks.load import Load, load, request
from benchmarks.processes import Client, cpu_s, served, working
from paceline.storage import accounts
from paceline.storage.database import now
from paceline.storage.schema import campaigns, receipts

_PAGE = 20_000
_EMPTY_WITHIN_S = 900.0
_ONE_A_DAY = {"rate_max": 1, "rate_window_ms": 86_400_000}


@dataclass(frozen=True, slots=True)
class Measured:
    """One load. `backlog` and `backlog_age_s` are as it ended: receipts that were accepted and not
    folded yet, and how long the oldest had waited; `empty_after_s` is when the last was folded.
    `cpu_us` is the CPU time of each process (PostgreSQL's not among them) per receipt, folding
    included.
    """

    receipts: int
    seconds: float
    accepted_per_s: int
    p50_ms: float
    p99_ms: float
    backlog: int
    backlog_age_s: float
    empty_after_s: float
    cpu_us: dict[str, int]


@dataclass(frozen=True, slots=True)
class Figures:
    database: str
    connections: int
    messages: int
    alone: Measured
    during_launch: Measured | None
    """While `launch` recipients were launched, which took as long as the load."""
    launch: int
    delivered: int
    broken: list[str]
    machine: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Sizes:
    """`launch` 0: without a launch."""

    messages: int
    connections: int
    seconds: float
    launch: int


class _Posts(Iterator[bytes]):
    """Receipts of all messages, then again from the first: providers repeat them too."""

    def __init__(self, url: str, path: str, ids: list[str]) -> None:
        self.taken = 0
        self._requests = [
            request(
                "POST",
                url,
                path,
                json.dumps({"messageId": each, "deliveryStatus": "Delivered"}).encode(),
                "Content-Type: application/json\r\n",
            )
            for each in ids
        ]

    def __next__(self) -> bytes:
        self.taken += 1
        return self._requests[(self.taken - 1) % len(self._requests)]

    @property
    def distinct(self) -> int:
        return min(self.taken, len(self._requests))


def measure(kind: str, sizes: Sizes) -> Figures:
    """Send, then take receipts in.

    Raises:
        WrongRunError, ProcessFailedError: as in `benchmarks.campaign`.
    """
    with ground(kind) as here, here.install() as installation:
        key = installation.key_of("benchmark")
        with (
            served(installation.environ, "api") as (url, api),
            working(installation.environ) as worker,
        ):
            with Client(url, key) as client:
                audience(client, sizes.messages)
                complete(client, draft(client))
            installation.insist(sizes.messages)
            posts = _Posts(url, _webhook(installation), _ids(here))
            processes = {"api": api, "worker": worker, "clients": os.getpid()}
            taker = _Taker(installation, url, posts, sizes, processes)
            alone = taker.take_for(sizes.seconds)
            beside = taker.take_during_a_launch() if sizes.launch else None
            delivered = installation.database.read_now(_delivered)
        if delivered != posts.distinct:
            taker.broken.append(f"{posts.distinct} receipts, {delivered} messages delivered")
        taker.broken += [str(each) for each in installation.differences()]
        return Figures(
            database=kind,
            connections=sizes.connections,
            messages=sizes.messages,
            alone=alone,
            during_launch=beside,
            launch=sizes.launch,
            delivered=delivered,
            broken=taker.broken,
            machine=installation.facts(),
        )


class _Taker:
    """Lets receipts come in and watches what becomes of them."""

    def __init__(
        self,
        installation: Installation,
        url: str,
        posts: _Posts,
        sizes: Sizes,
        processes: Mapping[str, int],
    ) -> None:
        self.installation = installation
        self.url = url
        self.posts = posts
        self.sizes = sizes
        self.processes = processes
        self.broken: list[str] = []

    def take_for(self, seconds: float) -> Measured:
        until = time.monotonic() + seconds
        return self._measured(self._load(lambda: time.monotonic() < until))

    def take_during_a_launch(self) -> Measured:
        key = self.installation.key_of("launching", **_ONE_A_DAY)
        with Client(self.url, key) as client:
            audience(client, self.sizes.launch)
            campaign_id = draft(client)

            def launch() -> None:
                start(client, campaign_id)
                launched(client, campaign_id)

            return self._measured(self._load_while(launch))

    async def _load_while(self, work: Callable[[], None]) -> Load:
        working = asyncio.create_task(asyncio.to_thread(work))
        result = await self._load(lambda: not working.done())
        await working
        return result

    async def _load(self, going: Callable[[], bool]) -> Load:
        return await load(self.url, self.posts, connections=self.sizes.connections, going=going)

    def _measured(self, loading: Coroutine[Any, Any, Load]) -> Measured:
        before = self._cpu_s()
        load = uvloop.run(loading)
        backlog, age_ms = self.installation.database.read_now(_backlog)
        ended = time.monotonic()
        while self.installation.database.read_now(_backlog)[0]:
            if time.monotonic() - ended > _EMPTY_WITHIN_S:
                self.broken.append(f"the inbox is not empty after {_EMPTY_WITHIN_S:g} s")
                break
            time.sleep(0.1)
        used = {name: cpu - before[name] for name, cpu in self._cpu_s().items()}
        if refused := {status: n for status, n in load.statuses.items() if status != 202}:
            self.broken.append(f"answers other than 202: {refused}")
        return Measured(
            receipts=load.statuses[202],
            seconds=round(load.seconds, 2),
            accepted_per_s=round(load.statuses[202] / load.seconds),
            p50_ms=load.percentile_ms(50),
            p99_ms=load.percentile_ms(99),
            backlog=backlog,
            backlog_age_s=round(age_ms / 1000, 2),
            empty_after_s=round(time.monotonic() - ended, 2),
            cpu_us={name: round(cpu * 1e6 / load.statuses[202]) for name, cpu in used.items()},
        )

    def _cpu_s(self) -> dict[str, float]:
        return {name: cpu_s(pid) for name, pid in self.processes.items()}


def _webhook(installation: Installation) -> str:
    (account,) = installation.database.read_now(accounts.all_of)
    return f"/webhooks/{account.provider}/{account.webhook_token}/dlr"


def _ids(here: Ground) -> list[str]:
    """The provider's ids of all that it accepted."""
    found: list[str] = []
    while page := here.provider.call("GET", f"/log?after={len(found)}&limit={_PAGE}"):
        found += [json.loads(line)["message_id"] for line in page.splitlines()]
    return found


def _backlog(connection: Connection) -> tuple[int, int]:
    """How many receipts are in the inbox, and the age of the oldest in milliseconds."""
    count, oldest = connection.execute(
        select(func.count(), func.min(receipts.c.received_at)).select_from(receipts)
    ).one()
    return count, now(connection) - oldest if count else 0


def _delivered(connection: Connection) -> int:
    return int(connection.execute(select(func.sum(campaigns.c.delivered))).scalar_one())


def main() -> int:
    parser = program.command("benchmarks.receipts", __doc__)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument(
        "--messages", type=int, default=200_000, help="sent before; receipts repeat beyond that"
    )
    parser.add_argument("--during-launch", action="store_true")
    parser.add_argument("--launch", type=int, default=1_000_000, help="recipients of that launch")
    arguments = parser.parse_args()
    sizes = Sizes(
        arguments.messages,
        arguments.connections,
        arguments.seconds,
        arguments.launch if arguments.during_launch else 0,
    )
    return program.run(lambda: measure(arguments.database, sizes))


if __name__ == "__main__":
    sys.exit(main())
