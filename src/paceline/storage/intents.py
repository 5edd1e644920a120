"""The intent: both permits and the attempt, written down before the call, or nothing at all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection

from paceline.domain import hours, limits
from paceline.domain.campaign import CampaignStatus
from paceline.domain.hours import Shut
from paceline.domain.limits import Denied, Granted, Limit, Usage, Window
from paceline.storage import frequency, gate, timing
from paceline.storage.batches import (
    Attempt,
    ReservedBatch,
    give_back,
    leave_in_doubt,
    postpone,
)
from paceline.storage.database import AnyRow, now, read_at
from paceline.storage.limits import Pacing, limit_of, speed_of
from paceline.storage.opt_outs import newly_suppressed
from paceline.storage.timing import Day
from paceline.storage.wishes import (
    Gone,
    Intent,
    Lost,
    Stale,
    TakeApart,
    TooOften,
    Untimely,
    Used,
    Wait,
    Wish,
)


def intend(
    connection: Connection,
    wishes: Sequence[Wish],
    *,
    used: Sequence[Used] = (),
    pacing: Pacing,
    lease_ms: int,
    worker: str,
    monotonic: Callable[[], float],
) -> list[Intent]:
    """Take a permit of all windows for each batch and write its attempt, under every lock that it
    depends on; a batch that cannot have one leaves all windows as they are.

    What ``used`` tells of earlier permits is counted first, in windows that are locked here anyway.
    The rest is dropped, which costs some of the limit only: in the window of a tenant that has no
    wish here, and in all of them when no wish gets as far as the permits.

    Locks in the order of the house: campaigns (shared, but for those with a speed of their own) →
    tenants → account → batches.

    Args:
        connection: of a write transaction.
        wishes: batches of one account, in the order in which they came to the gate.
        used: earlier calls of this account. Each in one transaction only, even if nobody knows
            whether that was committed: told again, it would move the permit of another call.
        pacing: the limits and what a full window means.
        lease_ms: after this long without a result an attempt is in doubt.
        worker: who makes the calls.
        monotonic: read just before the database's clock; the permits' life counts from it.

    Returns:
        An intent for each wish, in their order.

    Raises:
        ValueError: a lead is not one of 0 to ``limits.LONGEST_LEAD_MS``.
    """
    passage = _Passage(connection, pacing)
    left = passage.of_sending_campaigns(wishes)
    left = passage.without_opt_outs(left)
    left = passage.still_ours(passage.of_open_account(left))
    left = passage.in_their_time(left)
    if left:
        passage.look_at_windows(used)
        permitted = passage.within_the_day(passage.with_permits(left))
        permitted = passage.not_too_often(permitted)
        attempt_ids = passage.write_attempts(permitted, lease_ms, worker)
        # Last of all, because a permit's life counts from the clock that is read here.
        started = monotonic()
        passage.spend(permitted)
        passage.say_attempts(permitted, attempt_ids, started)
    return [passage.said[wish.batch] for wish in wishes]


class _Passage:
    """Batches of one account on their way through the gate; each step says who stays behind."""

    def __init__(self, connection: Connection, pacing: Pacing) -> None:
        self.connection = connection
        self.pacing = pacing
        self.said: dict[ReservedBatch, Intent] = {}
        """By reservation: who has lost a batch may ask beside who has it now."""
        self.campaigns: dict[int, AnyRow] = {}
        self.tenants: dict[int, AnyRow] = {}
        self.account: AnyRow
        self.regions: dict[int, str | None] = {}
        """By batch."""
        self.at = 0
        self.shut: dict[ReservedBatch, list[Shut]] = {}
        """The hours in which it must not be sent, if there are any."""
        self.days: dict[int, Day] = {}
        """By tenant."""
        self.windows: dict[int, Window] = {}
        """By tenant."""
        self.window: Window
        """The account's."""
        self.paces: dict[int, Window] = {}
        """By campaign, of those that have a speed of their own."""

    def of_sending_campaigns(self, wishes: Sequence[Wish]) -> list[Wish]:
        """Hold the campaigns against a change of their status."""
        of_wishes = (wish.batch.campaign_id for wish in wishes)
        ids = sorted({campaign_id for campaign_id in of_wishes if campaign_id is not None})
        found = self.connection.execute(gate.SHARE_CAMPAIGNS, {"ids": ids}) if ids else ()
        self.campaigns = {row.id: row for row in found}
        # Their windows are written here: so they are read, and locked for that, before the rest.
        if paced := [row.id for row in self.campaigns.values() if row.rate_max is not None]:
            found = self.connection.execute(gate.LOCK_CAMPAIGNS, {"ids": paced})
            self.campaigns |= {row.id: row for row in found}
        left = []
        for wish in wishes:
            campaign = self._campaign_of(wish)
            status = CampaignStatus.SENDING if campaign is None else campaign.status
            if status == CampaignStatus.SENDING:
                left.append(wish)
            else:
                self._gone(wish, f"campaign {status}")
        return left

    def without_opt_outs(self, wishes: Sequence[Wish]) -> list[Wish]:
        """Lock the tenants, then look for suppressions: in the statement that takes the lock
        PostgreSQL would still read them as they were before.
        """
        ids = sorted({wish.batch.tenant_id for wish in wishes})
        found = self.connection.execute(gate.LOCK_TENANTS, {"ids": ids}) if ids else ()
        self.tenants = {row.id: row for row in found}
        left = []
        for wish in wishes:
            batch = wish.batch
            news = self.tenants[batch.tenant_id].opt_outs != batch.seen_opt_outs
            if news and newly_suppressed(self.connection, batch):
                self.said[batch] = Stale()
            else:
                left.append(wish)
        return left

    def of_open_account(self, wishes: Sequence[Wish]) -> Sequence[Wish]:
        """Lock the account, which everything behind this goes through one by one."""
        if not wishes:
            return wishes
        account_id = wishes[0].batch.account_id
        self.account = self.connection.execute(gate.LOCK_ACCOUNT, {"account": account_id}).one()
        if (why := self._shut()) is None:
            return wishes
        for wish in wishes:
            self._gone(wish, why)
        return ()

    def _shut(self) -> str | None:
        if self.account.held_at is not None:
            return "account held"
        until = self.account.closed_until
        return "account closed" if until is not None and until > now(self.connection) else None

    def still_ours(self, wishes: Sequence[Wish]) -> list[Wish]:
        """Lock the batches; who lost one spends no permit."""
        ids = sorted(wish.batch.id for wish in wishes)
        found = self.connection.execute(gate.LOCK_BATCHES, {"ids": ids}).all() if ids else []
        fences = {row.id: row.fence for row in found}
        self.regions = {row.id: row.region for row in found}
        if found:
            self.at = read_at(self.connection, found[0])
        doubted_since = {row.id: row.doubt_since for row in found if row.in_doubt}
        queued = self._still_queued([row.id for row in found if row.tries])
        left = []
        for wish in wishes:
            if fences.get(wish.batch.id) != wish.batch.fence:
                self.said[wish.batch] = Lost()
            elif queued.get(wish.batch.id, wish.size) != wish.size:
                self.said[wish.batch] = Stale()
            elif self._forgotten(wish, doubted_since.get(wish.batch.id)):
                leave_in_doubt(self.connection, wish.batch)
                self.said[wish.batch] = Gone("in doubt for longer than the provider remembers")
            else:
                left.append(wish)
        return left

    def _still_queued(self, tried: Sequence[int]) -> dict[int, int]:
        """How many messages of batches that were tried before are still to be sent: receipts may
        have proven some of them while they waited here.
        """
        if not tried:
            return {}
        left = {row.batch_id: row.n for row in self.connection.execute(gate.QUEUED, {"ids": tried})}
        return dict.fromkeys(tried, 0) | left

    def _forgotten(self, wish: Wish, doubted_since: int | None) -> bool:
        """Whether the provider may take it for new: it may have waited here for its permit."""
        horizon = wish.dedupe_horizon_ms
        return (
            horizon is not None and doubted_since is not None and self.at - doubted_since >= horizon
        )

    def in_their_time(self, wishes: Sequence[Wish]) -> list[Wish]:
        """See whose time of the day it is: not in quiet hours, within the campaign's window."""
        left = []
        for wish in wishes:
            tenant, region = self.tenants[wish.batch.tenant_id], self.regions[wish.batch.id]
            campaign = self._campaign_of(wish)
            if campaign is not None and region is None and timing.is_quiet_sometimes(tenant):
                self.said[wish.batch] = TakeApart(None)
                continue
            shut = timing.shut_for(tenant, campaign, region)
            if (untimely := timing.untimely(shut, self.at)) is not None:
                self._postpone(wish, untimely)
                continue
            if shut:
                self.shut[wish.batch] = shut
            left.append(wish)
        return left

    def look_at_windows(self, used: Sequence[Used]) -> None:
        """Read them as they were when the batches were locked, with what was used before its stamp
        where it was used. The account's has that of all tenants; a tenant's only if its row is
        locked.
        """
        self.windows = {
            row.id: limits.restamped(Window.decode(row.grants), self.at)
            for row in self.tenants.values()
        }
        self.window = limits.restamped(Window.decode(self.account.grants), self.at)
        self.paces = {
            row.id: limits.restamped(Window.decode(row.grants), self.at)
            for row in self.campaigns.values()
            if row.rate_max is not None
        }
        self.days = {row.id: Day.of(row, self.at) for row in self.tenants.values()}
        for use in used:
            times = use.stamped_at, use.used_at
            self.window = limits.moved(self.window, self._account_limit(), *times)
            if (window := self.windows.get(use.tenant_id)) is not None:
                tenant_limit = self._tenant_limit(use.tenant_id)
                self.windows[use.tenant_id] = limits.moved(window, tenant_limit, *times)
            if use.campaign_id is not None and use.campaign_id in self.paces:
                pace, speed = self._pace(use.campaign_id)
                self.paces[use.campaign_id] = limits.moved(pace, speed, *times)

    def with_permits(self, wishes: Sequence[Wish]) -> list[Wish]:
        """See for whom all windows have room, first come, first served."""
        permitted = []
        for wish, taken in zip(wishes, self._take(wishes), strict=True):
            if isinstance(taken, Denied):
                self.said[wish.batch] = Wait(max(taken.open_at - self.at, 1), taken)
            else:
                permitted.append(self._with_lead(wish, taken))
        return permitted

    def not_too_often(self, wishes: Sequence[Wish]) -> list[Wish]:
        """Heed the tenants' frequency caps and note who is written to, batch by batch: what one of
        them notes counts for the next. Nothing of it was spent as yet.
        """
        left = []
        for wish in wishes:
            batch = wish.batch
            cap = frequency.cap_of(self.tenants[batch.tenant_id])
            if cap is None or batch.campaign_id is None:
                left.append(wish)
            elif frequency.had_enough(self.connection, batch, cap, self.at):
                self.days[batch.tenant_id].messages -= wish.size  # they were counted already
                self.said[batch] = TooOften()
            else:
                frequency.note(self.connection, batch, self.at)
                left.append(wish)
        return left

    def _with_lead(self, wish: Wish, taken: Granted) -> Wish:
        """The wish, without its lead unless half of all windows is still free."""
        if not wish.lead_ms:
            return wish
        windows = [
            (taken.tenant, self._tenant_limit(wish.batch.tenant_id)),
            (taken.account, self._account_limit()),
        ]
        if taken.campaign is not None and wish.batch.campaign_id is not None:
            windows.append((taken.campaign, self._pace(wish.batch.campaign_id)[1]))
        roomy = all(
            2 * limits.free(window, limit, self.at) >= limit.max for window, limit in windows
        )
        return wish if roomy else replace(wish, lead_ms=0)

    def within_the_day(self, wishes: Sequence[Wish]) -> list[Wish]:
        """See for whom the tenant's daily cap has room, and count them."""
        left = []
        for wish in wishes:
            match self.days[wish.batch.tenant_id].refuses(wish.size):
                case Untimely() as untimely:
                    self._postpone(wish, untimely)
                case TakeApart() as apart:
                    self.said[wish.batch] = apart
                case None:
                    left.append(wish)
        return left

    def write_attempts(self, wishes: Sequence[Wish], lease_ms: int, worker: str) -> dict[int, int]:
        """Write them down; return attempt ids by batch id."""
        if not wishes:
            return {}
        self.connection.execute(
            gate.SUBMITTING,
            {
                "ids": sorted(wish.batch.id for wish in wishes),
                "now": self.at,
                "lease": self.at + lease_ms,
            },
        )
        rows = [self._attempt(wish, worker) for wish in wishes]
        written = self.connection.execute(gate.WRITE_ATTEMPTS, rows)
        return {row.batch_id: row.id for row in written}

    def spend(self, wishes: Sequence[Wish]) -> None:
        """Read the clock and store all windows with these permits in. There is still room: time
        only frees permits, and a clock that was set back in between counts as standing still.

        Without permits they are stored too if something was moved in them, or stamped anew because
        the clock was set back: the wait would start anew at each try.
        """
        if wishes:
            self.at = max(now(self.connection), self.at)
        all_taken = self._take(wishes)
        if any(isinstance(taken, Denied) for taken in all_taken):
            # Undo everything rather than send without a permit.
            raise RuntimeError("a permit was gone before it was spent")
        for taken, wish in zip(all_taken, wishes, strict=True):
            self.windows[wish.batch.tenant_id], self.window = taken.tenant, taken.account
            if taken.campaign is not None and wish.batch.campaign_id is not None:
                self.paces[wish.batch.campaign_id] = taken.campaign
        paced = [
            {"campaign": campaign_id, "window": text}
            for campaign_id, pace in sorted(self.paces.items())
            if (text := pace.encode()) != self.campaigns[campaign_id].grants
        ]
        if paced:
            self.connection.execute(gate.SPEND_CAMPAIGN, paced)
        spent = [
            {
                "tenant": tenant_id,
                "window": text,
                "today": self.days[tenant_id].number,
                "n": self.days[tenant_id].messages,
            }
            for tenant_id, window in sorted(self.windows.items())
            if (text := window.encode()) != self.tenants[tenant_id].grants
        ]
        if spent:
            self.connection.execute(gate.SPEND_TENANT, spent)
        if (text := self.window.encode()) != self.account.grants:
            self.connection.execute(
                gate.SPEND_ACCOUNT, {"account": self.account.id, "window": text}
            )

    def _take(self, wishes: Sequence[Wish]) -> list[Granted | Denied]:
        """Take a permit for each, one after another, out of what all windows have now."""
        windows, window, paces = dict(self.windows), self.window, dict(self.paces)
        all_taken = []
        for wish in wishes:
            tenant_id, campaign_id = wish.batch.tenant_id, wish.batch.campaign_id
            tenant = windows[tenant_id], self._tenant_limit(tenant_id)
            account = window, self._account_limit()
            campaign: Usage | None = None
            if campaign_id is not None and campaign_id in paces:
                campaign = paces[campaign_id], self._pace(campaign_id)[1]
            taken = limits.take(tenant, account, 1, self.at, wish.lead_ms, campaign)
            windows[tenant_id], window = taken.tenant, taken.account
            if campaign_id is not None and taken.campaign is not None:
                paces[campaign_id] = taken.campaign
            all_taken.append(taken)
        return all_taken

    def say_attempts(
        self, wishes: Sequence[Wish], attempt_ids: Mapping[int, int], started: float
    ) -> None:
        was_well = self.account.failures == 0
        for wish in wishes:
            batch = wish.batch
            self.said[batch] = Attempt(
                attempt_ids[batch.id],
                batch,
                started_at=self.at,
                stamped_at=self.at + wish.lead_ms,
                granted_at=started,
                send_by=started + self._valid_ms(wish) / 1000,
                account_was_well=was_well,
                size=wish.size,
                day=self.days[batch.tenant_id].number,
            )

    def _attempt(self, wish: Wish, worker: str) -> dict[str, Any]:
        batch = wish.batch
        return {
            "tenant_id": batch.tenant_id,
            "account_id": batch.account_id,
            "campaign_id": batch.campaign_id,
            "batch_id": batch.id,
            "fence": batch.fence,
            "generation": batch.generation,
            "size": wish.size,
            "worker": worker,
            "started_at": self.at,
            "send_by": self.at + self._valid_ms(wish),
        }

    def _valid_ms(self, wish: Wish) -> int:
        """How long after its grant a permit may be used: until its stamp and half the margin, whose
        other half is the network's, and no longer than it is its time of the day.
        """
        tenant_limit = self._tenant_limit(wish.batch.tenant_id)
        margin_ms = min(tenant_limit.margin_ms, self._account_limit().margin_ms)
        valid_ms = wish.lead_ms + margin_ms // 2
        shuts_at = hours.shuts_at(self.shut.get(wish.batch, ()), self.at)
        return valid_ms if shuts_at is None else min(valid_ms, shuts_at - 1 - self.at)

    def _campaign_of(self, wish: Wish) -> AnyRow | None:
        campaign_id = wish.batch.campaign_id
        return None if campaign_id is None else self.campaigns[campaign_id]

    def _pace(self, campaign_id: int) -> tuple[Window, Limit]:
        """The window of a campaign that has a speed of its own, and that speed."""
        speed = speed_of(self.campaigns[campaign_id], self.pacing)
        assert speed is not None  # noqa: S101 - only of those that have one
        return self.paces[campaign_id], speed

    def _tenant_limit(self, tenant_id: int) -> Limit:
        return limit_of(self.tenants[tenant_id], self.pacing.tenant)

    def _account_limit(self) -> Limit:
        return limit_of(self.account, self.pacing.account)

    def _postpone(self, wish: Wish, untimely: Untimely) -> None:
        postpone(self.connection, wish.batch, untimely.until, untimely.waits_for)
        self.said[wish.batch] = untimely

    def _gone(self, wish: Wish, why: str) -> None:
        give_back(self.connection, wish.batch)
        self.said[wish.batch] = Gone(why)
