"""What follows when operations have met: workers finish, leases run out, people decide.

One worker does all of it by the plain functions of the engine, one after the other. Then nothing
may be left over, and everybody has got what the provider has accepted, once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, text

from paceline.domain.campaign import CampaignVerb
from paceline.domain.outcome import Known
from paceline.storage import (
    accounts,
    audit,
    batches,
    campaigns,
    confirmations,
    doubt,
    intents,
    opt_outs,
    outcomes,
    receipts,
    scouts,
    turns,
)
from paceline.storage.batches import Attempt, ReservedBatch
from paceline.storage.doubt import Decision
from paceline.storage.outcomes import Result
from paceline.storage.schema import batches as batches_table
from paceline.storage.wishes import Gone, Intent, Stale, Wait, Wish
from tests.interleaving.scenes import Scene, accepted, name_of
from tests.interleaving.stage import Stage, State
from tests.storage.world import LEASE_MS, PACING, Call

_BUSY = text("""
    SELECT EXISTS (SELECT FROM receipts) OR EXISTS (
        SELECT FROM batches
        WHERE status IN ('queued', 'reserved', 'submitting')
        OR (status = 'unconfirmed' AND confirm_at IS NOT NULL)
    )
""")

Ledger = dict[int, frozenset[int]]
"""Attempt → the messages of its call."""

_ROUNDS = 15
_ROUND_MS = 61_000
"""Longer than a lease, a backoff, a window and a quiet period."""
_KNOWN_BETTER = {"undelivered", "expired", "given_up"}
"""Why an accepted message may be failed all the same: a receipt or an operator said so."""


def drained(stage: Stage, scene: Scene, made: Ledger, state: State) -> list[str]:
    """Let everything come to its end; return what is broken then."""
    drain = _Drain(scene, dict(made))
    try:
        drain.finish_calls(state)
        drain.until_at_rest()
        drain.decide()
        drain.until_at_rest()
    except Exception as error:  # noqa: BLE001 - that it cannot go on is what we are looking for
        return [f"in the end: {error!r}"]
    return [f"in the end: {what}" for what in _left_over(stage, scene, drain.made)]


class _Drain:
    """A worker, its chores and an operator."""

    def __init__(self, scene: Scene, made: Ledger) -> None:
        self.scene = scene
        self.world = scene.world
        self.write = scene.write
        self.made = made

    def finish_calls(self, state: State) -> None:
        """Whoever has made a call and is alive records its answer."""
        alive = {
            batch["id"]: batch
            for batch in state["batches"]
            if batch["status"] == "submitting" and batch["lease_until"] > self.world.now
        }
        for attempt in state["attempts"]:
            batch = alive.get(attempt["batch_id"])
            if batch and batch["fence"] == attempt["fence"]:
                self._record(_attempt_of(attempt, batch))

    def until_at_rest(self) -> None:
        """Go on until only people could."""
        for _ in range(_ROUNDS):
            self._round()
            if not self.world.read(lambda connection: connection.execute(_BUSY).scalar_one()):
                return

    def _round(self) -> None:
        """Everything that is due now."""
        self.world.pass_time(_ROUND_MS)
        for campaign_id in self.scene.campaigns:
            if self.world.campaign(campaign_id).status == "paused":
                self.write(self._resume, campaign_id)
        for account in self.world.read(accounts.all_of):
            self.write(accounts.release, account.id)
        for batch_id in self.world.read(doubt.expired):
            self.write(outcomes.expire, batch_id, self.scene.policy_of)
        self._sweep()
        self.write(receipts.fold)
        self._confirm()
        while reserved := self._reserve():
            for batch in reserved:
                self._send(batch)
            self.world.pass_time(PACING.account.span_ms)
        self._sweep()

    def _resume(self, connection: Connection, campaign_id: int) -> None:
        tenant_id = self.world.campaign(campaign_id).tenant_id
        campaigns.change(connection, tenant_id, campaign_id, CampaignVerb.RESUME)

    def _sweep(self) -> None:
        for campaign_id in self.world.read(campaigns.cancelled_with_queue):
            self.write(campaigns.sweep_cancelled, campaign_id)

    def _confirm(self) -> None:
        policy = self.scene.policy
        for doubted in self.write(confirmations.claim, limit=10, lease_ms=LEASE_MS):
            if policy.deduplicates:
                self.write(confirmations.send_again, doubted, policy)
                continue
            known = {
                reference: Known(name_of(message_id, int(reference.rpartition("-")[2])))
                for reference, message_id in doubted.references.items()
                if any(message_id in self._accepted(attempt_id) for attempt_id in self.made)
            }
            self.write(confirmations.record, doubted, known, policy)

    def _reserve(self) -> list[ReservedBatch]:
        return self.write(turns.reserve, want=5, lease_ms=LEASE_MS, pacing=PACING).batches

    def _send(self, batch: ReservedBatch) -> None:
        """As far as it will go: everything is accepted."""
        ids = [row.id for row in self.world.load(batch).recipients]
        said = self._intend(batch, ids)
        while isinstance(said, Stale):
            dropped, batch = self.write(opt_outs.drop, batch)
            ids = [message_id for message_id in ids if message_id not in dropped]
            if not ids:
                return
            said = self._intend(batch, ids)
        if isinstance(said, Wait):
            self.write(batches.give_back, batch)
        elif isinstance(said, Attempt):
            self.made[said.id] = frozenset(ids)
            self._record(said)
        else:
            assert isinstance(said, Gone), said

    def _intend(self, batch: ReservedBatch, ids: Sequence[int]) -> Intent:
        (said,) = self.write(
            intents.intend,
            [Wish(batch, len(ids))],
            pacing=PACING,
            lease_ms=LEASE_MS,
            worker="drain",
            monotonic=self.world.clock.monotonic,
        )
        return said

    def _record(self, attempt: Attempt) -> None:
        ids = sorted(self.made[attempt.id])
        assert self._accepted(attempt.id) == set(ids), "its answer has been recorded before"
        result = Result(attempt, ids, accepted(Call(attempt, ids)), self.scene.policy)
        (recorded,) = self.write(outcomes.record, [result])
        if recorded.was_scout:
            self.write(scouts.after_scout, attempt.batch.id)

    def _accepted(self, attempt_id: int) -> frozenset[int]:
        return self.scene.accepted.get(attempt_id, self.made[attempt_id])

    def decide(self) -> None:
        """An operator, who has asked the provider, decides about what is still in doubt."""
        known = {i for attempt_id in self.made for i in self._accepted(attempt_id)}
        for batch in self.world.rows(batches_table, status="unconfirmed"):
            doubtful = {row.id for row in self.world.messages(batch_id=batch.id, in_doubt=True)}
            assert doubtful <= known or not doubtful & known, "nobody could decide that"
            self.write(
                doubt.decide,
                batch.id,
                Decision.ACCEPT if doubtful & known else Decision.FAIL,
                actor="drain",
                policy_of=self.scene.policy_of,
            )


def _attempt_of(attempt: Mapping[str, Any], batch: Mapping[str, Any]) -> Attempt:
    held = ReservedBatch(
        batch["id"],
        batch["tenant_id"],
        batch["account_id"],
        batch["campaign_id"],
        batch["fence"],
        batch["generation"],
        batch["seen_opt_outs"],
    )
    started = attempt["started_at"]
    return Attempt(attempt["id"], held, started, started, 0.0, 0.0)


def _left_over(stage: Stage, scene: Scene, made: Ledger) -> Iterator[str]:
    _, state = stage.state()
    for difference in scene.world.read(audit.differences):
        yield f"the audit finds {difference}"
    for campaign in state["campaigns"]:
        if campaign["status"] not in {"completed", "cancelled"}:
            yield f"campaign {campaign['id']} is {campaign['status']}"
    for receipt in state["receipts"]:
        yield f"receipt {receipt['id']} is never counted"
    got = _got(scene, made, state)
    risked = {i for attempt_id in scene.forgiven for i in made[attempt_id]}
    for message in state["messages"]:
        yield from _against_the_provider(message, got[message["id"]], message["id"] in risked)


def _got(scene: Scene, made: Ledger, state: State) -> Counter[int]:
    """How often each message was accepted, beside what an operator has taken the risk of. A
    provider that deduplicates takes those of one reference for one.
    """
    void = {row["id"] for row in state["attempts"] if row["outcome"] == "void"}
    generation = {row["id"]: row["generation"] for row in state["attempts"]}
    accepted = {
        (message_id, generation[attempt_id] if scene.policy.deduplicates else attempt_id)
        for attempt_id, ids in made.items()
        if attempt_id not in void | scene.forgiven
        for message_id in scene.accepted.get(attempt_id, ids)
    }
    return Counter(message_id for message_id, _ in accepted)


def _against_the_provider(message: Mapping[str, Any], got: int, risked: bool) -> Iterator[str]:
    what = f"message {message['id']} is {message['status']} ({message['reason']})"
    if message["status"] == "queued":
        yield f"{what} and never settled"
    elif got > 1:
        yield f"{what} and may have been accepted {got} times"
    elif got == 0 and message["status"] == "sent" and not risked:
        yield f"{what} and was never accepted"
    elif got and message["status"] == "failed" and message["reason"] not in _KNOWN_BETTER:
        yield f"{what} and may have been accepted"
