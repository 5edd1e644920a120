"""How long a status read takes while many clients poll and a large campaign sends.

    python -m benchmarks.api --recipients 1000000 --clients 50 --database sqlite

`paceline api` answers and `paceline worker` sends: two processes, on either database.

Each client reads `GET /api/campaigns/{id}/status` once a second (`--every-ms`) from just before the
campaign is started until it is completed; a latency counts from when the read was due, so that a
read that had to wait for the one before it does not look fast. The clients stand for other
machines: where the system allows it, they have a processor whenever they want one, so that what is
measured is the server's wait and not theirs. In every answer the figures have to add up, or the
exit code is 1.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
from dataclasses import dataclass
from typing import Any

import uvloop

from benchmarks import machine, program
from benchmarks.installation import WrongRunError, audience, complete, draft, ground
from benchmarks.load import Load, load, request
from benchmarks.processes import Client, served, working


@dataclass(frozen=True, slots=True)
class Figures:
    database: str
    recipients: int
    clients: int
    every_ms: int
    clients_first: bool
    """The clients had a processor whenever they wanted one."""
    reads: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    messages_per_s: int
    """Of the campaign that sends meanwhile."""
    provider: dict[str, int]
    machine: dict[str, Any]


def measure(kind: str, recipients: int, clients: int, every_ms: int) -> Figures:
    """Send one campaign and poll it.

    Raises:
        WrongRunError: an answer contradicts itself, or as in `benchmarks.campaign`.
        ProcessFailedError: Paceline did not start.
    """
    with ground(kind) as here, here.install() as installation:
        key = installation.key_of("benchmark")
        with (
            served(installation.environ, "api") as (url, _),
            working(installation.environ),
            Client(url, key) as client,
        ):
            audience(client, recipients)
            campaign_id = draft(client)
            read = request(
                "GET",
                url,
                f"/api/campaigns/{campaign_id}/status",
                headers=f"Authorization: Bearer {key}\r\n",
            )
            polled, seconds, clients_first = uvloop.run(
                _polled(client, campaign_id, read, clients, every_ms / 1000)
            )
        if set(polled.statuses) != {200}:
            raise WrongRunError(f"reads were answered {dict(polled.statuses)}")
        return Figures(
            database=kind,
            recipients=recipients,
            clients=clients,
            every_ms=every_ms,
            clients_first=clients_first,
            reads=polled.statuses.total(),
            p50_ms=polled.percentile_ms(50),
            p95_ms=polled.percentile_ms(95),
            p99_ms=polled.percentile_ms(99),
            messages_per_s=round(recipients / seconds),
            provider=installation.insist(recipients),
            machine=installation.facts(),
        )


async def _polled(
    client: Client, campaign_id: int, read: bytes, clients: int, every_s: float
) -> tuple[Load, float, bool]:
    """Poll while the campaign sends; also how many seconds that took, and whether the clients went
    first.
    """
    sending = asyncio.create_task(asyncio.to_thread(complete, client, campaign_id))
    with machine.as_if_elsewhere() as clients_first:
        polled = await load(
            client.url,
            itertools.repeat(read),
            connections=clients,
            going=lambda: not sending.done(),
            every_s=every_s,
            look=check_status,
        )
    return polled, await sending, clients_first


def check_status(answer: bytes) -> None:
    """Hold one status document against promise 4.

    Raises:
        WrongRunError: its figures do not add up.
    """
    document = json.loads(answer)
    if "metrics" not in document:
        return  # an error; its status is counted
    metrics, total = document["metrics"], document["campaign"]["total"]
    settled = metrics["sent"] + metrics["failed"]
    true = (
        metrics["queued"] + settled == total
        and metrics["processed"] == settled
        and metrics["delivered"] <= metrics["sent"]
        and metrics["unconfirmed"] <= metrics["queued"]
    )
    if not true:
        raise WrongRunError(f"a status read contradicts itself: {document}")


def main() -> int:
    parser = program.command("benchmarks.api", __doc__)
    parser.add_argument("--recipients", type=int, default=1_000_000)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--every-ms", type=int, default=1_000)
    chosen = parser.parse_args()
    return program.run(
        lambda: measure(chosen.database, chosen.recipients, chosen.clients, chosen.every_ms)
    )


if __name__ == "__main__":
    sys.exit(main())
