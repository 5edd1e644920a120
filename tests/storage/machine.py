"""A state machine over the storage layer: whatever people, workers, providers and time do, in any
order, the promises hold after every transaction.

Its rules are in ``machine_orders`` (people), ``machine_trips`` (workers) and ``machine_endings``
(receipts, look-ups, decisions); what must hold of the rows in ``machine_rows``; what the machine
knows by itself in ``machine_model`` and ``machine_provider``.
"""

from __future__ import annotations

import sys
from typing import Any

from paceline.domain.message import BatchStatus, MessageStatus
from paceline.storage import accounts, audit, campaigns, tenants
from paceline.storage.doubt import Decision
from tests.storage.machine_endings import Endings
from tests.storage.machine_ground import LEASE_MS, QUIET_MS
from tests.storage.machine_orders import Orders
from tests.storage.machine_provider import ACCEPTED
from tests.storage.machine_trips import Trips

_ROUNDS = 60
"""More than enough to bring an example to rest."""
_NO_LIMIT = 200
_OPEN = {BatchStatus.QUEUED, BatchStatus.RESERVED, BatchStatus.SUBMITTING}


class Machine(Orders, Trips, Endings):
    """An installation that everything may happen to. In the end it comes to rest."""

    audited = False

    def check_invariants(self, *how: Any) -> None:
        """After each step. As an ``@invariant`` this would be printed as often."""
        super().check_invariants(*how)
        self.check_doubt()
        assert self.read(audit.differences) == []
        self.audited = True

    def teardown(self) -> None:
        if sys.exc_info()[0] is None:  # what has failed is told as it is
            self.come_to_rest()

    def come_to_rest(self) -> None:
        """Nothing is lost: plain steps settle whatever does not wait for a decision, and decisions
        settle the rest.
        """
        self.stop_everything()
        for decision in (Decision.RESEND, Decision.ACCEPT, Decision.FAIL):
            self.work_until_at_rest()
            for row in self.rows.messages.values():
                assert row.status != MessageStatus.QUEUED or row.in_doubt
            for batch in self.unconfirmed():
                campaign = self.rows.campaigns.get(batch.campaign_id)
                over = campaign is not None and campaign.status == "cancelled"
                assert self.decide_on(batch.id, Decision.FAIL if over else decision)
        self.check_doubt()
        assert self.audited
        assert self.read(audit.differences) == []
        for campaign in self.rows.campaigns.values():
            assert campaign.status in {"draft", "completed", "cancelled", "failed"}
            assert campaign.queued == 0
        assert all(row.status != MessageStatus.QUEUED for row in self.rows.messages.values())

    def stop_everything(self) -> None:
        """Every worker dies; operators open what is shut, for as much as there is."""
        self.trips.clear()
        self.asked.clear()
        for account_id in self.accounts:
            self.write(accounts.release, account_id)
            self.write(accounts.change, account_id, {"rate_max": _NO_LIMIT, "rate_window_ms": None})
            self.limit_is("account", account_id, _NO_LIMIT, None)
        for tenant_id in self.tenants:
            self.write(tenants.change, tenant_id, {"rate_max": _NO_LIMIT, "rate_window_ms": None})
            self.limit_is("tenant", tenant_id, _NO_LIMIT, None)
        for campaign in self.campaigns_in("scheduled"):
            self.write(campaigns.cancel, campaign.tenant_id, campaign.id)
        for campaign in self.campaigns_in("paused"):
            self.resume(campaign)

    def work_until_at_rest(self) -> None:
        """Do what a worker does by itself, until there is nothing of it to do."""
        for _ in range(_ROUNDS):
            self.take_back_expired()
            self.continue_launches(20)
            self.sweep_cancelled()
            self.fold()
            self.take_up()
            for trip in self.reserve(10):
                self.go(trip, "recorded", ACCEPTED)
            if self.is_at_rest():
                return
            self.pass_time(max(LEASE_MS, QUIET_MS))
        waiting = [row for row in self.rows.batches.values() if row.status in _OPEN]
        raise AssertionError(f"it does not come to rest: {waiting}")

    def is_at_rest(self) -> bool:
        return not self.rows.launching and not any(
            row.status in _OPEN
            or (row.status == BatchStatus.UNCONFIRMED and row.confirm_at is not None)
            for row in self.rows.batches.values()
        )
