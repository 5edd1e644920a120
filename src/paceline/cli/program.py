"""The commands and where they are: each module is imported when one of its verbs is called."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module

import typer

_MODULES = {
    "demo": ("demo", "Watch a campaign run against a provider simulator, in half a minute."),
    "serve": ("serving", "Run API and worker in one process."),
    "api": ("serving", "Run the API alone; workers run elsewhere."),
    "worker": ("serving", "Run a worker alone; any number of them share one PostgreSQL."),
    "simulator": ("serving", "Run the provider simulator, a real HTTP server with faults."),
    "init": ("configuration", "Make the data directory and the database; say what comes next."),
    "campaign": ("campaigns", "Make, start, watch and decide about campaigns."),
    "contact": ("contacts", "Import and export contacts."),
    "message": ("messages", "List and show messages."),
    "send": ("messages", "Send one message without a campaign."),
    "parts": ("messages", "Count the parts of a text and say what makes it Unicode."),
    "key": ("keys", "Make, list and revoke API keys."),
    "tenant": ("keys", "List tenants and set their limits."),
    "account": ("accounts", "Add, list, test and release traffic accounts."),
    "db": ("databases", "Upgrade, check, and distrust a database put back from a backup."),
    "audit": ("databases", "Hold every counter against its rows."),
    "config": ("configuration", "Show and check the settings."),
    "doctor": ("configuration", "Find what keeps Paceline from sending, and say how to mend it."),
}


def program(words: Sequence[str]) -> typer.Typer:
    """The program, with the command that ``words`` call for; the others are names and purposes."""
    whole = typer.Typer(
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        help="Bulk SMS campaigns, paced to your limits, never sent twice.",
        epilog="Exit status: 0 ok, 1 failed, 2 usage, 3 configuration, 4 unreachable, "
        "5 not found or conflict, 6 partly done.",
    )
    whole.callback()(_options)
    called = next((word for word in words if not word.startswith("-")), None)
    for name, (module, purpose) in _MODULES.items():
        if name != called:
            whole.command(name, help=purpose)(_named_only)
            continue
        command = import_module(f"paceline.cli.{module}").COMMANDS[name]
        if isinstance(command, typer.Typer):
            whole.add_typer(command, name=name)
        else:
            whole.command(name)(command)
    return whole


def _named_only() -> None:
    """Stands for a command that was not called."""


def _version(*, wanted: bool) -> None:
    if wanted:
        from paceline import __version__

        typer.echo(f"paceline {__version__}")
        raise typer.Exit


def _options(
    *,
    version: bool = typer.Option(
        False,
        "--version",
        help="Print the version.",
        callback=lambda value: _version(wanted=value),
        is_eager=True,
    ),
) -> None:
    """What can stand before a command."""
