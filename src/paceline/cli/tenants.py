"""Tenants from the command line."""

from __future__ import annotations

import re
from typing import Annotated, Any

import typer

from paceline.cli.options import NONE, hours_of
from paceline.cli.output import say_facts, say_json, say_table
from paceline.cli.session import AsJson, group, operator, session, values
from paceline.domain.errors import InvalidInputError
from paceline.domain.time_of_day import read_minutes, write_minutes
from paceline.engine import operations
from paceline.engine.tenant_faults import MOST
from paceline.storage import tenants

tenant = group(
    """
    Make, list and change tenants, and set their limits.

    Example:
    paceline tenant create acme --timezone Europe/Athens
    paceline tenant change acme --sender ACME --daily-cap 50000
    paceline tenant limit acme --max 20 --window-ms 1000
    """
)
Name = Annotated[str, typer.Argument(metavar="NAME", help="The tenant's name.")]
Timezone = Annotated[
    str | None, typer.Option(help="Its time zone, such as Europe/Athens: whose days are counted.")
]
Sender = Annotated[
    str | None,
    typer.Option(help="Who its messages come from unless they say otherwise; none: the account's."),
]
DefaultAccount = Annotated[
    str | None,
    typer.Option("--account", help="The id of its default traffic account; none: the usual one."),
]
DailyCap = Annotated[
    str | None, typer.Option(help="Messages that are sent in one day at most; none: any number.")
]
QuietHours = Annotated[
    str | None,
    typer.Option(help="When nothing is sent, by the recipient's clock: 21:00-08:00; or none."),
]
FrequencyCap = Annotated[
    str | None,
    typer.Option(help="Messages that one person gets in so many days: 3/7; or none."),
]
_COLUMNS = (
    "id",
    "name",
    "timezone",
    "sender",
    "default_account_id",
    "rate_max",
    "rate_window_ms",
    "daily_cap",
    "quiet_from",
    "quiet_until",
    "frequency_max",
    "frequency_days",
)


@tenant.command()
def create(
    name: Name,
    timezone: Timezone = None,
    sender: Sender = None,
    account: DefaultAccount = None,
    daily_cap: DailyCap = None,
    quiet_hours: QuietHours = None,
    frequency_cap: FrequencyCap = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Make a tenant; paceline key create makes its keys."""
    columns = _columns(timezone, sender, account, daily_cap, quiet_hours, frequency_cap)
    with session() as here:
        row = here.database.write_now(operations.add_tenant, name, columns, actor=operator())
    _say(row, as_json=as_json)


@tenant.command("list")
def list_tenants(*, as_json: AsJson = False) -> None:
    """List all tenants and their own limits."""
    with session() as here:
        rows = [_shown(row) for row in here.database.read_now(tenants.all_of_them)]
    if as_json:
        say_json(rows)
        return
    columns = ("id", "name", "timezone", "sender", "rate_max", "rate_window_ms", "daily_cap")
    say_table(columns, [[row[name] for name in columns] for row in rows])


@tenant.command()
def show(name: Name, *, as_json: AsJson = False) -> None:
    """Show a tenant and its limits."""
    with session() as here:
        row = here.tenant(name)
    _say(row, as_json=as_json)


@tenant.command()
def change(
    name: Name,
    timezone: Timezone = None,
    sender: Sender = None,
    account: DefaultAccount = None,
    daily_cap: DailyCap = None,
    quiet_hours: QuietHours = None,
    frequency_cap: FrequencyCap = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Change a tenant; it holds at once. What is left out stays."""
    columns = _columns(timezone, sender, account, daily_cap, quiet_hours, frequency_cap)
    if not columns:
        raise typer.BadParameter("say what to change: --timezone, --quiet-hours, …")
    with session() as here:
        known = here.tenant(name)
        row = here.database.write_now(operations.change_tenant, known.id, columns, actor=operator())
        here.wake_workers()
    _say(row, as_json=as_json)


@tenant.command("limit")
def limit_tenant(
    name: Name,
    rate_max: Annotated[
        int | None,
        typer.Option("--max", min=1, max=MOST["rate_max"], help="Provider requests in a window."),
    ] = None,
    rate_window_ms: Annotated[
        int | None,
        typer.Option(
            "--window-ms",
            min=1,
            max=MOST["rate_window_ms"],
            help="The window's length, in milliseconds.",
        ),
    ] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Set a tenant's own limit; it holds at once.

    What is left out follows RATE_LIMIT_TENANT_MAX and
    RATE_LIMIT_TENANT_WINDOW_MS again.
    """
    with session() as here:
        row = here.tenant(name)
        changed = here.database.write_now(
            operations.change_tenant,
            row.id,
            {"rate_max": rate_max, "rate_window_ms": rate_window_ms},
            actor=operator(),
        )
        here.wake_workers()
    _say(changed, as_json=as_json)


def _columns(
    timezone: str | None,
    sender: str | None,
    account: str | None,
    daily_cap: str | None,
    quiet_hours: str | None,
    frequency_cap: str | None,
) -> dict[str, Any]:
    """The columns that were named, of which ``none`` takes one away.

    Raises:
        InvalidInputError: one is not written as it should be.
    """
    columns: dict[str, Any] = {}
    if timezone is not None:
        columns["timezone"] = timezone
    if sender is not None:
        columns["sender"] = None if sender == NONE else sender
    if account is not None:
        columns["default_account_id"] = _whole("--account", account)
    if daily_cap is not None:
        columns["daily_cap"] = _whole("--daily-cap", daily_cap)
    if quiet_hours is not None:
        columns |= _quiet_hours(quiet_hours)
    if frequency_cap is not None:
        columns |= _frequency_cap(frequency_cap)
    return columns


def _whole(option: str, written: str) -> int | None:
    if written == NONE:
        return None
    if not re.fullmatch(r"[1-9][0-9]{0,8}", written):
        raise InvalidInputError.of(option, f"must be a number from 1 on, or none, not “{written}”")
    return int(written)


def _quiet_hours(written: str) -> dict[str, int | None]:
    if written == NONE:
        return {"quiet_from": None, "quiet_until": None}
    since, until = hours_of(written, "--quiet-hours")
    return {"quiet_from": read_minutes(since), "quiet_until": read_minutes(until)}


def _frequency_cap(written: str) -> dict[str, int | None]:
    if written == NONE:
        return {"frequency_max": None, "frequency_days": None}
    match = re.fullmatch(r"([1-9][0-9]{0,5})/([1-9][0-9]{0,2})", written)
    if match is None:
        wrong = f"must be messages/days, such as 3/7, or none, not “{written}”"
        raise InvalidInputError.of("--frequency-cap", wrong)
    return {"frequency_max": int(match[1]), "frequency_days": int(match[2])}


def _say(row: Any, *, as_json: bool) -> None:
    say_json(_shown(row)) if as_json else say_facts(_shown(row))


def _shown(row: Any) -> dict[str, Any]:
    shown = {name: values(row)[name] for name in _COLUMNS}
    for name in ("quiet_from", "quiet_until"):
        shown[name] = None if shown[name] is None else write_minutes(shown[name])
    return shown


COMMANDS = {"tenant": tenant}
