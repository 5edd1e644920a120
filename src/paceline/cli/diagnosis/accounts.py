"""Who may send, through whom, and how delivery receipts come back."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from paceline import providers
from paceline.cli.accounts import reach
from paceline.cli.diagnosis.finding import Finding, fault, ok, warning
from paceline.cli.failures import ExitCode, UnreachableError
from paceline.cli.session import Session
from paceline.domain.errors import PacelineError
from paceline.settings import Settings
from paceline.storage import accounts, tenants
from paceline.storage.database import AnyRow

_THIS_MACHINE = {"localhost", "127.0.0.1", "::1", "0.0.0.0"}  # noqa: S104 - compared, not listened on


def api_keys(here: Session) -> Iterator[Finding]:
    """Somebody has a key to the API."""
    keys = [
        key
        for tenant in here.database.read_now(tenants.all_of_them)
        for key in here.database.read_now(tenants.keys_of, tenant.id)
        if key.revoked_at is None
    ]
    if keys:
        yield ok("API keys", f"{len(keys)} in force")
    else:
        mend = "paceline key create --tenant NAME"
        yield fault("API keys", "no_api_key", "there is none, so nobody can use the API", mend)


def traffic_accounts(here: Session, *, connect: bool) -> Iterator[Finding]:
    """There is a traffic account, and each is well."""
    rows = here.database.read_now(accounts.all_of)
    if not rows:
        yield fault(
            "traffic accounts",
            "no_account",
            "there is none, so nothing can be sent",
            "Set MITTO_API_KEY, SMS_TRAFFIC_ACCOUNT_ID and MITTO_SENDER, "
            "or run: paceline account add --help",
        )
    for row in rows:
        yield _account(here, row, connect=connect)


def _account(here: Session, row: AnyRow, *, connect: bool) -> Finding:
    name = f"traffic account {row.id} ({row.name})"
    if row.held_at is not None:
        mend = f"Mend its key, credit or route with the provider: paceline account release {row.id}"
        return fault(name, "account_held", f"the provider refused it: {row.held_why}", mend)
    try:
        if wrong := providers.check_sender(row.provider, row.sender):
            mend = "Set MITTO_SENDER, or run paceline account add with its name and a --sender."
            return fault(name, "sender_wrong", f"its sender “{row.sender}” {wrong}", mend)
        if connect:
            reach(here, row)
    except UnreachableError as error:
        mend = f"Check address, network and firewall, then: paceline account test {row.id}"
        return fault(name, "provider_unreachable", str(error), mend, ExitCode.UNREACHABLE)
    except PacelineError as error:
        mend = "Correct MITTO_API_BASE and MITTO_API_KEY, or run paceline account add again."
        return fault(name, "account_unusable", str(error), mend)
    if row.failures:
        found = f"calls that failed in a row: {row.failures}; the last one: {row.closed_why}"
        mend = "Paceline goes on by itself once the provider answers; its status page may say more."
        return warning(name, "account_failing", found, mend)
    return ok(name, f"{row.provider} at {row.base_url}")


def receipts(settings: Settings) -> Iterator[Finding]:
    """Delivery receipts find their way to us and are known to be the provider's."""
    mend = (
        "Set PACELINE_PUBLIC_URL to where the internet reaches the API, and give the provider the "
        "webhook_url that GET /api/accounts shows to an admin key."
    )
    if settings.public_url is None:
        found = "PACELINE_PUBLIC_URL is not set, so no receipts come: sent, but never delivered"
        yield warning("receipts", "public_url_missing", found, mend)
        return
    if urlsplit(settings.public_url).hostname in _THIS_MACHINE:
        found = f"PACELINE_PUBLIC_URL={settings.public_url} is this machine: no receipts come"
        yield warning("receipts", "public_url_local", found, mend)
        return
    if settings.webhook_secret is None:
        found = "WEBHOOK_SECRET is not set: signatures of receipts are not checked"
        mend = "Set WEBHOOK_SECRET to what the provider signs with; without it, guard the address."
        yield warning("receipts", "webhook_secret_missing", found, mend)
        return
    yield ok("receipts", f"come to {settings.public_url}")
