"""Rules: what people do to an installation, from a new contact to a restored backup."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule
from sqlalchemy import Connection, insert

from paceline.domain.campaign import CampaignVerb
from paceline.domain.errors import EmptyAudienceError, InvalidInputError
from paceline.domain.message import MessageStatus
from paceline.storage import accounts, campaigns, launches, messages, restart, suppressions, tenants
from paceline.storage.database import AnyRow, now
from paceline.storage.schema import contacts
from tests.storage.machine_ground import Ground, kinds, picked, picks

_CHUNK = 3
"""Contacts, so that a handful is many."""
_MOST = 2
"""Tenants and accounts of one example."""
_CONTACTS = 12
"""Of one tenant, at most."""
_CAMPAIGNS = 5
_MESSAGES = 60
"""Of one example, at most: each look reads them all."""
_CHANGEABLE = {
    "draft": [CampaignVerb.START, CampaignVerb.SCHEDULE, CampaignVerb.CANCEL],
    "scheduled": [CampaignVerb.START, CampaignVerb.UNSCHEDULE, CampaignVerb.CANCEL],
    "sending": [CampaignVerb.PAUSE, CampaignVerb.CANCEL],
    "paused": [CampaignVerb.RESUME, CampaignVerb.RESUME, CampaignVerb.CANCEL],
}
"""What a person may do to a campaign, by its status."""
server_errors = st.sampled_from(["retry", "hold"])


class Orders(Ground):
    """Tenants, accounts, contacts, campaigns, single messages."""

    @initialize(
        attempts=st.integers(1, 4),
        unconfirmed=st.sampled_from(["hold", "resend"]),
        strategy=st.sampled_from(["pace", "pace", "backoff"]),
        rate_limit_retry=st.booleans(),
        kind=kinds,
        server_error=server_errors,
        people=st.integers(1, 7),
        batch_size=st.integers(1, 5),
        backed_up=st.sampled_from([False, False, True]),
    )
    def begin(
        self,
        attempts: int,
        unconfirmed: str,
        strategy: str,
        rate_limit_retry: bool,
        kind: str,
        server_error: str,
        people: int,
        batch_size: int,
        backed_up: bool,
    ) -> None:
        """An installation that has something to send."""
        self.restored = not backed_up
        self.settle(
            attempts=attempts,
            unconfirmed=unconfirmed,
            strategy=strategy,
            rate_limit_retry=rate_limit_retry,
        )
        self.make_tenant()
        self.make_account(kind, server_error)
        self.new_contacts(0, people)
        self.new_campaign(0, 0, batch_size)

    @precondition(lambda self: len(self.tenants) < _MOST)
    @rule(people=st.integers(1, 7), pick=picks, batch_size=st.integers(1, 5))
    def new_tenant(self, people: int, pick: int, batch_size: int) -> None:
        """Another tenant, with a campaign that is started."""
        self.make_tenant()
        self.new_contacts(-1, people)
        self.new_campaign(-1, pick, batch_size)

    @precondition(lambda self: len(self.accounts) < _MOST)
    @rule(kind=kinds, server_error=server_errors)
    def new_account(self, kind: str, server_error: str) -> None:
        self.make_account(kind, server_error)

    def new_contacts(self, pick: int, count: int) -> None:
        tenant_id = picked(self.tenants, pick)
        known = self.phones[tenant_id]
        count = min(count, _CONTACTS - len(known))
        # Tenants have numbers in common: a suppression is one tenant's.
        phones = [f"+3069{len(known) + i:08}" for i in range(count)]

        def make(connection: Connection) -> None:
            at = now(connection)
            row = {"tenant_id": tenant_id, "attributes": {}, "created_at": at, "updated_at": at}
            connection.execute(insert(contacts), [row | {"phone": phone} for phone in phones])

        if phones:
            self.write(make)
            known += phones

    # --- campaigns

    @precondition(lambda self: len(self.rows.campaigns) < _CAMPAIGNS)
    @rule(
        tenant=picks,
        account=picks,
        people=st.integers(0, 3),
        batch_size=st.integers(1, 5),
        when=st.sampled_from(["now", "now", "now", "scheduled", "draft"]),
    )
    def new_campaign(
        self, tenant: int, account: int, batch_size: int, people: int = 0, when: str = "now"
    ) -> None:
        """To so many more people; its chunks after the first are a chore."""
        self.new_contacts(tenant, people)
        campaign_id = self._draft(tenant, account, self.now if when == "scheduled" else None)
        if when == "now":
            self._start(campaign_id, batch_size)

    @precondition(lambda self: self.campaigns_in(*_CHANGEABLE))
    @rule(
        pick=picks,
        verb=st.integers(0, 2),
        batch_size=st.integers(1, 5),
        in_ms=st.sampled_from([0, 5_000]),
    )
    def change_campaign(self, pick: int, verb: int, batch_size: int, in_ms: int) -> None:
        """One of what a person may do to it. What a cancelled one has queued is a chore."""
        row = picked(self.campaigns_in(*_CHANGEABLE), pick)
        match picked(_CHANGEABLE[row.status], verb):
            case CampaignVerb.START:
                self._start(row.id, batch_size)
            case CampaignVerb.CANCEL:
                self.write(campaigns.cancel, row.tenant_id, row.id)
            case CampaignVerb.SCHEDULE:
                self._change(row, CampaignVerb.SCHEDULE, scheduled_at=self.now + in_ms)
            case other:
                self._change(row, other)

    @precondition(lambda self: self.chores())
    @rule(pick=picks)
    def do_a_chore(self, pick: int) -> None:
        """What somebody sees to sooner or later."""
        picked(self.chores(), pick)()

    def chores(self) -> list[Callable[[], None]]:
        rows = self.rows
        due = [
            (self.start_due_campaigns, self.campaigns_in("scheduled")),
            (self.continue_launches, rows.launching),
            (self.sweep_cancelled, [row for row in self.campaigns_in("cancelled") if row.queued]),
            (self.fold, self.providers.accepted),
            (self.index, self.providers.accepted),
        ]
        return [chore for chore, reason in due if reason]

    def start_due_campaigns(self) -> None:
        for campaign_id in self.read(campaigns.due):
            if not self._start(campaign_id, 2):
                self.write(campaigns.fail, campaign_id, "nobody")

    def continue_launches(self, most: int = 1) -> None:
        """The next chunks of every launch that is under way."""
        for campaign_id in self.read(launches.under_way):
            for _ in range(most):
                chunk = self.write(launches.write_chunk, campaign_id, chunk=_CHUNK)
                if chunk is None or chunk.finished:
                    break

    def sweep_cancelled(self) -> None:
        for campaign_id in self.read(campaigns.cancelled_with_queue):
            while self.write(campaigns.sweep_cancelled, campaign_id):
                pass

    @precondition(lambda self: len(self.rows.messages) < _MESSAGES)
    @rule(tenant=picks, account=picks, number=picks)
    def new_single(self, tenant: int, account: int, number: int) -> None:
        tenant_id = picked(self.tenants, tenant)
        phone = picked(self.phones[tenant_id], number)
        refused = (tenant_id, phone) in self.rows.suppressed
        with contextlib.suppress(InvalidInputError):
            self.write(
                messages.add_single,
                tenant_id,
                to=phone,
                text="Your code",
                sender="ACME",
                account_id=picked(self.accounts, account),
            )
            assert not refused, f"{phone} is suppressed"

    # --- people

    @precondition(lambda self: self.queued_phones())
    @rule(
        numbers=st.lists(picks, min_size=1, max_size=2),
        source=st.sampled_from(["stop", "operator"]),
    )
    def opt_out(self, numbers: list[int], source: str) -> None:
        """People who are about to be sent to."""
        for number in numbers:
            tenant_id, phone = picked(self.queued_phones(), number)
            self.suppress(tenant_id, [phone], source)

    def queued_phones(self) -> list[tuple[int, str]]:
        rows = self.rows.messages.values()
        return [(row.tenant_id, row.phone) for row in rows if row.status == MessageStatus.QUEUED]

    @precondition(lambda self: self.rows.suppressed)
    @rule(number=picks, by_start=st.booleans())
    def opt_in(self, number: int, by_start: bool) -> None:
        tenant_id, phone = picked(sorted(self.rows.suppressed), number)
        if by_start:
            self.write(suppressions.end_stop, tenant_id, phone)
        else:
            self.write(suppressions.remove, tenant_id, phone)

    # --- accounts and limits

    @rule(
        tenants_=st.booleans(),
        pick=picks,
        rate_max=st.sampled_from([None, 1, 2, 4]),
        window_ms=st.sampled_from([None, 100, 2_000]),
    )
    def change_limit(
        self, tenants_: bool, pick: int, rate_max: int | None, window_ms: int | None
    ) -> None:
        values = {"rate_max": rate_max, "rate_window_ms": window_ms}
        if tenants_:
            whose, key = "tenant", picked(self.tenants, pick)
            self.write(tenants.change, key, values)
        else:
            whose, key = "account", picked(self.accounts, pick)
            self.write(accounts.change, key, values)
        self.limit_is(whose, key, rate_max, window_ms)

    @rule(
        pick=picks, what=st.sampled_from(["release", "release", "hold", "5xx: retry", "5xx: hold"])
    )
    def change_account(self, pick: int, what: str) -> None:
        account_id = picked(self.accounts, pick)
        match what:
            case "release":
                self.write(accounts.release, account_id)
            case "hold":
                self.write(accounts.hold, account_id, "no money")
            case _:
                self.write(accounts.change, account_id, {"server_error": what.split()[1]})

    # --- the database

    @precondition(lambda self: not self.restored and self.recorded)
    @rule()
    def restore(self) -> None:
        """A backup was put back: whatever it has queued may have gone out since."""
        self.restored = True
        queued = [
            row.id for row in self.rows.messages.values() if row.status == MessageStatus.QUEUED
        ]
        before = self.reference(0, 0)
        self.write(restart.after_restore)
        assert self.reference(0, 0) != before, "references that were seen before are used again"
        self.doubts.distrust(queued, self.now)
        doubtful = {row.id for row in self.rows.messages.values() if row.in_doubt}
        assert set(queued) == doubtful, "something that is queued would be sent without a decision"

    # --- parts of the above

    def resume(self, row: AnyRow) -> None:
        self._change(row, CampaignVerb.RESUME)

    def campaigns_in(self, *statuses: str) -> list[AnyRow]:
        return [row for row in self.rows.campaigns.values() if row.status in statuses]

    def _draft(self, tenant: int, account: int, scheduled_at: int | None = None) -> int:
        campaign_id: int = self.write(
            campaigns.create,
            picked(self.tenants, tenant),
            account_id=picked(self.accounts, account),
            name="spring",
            text="Hello",
            sender="ACME",
            scheduled_at=scheduled_at,
        ).id
        return campaign_id

    def _start(self, campaign_id: int, batch_size: int) -> bool:
        """Start it; False: there is nobody to send to."""
        try:
            self.write(launches.start, None, campaign_id, batch_size=batch_size, chunk=_CHUNK)
        except EmptyAudienceError:
            return False
        return True

    def _change(self, row: AnyRow, verb: CampaignVerb, **values: Any) -> None:
        self.write(lambda c: campaigns.change(c, row.tenant_id, row.id, verb, **values))
