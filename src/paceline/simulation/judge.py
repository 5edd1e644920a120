"""The judge: promises 1 to 6, held at every step against what the providers and the rows say.

It reads rows by statements of its own, never by the product's, and it believes no status that the
provider's evidence does not bear out.
"""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from paceline.engine import operations
from paceline.simulation.provider import ProviderModel, Said, Sighting, Text
from paceline.simulation.scenario import (
    MARGIN_MS,
    AccountPlan,
    Limits,
    Scenario,
    TenantPlan,
)
from paceline.storage import doubt
from paceline.storage.doubt import Decision


@dataclass(frozen=True, slots=True)
class Violation:
    """A promise that was broken, and how."""

    promise: str
    what: str

    def __str__(self) -> str:
        return f"{self.promise}: {self.what}"


@dataclass(slots=True)
class _Seen:
    """What one limit's owner has had arriving at its provider."""

    limits: list[tuple[float, Limits]]
    """From when on each was in force."""
    arrivals: list[float] = field(default_factory=list)


_PERMIT_LIVES_MS = 300.0
"""From a grant to the arrival of its call, at most: lead, half of the margin, and the way."""

_DIFFERENT = """
    SELECT c.id FROM campaigns c LEFT JOIN (
        SELECT campaign_id, COUNT(*) total, SUM(in_doubt) unconfirmed,
            SUM(status = 'queued') queued, SUM(status = 'sent') sent,
            SUM(status = 'failed') failed, SUM(delivery = 'delivered') delivered
        FROM messages WHERE campaign_id IS NOT NULL GROUP BY campaign_id
    ) n ON n.campaign_id = c.id
    WHERE c.total <> COALESCE(n.total, 0) OR c.queued <> COALESCE(n.queued, 0)
        OR c.sent <> COALESCE(n.sent, 0) OR c.failed <> COALESCE(n.failed, 0)
        OR c.processed <> COALESCE(n.sent + n.failed, 0)
        OR c.delivered <> COALESCE(n.delivered, 0)
        OR c.unconfirmed <> COALESCE(n.unconfirmed, 0)
        OR (c.status = 'completed' AND (c.queued > 0 OR c.launching))
"""
_CALL = """
    SELECT b.id, a.id, a.worker, a.finished_at, b.tenant_id
    FROM messages m JOIN batches b ON b.id = m.batch_id
    LEFT JOIN attempts a ON a.id = (SELECT MAX(id) FROM attempts WHERE batch_id = b.id)
    LEFT JOIN campaigns c ON c.id = m.campaign_id
    WHERE m.phone = ? AND COALESCE(m.text, c.text) LIKE ? || '%'
"""
_OF_BATCH = """
    SELECT m.id, m.phone, COALESCE(m.text, c.text)
    FROM messages m LEFT JOIN campaigns c ON c.id = m.campaign_id WHERE m.batch_id = ?
"""
_STANDING = """
    SELECT m.id, m.phone, COALESCE(m.text, c.text), m.status, m.reason, m.delivery, m.in_doubt
    FROM messages m LEFT JOIN campaigns c ON c.id = m.campaign_id
"""


class Judge:
    """Holds one run to the promises.

    Args:
        connection: the database's own, for looks between transactions.
        scenario: what the run is about.
        models: the providers, by host.
        now_ms: virtual time.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        scenario: Scenario,
        models: dict[str, ProviderModel],
        now_ms: Callable[[], float],
    ) -> None:
        self._connection = connection
        self._scenario = scenario
        self._models = models
        self._now_ms = now_ms
        self._plans: dict[str, AccountPlan] = {each.name: each for each in scenario.accounts}
        self.violations: list[Violation] = []
        self.commits = 0
        self._attempts: dict[int, int] = {}
        """Attempt → the commit that wrote it."""
        self._last_attempt = 0
        self._opted_out: dict[tuple[int, str], int] = {}
        """(tenant, number) → the commit that wrote its suppression."""
        self._sightings: dict[tuple[str, str], list[Sighting]] = defaultdict(list)
        """By text and number: a person in a campaign."""
        limited: list[AccountPlan | TenantPlan] = [*scenario.accounts, *scenario.tenants]
        self._limits = {each.name: _Seen([(0.0, each.limits)]) for each in limited}
        self._caps = {each.name: each.frequency_max for each in scenario.tenants}
        self._written_to: dict[tuple[str, str], set[str]] = defaultdict(set)
        """(tenant, number) → the campaigns whose messages to it have reached a provider."""
        self._blind_until_ms = 0.0
        """The database's clock was put forward, which is not promised for: windows that saw it are
        not judged, nor what was asked of a provider before its quiet period was really over."""
        self.accepted_by_operator: set[int] = set()
        """Messages of which an operator said that they are sent."""

    def broken(self, promise: str, what: str) -> None:
        self.violations.append(Violation(promise, what))

    # --- At every step --------------------------------------------------------------------------

    def committed(self, function: Any, args: Any, result: Any) -> None:
        """A transaction has been committed."""
        self.commits += 1
        if function is doubt.decide and result:
            self._decided(batch_id=args[0], decision=args[1])
        if function is operations.change_tenant:
            limits = Limits(result.rate_max, result.rate_window_ms)
            self._limits[result.name].limits.append((self._now_ms(), limits))
        if different := self._connection.execute(_DIFFERENT).fetchall():
            self.broken(
                "4 numbers that are true", f"campaign {different[0][0]} differs from its rows"
            )
        for (attempt,) in self._connection.execute(
            "SELECT id FROM attempts WHERE id > ?", (self._last_attempt,)
        ):
            self._attempts[attempt] = self.commits
            self._last_attempt = max(self._last_attempt, attempt)
        suppressed = set(self._connection.execute("SELECT tenant_id, phone FROM suppressions"))
        for gone in self._opted_out.keys() - suppressed:
            del self._opted_out[gone]
        for each in suppressed - self._opted_out.keys():
            self._opted_out[each] = self.commits

    def written(self, worker: str, request: bytes) -> None:
        """The bytes of a submission have been written by a process."""
        messages = json.loads(request.partition(b"\r\n\r\n")[2])["messages"]
        for each in messages:
            number, text = each["destination"], each["sms"]["text"]
            found = self._connection.execute(_CALL, (number, _subject(text))).fetchall()
            if len(found) != 1:
                self.broken("1 never twice", f"{number} is in {len(found)} messages of “{text}”")
                continue
            batch, attempt, by, finished, tenant = found[0]
            if attempt is None or by != worker or finished is not None:
                self.broken(
                    "1 never twice",
                    f"{worker} calls for {number} in batch {batch} without an intent: "
                    f"its last attempt {attempt} is {by}'s, finished at {finished}",
                )
                continue
            opted_out = self._opted_out.get((tenant, number))
            if opted_out is not None and opted_out < self._attempts[attempt]:
                self.broken("6 nobody who opted out", f"{number}, in attempt {attempt}")

    def arrived(self, account: str, sightings: list[Sighting], *, stuck: bool) -> None:
        """A submission has reached its provider."""
        for each in sightings:
            self._hold_to_once(each)
            self._hold_to_cap(each)
            self._sightings[each.text, each.number].append(each)
        if sightings and not stuck:
            tenant = sightings[0].text.split(" ", 1)[0]
            for owner in (account, tenant):
                self._hold_to_limit(owner, sightings[0].arrived_ms)

    def _hold_to_once(self, again: Sighting) -> None:
        for before in self._sightings[again.text, again.number]:
            if not self._may_repeat(before, again):
                self.broken(
                    "1 never twice",
                    f"{again.number} gets “{again.text}” again ({again.reference}): of the call at "
                    f"{before.arrived_ms:.3f} ({before.reference}) nothing proves that it was not "
                    f"accepted; it was told “{before.said}” and has "
                    f"{'' if before.accepted else 'not '}accepted",
                )
                return

    def _hold_to_cap(self, seen: Sighting) -> None:
        tenant, campaign = _subject(seen.text).split(" ", 1)
        most = self._caps.get(tenant)
        if most is None or not campaign.startswith("c"):  # one without a campaign does not count
            return
        campaigns = self._written_to[tenant, seen.number]
        campaigns.add(campaign)
        if len(campaigns) > most:
            self.broken(
                "the frequency cap",
                f"{seen.number} is written to by {len(campaigns)} campaigns of {tenant}, which "
                f"allows {most}",
            )

    def _may_repeat(self, before: Sighting, again: Sighting) -> bool:
        """Whether a call may be followed by another one of the same message (promise 1)."""
        plan = self._plans[before.account]
        if before.resent or before.said is Said.NO:
            return True
        if plan.deduplicates:
            return before.reference == again.reference or self._refuted(before)
        if plan.looks_up:
            return before.unknown_told
        if before.said is Said.ERROR:
            return _means_no(plan)
        return before.said is Said.NOTHING and self._resends

    def _refuted(self, doubtful: Sighting) -> bool:
        """Whether a later call under the same reference was rejected, by a provider that would have
        known the reference if it had accepted this one.
        """
        return any(
            each.reference == doubtful.reference and each.said is Said.NO
            for each in self._sightings[doubtful.text, doubtful.number]
        )

    @property
    def _resends(self) -> bool:
        return self._scenario.settings["UNCONFIRMED_POLICY"] == "resend"

    def clock_put_forward(self) -> None:
        longest = max(each.window_ms for seen in self._limits.values() for _, each in seen.limits)
        self._blind_until_ms = self._now_ms() + longest + MARGIN_MS + _PERMIT_LIVES_MS

    def _hold_to_limit(self, owner: str, at_ms: float) -> None:
        seen = self._limits[owner]
        seen.arrivals.append(at_ms)
        if at_ms < self._blind_until_ms:
            return
        if not any(self._within(seen, limits, at_ms) for limits in _in_force(seen, at_ms)):
            last = [round(each, 1) for each in seen.arrivals[-8:]]
            self.broken("3 never over the limit", f"{owner} at {at_ms:.3f}: {last}")

    def _within(self, seen: _Seen, limits: Limits, at_ms: float) -> bool:
        recent = [each for each in seen.arrivals if at_ms - limits.window_ms < each <= at_ms]
        return len(recent) <= limits.most

    def _decided(self, batch_id: int, decision: Decision) -> None:
        """An operator has decided; of what is sent again the promise ends here."""
        concerned = self._connection.execute(_OF_BATCH, (batch_id,)).fetchall()
        if decision is Decision.ACCEPT:
            self.accepted_by_operator |= {message_id for message_id, *_ in concerned}
        if decision is not Decision.RESEND:
            return
        for _, phone, text in concerned:
            for each in self._seen_of(phone, text):
                each.resent = True

    def _seen_of(self, phone: str, text: str) -> Iterator[Sighting]:
        """The sightings of one message."""
        for (told, number), sightings in self._sightings.items():
            if number == phone and told.startswith(_subject(text)):
                yield from sightings

    # --- At the end -----------------------------------------------------------------------------

    def at_rest(self) -> None:
        """Faults have stopped and everything has settled: what is written must be what was."""
        texts = self._texts()
        for message in self._connection.execute(_STANDING):
            self._hold_to_evidence(message, texts)

    def _texts(self) -> dict[tuple[str, str], list[Text]]:
        texts: dict[tuple[str, str], list[Text]] = defaultdict(list)
        for model in self._models.values():
            for each in model.texts:
                texts[_subject(each.text), each.number].append(each)
        return texts

    def _hold_to_evidence(
        self,
        message: tuple[int, str, str, str, str | None, str, int],
        texts: dict[tuple[str, str], list[Text]],
    ) -> None:
        message_id, phone, text, status, reason, delivery, in_doubt = message
        taken = texts.get((_subject(text), phone), [])
        told = f"message {message_id} to {phone}"
        if status == "queued" or in_doubt:
            self.broken("2 never lost", f"{told} is {status}, in doubt {in_doubt}, at rest")
        if status == "sent" and not taken and message_id not in self.accepted_by_operator:
            self.broken("4 numbers that are true", f"{told} is sent, and no provider has taken it")
        if (
            status == "failed"
            and reason in _NOT_SENT
            and taken
            and not self._may_not_know(phone, text)
        ):
            self.broken("4 numbers that are true", f"{told} is failed ({reason}), and was taken")
        self._hold_to_receipts(told, message_id, delivery, taken)

    def _may_not_know(self, phone: str, text: str) -> bool:
        """Whether it may count as failed although it was accepted: its operator has said what a 5xx
        means, or that silence is to be followed by another try; or its provider was asked too soon,
        by a clock that was put forward.
        """
        seen = [each for each in self._seen_of(phone, text) if each.accepted]
        return all(
            each.resent
            or (each.said is Said.ERROR and _means_no(self._plans[each.account]))
            or (each.said is Said.NOTHING and self._resends)
            or (each.unknown_told and self._blind_until_ms > 0)
            for each in seen
        )

    def _hold_to_receipts(
        self, told: str, message_id: int, delivery: str, taken: list[Text]
    ) -> None:
        """Every receipt has come, so whatever we know the name of has its best delivery."""
        known = {
            name
            for (name,) in self._connection.execute(
                "SELECT provider_message_id FROM provider_messages WHERE message_id = ?",
                (message_id,),
            )
        }
        best = max((_RANK[each.final] for each in taken if each.id in known), default=0)
        if best > _STORED_RANK[delivery]:
            self.broken("4 numbers that are true", f"{told} is “{delivery}”, its receipts say more")


_NOT_SENT = frozenset(
    {
        "rejected",
        "attempts_exhausted",
        "cancelled",
        "opted_out",
        "frequency_cap",
        "internal_error",
    }
)
"""Reasons that say: it was never accepted."""
_RANK = {"": 0, "Failure": 1, "Expired": 1, "Delivered": 2}
_STORED_RANK = {"none": 0, "undelivered": 1, "expired": 1, "delivered": 2}


def _means_no(plan: AccountPlan) -> bool:
    """Whether a 5xx means "not accepted": the operator says so, and nobody can be asked."""
    return plan.server_error == "retry" and not (plan.deduplicates or plan.looks_up)


def _subject(text: str) -> str:
    """What a text begins with: its tenant and its campaign, which no other text has."""
    return text.split(":", 1)[0] + ":"


def _in_force(seen: _Seen, at_ms: float) -> list[Limits]:
    """The limits of the times in which calls that are in a window now may have been granted."""
    longest = max(limits.window_ms for _, limits in seen.limits)
    since_ms = at_ms - longest - MARGIN_MS - _PERMIT_LIVES_MS
    return [
        limits
        for (_, limits), until_ms in zip(
            seen.limits, [start for start, _ in seen.limits[1:]] + [float("inf")], strict=True
        )
        if until_ms >= since_ms
    ]
