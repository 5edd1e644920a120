"""A tenant's price table."""

from __future__ import annotations

from paceline.domain.cost import Price
from paceline.storage import prices
from paceline.storage.schema import audit_log
from tests.storage.world import World

GREECE, MOBILE = Price("30", 42_000, "EUR"), Price("3069", 39_000, "EUR")
BRITAIN = Price("44", 1, "GBP")


def test_a_table_takes_the_place_of_the_one_before(world: World):
    assert world.write(prices.replace, world.acme, [BRITAIN, GREECE]) == 2
    assert world.write(prices.replace, world.acme, [MOBILE, GREECE], actor="tester") == 2
    assert world.read(prices.page, world.acme, limit=10) == [GREECE, MOBILE]
    assert world.read(prices.table, world.acme).of("+447911123456") is None
    *_, row = world.rows(audit_log, action="prices.import")
    assert (row.tenant_id, row.actor, row.detail) == (world.acme, "tester", {"prices": 2})


def test_an_empty_table_leaves_none(world: World):
    world.write(prices.replace, world.acme, [GREECE])
    world.write(prices.replace, world.acme, [])
    assert world.read(prices.page, world.acme, limit=10) == []


def test_each_tenant_has_its_own(world: World):
    beta = world.tenant("beta")
    world.write(prices.replace, world.acme, [GREECE])
    world.write(prices.replace, beta, [Price("30", 1, "USD")])
    assert world.read(prices.table, world.acme).of("+306912345678") == GREECE
    world.write(prices.replace, world.acme, [])
    assert world.read(prices.table, beta).of("+306912345678") == Price("30", 1, "USD")


def test_pages_go_by_prefix(world: World):
    world.write(prices.replace, world.acme, [BRITAIN, MOBILE, GREECE])
    first = world.read(prices.page, world.acme, limit=2)
    assert first == [GREECE, MOBILE]
    assert world.read(prices.page, world.acme, after=first[-1].prefix, limit=2) == [BRITAIN]
