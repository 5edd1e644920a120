"""Campaigns of one tenant take turns, however few batches are reserved at a time."""

from __future__ import annotations


def test_a_tenants_campaigns_take_turns_from_one_reservation_to_the_next(world):
    older = world.sending(3, batch_size=1)
    newer = world.start(world.draft(), batch_size=1)
    served = [world.reserve().campaign_id for _ in range(6)]
    assert served == [older, newer] * 3
