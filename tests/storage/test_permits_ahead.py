"""Permits stamped with the latest moment of their use, and counted from the real one when told."""

from __future__ import annotations

from sqlalchemy import event

from paceline.domain.campaign import CampaignVerb
from paceline.domain.limits import Limit
from paceline.storage import campaigns, intents, tenants
from paceline.storage.batches import Attempt
from paceline.storage.limits import Pacing
from paceline.storage.wishes import Gone, Used, Wish
from tests.storage.world import LEASE_MS

ONE = Pacing(Limit(1, 1000, 50), Limit(9, 1000, 50))


def some(world, want):
    return world.reservation(want).batches


def ahead(world, batch, lead_ms, **more):
    """Its intent, with permits that are stamped so much ahead."""
    (intent,) = world.intend_together(Wish(batch, 3, lead_ms), **more)
    return intent


def used(attempt, after_ms):
    """Its call went out so long after the grant."""
    return Used(attempt.batch.tenant_id, attempt.stamped_at, attempt.started_at + after_ms)


def test_a_permit_stamped_ahead_lives_until_its_stamp_and_half_the_margin(world):
    world.sending(3)
    world.pass_time(10)
    attempt = ahead(world, world.reserve(), 200)
    assert (attempt.started_at, attempt.stamped_at) == (world.now, world.now + 200)
    assert attempt.granted_at == world.clock.monotonic()
    assert attempt.send_by == attempt.granted_at + 0.225
    (row,) = world.attempts()
    assert (row.started_at, row.send_by) == (world.now, world.now + 225)
    assert world.grants() == (f"[{world.now + 200},1]", f"[{world.now + 200},1]")


def test_without_a_lead_a_permit_is_stamped_when_it_is_granted(world):
    world.sending(3)
    attempt = world.intend(world.reserve())
    assert attempt.stamped_at == attempt.started_at == world.now
    assert world.grants() == (f"[{world.now},1]", f"[{world.now},1]")


def test_in_a_window_that_is_more_than_half_full_no_permit_is_stamped_ahead(world):
    """There it would keep others waiting for as long as it is ahead."""
    world.sending(12)
    pacing = Pacing(Limit(4, 1000, 50), Limit(9, 1000, 50))
    attempts = world.intend_together(
        *(Wish(batch, 3, 200) for batch in some(world, 3)), pacing=pacing
    )
    assert [attempt.stamped_at - world.now for attempt in attempts] == [200, 200, 0]
    assert attempts[2].send_by == attempts[2].granted_at + 0.025
    narrow = Pacing(Limit(9, 1000, 50), Limit(4, 1000, 50))
    (attempt,) = world.intend_together(Wish(world.reserve(), 3, 200), pacing=narrow)
    assert attempt.stamped_at == world.now


def test_a_permit_stamped_ahead_counts_until_a_span_after_its_stamp(world):
    world.sending(6)
    first, second = some(world, 2)
    ahead(world, first, 200)
    assert world.intend(second, pacing=ONE).for_ms == 1250
    world.pass_time(1249)
    assert world.intend(second, pacing=ONE).for_ms == 1
    world.pass_time(1)
    assert isinstance(world.intend(second, pacing=ONE), Attempt)


def test_told_when_it_was_used_a_permit_counts_until_a_span_after_that(world):
    world.sending(6)
    first, second = some(world, 2)
    granted_at = world.now
    attempt = ahead(world, first, 200)
    world.pass_time(30)
    wait = ahead(world, second, 200, used=[used(attempt, 12)], pacing=ONE)
    assert wait.for_ms == 1032
    assert world.grants() == (f"[{granted_at + 12},1]", f"[{granted_at + 12},1]")
    world.pass_time(1032)
    assert isinstance(ahead(world, second, 200, pacing=ONE), Attempt)


def test_what_is_told_makes_room_for_the_very_intent_that_tells_it(world):
    world.sending(6)
    first, second = some(world, 2)
    attempt = ahead(world, first, 200)
    world.pass_time(1100)
    assert world.intend(second, pacing=ONE).for_ms == 150
    intent = ahead(world, second, 0, used=[used(attempt, 40)], pacing=ONE)
    assert isinstance(intent, Attempt)


def test_of_a_tenant_without_a_wish_only_the_accounts_window_hears(world):
    """Its own row is not locked: there the permit counts from its stamp."""
    rival = world.tenant("rival")
    world.sending(9)
    ours = some(world, 3)
    world.sending(3, tenant=rival)
    (theirs,) = some(world, 1)
    at = world.now
    first, second, rivals = world.intend_together(
        Wish(ours[0], 3, 100), Wish(ours[1], 3, 200), Wish(theirs, 3, 150)
    )
    world.pass_time(60)
    told = [used(rivals, 7), used(second, 50), used(first, 3)]
    assert isinstance(ahead(world, ours[2], 0, used=told), Attempt)
    assert world.grants() == (f"[{at + 3},1,47,1,10,1]", f"[{at + 3},1,4,1,43,1,10,1]")
    assert world.read(tenants.get, rival).grants == f"[{at + 150},1]"


def test_when_no_wish_gets_as_far_as_the_permits_nothing_is_moved(world):
    campaign = world.sending(6)
    first, second = some(world, 2)
    attempt = ahead(world, first, 200)
    before = world.grants()
    world.write(campaigns.change, world.acme, campaign, CampaignVerb.PAUSE)
    assert ahead(world, second, 0, used=[used(attempt, 12)]) == Gone("campaign paused")
    assert world.grants() == before


def test_what_is_told_rides_along_without_a_statement_of_its_own(world):
    world.sending(12)
    first, *others = some(world, 4)
    attempt = ahead(world, first, 200)
    statements = []

    def intend(connection, wish, told):
        event.listen(connection, "before_cursor_execute", lambda *a: statements.append(a[2]))
        return intents.intend(
            connection,
            [wish],
            used=told,
            pacing=world.pacing,
            lease_ms=LEASE_MS,
            worker="tester",
            monotonic=world.clock.monotonic,
        )

    plain, telling, counts = others[0], others[1], []
    for batch, told in ((plain, []), (telling, [used(attempt, 12)])):
        statements.clear()
        world.write(intend, Wish(batch, 3), told)
        counts.append(len(statements))
    assert counts[0] == counts[1] > 0
