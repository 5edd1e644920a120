"""Every page of the dashboard is looked at, and a new one cannot be forgotten."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks import addresses, pages
from benchmarks.furnishing import House
from benchmarks.installation import WrongRunError
from benchmarks.pages import Sizes, Timed
from benchmarks.viewers import Watched
from paceline.settings import sqlalchemy_url
from paceline.storage.database import Database


def test_all_pages_are_timed_and_the_reads_of_viewers_counted():
    sizes = Sizes(messages=2_000, reads=1, watch_s=2.0, viewers=(2,))
    figures = pages.measure("sqlite", sizes)
    routes = {each.route for each in figures.pages}
    assert routes >= {"/", "/campaigns/{id:int}", "/messages", "/messages/{id:int}", "/queue/now"}
    assert {each.who for each in figures.pages} == {"manager", "admin"}
    assert all(0 < each.p50_ms <= each.p95_ms <= each.max_ms for each in figures.pages)
    (watched,) = figures.watched
    assert watched.viewers == 2
    assert watched.reads_per_s > 0
    assert watched.events_per_s > 0


def test_a_page_without_an_example_ends_the_run(tmp_path, monkeypatch):
    database = Database(sqlalchemy_url(f"sqlite:///{tmp_path}/paceline.db"))
    installation: Any = SimpleNamespace(
        database=database, environ={"PACELINE_SECRET": "a secret of the house"}
    )
    house = House(tenant_id=1, messages=1_000, contacts=1_000)
    known = addresses._examples(house)
    assert len(addresses.addresses(installation, house)) > 50
    del known["/messages/"]
    monkeypatch.setattr(addresses, "_examples", lambda _: known)
    with pytest.raises(WrongRunError, match=r"/messages/\{id:int\}"):
        addresses.addresses(installation, house)
    database.close()


def timed(status: int = 200, p95_ms: float = 1.0, route: str = "/queue") -> Timed:
    return Timed("/queue?x", route, False, "admin", status, 1.0, p95_ms, p95_ms, 1.0)


@pytest.mark.parametrize(
    ("looked", "broken"),
    [
        ([timed()], 0),
        ([timed(p95_ms=200.0)], 1),
        ([timed(status=500), timed()], 1),
        ([timed(status=409), timed()], 0),
        ([timed(status=409)], 1),
        ([timed(status=404, route="/{path:path}")], 0),
    ],
)
def test_slow_and_broken_pages_break_the_promise(looked, broken):
    assert len(pages._wrong(looked) + pages._slow(looked)) == broken


def test_viewers_that_cost_more_than_two_reads_a_second_break_the_promise():
    assert pages._greedy([Watched(50, 2.0, 1.0)]) == []
    assert len(pages._greedy([Watched(50, 2.1, 1.0)])) == 1
