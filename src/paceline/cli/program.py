"""The commands and where they are: each module is imported when one of its verbs is called."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib import import_module
from typing import Any, NamedTuple

import typer
from typer.main import get_command


class Verb(NamedTuple):
    """One command of the program."""

    panel: str
    """The heading under which the help shows it."""
    module: str
    purpose: str
    """One sentence: the first one of its own help."""


_FIRST, _RUN, _SEND = "First steps", "Processes", "Campaigns and messages"
_WHO, _DATABASE = "Tenants and traffic accounts", "Database"
VERBS = {
    "demo": Verb(_FIRST, "demo", "Watch a campaign of 10,000 messages go to a simulated provider."),
    "init": Verb(
        _FIRST, "configuration", "Make the data folder and the database, and say what comes next."
    ),
    "config": Verb(
        _FIRST, "configuration", "Show and check the settings, which are environment variables."
    ),
    "doctor": Verb(
        _FIRST, "configuration", "Find what keeps Paceline from sending, and say what to do."
    ),
    "serve": Verb(_RUN, "serving", "Run the API and a worker in one process."),
    "api": Verb(_RUN, "serving", "Run the API alone, with workers elsewhere."),
    "worker": Verb(_RUN, "serving", "Run a worker alone; any number of them share one PostgreSQL."),
    "simulator": Verb(
        _RUN, "serving", "Run a simulated provider, a real HTTP server with faults on request."
    ),
    "campaign": Verb(_SEND, "campaigns", "Make, start, watch and decide about campaigns."),
    "contact": Verb(_SEND, "contacts", "Import, export and erase contacts."),
    "segment": Verb(
        _SEND,
        "segments",
        "Name groups of contacts by what they have in common, and see who they are.",
    ),
    "message": Verb(_SEND, "messages", "List and show messages."),
    "send": Verb(
        _SEND, "messages", "Send one message without a campaign, as soon as a worker runs."
    ),
    "parts": Verb(
        _SEND, "messages", "Count the parts that a text is billed as, and what makes it Unicode."
    ),
    "price": Verb(_SEND, "prices", "Import and list what a part costs, by how the number begins."),
    "key": Verb(_WHO, "keys", "Make, list, rotate and revoke API keys."),
    "tenant": Verb(_WHO, "tenants", "Make, list and change tenants, and set their limits."),
    "account": Verb(_WHO, "accounts", "Add, list, test and release traffic accounts."),
    "audit-log": Verb(_WHO, "changes", "Show who changed what and when, the newest first."),
    "webhook": Verb(_WHO, "webhooks", "Tell a tenant's own servers what happens."),
    "db": Verb(
        _DATABASE, "databases", "Upgrade and check the database, or say that a backup was put back."
    ),
    "simulate": Verb(
        _DATABASE, "simulation", "Play the whole engine with everything that can go wrong."
    ),
    "audit": Verb(
        _DATABASE, "databases", "Compare every counter with its rows; exit 1 on any difference."
    ),
}
_HELP = """
Bulk SMS campaigns, paced to your limits, never sent twice.

Begin with paceline demo: it needs no set-up, and nothing leaves this machine.
"""
_EPILOG = """\
Settings are environment variables: paceline config show lists them all, with
their values; docs/settings.md explains them.

Exit status: 0 done, 1 failed, 2 wrong usage, 3 wrong settings or schema,
4 not reachable, 5 not found or in conflict, 6 partly done."""


def command(words: Sequence[str], environ: Mapping[str, str] = os.environ) -> Callable[[], Any]:
    """What carries out a command line; ``environ`` holds it when a shell asks for completions."""
    asked = environ.get("COMP_WORDS") or environ.get("_TYPER_COMPLETE_ARGS")
    made = get_command(program(asked.split()[1:] if asked else words))
    _show_no_types_of_flags(made)
    return partial(made, prog_name="paceline")


def program(words: Sequence[str]) -> typer.Typer:
    """The program, with the command that ``words`` call for; the others are names and purposes."""
    whole = typer.Typer(
        no_args_is_help=True, pretty_exceptions_enable=False, help=_HELP, epilog=_EPILOG
    )
    whole.callback()(_options)
    called = next((word for word in words if not word.startswith("-")), None)
    for name, verb in VERBS.items():
        if name != called:
            whole.command(name, help=verb.purpose, rich_help_panel=verb.panel)(_named_only)
            continue
        found = import_module(f"paceline.cli.{verb.module}").COMMANDS[name]
        if isinstance(found, typer.Typer):
            whole.add_typer(found, name=name, rich_help_panel=verb.panel)
        else:
            whole.command(name, rich_help_panel=verb.panel)(found)
    return whole


def _named_only() -> None:
    """Stands for a command that was not called."""


def _show_no_types_of_flags(made: Any) -> None:
    """A flag takes no value, so its help must not read ``--json <bool>``, as if it did."""
    for parameter in made.get_params(typer.Context(made)):
        if getattr(parameter, "is_flag", False):
            parameter.display_type_rich = lambda ctx: None  # noqa: ARG005 - typer names it
    for each in getattr(made, "commands", {}).values():
        _show_no_types_of_flags(each)


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
        help="Print the version and exit.",
        callback=lambda value: _version(wanted=value),
        is_eager=True,
    ),
) -> None:
    """What can stand before a command."""
