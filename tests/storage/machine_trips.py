"""Rules: what workers do with batches, step by step, and what may befall them between two steps."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from paceline.domain.errors import RateLimitExceeded
from paceline.domain.message import BatchStatus, MessageStatus
from paceline.domain.outcome import Answered, NotSent
from paceline.storage import (
    batches,
    doubt,
    intents,
    loading,
    opt_outs,
    outcomes,
    restart,
    scouts,
    suppressions,
    turns,
)
from paceline.storage.batches import Attempt, LostReservationError
from paceline.storage.conclusion import Recorded
from paceline.storage.limits import Strategy
from paceline.storage.wishes import Stale, Used, Wait, Wish
from tests.storage.machine_ground import LEASE_MS, Ground, Trip, picked, picks
from tests.storage.machine_model import Permit
from tests.storage.machine_provider import ACCEPTED, Fate, Outgoing
from tests.storage.machine_rows import Rows

_KEPT = 8
"""Results that may be recorded once more."""

stages = st.sampled_from(["reserved", "rendered", "permitted", "submitted", "recorded"])
fates = st.builds(
    Fate,
    kind=st.sampled_from(
        [
            *["answered"] * 3,
            *["no answer"] * 3,
            *["rejected"] * 2,
            "server error",
            "too large",
            "throttled",
            "refused",
            "not sent",
        ]
    ),
    chosen=st.sampled_from([0, 15, 1, 2, 6, 9]),
    retryable=st.booleans(),
    words=st.sampled_from(["bad sender", "bad sender", "bad number"]),
    reason=st.sampled_from(["rejected", "invalid_number", "opted_out"]),
    retry_after_ms=st.sampled_from([None, 0, 5_000, 100_000]),
    after_ms=st.sampled_from([0, 0, 0, 10, 25, 200, 300]),
    lead_ms=st.sampled_from([0, 0, 100, 250]),
    followed_up=st.sampled_from([True, True, False]),
)
pauses = st.sampled_from([1_050, 3_000, 25_000, 0, 20])


class Trips(Ground):
    """From the reservation to the record, and all the ways to stop in between."""

    @precondition(lambda self: self.may_send())
    @rule(most=st.integers(1, 3), after_ms=pauses, released=st.booleans(), until=stages)
    def send_a_bit(self, most: int, after_ms: int, released: bool, until: str) -> None:
        """Reserve batches and take each as far as that; all goes well as yet."""
        self.pass_time(after_ms)
        self.release_all(really=released)
        for trip in self.reserve(most):
            self.go(trip, until, ACCEPTED)

    @precondition(lambda self: self.may_send())
    @rule(most=st.integers(1, 3), after_ms=pauses, fate=fates)
    def send(self, most: int, after_ms: int, fate: Fate) -> None:
        """Send batches, which all meet this fate."""
        self.pass_time(after_ms)
        self.release_all()
        for trip in self.reserve(most):
            self.go(trip, "recorded", fate)

    @precondition(lambda self: self.trips)
    @rule(pick=picks, until=stages, fate=fates)
    def go_on(self, pick: int, until: str, fate: Fate) -> None:
        self.go(picked(self.trips, pick), until, fate)

    @precondition(lambda self: len(self.trips_at("rendered")) > 1)
    @rule(lead_ms=st.sampled_from([0, 250]))
    def intend_together(self, lead_ms: int) -> None:
        """All that wait at one account's gate pass it in one transaction, as far as they may."""
        waiting = self.trips_at("rendered")
        account_id = waiting[0].batch.account_id
        self._intend([trip for trip in waiting if trip.batch.account_id == account_id], lead_ms)

    @precondition(lambda self: len(self.trips_at("submitted")) > 1)
    @rule(followed_up=st.booleans())
    def record_together(self, followed_up: bool) -> None:
        self._record(self.trips_at("submitted"), followed_up=followed_up)

    @precondition(lambda self: self.recorded)
    @rule(pick=picks)
    def record_again(self, pick: int) -> None:
        """The commit happened long ago, and its answer was lost."""
        trip = picked(self.recorded, pick)
        self.write(outcomes.record, [trip.result])

    @precondition(lambda self: self.trips)
    @rule(
        pick=picks, how=st.sampled_from(["dies", "given back", "not connected", "divided", "a bug"])
    )
    def stop(self, pick: int, how: str) -> None:
        """A trip comes to nothing, in one of the ways that are possible where it is."""
        trip = picked(self.trips, pick)
        waits, rendered = trip.stage in {"reserved", "rendered"}, trip.stage == "rendered"
        match how:
            case "given back" if waits:
                self.write(batches.give_back, trip.batch)
            case "not connected" if rendered:
                self.write(outcomes.record_unsent, trip.batch, NotSent("down"), trip.policy)
            case "divided" if rendered and len(trip.outgoing) > 1:
                self.write(outcomes.divide, trip.batch, len(trip.outgoing) - 1)
            case "a bug":
                self.write(outcomes.record_bug, trip.batch, "internal error: KeyError")
                self.doubts.fall_silent(trip.submissions, self.now)
        self._forget(trip)

    @rule(milliseconds=st.sampled_from([20, 200, 1_050, 12_000, 60_000, 250_000]))
    def wait(self, milliseconds: int) -> None:
        self.pass_time(milliseconds)

    @precondition(lambda self: self.in_hand())
    @rule(late_ms=st.sampled_from([0, 0, 0, 1_000, 150_000, 300_000]))
    def lapse(self, late_ms: int) -> None:
        """All leases run out; somebody sees to that at once, or late. Some wake up afterwards."""
        self.pass_time(LEASE_MS + late_ms)
        self.take_back_expired()

    @precondition(lambda self: self.database.is_sqlite and self.in_hand())
    @rule(away_ms=st.sampled_from([0, 500, 300_000]))
    def restart(self, away_ms: int) -> None:
        """On SQLite one process sends. It dies, and comes back after a while."""
        for trip in list(self.trips):
            self._forget(trip)
        self.told = {account_id: [] for account_id in self.accounts}
        self.pass_time(away_ms)
        for batch_id in self.read(doubt.in_hand):
            self._expire(batch_id, all_of_them=True)
        self.write(restart.spend_windows)

    # --- a worker's steps

    def may_send(self) -> bool:
        """Whether there is anything to reserve, be it not due yet."""
        sending = {row.id for row in self.rows.campaigns.values() if row.status == "sending"}
        return any(
            row.status == BatchStatus.QUEUED and row.campaign_id in {None, *sending}
            for row in self.rows.batches.values()
        )

    def in_hand(self) -> bool:
        return any(row.lease_until is not None for row in self.rows.batches.values())

    def reserve(self, most: int) -> list[Trip]:
        """New trips."""
        before = self.rows
        reservation = self.write(turns.reserve, want=most, lease_ms=LEASE_MS, pacing=self.pacing)
        trips = [Trip(batch) for batch in reservation.batches]
        assert len(trips) <= most
        for trip in trips:
            batch = before.batches[trip.batch.id]
            assert batch.due_at <= self.now, f"{trip} is not due"
            if batch.campaign_id is not None:
                assert before.campaigns[batch.campaign_id].status == "sending"
        self.trips += trips
        return trips

    def go(self, trip: Trip, until: str, fate: Fate) -> None:
        """Take it so far, or as far as it comes."""
        while trip in self.trips and trip.stage != until:
            stage = trip.stage
            if stage == "reserved":
                self._render(trip)
            elif stage == "rendered":
                self._intend([trip], fate.lead_ms)
            elif stage == "permitted":
                self._submit(trip, fate)
                if trip.stage == "rendered":  # void: it waits at the gate again
                    return
            elif stage == "submitted":
                self._record([trip], followed_up=fate.followed_up)
            if trip.stage == stage:
                return

    def _render(self, trip: Trip) -> None:
        (loaded,) = self.read(lambda c: list(loading.load(c, [trip.batch])))
        ids = [row.id for row in loaded.recipients]
        if loaded.opt_outs != trip.batch.seen_opt_outs or not ids:
            try:
                dropped, trip.batch = self.write(opt_outs.drop, trip.batch)
            except LostReservationError:
                self.trips.remove(trip)
                return
            ids = [each for each in ids if each not in dropped]
        if not ids:
            self.trips.remove(trip)
            return
        trip.outgoing = [Outgoing(i, self.reference(i, trip.batch.generation)) for i in ids]
        trip.policy = self.policy_of(loaded.account)
        trip.stage = "rendered"

    def _intend(self, trips: Sequence[Trip], lead_ms: int) -> None:
        account_id = trips[0].batch.account_id
        used, self.told[account_id] = self.told[account_id], []
        before = self.rows
        said = self.write(
            intents.intend,
            [self._wish(trip, lead_ms) for trip in trips],
            used=used,
            pacing=self.pacing,
            lease_ms=LEASE_MS,
            worker="tester",
            monotonic=self.clock.monotonic,
        )
        for trip, intent in zip(trips, said, strict=True):
            if isinstance(intent, Attempt):
                self._permitted(trip, intent, before)
            elif isinstance(intent, Stale):
                trip.stage = "reserved"
            elif not isinstance(intent, Wait):
                self.trips.remove(trip)
            elif self.pacing.strategy is Strategy.BACKOFF:
                self._deny(trip, intent)

    def _wish(self, trip: Trip, lead_ms: int) -> Wish:
        kind = self.kinds[trip.batch.account_id]
        return Wish(trip.batch, len(trip.outgoing), lead_ms, kind.dedupe_horizon_ms)

    def _deny(self, trip: Trip, wait: Wait) -> None:
        denial = RateLimitExceeded(wait.denied.tenant_remaining, wait.denied.account_remaining)
        self.write(outcomes.record_denial, trip.batch, denial, trip.policy)
        self.trips.remove(trip)

    def _permitted(self, trip: Trip, attempt: Attempt, before: Rows) -> None:
        """The call may be made. May it?"""
        batch, at = attempt.batch, self.now
        account = self.account(batch.account_id)
        assert account.held_at is None
        assert account.closed_until is None or account.closed_until <= at
        if batch.campaign_id is not None:
            assert before.campaigns[batch.campaign_id].status == "sending"
        for message_id in trip.ids:
            row = before.messages[message_id]
            assert row.batch_id == batch.id
            assert (row.tenant_id, row.phone) not in before.suppressed, (
                f"message {row.id} opted out"
            )
            assert row.status == MessageStatus.QUEUED or self.proven(message_id)
        trip.attempt, trip.stage = attempt, "permitted"
        trip.submissions = self.doubts.permit(
            self.kinds[batch.account_id],
            batch.account_id,
            [(each.message_id, each.reference) for each in trip.outgoing],
            at,
            batch.fence,
        )
        self.calls[batch.id, batch.fence] = trip.submissions
        latest = attempt.stamped_at + self.pacing.tenant.margin_ms // 2
        trip.permit = Permit(at, latest)
        self.uses["tenant", batch.tenant_id].grant(trip.permit)
        self.uses["account", batch.account_id].grant(trip.permit)

    def _submit(self, trip: Trip, fate: Fate) -> None:
        attempt = trip.attempt
        assert attempt is not None
        assert trip.permit is not None
        self.pass_time(fate.after_ms)
        if self.clock.monotonic() > attempt.send_by:
            trip.permit.gone = True
            self._void(trip, attempt)
            return
        batch, at = attempt.batch, self.now
        trip.permit.used_at = at
        if at < attempt.stamped_at:
            self.told[batch.account_id].append(Used(batch.tenant_id, attempt.stamped_at, at))
        kind = self.kinds[batch.account_id]
        trip.outcome, sent = self.providers.answer(batch.account_id, kind, trip.outgoing, fate, at)
        self.doubts.went_out([each for each in trip.submissions if each.message_id in sent])
        trip.stage = "submitted"

    def _void(self, trip: Trip, attempt: Attempt) -> None:
        try:
            trip.batch = self.write(outcomes.void, attempt, LEASE_MS)
        except LostReservationError:
            self._forget(trip)
            return
        self.doubts.void(trip.submissions)
        trip.stage, trip.attempt, trip.submissions = "rendered", None, []

    def _record(self, trips: Sequence[Trip], *, followed_up: bool) -> None:
        recorded = self.write(outcomes.record, [trip.result for trip in trips])
        before = self.rows
        for trip in trips:
            kind = self.kinds[trip.batch.account_id]
            assert trip.outcome is not None
            self.doubts.learn(trip.submissions, trip.outcome, kind, trip.policy, self.now)
            trip.stage = "recorded"
            self.trips.remove(trip)
        self.write(outcomes.record, [trip.result for trip in trips])
        assert self.rows == before, "a result that was recorded at once again changed something"
        self.recorded = [*self.recorded, *trips][-_KEPT:]
        for trip, each in zip(trips, recorded, strict=True):
            self._follow_up(trip, each, followed_up=followed_up)

    def _follow_up(self, trip: Trip, recorded: Recorded, *, followed_up: bool) -> None:
        if recorded.verdict is not None and isinstance(trip.outcome, Answered):
            for message_id, name in zip(trip.ids, trip.outcome.provider_ids, strict=True):
                if name is not None:
                    assert self.rows.messages[message_id].status != MessageStatus.QUEUED
        if not followed_up:
            return
        if recorded.was_scout:
            self.write(scouts.after_scout, trip.batch.id)
        if recorded.verdict is not None and isinstance(trip.outcome, Answered):
            blocked = [
                self.rows.messages[trip.ids[position]].phone
                for position, rejection in trip.outcome.rejections.items()
                if rejection.reason == "opted_out"
            ]
            if blocked:
                self.write(suppressions.block, trip.batch.tenant_id, blocked)

    # --- what runs out

    def take_back_expired(self) -> None:
        for batch_id in self.read(doubt.expired):
            self._expire(batch_id)

    def _expire(self, batch_id: int, *, all_of_them: bool = False) -> None:
        fence = self.rows.batches[batch_id].fence
        self.write(outcomes.expire, batch_id, self.policy_of, all_of_them=all_of_them)
        self.doubts.fall_silent(self.calls.get((batch_id, fence), []), self.now)

    def _forget(self, trip: Trip) -> None:
        if trip.permit is not None and trip.permit.used_at is None:
            trip.permit.gone = True
        self.trips.remove(trip)
