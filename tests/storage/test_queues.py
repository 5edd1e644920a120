"""What is queued on an account, and the estimates that are made of it."""

from __future__ import annotations

from dataclasses import replace

from paceline.domain.campaign import CampaignVerb
from paceline.domain.eta import Bound
from paceline.domain.limits import Limit
from paceline.domain.outcome import NoAnswer
from paceline.engine import previewing
from paceline.engine.previewing import Estimate
from paceline.engine.rules import Rules
from paceline.settings import load
from paceline.storage import accounts, campaigns, launches, queues
from tests.storage.world import World

RULES = replace(
    Rules.of(load({"SMS_BATCH_SIZE": "2"})),
    pacing=replace(
        Rules.of(load({})).pacing, tenant=Limit(1000, 1000, 0), account=Limit(1, 1000, 0)
    ),
)
CALL_MS = 300
"""What is assumed of an account without calls."""


def of_a_known_provider(world: World) -> None:
    """How many messages fit into one of its calls is known."""
    world.write(accounts.change, world.main, {"provider": "simulator"})


async def estimate(world: World, campaign: int) -> Estimate:
    return await previewing.estimate(
        world.database, RULES, world.acme, campaign, whole=world.database
    )


def test_it_has_what_each_tenant_has_queued_and_nothing_that_is_not_sent(world: World) -> None:
    beta = world.tenant("beta")
    world.sending(5, batch_size=2)
    paused = world.start(world.draft(), batch_size=1)
    world.write(lambda c: campaigns.change(c, world.acme, paused, CampaignVerb.PAUSE))
    world.single()
    world.single("+306900000009")
    world.sending(4, batch_size=1, tenant=beta)
    world.sending(3, batch_size=1, tenant=beta, account=world.account("other"))
    found = world.read(queues.of_account, world.main, world.acme)
    batches = {each.row.tenant_id: sorted(each.batches) for each in found.lanes}
    assert batches == {world.acme: [2, 3], beta: [4]}
    assert all(each.unwritten == [] for each in found.lanes)
    assert (found.at, found.call_ms) == (world.now, None)


def test_who_asks_has_a_lane_and_others_without_work_have_none(world: World) -> None:
    world.tenant("beta")
    found = world.read(queues.of_account, world.main, world.acme)
    assert [(each.row.tenant_id, each.row.pass_, each.batches) for each in found.lanes] == [
        (world.acme, 0, [])
    ]


def test_recipients_that_a_launch_has_not_come_to_count(world: World) -> None:
    world.contacts(7)
    world.write(launches.start, None, world.draft(), batch_size=2, chunk=3)
    [lane] = world.read(queues.of_account, world.main, world.acme).lanes
    assert (lane.batches, lane.unwritten) == ([2], [4])


def test_it_knows_how_long_the_last_answered_calls_took(world: World) -> None:
    world.sending(3, batch_size=1)
    for took in (100, 300):
        call = world.call()
        world.pass_time(took)
        world.record(call, call.accepted())
    call = world.call()
    world.pass_time(9000)
    world.record(call, NoAnswer("silence"))
    assert world.read(queues.of_account, world.main, world.acme).call_ms == 200
    other = world.account("other")
    assert world.read(queues.of_account, other, world.acme).call_ms is None


async def test_an_estimate_counts_calls_and_the_turns_of_others(world: World) -> None:
    world.database.write_now(accounts.change, world.main, {"provider": "mitto"})
    beta = world.tenant("beta")
    world.contacts(8)
    draft = world.draft()
    alone = (await estimate(world, draft)).eta
    assert alone is not None
    assert (alone.calls, alone.ms, alone.bound) == (4, 3000 + CALL_MS, Bound.ACCOUNT_LIMIT)
    world.sending(9, batch_size=1, tenant=beta)
    beside = (await estimate(world, draft)).eta
    assert beside is not None
    assert (beside.bound, beside.ahead) == (Bound.TURNS, 3)
    assert beside.ms == 6000 + CALL_MS


async def test_a_closed_account_begins_later_and_a_held_one_says_why(world: World) -> None:
    world.database.write_now(accounts.change, world.main, {"provider": "mitto"})
    world.contacts(1)
    draft = world.draft()
    closed = {"closed_until": world.now + 60_000}
    world.database.write_now(accounts.change, world.main, closed)
    found = (await estimate(world, draft)).eta
    assert found is not None
    assert found.ms == 60_000 + CALL_MS
    world.database.write_now(accounts.hold, world.main, "no money")
    held = await estimate(world, draft)
    assert (held.eta, held.held_why, held.reach.recipients) == (None, "no money", 1)


async def test_nobody_to_send_to_takes_no_time(world: World) -> None:
    world.database.write_now(accounts.change, world.main, {"provider": "mitto"})
    found = await estimate(world, world.draft())
    assert (found.eta, found.held_why, found.reach.recipients) == (None, None, 0)


async def test_a_preview_looks_through_every_page_and_leaves_out_the_suppressed(
    world: World, monkeypatch
) -> None:
    monkeypatch.setattr(previewing, "_PAGE", 3)
    phones = world.contacts(10, first_name="Ana")
    world.suppress(*phones[3:7])
    world.contacts(2, world.tenant("beta"))
    draft = world.draft(text="Hi {{first_name}}")
    found = await previewing.preview(world.database, world.acme, draft)
    assert found.reach.recipients == 6
    assert found.recipient is not None
    assert (found.recipient.phone, found.recipient.text) == (phones[0], "Hi Ana")


async def test_what_others_have_queued_counts_also_for_who_may_not_see_it(world: World) -> None:
    of_a_known_provider(world)
    world.sending(8, batch_size=1, tenant=world.tenant("beta"))
    world.contacts(4)
    campaign = world.draft()
    alone = await estimate(world, campaign)
    confined = await previewing.estimate(
        world.database.of_tenant(world.acme), RULES, world.acme, campaign, whole=world.database
    )
    assert alone.eta is not None
    assert alone.eta.ahead > 0
    assert confined.eta == alone.eta


async def test_a_campaigns_own_speed_without_a_window_is_by_the_second(world: World) -> None:
    of_a_known_provider(world)
    world.contacts(6)
    quick = replace(RULES, pacing=replace(RULES.pacing, account=Limit(1000, 1000, 0)))
    campaign = world.draft(rate_max=1)
    found = await previewing.estimate(
        world.database, quick, world.acme, campaign, whole=world.database
    )
    assert found.eta is not None
    assert (found.eta.bound, found.eta.calls) == (Bound.CAMPAIGN_LIMIT, 3)
    assert found.eta.ms == 2_000 + CALL_MS
