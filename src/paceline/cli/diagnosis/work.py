"""The work: somebody does it, and nothing waits for a person."""

from __future__ import annotations

from collections.abc import Iterator

from paceline.cli.diagnosis.finding import Finding, fault, ok, warning
from paceline.cli.session import Session
from paceline.engine.attendance import is_left_lying
from paceline.engine.rules import Rules
from paceline.storage import audit, checkup, doubt

_LATE_RECEIPT_MS = 60_000
_NAMED = 5


def workers(here: Session) -> Iterator[Finding]:
    """Work that is due is taken up."""
    work = here.database.read_now(checkup.work)
    if not is_left_lying(work, Rules.of(here.settings).pacing):
        yield ok("workers", "nothing waits for one" if not work.waits_ms else "at work")
        return
    yield fault(
        "workers",
        "no_worker",
        f"work has waited for {work.waits_ms / 1000:.0f} s and nobody takes it up",
        "Start paceline serve or paceline worker; if one runs, its log says why it rests.",
    )


def leases(here: Session) -> Iterator[Finding]:
    """No worker died with batches in its hands, or another one has taken them back."""
    expired = here.database.read_now(doubt.expired)
    if not expired:
        yield ok("leases", "none has run out")
        return
    found = f"batches in the hands of a worker that fell silent: {len(expired)}"
    mend = "Start paceline serve or paceline worker: it takes them back."
    yield fault("leases", "lease_expired", found, mend)


def unconfirmed(here: Session) -> Iterator[Finding]:
    """No message waits for an operator's decision."""
    campaigns = here.database.read_now(checkup.undecided_campaigns)
    for row in campaigns[:_NAMED]:
        yield warning(
            "unconfirmed",
            "decision_needed",
            f"campaign {row.id} ({row.tenant}) has unconfirmed messages: {row.unconfirmed}",
            "Compare with the provider's log, then: paceline campaign unconfirmed "
            f"{row.id} --tenant {row.tenant} --accept (or --fail, or --resend)",
        )
    if len(campaigns) > _NAMED:
        found = f"further campaigns with such messages: {len(campaigns) - _NAMED}"
        yield warning("unconfirmed", "decision_needed", found, "paceline campaign list")
    if singles := here.database.read_now(checkup.undecided_singles):
        found = f"unconfirmed single messages: {singles}"
        mend = "paceline message list --unconfirmed, then POST /api/messages/ID/unconfirmed"
        yield warning("unconfirmed", "decision_needed", found, mend)
    if not (campaigns or singles):
        yield ok("unconfirmed", "no message waits for a decision")


def inbox(here: Session) -> Iterator[Finding]:
    """Receipts are counted soon after they came."""
    late = here.database.read_now(checkup.late_receipts, _LATE_RECEIPT_MS)
    if not late:
        yield ok("inbox", "no receipt waits for long")
        return
    found = f"receipts that have waited for more than {_LATE_RECEIPT_MS // 1000} s: {late}"
    mend = "Start paceline serve or paceline worker, or one more; delivery figures are late."
    yield warning("inbox", "receipts_late", found, mend)


def counters(here: Session) -> Iterator[Finding]:
    """Every counter agrees with its rows."""
    differences = here.database.read_now(audit.differences)
    if not differences:
        yield ok("counters", "all agree with their rows")
        return
    found = f"counters and states that do not agree with their rows: {len(differences)}"
    yield fault("counters", "counters_differ", found, "paceline audit names them; report it.")
