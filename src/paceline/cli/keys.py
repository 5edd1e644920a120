"""API keys from the command line."""

from __future__ import annotations

import re
from typing import Annotated, Any

import typer
from sqlalchemy import Connection

from paceline.cli.output import say, say_json, say_table
from paceline.cli.session import AsJson, TenantName, group, operator, session, values
from paceline.clock import iso
from paceline.domain.errors import InvalidInputError
from paceline.domain.hours import DAY_MS
from paceline.domain.scope import Scope
from paceline.engine import keys
from paceline.engine.keys import GRACE_S, LONGEST_GRACE_S, Giver, NewKey
from paceline.engine.schedule import moment
from paceline.storage import tenants
from paceline.storage.database import AnyRow, now

key = group(
    """
    Make, list, rotate and revoke API keys.

    Example:
    paceline key create --tenant acme
    paceline key create --tenant acme --name shop --scope send --expires 90d
    """
)
KeyId = Annotated[int, typer.Argument(metavar="ID", help="The key's id.")]
_MOMENTS = ("created_at", "expires_at", "last_used_at", "revoked_at")


@key.command("create")
def create_key(
    tenant_name: Annotated[
        str, typer.Option("--tenant", help="The tenant's name; a new one is made.")
    ],
    name: Annotated[
        str, typer.Option(help="What the key is for, to tell keys apart.")
    ] = "command line",
    scopes: Annotated[
        list[Scope] | None,
        typer.Option(
            "--scope",
            help="What it may do; give it once for each. Without it: read, send and manage; a "
            "test key: read and send.",
        ),
    ] = None,
    expires: Annotated[
        str | None,
        typer.Option(help="When it ends by itself: 90d, or 2027-03-01T09:00Z. Without it: never."),
    ] = None,
    *,
    test: Annotated[
        bool, typer.Option("--test", help="A key that reaches nobody but the simulator.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make an API key and print it; it is shown only this once."""

    def create(connection: Connection) -> tuple[AnyRow, AnyRow, str]:
        new = NewKey(
            name=name,
            scopes=scopes or None,
            expires_at=None if expires is None else _end(connection, expires),
            test=test,
        )
        owner = tenants.keep(connection, tenant_name, actor=operator())
        row, secret = keys.create(connection, owner.id, new, giver=Giver(operator()))
        return owner, row, secret

    with session() as here:
        owner, row, secret = here.database.write_now(create)
    _say_made(owner, row, secret, as_json=as_json)


@key.command("rotate")
def rotate_key(
    key_id: KeyId,
    grace_s: Annotated[
        int,
        typer.Option(
            min=0,
            max=LONGEST_GRACE_S,
            help="For how many seconds the key before goes on opening; 0: it ends at once.",
        ),
    ] = GRACE_S,
    tenant_name: TenantName = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Make a key's successor and print it: the same but for its secret."""
    with session() as here:
        owner = here.tenant(tenant_name)
        row, secret = here.database.write_now(
            keys.rotate, owner.id, key_id, grace_s=grace_s, giver=Giver(operator())
        )
    _say_made(owner, row, secret, as_json=as_json)


@key.command("list")
def list_keys(tenant_name: TenantName = None, *, as_json: AsJson = False) -> None:
    """List a tenant's keys: how they begin, what they may, and when they were last used."""
    with session() as here:
        owner = here.tenant(tenant_name)
        rows = [_shown(row) for row in here.database.read_now(tenants.keys_of, owner.id)]
    if as_json:
        say_json(rows)
        return
    say_table(
        ("id", "name", "begins", "scopes", "test", "made", "expires", "last used", "revoked"),
        [list({**row, "scopes": " ".join(row["scopes"])}.values()) for row in rows],
    )


@key.command("revoke")
def revoke_key(key_id: KeyId, tenant_name: TenantName = None) -> None:
    """Revoke a key; within a second it is refused."""
    with session() as here:
        owner = here.tenant(tenant_name)
        here.database.write_now(keys.revoke, owner.id, key_id, giver=Giver(operator()))
    typer.echo(f"Key {key_id} is revoked.", err=True)


def _end(connection: Connection, written: str) -> int:
    """``90d``: days from now; else a moment. Milliseconds since 1970.

    Raises:
        InvalidInputError: it is neither.
    """
    if days := re.fullmatch(r"([1-9][0-9]{0,4})d", written.strip()):
        return now(connection) + int(days[1]) * DAY_MS
    try:
        return moment(written, None)
    except InvalidInputError as error:
        reason = error.problems[0].reason
        raise InvalidInputError.of("--expires", f"{reason}; or days from now: 90d") from None


def _say_made(owner: AnyRow, row: AnyRow, secret: str, *, as_json: bool) -> None:
    if as_json:
        say_json({"key": secret, "tenant": owner.name, **_shown(row)})
        return
    say(secret)
    typer.echo("Keep it: it is shown only this once.", err=True)


def _shown(row: Any) -> dict[str, Any]:
    columns = values(row)
    facts = {name: columns[name] for name in ("id", "name", "hint", "scopes", "test")}
    moments = {name: columns[name] for name in _MOMENTS}
    return facts | {name: None if at is None else iso(at) for name, at in moments.items()}


COMMANDS = {"key": key}
