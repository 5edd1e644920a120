"""API keys and tenants."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from sqlalchemy import Connection

from paceline.cli.output import say, say_facts, say_json, say_table
from paceline.cli.session import AsJson, TenantName, group, operator, session, values
from paceline.clock import iso
from paceline.engine import operations
from paceline.storage import tenants
from paceline.storage.database import AnyRow

key = group(
    """
    Make, list and revoke API keys.

    Example:
    paceline key create --tenant acme
    """
)
tenant = group(
    """
    List tenants and set their limits.

    Example:
    paceline tenant limit acme --max 20 --window-ms 1000
    """
)


@key.command("create")
def create_key(
    tenant_name: Annotated[
        str, typer.Option("--tenant", help="The tenant's name; a new one is made.")
    ],
    name: Annotated[
        str, typer.Option(help="What the key is for, to tell keys apart.")
    ] = "command line",
    *,
    admin: Annotated[
        bool,
        typer.Option("--admin", help="A key that may also change tenants and traffic accounts."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make an API key and print it; it is shown only this once."""

    def create(connection: Connection) -> tuple[AnyRow, AnyRow, str]:
        owner = tenants.keep(connection, tenant_name)
        row, secret = tenants.create_key(connection, owner.id, name=name, admin=admin)
        return owner, row, secret

    with session() as here:
        owner, row, secret = here.database.write_now(create)
    if as_json:
        say_json({"key": secret, "tenant": owner.name, "id": row.id, "admin": row.admin})
    else:
        say(secret)
        typer.echo("Keep it: it is shown only this once.", err=True)


@key.command("list")
def list_keys(tenant_name: TenantName = None, *, as_json: AsJson = False) -> None:
    """List a tenant's keys: how they begin, and when they were last used."""
    with session() as here:
        owner = here.tenant(tenant_name)
        rows = [_shown_key(row) for row in here.database.read_now(tenants.keys_of, owner.id)]
    if as_json:
        say_json(rows)
    else:
        say_table(
            ("id", "name", "begins", "admin", "made", "last used", "revoked"),
            [list(row.values()) for row in rows],
        )


@key.command("revoke")
def revoke_key(
    key_id: Annotated[int, typer.Argument(metavar="ID", help="The key's id.")],
    tenant_name: TenantName = None,
) -> None:
    """Revoke a key; within a second it is refused."""
    with session() as here:
        owner = here.tenant(tenant_name)
        here.database.write_now(tenants.revoke_key, owner.id, key_id)
    typer.echo(f"Key {key_id} is revoked.", err=True)


@tenant.command("list")
def list_tenants(*, as_json: AsJson = False) -> None:
    """List all tenants and their own limits."""
    with session() as here:
        rows = [_shown_tenant(row) for row in here.database.read_now(tenants.all_of_them)]
    if as_json:
        say_json(rows)
    else:
        say_table(("id", "name", "limit", "window (ms)"), [list(row.values()) for row in rows])


@tenant.command("limit")
def limit_tenant(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The tenant's name.")],
    rate_max: Annotated[
        int | None, typer.Option("--max", min=1, help="Provider requests in a window.")
    ] = None,
    rate_window_ms: Annotated[
        int | None,
        typer.Option(
            "--window-ms", min=1, max=86_400_000, help="The window's length, in milliseconds."
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
    say_json(_shown_tenant(changed)) if as_json else say_facts(_shown_tenant(changed))


def _shown_key(row: Any) -> dict[str, Any]:
    return {
        "id": row.id,
        "name": row.name,
        "hint": row.hint,
        "admin": row.admin,
        **{
            name: None if row_value is None else iso(row_value)
            for name, row_value in values(row).items()
            if name in {"created_at", "last_used_at", "revoked_at"}
        },
    }


def _shown_tenant(row: Any) -> dict[str, Any]:
    return {name: values(row)[name] for name in ("id", "name", "rate_max", "rate_window_ms")}


COMMANDS = {"key": key, "tenant": tenant}
