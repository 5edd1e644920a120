"""The last hour of a tenant: what is worked out backwards is what was there at the time."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection

from paceline.domain.campaign import CampaignStatus, CampaignVerb
from paceline.domain.outcome import NoAnswer
from paceline.storage import campaigns, last_hour, watching
from paceline.storage.schema import campaigns as campaign_rows
from tests.storage.world import World

MINUTE_MS = last_hour.MINUTE_MS


def to_the_next_minute(world: World) -> None:
    """And a little into it, so that nothing falls on the border."""
    world.pass_time(MINUTE_MS - world.now % MINUTE_MS + 1000)


def queued_now(world: World) -> int:
    return sum(row.queued for row in world.rows(campaign_rows, tenant_id=world.acme))


def test_the_queue_of_each_minute_is_what_it_was(world: World) -> None:
    to_the_next_minute(world)
    noted = []
    world.sending(12)
    for _ in range(3):
        world.send()
        noted.append(queued_now(world))
        to_the_next_minute(world)
    world.sending(3)
    world.send()
    noted.append(queued_now(world))
    hour = world.read(last_hour.of, world.acme)
    assert hour.queued[-4:] == noted
    assert hour.queued[:-4] == [0] * 56
    assert hour.messages[-4:] == [3, 3, 3, 3]
    assert hour.calls[-4:] == [1, 1, 1, 1]
    assert len(hour.times) == len(hour.queued) == 60
    assert hour.times[-1] <= world.now < hour.times[-1] + MINUTE_MS


def test_what_a_cancellation_gave_up_was_queued_before_it(world: World) -> None:
    to_the_next_minute(world)
    campaign = world.sending(9)
    world.send()
    to_the_next_minute(world)
    world.write(campaigns.cancel, world.acme, campaign)
    while world.write(campaigns.sweep_cancelled, campaign):
        pass
    assert world.read(last_hour.of, world.acme).queued[-3:] == [0, 6, 0]


def test_what_is_in_doubt_is_still_queued(world: World) -> None:
    world.sending(3)
    world.record(world.call(), NoAnswer("silence"))
    hour = world.read(last_hour.of, world.acme)
    assert hour.queued[-1] == 3
    assert hour.messages[-1] == 0
    assert hour.calls[-1] == 1


def test_a_campaign_that_waits_longer_than_an_hour_was_there_all_the_time(world: World) -> None:
    campaign = world.sending(3)
    world.write(lambda c: campaigns.change(c, world.acme, campaign, CampaignVerb.PAUSE))
    world.pass_time(2 * 60 * MINUTE_MS)
    assert world.read(last_hour.of, world.acme).queued == [3] * 60


def test_the_hour_of_one_tenant_is_nobody_elses(world: World) -> None:
    other = world.tenant("other")
    world.sending(3)
    world.send()
    hour = world.read(last_hour.of, other)
    assert not any(hour.queued + hour.messages + hour.calls)


def test_what_is_over_is_not_read_to_find_what_is_under_way(world: World) -> None:
    """On a page that is asked for all the time."""
    world.draft()
    sending = world.sending(3)
    which = {"tenant": world.acme, "most": 5}
    statuses = {"statuses": [CampaignStatus.SENDING]}
    for query, values in (
        (watching._OF_STATUS, statuses),
        (watching._UNSETTLED, {}),
        (watching._FAILING, {}),
        (watching._SCHEDULED, {}),
    ):
        plan = world.read(explained, query, which | values)
        assert "campaigns_account_id" in plan or "campaigns_status" in plan, plan
    assert world.read(watching.under_way, world.acme, CampaignStatus.SENDING) == [sending]


def explained(connection: Connection, query: Any, values: dict[str, Any]) -> str:
    how = "EXPLAIN QUERY PLAN" if connection.dialect.name == "sqlite" else "EXPLAIN"
    compiled = query.compile(connection)
    given = {name: values.get(name, default) for name, default in compiled.params.items()}
    made = compiled.construct_expanded_state(given)
    positional = made.positiontup is not None
    parameters = tuple(made.positional_parameters) if positional else made.parameters
    return str(connection.exec_driver_sql(f"{how} {made.statement}", parameters).all())
