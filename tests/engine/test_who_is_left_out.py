"""Who opts out before a call is left out of it, and nobody else is."""

from __future__ import annotations

import pytest

from paceline.clock import VirtualClock
from tests.acceptance.world import world


@pytest.mark.parametrize("position", [0, 4])
async def test_a_call_goes_to_all_of_its_batch_but_who_opted_out(
    database_url: str, position: int
) -> None:
    people = [f"+3069{10_000_000 + n}" for n in range(5)]
    leaving = people[position]
    async with world(database_url, clock=VirtualClock(), SMS_BATCH_SIZE="5") as w:
        campaign_id = await w.started(5)
        await w.call("POST", "/api/suppressions", {"phones": [leaving], "reason": "stop"})
        assert await w.step() == 1
        assert w.provider_numbers() == {*people} - {leaving}
        sent = await w.messages(campaign_id, status="sent")
        assert {message["to"] for message in sent} == {*people} - {leaving}
