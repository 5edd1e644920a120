"""Receipts under load while the API process is killed: what was acknowledged counts in the end."""

from __future__ import annotations

import http.client
import json
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, func, select

from benchmarks.processes import Client, served, working
from paceline.domain.message import Delivery
from paceline.storage.schema import campaigns, messages, receipts
from tests.faults_world import Report, World, pacing, still, world

_CLIENTS = 8
_UNREACHED = (OSError, http.client.HTTPException)
_FOLDED_WITHIN_S = 60.0


class Provider:
    """Posts one receipt for each number, once: so whatever is acknowledged must not get lost."""

    def __init__(self, message_ids: dict[str, str]) -> None:
        self.acknowledged: set[str] = set()
        """Numbers whose receipt was answered 2xx."""
        self._left = iter(message_ids.items())
        self._taking = threading.Lock()
        self._progress = threading.Condition()
        self._reachable = threading.Event()
        self._webhook = ("", "")
        self._threads = [threading.Thread(target=self._post_all) for _ in range(_CLIENTS)]

    def begin(self) -> None:
        for thread in self._threads:
            thread.start()

    def finish(self) -> None:
        for thread in self._threads:
            thread.join()

    def reach(self, url: str, path: str) -> None:
        """Post there from now on."""
        self._webhook = (url, path)
        self._reachable.set()

    def pause(self) -> None:
        self._reachable.clear()

    def wait_for(self, count: int) -> None:
        """Return when so many were acknowledged, or there is nothing left to post."""
        with self._progress:
            self._progress.wait_for(lambda: len(self.acknowledged) >= count or self._is_over())

    def _is_over(self) -> bool:
        return not any(thread.is_alive() for thread in self._threads)

    def _post_all(self) -> None:
        while (receipt := self._take()) is not None:
            self._reachable.wait()
            self._post_until_unreached(receipt)
        with self._progress:
            self._progress.notify_all()

    def _post_until_unreached(self, receipt: tuple[str, str] | None) -> None:
        url, path = self._webhook
        with Client(url) as client:
            while receipt is not None:
                number, message_id = receipt
                body = json.dumps({"messageId": message_id, "deliveryStatus": "Delivered"})
                try:
                    client.call("POST", path, body.encode(), "application/json")
                except _UNREACHED:
                    return  # not acknowledged, so nothing was promised
                with self._progress:
                    self.acknowledged.add(number)
                    self._progress.notify_all()
                receipt = self._take()

    def _take(self) -> tuple[str, str] | None:
        with self._taking:
            return next(self._left, None)


def receipts_through_kills(database_url: str, *, kills: int, recipients: int) -> Report:
    """Kill the API process again and again while receipts come in, then count them."""
    with (
        world(database_url, controls={}, environ=pacing(1000), serving=False) as here,
        working(here.installation.environ),
    ):
        report = Report({"kills": kills, "recipients": recipients})
        with _api(here) as process:
            campaign_id = here.start(recipients)
            report.require("it is sent", holds=here.until(campaign_id, still))
            log = here.provider_log("/log")
            provider = Provider({line["destination"]: line["message_id"] for line in log})
            provider.begin()
            _take_and_kill(here, provider, process, recipients // (kills + 1))
        for kill in range(2, kills + 1):
            with _api(here) as process:
                _take_and_kill(here, provider, process, kill * recipients // (kills + 1))
        with _api(here):
            provider.reach(here.installation.url, _path(here))
            provider.finish()
            _judge(report, here, campaign_id, provider.acknowledged)
        return report


@contextmanager
def _api(here: World) -> Iterator[int]:
    """`paceline api`, at an address of its own; gives its process id."""
    with served(here.installation.environ, "api") as (here.installation.url, process):
        yield process


def _take_and_kill(here: World, provider: Provider, process: int, acknowledged: int) -> None:
    """Take receipts in until so many are acknowledged in all, then kill the process."""
    provider.reach(here.installation.url, _path(here))
    provider.wait_for(acknowledged)
    os.kill(process, signal.SIGKILL)
    provider.pause()


def _path(here: World) -> str:
    return here.webhook("dlr").removeprefix(here.installation.url)


def _judge(report: Report, here: World, campaign_id: int, acknowledged: set[str]) -> None:
    here.until(
        campaign_id, lambda _: not here.database.read_now(_waiting), within_s=_FOLDED_WITHIN_S
    )
    delivered, counted = here.database.read_now(_delivered, campaign_id)
    report.figures |= {
        "acknowledged": len(acknowledged),
        "delivered": len(delivered),
        "lost": len(acknowledged - delivered),
        "never_acknowledged": report.figures["recipients"] - len(acknowledged),
    }
    report.require("what was acknowledged is folded", holds=acknowledged <= delivered)
    report.require("the campaign counts what is folded", holds=counted == len(delivered))


def _waiting(connection: Connection) -> int:
    return int(connection.execute(select(func.count()).select_from(receipts)).scalar_one())


def _delivered(connection: Connection, campaign_id: int) -> tuple[set[str], int]:
    """The numbers of the messages that are delivered, and how many the campaign says there are."""
    rows = select(messages.c.phone).where(
        messages.c.campaign_id == campaign_id, messages.c.delivery == Delivery.DELIVERED
    )
    counter = select(campaigns.c.delivered).where(campaigns.c.id == campaign_id)
    return set(connection.execute(rows).scalars()), connection.execute(counter).scalar_one()
