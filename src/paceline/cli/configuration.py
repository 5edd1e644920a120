"""Settings shown and checked, the first steps, and the doctor."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from paceline.cli.diagnosis import Finding, Level, diagnose
from paceline.cli.failures import ExitCode, complain
from paceline.cli.output import say, say_json, say_table
from paceline.cli.session import AsJson, group, session, settings_of_process
from paceline.settings import check, describe, masked_database_url
from paceline.storage import accounts, tenants

config = group(
    """
    Show and check the settings, which are environment variables.

    Each can also be a file: NAME_FILE holds the path.
    """
)


@config.command()
def show(*, as_json: AsJson = False) -> None:
    """Show every setting, its value and what it is for; secrets are masked."""
    shown = describe(settings_of_process(quiet=True))
    if as_json:
        say_json({each.name: each.value for each in shown})
    else:
        say_table(
            ("setting", "value", "", "what it is for"),
            [(s.name, s.value, "" if s.is_default else "set", s.purpose) for s in shown],
        )


@config.command("check")
def check_settings(*, as_json: AsJson = False) -> None:
    """Check the settings; exit 3 when one is wrong or misspelt."""
    checked = check(os.environ)
    if as_json:
        say_json(
            {
                "ok": not checked.problems,
                "problems": [str(problem) for problem in checked.problems],
                "warnings": [str(warning) for warning in checked.warnings],
            }
        )
    else:
        for problem in checked.problems:
            complain(str(problem))
        for warning in checked.warnings:
            complain(f"warning: {warning}")
    if checked.problems:
        raise typer.Exit(ExitCode.CONFIGURATION)
    if not as_json:
        say("The settings can be used.")


def init() -> None:
    """Make the data folder and the database, and say what comes next."""
    with session() as here:
        say(f"Database: {masked_database_url(here.settings.database_url)}")
        has_account = bool(here.database.read_now(accounts.all_of))
        has_tenant = bool(here.database.read_now(tenants.all_of_them))
    steps = []
    if not has_account:
        steps.append(
            "a provider:  set MITTO_API_KEY, SMS_TRAFFIC_ACCOUNT_ID and MITTO_SENDER, "
            "or paceline account add"
        )
    if not has_tenant:
        steps.append("an API key:  paceline key create --tenant NAME")
    steps.append("then:        paceline serve")
    for step in steps:
        say(step)


def doctor(
    *,
    as_json: AsJson = False,
    offline: Annotated[bool, typer.Option("--offline", help="Connect to no provider.")] = False,
) -> None:
    """Find what keeps Paceline from sending, and say what to do.

    A FAULT keeps it, or a part of it, from sending; a warning does not. Exit
    status 0 without a fault; else by the first one: 3 settings or schema,
    4 database or provider not reachable, 1 anything else.
    """
    findings = diagnose(os.environ, connect=not offline)
    if as_json:
        say_json([_as_document(finding) for finding in findings])
    else:
        for finding in findings:
            say(_MARKS[finding.level] + f"{finding.check}: {finding.found}")
            if finding.mend:
                say(f"        -> {finding.mend}  [{finding.code}]")
    first_fault = next((each for each in findings if each.level is Level.FAULT), None)
    if first_fault:
        raise typer.Exit(first_fault.exit_code)


_MARKS = {Level.OK: "ok      ", Level.WARNING: "warning ", Level.FAULT: "FAULT   "}


def _as_document(finding: Finding) -> dict[str, str | None]:
    return {
        "check": finding.check,
        "level": finding.level,
        "code": finding.code or None,
        "found": finding.found,
        "mend": finding.mend or None,
    }


COMMANDS = {"config": config, "init": init, "doctor": doctor}
