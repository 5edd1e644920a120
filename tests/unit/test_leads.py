"""How far ahead permits are stamped, and what the next intent is told of them."""

from __future__ import annotations

from paceline.domain.limits import LONGEST_LEAD_MS
from paceline.engine.leads import Leads
from paceline.storage.batches import Attempt, ReservedBatch
from paceline.storage.wishes import Used


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def attempt(lead_ms: int = 0, *, account: int = 1, tenant: int = 1) -> Attempt:
    batch = ReservedBatch(1, tenant, account, None, 1, 0, 0)
    return Attempt(
        1,
        batch,
        started_at=5_000,
        stamped_at=5_000 + lead_ms,
        granted_at=100.0,
        send_by=100.025 + lead_ms / 1000,
    )


def test_a_quick_worker_needs_no_lead():
    leads = Leads(Clock())
    assert leads.ms() == 0
    leads.used(attempt(), 100.004)
    assert leads.ms() == 0


def test_the_lead_is_thrice_what_the_slowest_of_the_last_permits_took():
    leads = Leads(Clock())
    for took_s in (0.004, 0.0205, 0.010):
        leads.used(attempt(), 100.0 + took_s)
    assert leads.ms() == 63  # thrice 21 ms
    for _ in range(50):
        leads.used(attempt(), 100.004)
    assert leads.ms() == 0


def test_a_permit_that_went_void_counts_as_slow():
    clock = Clock()
    leads = Leads(clock)
    clock.now = 100.05
    leads.missed(attempt())
    assert leads.ms() >= 150


def test_no_lead_is_longer_than_the_longest():
    leads = Leads(Clock())
    leads.used(attempt(), 101.0)
    assert leads.ms() == LONGEST_LEAD_MS


def test_the_next_intent_of_the_account_is_told_once_and_rounded_up():
    leads = Leads(Clock())
    leads.used(attempt(200), 100.0101)
    leads.used(attempt(200, tenant=2), 100.0)
    leads.used(attempt(200, account=7), 100.003)
    assert leads.told_of(1) == [Used(1, 5_200, 5_011), Used(2, 5_200, 5_000)]
    assert leads.told_of(1) == []
    assert [used.stamped_at for used in leads.told_of(7)] == [5_200]


def test_a_permit_that_was_used_at_its_stamp_or_later_has_nothing_to_tell():
    leads = Leads(Clock())
    leads.used(attempt(0), 100.003)
    leads.used(attempt(20), 100.021)
    assert leads.told_of(1) == []


def test_a_permit_that_went_void_keeps_its_stamp():
    leads = Leads(Clock())
    leads.missed(attempt(200))
    assert leads.told_of(1) == []
