"""Reports and exports: every figure equals the counters, and no message is left out."""

from __future__ import annotations

import random
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import update

from paceline.domain.cost import Price
from paceline.domain.errors import NotFoundError
from paceline.domain.outcome import Answered, Rejection
from paceline.engine import message_exports
from paceline.engine.exporting import Format
from paceline.engine.reporting import PartsKnown, Report, report
from paceline.settings import load
from paceline.storage import exports, launches, prices, reports, tenants
from paceline.storage.schema import contacts
from paceline.storage.sealing import sealer_of
from tests.storage.world import World

HOUR = 3_600_000


def report_of(world: World, campaign: int) -> Report:
    return world.read(report, world.acme, campaign)


def assert_it_adds_up(found: Report) -> None:
    row = found.campaign
    assert sum(each.sent for each in found.hours) == row.sent
    assert sum(each.failed for each in found.hours) == row.failed
    assert sum(each.delivered for each in found.hours) == row.delivered
    assert sum(found.reasons.values()) == row.failed
    starts = [each.at for each in found.hours]
    assert starts == list(range(starts[0], starts[-1] + 1, HOUR)) if starts else True
    assert row.sent <= found.taken <= row.total


@pytest.mark.parametrize("seed", range(2))
def test_at_every_moment_of_a_campaign_the_figures_equal_the_counters(world: World, seed: int):
    dice = random.Random(seed)
    world.write(tenants.change, world.acme, {"timezone": "Asia/Kathmandu"})
    world.write(prices.replace, world.acme, [Price("30", 40_000, "EUR")])
    campaign = world.sending(18, batch_size=3)
    assert_it_adds_up(report_of(world, campaign))
    names: list[str] = []
    for _ in range(6):
        world.pass_time(dice.choice([1000, 20 * 60_000, 2 * HOUR]))
        call = world.call()
        rejected = {n: Rejection("bad") for n in range(3) if dice.random() < 0.3}
        given = [None if n in rejected else f"n{i}" for n, i in enumerate(call.ids)]
        world.record(call, Answered(given, rejected))
        names += [name for name in given if name]
        world.names()
        for name in dice.sample(names, min(3, len(names))):
            world.pass_time(dice.choice([1000, HOUR]))
            world.receive((name, dice.choice(["delivered", "undelivered", "expired"])))
        assert_it_adds_up(report_of(world, campaign))
    found = report_of(world, campaign)
    assert found.campaign.status == "completed"
    assert found.cost.amounts["EUR"] == 40_000 * found.parts == 40_000 * found.taken
    assert found.duration_ms == found.campaign.completed_at - found.campaign.started_at


def test_hours_are_those_of_the_tenants_clock_and_gaps_are_zero(world: World):
    world.write(tenants.change, world.acme, {"timezone": "Asia/Kathmandu"})
    campaign = world.sending(2, batch_size=1)
    world.send()
    world.pass_time(3 * HOUR)
    world.send()
    found = report_of(world, campaign)
    assert [each.sent for each in found.hours] == [1, 0, 0, 1]
    for each in found.hours:
        assert datetime.fromtimestamp(each.at / 1000, found.zone).minute == 0


def test_the_cost_is_of_what_the_provider_took_whether_or_not_it_arrived(world: World):
    world.write(
        prices.replace,
        world.acme,
        [Price("30", 1_000_000, "EUR"), Price("3069000000", 2_000_000, "USD")],
    )
    world.contacts(4)
    world.write(
        lambda c: c.execute(
            update(contacts).where(contacts.c.id == 4).values(first_name="x" * 200, phone="+4479")
        )
    )
    campaign = world.start(world.draft(text="Hi {{first_name}}!"), batch_size=4)
    call = world.call()
    world.record(call, Answered(["a", "b", None, "d"], {2: Rejection("bad")}))
    world.names()
    world.receive(("a", "undelivered"), ("b", "delivered"))
    found = report_of(world, campaign)
    assert (found.taken, found.parts) == (3, 4)
    assert found.cost.shown() == {"USD": "4.00"}
    assert found.cost.unpriced == 1
    assert found.reasons == {"undelivered": 1, "rejected": 1}


def test_what_was_counted_is_counted_anew_only_when_more_was_taken(world: World, monkeypatch):
    world.write(prices.replace, world.acme, [Price("30", 1_000_000, "EUR")])
    campaign = world.sending(4, batch_size=2)
    known = PartsKnown()
    counts: list[int] = []
    real = reports.taken

    def counting(*args: Any) -> Any:
        counts.append(1)
        return real(*args)

    monkeypatch.setattr(reports, "taken", counting)

    def euros() -> str:
        return world.read(report, world.acme, campaign, known).cost.shown().get("EUR", "")

    call = world.call()
    world.record(call, Answered(["a", "b"]))
    assert (euros(), euros(), len(counts)) == ("2.00", "2.00", 1)
    world.names()
    world.receive(("a", "undelivered"), ("b", "delivered"))
    assert (euros(), len(counts)) == ("2.00", 1)
    world.write(prices.replace, world.acme, [Price("30", 2_000_000, "EUR")])
    assert (euros(), len(counts)) == ("4.00", 1), "prices are those of now"
    world.send()
    assert (euros(), len(counts)) == ("8.00", 2)
    world.write(prices.replace, world.acme, [Price("3069", 1, "EUR"), Price("30", 1, "EUR")])
    assert (euros(), len(counts)) == ("0.000004", 3), "numbers are looked at further"


def test_a_draft_has_an_empty_report(world: World):
    found = report_of(world, world.draft())
    assert (found.hours, found.reasons, found.taken, found.parts) == ([], {}, 0, 0)
    assert (found.duration_ms, found.per_second) == (None, None)


def test_another_tenants_campaign_has_no_report_and_no_export(world: World):
    beta = world.tenant("beta")
    campaign = world.draft()
    for ask in (report, exports.ends):
        with pytest.raises(NotFoundError):
            world.read(ask, beta, campaign)


def export(world: World, campaign: int, *, limit: int, status: str | None = None) -> list[int]:
    first, last = world.read(exports.ends, world.acme, campaign)
    found, after = [], first - 1
    while True:
        rows = world.read(
            exports.page, campaign, after=after, until=last, limit=limit, status=status
        )
        found += [row.id for row in rows]
        if len(rows) < limit:
            return found
        after = rows[-1].id


@pytest.mark.parametrize("limit", [1, 2, 100])
def test_an_export_has_each_message_once_though_others_lie_between(world: World, limit: int):
    world.contacts(5)
    drafts = [world.draft(), world.draft()]
    for draft in drafts:
        world.write(launches.start, None, draft, batch_size=2, chunk=2)
    for _ in range(2):
        for draft in drafts:
            world.write(launches.write_chunk, draft, chunk=2)
    for draft in drafts:
        expected = [row.id for row in world.messages(campaign_id=draft)]
        assert export(world, draft, limit=limit) == expected
        assert len(expected) == 5


def test_an_export_of_one_state_has_only_that(world: World):
    campaign = world.sending(4, batch_size=2)
    world.send()
    sent = [row.id for row in world.messages(campaign_id=campaign, status="sent")]
    assert export(world, campaign, limit=1, status="sent") == sent
    assert len(sent) == 2
    assert export(world, world.draft(), limit=5) == []


async def test_a_file_is_written_in_pages_and_no_message_is_left_out(world: World, monkeypatch):
    monkeypatch.setattr(message_exports, "PAGE", 2)
    campaign = world.sending(5, batch_size=2, text="Hi")
    world.sending(1)
    world.send()
    sealer = sealer_of(load({"PACELINE_SECRET": "a secret of the tests"}))
    for kind, status, lines in (("csv", None, 6), ("jsonl", None, 5), ("jsonl", "sent", 2)):
        begun = await message_exports.export(
            world.database, sealer, world.acme, campaign, Format(kind), status
        )
        chunks = [chunk async for chunk in begun.chunks()]
        assert b"".join(chunks).count(b"\n") == lines
        assert all(chunk.count(b"\n") <= 2 for chunk in chunks)
