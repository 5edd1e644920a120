"""Traffic accounts from the command line."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import typer

from paceline import providers
from paceline.cli.failures import UnreachableError
from paceline.cli.output import say, say_facts, say_json, say_table
from paceline.cli.session import AsJson, Session, group, session, values
from paceline.clock import SystemClock, iso
from paceline.domain.errors import InvalidInputError
from paceline.engine.adapters import Adapters
from paceline.storage import accounts, tenants
from paceline.storage.database import AnyRow

account = group(
    """
    Add, list, test and release traffic accounts.

    A traffic account is one contract with one provider. With MITTO_API_KEY,
    SMS_TRAFFIC_ACCOUNT_ID and MITTO_SENDER set, there is one without this.
    """
)
AccountId = Annotated[int, typer.Argument(metavar="ID", help="The traffic account's id.")]


@account.command()
def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What you call the account.")],
    provider: Annotated[str, typer.Option(help="The provider: mitto or simulator.")],
    base_url: Annotated[str, typer.Option(help="The web address of the provider's API.")],
    external_id: Annotated[str, typer.Option(help="What the provider calls the account.")],
    sender: Annotated[
        str, typer.Option(help="Who messages come from unless a campaign says otherwise.")
    ],
    api_key: Annotated[
        str,
        typer.Option(prompt=True, hide_input=True, help="The provider's key; without it, asked."),
    ],
    tenant_name: Annotated[
        str | None,
        typer.Option("--tenant", help="The only tenant that may use it; without it, all may."),
    ] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Add a traffic account, or bring the one of this name up to date."""
    if fault := providers.check_sender(provider, sender):
        raise InvalidInputError.of("--sender", fault)
    with session() as here:
        owner = here.database.read_now(tenants.by_name, tenant_name) if tenant_name else None
        row = here.database.write_now(
            accounts.keep,
            name=name,
            values={
                "provider": provider,
                "base_url": base_url,
                "external_id": external_id,
                "api_key": api_key,
                "sender": sender,
                "tenant_id": owner.id if owner else None,
            },
        )
    say_json(_shown(row)) if as_json else say_facts(_shown(row))


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
def test(account_id: AccountId) -> None:
    """Connect to the provider, without sending anything; exit 4 if it fails."""
    with session() as here:
        row = here.database.read_now(accounts.get, account_id)
        reach(here, row)
    say(f"{row.name}: a connection to {row.base_url} can be made.")


@account.command()
def release(account_id: AccountId, *, as_json: AsJson = False) -> None:
    """Let a held account send again, once its key or credit is mended."""
    with session() as here:
        row = here.database.write_now(accounts.release, account_id)
    say_json(_shown(row)) if as_json else say_facts(_shown(row))


def reach(here: Session, row: AnyRow) -> None:
    """Connect to an account's provider.

    Raises:
        UnreachableError: no connection can be made.
        InvalidInputError: the account's address or key cannot be used.
    """

    async def connected() -> str | None:
        adapters = Adapters(SystemClock(), here.settings.provider_timeout_ms)
        call = adapters.of(row).prepare(row.sender, [])
        try:
            unsent = await call.connect()
            return unsent.error if unsent else None
        finally:
            call.release()
            await adapters.aclose()

    if error := asyncio.run(connected()):
        raise UnreachableError(f"{row.name} at {row.base_url}: {error}")


def _shown(row: Any) -> dict[str, Any]:
    """What an operator may see: all but the key."""
    moments = {"held_at", "closed_at", "closed_until", "created_at"}
    return {
        name: iso(value) if name in moments and value is not None else value
        for name, value in values(row).items()
        if name not in {"api_key", "grants", "webhook_token"}
    }


COMMANDS = {"account": account}
