"""Rules: how doubt ends. Receipts, look-ups, decisions, and what they add up to."""

from __future__ import annotations

import contextlib

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from paceline.domain.errors import ConflictError
from paceline.domain.message import BatchStatus
from paceline.storage import confirmations, doubt
from paceline.storage.confirmations import Doubted
from paceline.storage.database import AnyRow
from paceline.storage.doubt import Decision
from paceline.storage.inbox import InboxRow
from paceline.storage.receipts import BLOCKED
from tests.storage.machine_ground import LEASE_MS, QUIET_MS, Asked, Ground, picked, picks
from tests.storage.machine_provider import Accepted

decisions = st.sampled_from(list(Decision))
deliveries = st.sampled_from(["delivered", "undelivered", "expired", "none"])


class Endings(Ground):
    """What is in doubt ends by proof, or by an operator."""

    # --- receipts

    @precondition(lambda self: self.providers.accepted)
    @rule(
        pick=picks,
        delivery=deliveries,
        known_by=st.sampled_from(["both", "name", "reference", "nothing of ours"]),
        copies=st.sampled_from([1, 1, 2]),
        blocked=st.sampled_from([False, False, False, True]),
        folded=st.booleans(),
    )
    def receive(
        self, pick: int, delivery: str, known_by: str, copies: int, blocked: bool, folded: bool
    ) -> None:
        """A receipt of one of the newest SMS, perhaps before its answer was recorded."""
        sms = picked(self.providers.accepted[::-1], pick)
        names = {
            "both": (sms.name, sms.reference),
            "name": (sms.name, ""),
            "reference": ("", sms.reference),
            "nothing of ours": ("nobody", "0-0-0"),
        }
        row = InboxRow(*names[known_by], delivery, BLOCKED if blocked else "", None)
        self.put_receipts(sms.account_id, *[row] * copies)
        if folded:
            self.fold()
            self._counts(sms, delivery, known_by)

    # --- asking the provider, sending again where it deduplicates

    @precondition(lambda self: any(row.confirm_at is not None for row in self.unconfirmed()))
    @rule(
        late_ms=st.sampled_from([0, 0, 250_000, None]),
        told=st.sampled_from(["at once", "at once", "later", "never"]),
    )
    def ask(self, late_ms: int | None, told: str) -> None:
        """Take up what is in doubt and could be ended, so long after the quiet period (None: now).
        What the provider says is written down, if it says something.
        """
        if late_ms is not None:
            self.pass_time(QUIET_MS + late_ms)
        if told != "never":
            self.take_up(written=told == "at once")
            return
        for doubted in self.write(confirmations.claim, limit=5, lease_ms=LEASE_MS):
            self.write(confirmations.postpone, doubted.batch_id, QUIET_MS)

    @precondition(lambda self: self.asked)
    @rule(pick=picks)
    def write_what_was_told(self, pick: int) -> None:
        self._write_down(picked(self.asked, pick))

    # --- decisions

    @precondition(lambda self: self.unconfirmed())
    @rule(pick=picks, decision=decisions)
    def decide(self, pick: int, decision: Decision) -> None:
        batch = picked(self.unconfirmed(), pick)
        with contextlib.suppress(ConflictError):
            self.decide_on(batch.id, decision)

    # --- parts of the above

    def unconfirmed(self) -> list[AnyRow]:
        return [row for row in self.rows.batches.values() if row.status == BatchStatus.UNCONFIRMED]

    def decide_on(self, batch_id: int, decision: Decision) -> int:
        """How many messages it concerned."""
        doubtful = [row.id for row in self.rows.of_batch(batch_id) if row.in_doubt]
        concerned = self.write(
            doubt.decide, batch_id, decision, actor="tester", policy_of=self.policy_of
        )
        if concerned:
            assert concerned == len(doubtful)
            if decision is Decision.RESEND:
                self.doubts.risk(doubtful)
        return concerned

    def take_up(self, *, written: bool = True) -> int:
        """Everything that is due; how much that is."""
        claimed = self.write(confirmations.claim, limit=20, lease_ms=LEASE_MS)
        for doubted in claimed:
            kind = self.kinds[doubted.account.id]
            too_old = (
                kind.look_up_horizon_ms is not None and doubted.age_ms >= kind.look_up_horizon_ms
            )
            if kind.deduplicates:
                policy = self.policy_of(doubted.account)
                self.write(confirmations.send_again, doubted, policy)
            elif kind.looks_up and not too_old:
                asked = self._ask(doubted)
                if written:
                    self._write_down(asked)
            else:
                self.write(confirmations.postpone, doubted.batch_id, None)
        return len(claimed)

    def _ask(self, doubted: Doubted) -> Asked:
        account_id = doubted.account.id
        kind = self.kinds[account_id]
        known = self.providers.look_up(account_id, kind, list(doubted.references), self.now)
        unknown = {ref: i for ref, i in doubted.references.items() if ref not in known}
        self.asked.append(Asked(doubted, unknown, known, self.now))
        return self.asked[-1]

    def _write_down(self, asked: Asked) -> None:
        self.asked.remove(asked)
        account = asked.doubted.account
        recorded = self.write(
            confirmations.record, asked.doubted, asked.known, self.policy_of(account)
        )
        if recorded.verdict is not None:
            kind = self.kinds[account.id]
            self.doubts.looked_up(kind, asked.unknown, account.id, QUIET_MS, asked.at)

    def _counts(self, sms: Accepted, delivery: str, known_by: str) -> None:
        """A delivery that is known by its reference counts at once, whatever else is known."""
        current = sms.reference.startswith(self.reference(0, 0).split("-")[0])
        if delivery == "delivered" and known_by in {"both", "reference"} and current:
            row = self.rows.messages[sms.message_id]
            assert (row.status, row.delivery) == ("sent", "delivered")
