"""The promises, held against everything that anybody can see of a schedule: the committed states.

What is committed changes only with a commit, so the state after each one is all there is to see,
and what two states in a row differ in is what one transaction has done.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from paceline.storage import audit
from paceline.storage.batches import ReservedBatch
from paceline.storage.turns import Reservation
from tests.interleaving.draining import Ledger, drained
from tests.interleaving.driving import Played
from tests.interleaving.operations import Operation
from tests.interleaving.scenes import Scene, permits
from tests.interleaving.stage import Stage, State
from tests.storage.world import PACING

Row = Mapping[str, Any]

_MAY_GO_ON = {"queued", "reserved", "submitting", "unconfirmed"}
_OUT = {None, "no_answer", "answered"}
"""Outcomes of attempts that may have been accepted."""


class Judge:
    """Of one pair; it remembers what it has seen, since most schedules end alike."""

    def __init__(self, stage: Stage, scene: Scene, operations: tuple[Operation, Operation]) -> None:
        self.stage = stage
        self.scene = scene
        self.operations = operations
        self.beginning = stage.state()
        self._of_state: dict[str, list[str]] = {}
        self._of_change: dict[tuple[str, str], tuple[list[str], Ledger]] = {}
        self._of_end: dict[tuple[str, str], list[str]] = {}
        assert not self._state(*self.beginning), "the scene itself is wrong"
        self.begin()

    def begin(self) -> None:
        """A new schedule: everything is as it was."""
        self.broken: list[str] = []
        self.last = self.beginning
        self.made: Ledger = dict(self.scene.made)

    def after_commit(self) -> None:
        """Something was committed, and both operations are held."""
        now = self.stage.state()
        self.broken += self._state(*now)
        key = self.last[0], now[0]
        if key not in self._of_change:
            before, after = self.last[1], now[1]
            self._of_change[key] = list(self._change(before, after)), _new_calls(before, after)
        broken, new_calls = self._of_change[key]
        self.broken += broken
        self.made |= new_calls
        self.last = now

    def end(self, played: Played) -> list[str]:
        """What was broken in this schedule."""
        self.broken += [f"{what}: it would have been undone" for what in played.undone]
        if not played.undone:
            self.broken += self._told(played)
            self.broken += self._end()
        return self.broken

    # --- what one state shows

    def _state(self, text: str, state: State) -> list[str]:
        if text not in self._of_state:
            self._of_state[text] = [*self._audited(), *_counters(state), *self._windows(state)]
        return self._of_state[text]

    def _audited(self) -> Iterator[str]:
        for difference in self.stage.database.read_now(audit.differences):
            yield f"the audit finds {difference}"

    def _windows(self, state: State) -> Iterator[str]:
        """Every attempt has its permit in both windows, and there are no more than may be."""
        now = self.scene.world.now
        for name, key, default in (
            ("tenants", "tenant_id", PACING.tenant),
            ("traffic_accounts", "account_id", PACING.account),
        ):
            for row in state[name]:
                counted = permits(_Attributes(row), default, now)
                span = default.span_ms
                spent = [a for a in state["attempts"] if a["started_at"] > now - span]
                of_row = sum(a[key] == row["id"] for a in spent)
                if counted != of_row:
                    yield f"{name} {row['id']}: {of_row} attempts, {counted} permits in its window"
                if row["rate_max"] is not None and counted > row["rate_max"]:
                    yield f"{name} {row['id']}: {counted} permits, {row['rate_max']} are allowed"

    # --- what one transaction has done

    def _change(self, before: State, after: State) -> Iterator[str]:
        yield from self._sent_again(after)
        yield from _taken_away(before, after)
        campaigns = {row["id"]: row for row in before["campaigns"]}
        batches = {row["id"]: row for row in before["batches"]}
        for attempt in _new_attempts(before, after):
            batch = batches[attempt["batch_id"]]
            what = f"attempt {attempt['id']} of batch {batch['id']}"
            campaign = campaigns.get(attempt["campaign_id"])
            # What is tried again in doubt may be proven meanwhile, which its call does not hurt.
            allowed = {"sending", "completed"} if batch["in_doubt"] else {"sending"}
            if campaign and campaign["status"] not in allowed:
                yield f"{what}: an intent after its campaign was {campaign['status']}"
            if (batch["status"], batch["fence"]) != ("reserved", attempt["fence"]):
                yield f"{what}: its batch was {batch['status']} under fence {batch['fence']}"
            if attempt["size"] != len(_queued(after, batch["id"])) and not batch["in_doubt"]:
                yield f"{what}: its call has {attempt['size']} messages, and not as many are queued"
            yield from _opted_out(what, attempt, before, after)

    def _sent_again(self, after: State) -> Iterator[str]:
        """A batch whose call may have been accepted waits for proof, and is not queued again."""
        if self.scene.policy.deduplicates:
            return
        for batch in after["batches"]:
            if batch["status"] not in {"queued", "reserved"}:
                continue
            out = [
                attempt["id"]
                for attempt in after["attempts"]
                if attempt["batch_id"] == batch["id"]
                and attempt["generation"] == batch["generation"]
                and attempt["outcome"] in _OUT
            ]
            if out:
                yield f"batch {batch['id']} is {batch['status']}, its attempts {out} may be out"

    # --- what is left in the end

    def _told(self, played: Played) -> Iterator[str]:
        """What the operations said: errors that are none of theirs, one batch told to two."""
        for operation, error in zip(self.operations, played.errors, strict=True):
            if error is not None and not isinstance(error, operation.may_raise):
                yield f"{operation.name} raised {error!r}"
        told = Counter((batch.id, batch.fence) for batch in _reserved_by(played))
        for batch, times in told.items():
            if times > 1:
                yield f"batch {batch} was reserved {times} times"

    def _end(self) -> list[str]:
        """Whether everything can still come to its end, and what everybody has got then."""
        key = self.last[0], repr(sorted(self.made.items()))
        if key not in self._of_end:
            self._of_end[key] = drained(self.stage, self.scene, self.made, self.last[1])
        return self._of_end[key]


class _Attributes:
    """A row read by attribute, as the product reads it."""

    def __init__(self, row: Row) -> None:
        self.__dict__.update(row)


def _counters(state: State) -> Iterator[str]:
    """An oracle of our own beside the audit: each campaign against its messages."""
    for campaign in state["campaigns"]:
        messages = [m for m in state["messages"] if m["campaign_id"] == campaign["id"]]
        counted = Counter(message["status"] for message in messages)
        for name, number in (
            ("total", len(messages)),
            ("queued", counted["queued"]),
            ("sent", counted["sent"]),
            ("failed", counted["failed"]),
            ("processed", counted["sent"] + counted["failed"]),
            ("delivered", sum(m["delivery"] == "delivered" for m in messages)),
            ("unconfirmed", sum(m["in_doubt"] for m in messages)),
        ):
            if campaign[name] != number:
                yield f"campaign {campaign['id']}: {name} is {campaign[name]}, counted {number}"
    may_go_on = {b["id"] for b in state["batches"] if b["status"] in _MAY_GO_ON}
    for message in state["messages"]:
        if message["status"] == "queued" and message["batch_id"] not in may_go_on:
            yield f"message {message['id']} is lost: its batch is over"
    yield from _opt_outs(state)


def _opt_outs(state: State) -> Iterator[str]:
    for tenant in state["tenants"]:
        seen = [s["seq"] for s in state["suppressions"] if s["tenant_id"] == tenant["id"]]
        if max(seen, default=0) > tenant["opt_outs"]:
            yield f"tenant {tenant['id']}: {tenant['opt_outs']} opt-outs, and one has {max(seen)}"


def _taken_away(before: State, after: State) -> Iterator[str]:
    """A reservation ends by its worker or with its lease, not by another reservation."""
    held = {row["id"]: row["fence"] for row in before["batches"] if row["status"] == "reserved"}
    for batch in after["batches"]:
        if batch["status"] == "reserved" and batch["fence"] != held.get(
            batch["id"], batch["fence"]
        ):
            yield f"batch {batch['id']} was reserved out of its worker's hands"


def _new_attempts(before: State, after: State) -> list[Row]:
    known = {row["id"] for row in before["attempts"]}
    # A batch that is split off in doubt has copies of its attempts; no call belongs to them.
    batches = {row["id"] for row in before["batches"]}
    return [a for a in after["attempts"] if a["id"] not in known and a["batch_id"] in batches]


def _queued(state: State, batch_id: int) -> list[Row]:
    return [m for m in state["messages"] if m["batch_id"] == batch_id and m["status"] == "queued"]


def _new_calls(before: State, after: State) -> Ledger:
    in_doubt = {batch["id"] for batch in before["batches"] if batch["in_doubt"]}
    return {
        attempt["id"]: frozenset(
            message["id"]
            for message in after["messages"]
            if message["batch_id"] == attempt["batch_id"]
            and (message["status"] == "queued" or attempt["batch_id"] in in_doubt)
        )
        for attempt in _new_attempts(before, after)
    }


def _opted_out(what: str, attempt: Row, before: State, after: State) -> Iterator[str]:
    """Whom the call of a new attempt goes to, against who had opted out when it was written."""
    blocked = {s["phone"] for s in before["suppressions"] if s["tenant_id"] == attempt["tenant_id"]}
    for message in _queued(after, attempt["batch_id"]):
        if message["phone"] in blocked:
            yield f"{what}: an intent after message {message['id']} had opted out"


def _reserved_by(played: Played) -> Iterator[ReservedBatch]:
    for result in played.results:
        if isinstance(result, Reservation):
            yield from result.batches
