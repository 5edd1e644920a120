"""The provider is asked about doubt by the references that it was given last, not by older ones."""

from __future__ import annotations

from paceline.domain.outcome import NoAnswer, Throttled
from paceline.domain.verdict import Policy
from paceline.storage import confirmations

ASKS = Policy(looks_up=True)


def test_after_a_429_the_provider_is_asked_for_the_references_that_came_after_it(world):
    world.sending(3)
    world.record(world.call(), Throttled(retry_after_ms=0), ASKS)
    world.pass_time(3000)
    call = world.call()
    world.record(call, NoAnswer("timed out"), ASKS)
    world.pass_time(ASKS.confirm_window_ms)
    (found,) = world.write(confirmations.claim, limit=10, lease_ms=120_000)
    assert found.references == {world.reference(i, generation=1): i for i in call.ids}
