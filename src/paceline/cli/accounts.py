"""Traffic accounts from the command line."""

from __future__ import annotations

import asyncio
import re
import sys
from dataclasses import asdict
from typing import Annotated, Any

import typer

from paceline import providers
from paceline.cli.failures import ExitCode, UnreachableError, complain
from paceline.cli.numbers import number
from paceline.cli.output import say, say_facts, say_json, say_table
from paceline.cli.session import (
    AsJson,
    Session,
    group,
    operator,
    session,
    settings_of_process,
    values,
)
from paceline.clock import iso
from paceline.domain.errors import InvalidInputError
from paceline.engine import operations
from paceline.engine.adapters import Adapters
from paceline.engine.operations import NewAccount
from paceline.engine.process import open_database
from paceline.providers.base import OutgoingMessage
from paceline.providers.explained import explain as explained
from paceline.storage import accounts, credentials, tenants
from paceline.storage.database import AnyRow
from paceline.storage.sealing import sealer_of

account = group(
    """
    Add, list, test and release traffic accounts.

    A traffic account is one contract with one provider. With MITTO_API_KEY,
    SMS_TRAFFIC_ACCOUNT_ID and MITTO_SENDER set, there is one without this.
    """
)
account.add_typer(number, name="number")
AccountId = Annotated[int, typer.Argument(metavar="ID", help="The traffic account's id.")]
_KEY_VARIABLE = "ACCOUNT_API_KEY"
_SECRETS = {"api_key", "grants", "webhook_token"}
_NOBODY = [OutgoingMessage("+15550100", "", "test")]
"""What a test renders and never submits."""


@account.command()
def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What you call the account.")],
    provider: Annotated[str, typer.Option(help=f"The provider: {', '.join(providers.names())}.")],
    base_url: Annotated[str, typer.Option(help="The web address of the provider's API.")],
    external_id: Annotated[str, typer.Option(help="What the provider calls the account.")],
    sender: Annotated[
        str, typer.Option(help="Who messages come from unless a campaign says otherwise.")
    ],
    api_key: Annotated[
        str,
        typer.Option(
            prompt=True,
            hide_input=True,
            envvar=_KEY_VARIABLE,
            help="The provider's key; - reads it from stdin; without it, asked.",
        ),
    ],
    tenant_name: Annotated[
        str | None,
        typer.Option("--tenant", help="The only tenant that may use it; without it, all may."),
    ] = None,
    options: Annotated[
        list[str] | None,
        typer.Option(
            "--option", metavar="NAME=VALUE", help="What only this provider knows; repeatable."
        ),
    ] = None,
    server_error: Annotated[
        str | None,
        typer.Option(
            help="What a 5xx answer means: retry or hold; else as the provider is known for."
        ),
    ] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Add a traffic account, or bring the one of this name up to date.

    The key is stored sealed and never shown. To keep it out of your shell's
    history let it be asked, or pipe it in: --api-key - <key-file
    """
    if server_error not in {None, "retry", "hold"}:
        raise typer.BadParameter("must be retry or hold", param_hint="--server-error")
    with session() as here:
        owner = here.database.read_now(tenants.by_name, tenant_name) if tenant_name else None
        new = NewAccount(
            name=name,
            provider=provider,
            base_url=base_url,
            external_id=external_id,
            api_key=sys.stdin.readline().strip() if api_key == "-" else api_key,
            sender=sender,
            tenant_id=owner.id if owner else None,
            options=dict(_option(each) for each in options) if options else None,
            server_error=server_error,
        )
        row = here.database.write_now(
            operations.add_account, new, sealer=here.unlocked(), actor=operator(), replace=True
        )
        here.wake_workers()
    _say(_shown(row), as_json=as_json)


@account.command("list")
def list_accounts(*, as_json: AsJson = False) -> None:
    """List all traffic accounts, and which are held or closed, and why."""
    with session() as here:
        rows = [_shown(row) for row in here.database.read_now(accounts.all_of)]
    if as_json:
        say_json(rows)
    else:
        columns = ("id", "name", "provider", "sender", "held_why", "closed_until")
        say_table(columns, [[row[name] for name in columns] for row in rows])


@account.command()
def show(account_id: AccountId, *, as_json: AsJson = False) -> None:
    """Show a traffic account and its webhook addresses, but not its key.

    Whoever knows a webhook address can send receipts and replies there.
    """
    with session() as here:
        row = here.database.read_now(accounts.get, account_id)
        start = here.settings.public_url
    webhooks = f"{start or ''}/webhooks/{row.provider}/{row.webhook_token}"
    addresses = {"webhook_url": f"{webhooks}/dlr", "inbound_url": f"{webhooks}/inbound"}
    _say(_shown(row) | addresses, as_json=as_json)
    if start is None:
        complain("set PACELINE_PUBLIC_URL to see where the addresses begin")


@account.command("test")
def connect(
    account_id: AccountId,
    *,
    explain: Annotated[
        bool, typer.Option("--explain", help="Say what is done in each doubt on this account.")
    ] = False,
) -> None:
    """Connect to the provider, without sending anything; exit 4 if it fails."""
    with session() as here:
        row = here.database.read_now(accounts.get, account_id)
        if explain:
            _explain(here, row)
        reach(here, row)
    say(f"{row.name}: a connection to {row.base_url} can be made.")


def _explain(here: Session, row: AnyRow) -> None:
    done = explained(
        providers.capabilities_of(row.provider, row.options),
        server_error=row.server_error,
        unconfirmed=here.settings.unconfirmed_policy,
    )
    say_table(("what happened", "what is done about it"), done)


@account.command()
def release(account_id: AccountId, *, as_json: AsJson = False) -> None:
    """Let a held account send again, once its key or credit is mended."""
    with session() as here:
        row = here.database.write_now(operations.release_account, account_id, actor=operator())
        here.wake_workers()
    _say(_shown(row), as_json=as_json)


@account.command()
def reseal(
    *,
    lost: Annotated[
        bool,
        typer.Option(
            "--lost", help="Give up what can no longer be opened; its key is needed anew."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Seal all credentials with the present PACELINE_SECRET.

    To change the secret, give every process the new one as PACELINE_SECRET and
    the one before as PACELINE_SECRET_OLD, restart them, and run this. Then the
    old one can go.
    """
    settings = settings_of_process(quiet=True)
    with open_database(settings) as database:
        done = database.write_now(
            credentials.reseal, sealer_of(settings), lost=lost, actor=operator()
        )
    _say(asdict(done), as_json=as_json)
    if done.lost_accounts or done.lost_endpoints:
        complain("what is lost is held or disabled until its key is entered again")
        raise typer.Exit(ExitCode.PARTIAL)


def reach(here: Session, row: AnyRow) -> None:
    """Connect to an account's provider.

    Raises:
        UnreachableError: no connection can be made.
        InvalidInputError: the account's address or key cannot be used.
        SecretError: its key cannot be opened.
    """
    sealer = here.unlocked()

    async def connected() -> str | None:
        settings = here.settings
        adapters = Adapters(settings.provider_timeout_ms, settings.public_url, sealer=sealer)
        call = adapters.of(row).prepare(row.sender, _NOBODY)
        try:
            unsent = await call.connect()
            return getattr(unsent, "error", None)
        finally:
            call.release()
            await adapters.aclose()

    if error := asyncio.run(connected()):
        raise UnreachableError(f"{row.name} at {row.base_url}: {error}")


def _option(given: str) -> tuple[str, str | int | bool]:
    """``name=value``; ``true``, ``false`` and whole numbers are what they say, all else is text.

    Raises:
        InvalidInputError: it has no ``=`` or no name.
    """
    name, equals, value = given.partition("=")
    if not (name and equals):
        raise InvalidInputError.of("--option", f"must be NAME=VALUE, not “{given}”")
    if value in {"true", "false"}:
        return name, value == "true"
    return name, int(value) if re.fullmatch(r"-?[0-9]{1,18}", value) else value


def _say(facts: dict[str, Any], *, as_json: bool) -> None:
    say_json(facts) if as_json else say_facts(facts)


def _shown(row: Any) -> dict[str, Any]:
    """What an operator may see: all but the key."""
    moments = {"held_at", "closed_at", "closed_until", "created_at"}
    return {
        name: iso(value) if name in moments and value is not None else value
        for name, value in values(row).items()
        if name not in _SECRETS
    }


COMMANDS = {"account": account}
