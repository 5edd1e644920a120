"""A permit is stamped with the moment at which its window is stored, and lives from before that."""

from __future__ import annotations

from paceline.storage import intents
from paceline.storage.batches import Attempt
from paceline.storage.wishes import Wish
from tests.storage.world import LEASE_MS


def test_what_it_takes_to_store_a_permit_is_no_part_of_its_life_and_no_younger_than_it(world):
    """Time passes between the locks and the commit, as it does on a slow disk."""
    world.sending(3)
    batch = world.reserve()
    began = world.clock.monotonic()

    def read_the_clock_and_be_held_up():
        at = world.clock.monotonic()
        world.pass_time(7)
        return at

    (attempt,) = world.write(
        intents.intend,
        [Wish(batch, 3)],
        pacing=world.pacing,
        lease_ms=LEASE_MS,
        worker="tester",
        monotonic=read_the_clock_and_be_held_up,
    )
    assert isinstance(attempt, Attempt)
    assert attempt.granted_at == began
    assert attempt.started_at == world.now, "stamped after the delay"
    assert world.grants() == (f"[{world.now},1]", f"[{world.now},1]")
