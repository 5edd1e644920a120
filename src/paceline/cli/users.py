"""Who may look at the dashboard: links that sign in once, and users with passwords."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from sqlalchemy import Connection

from paceline.cli.output import say, say_json, say_table
from paceline.cli.session import AsJson, TenantName, group, operator, session, values
from paceline.clock import iso
from paceline.domain.errors import NotFoundError
from paceline.domain.role import Role
from paceline.storage import audit_log, users
from paceline.storage.database import AnyRow

user = group(
    """
    Make and list users of the dashboard, and change their passwords.

    Example:
    paceline user create ana --role sender
    """
)
Login = Annotated[str, typer.Argument(metavar="LOGIN", help="The name to sign in with.")]


def login(
    tenant_name: TenantName = None,
    role: Annotated[Role, typer.Option(help="What whoever opens the link may do.")] = Role.ADMIN,
    url: Annotated[
        str | None, typer.Option(help="Where the dashboard is, if not where the settings say.")
    ] = None,
) -> None:
    """Print a link that signs in to the dashboard, once.

    Whoever opens it within a quarter of an hour and presses the button is in.
    """
    with session() as here:
        owner = here.tenant(tenant_name)

        def make(connection: Connection) -> str:
            _log(connection, owner.id, "link.add", "sign-in link", role=role)
            return users.make_link(connection, owner.id, role)

        secret = here.database.write_now(make)
        at = url or here.settings.public_url or _here(here.settings.host, here.settings.port)
    say(f"{at.rstrip('/')}/sign-in/{secret}")
    typer.echo("It counts once, within 15 minutes.", err=True)


@user.command("create")
def create_user(
    name: Login,
    tenant_name: TenantName = None,
    role: Annotated[Role, typer.Option(help="What they may do.")] = Role.SENDER,
) -> None:
    """Make a user; the password is asked for.

    From a script it is read from standard input, one line.
    """
    from paceline.engine.signing_in import hashed, refuse_login

    refuse_login(name)
    password = hashed(_asked())
    with session() as here:
        owner = here.tenant(tenant_name)

        def create(connection: Connection) -> AnyRow:
            row = users.add(connection, owner.id, login=name, password=password, role=role)
            _log(connection, owner.id, "user.add", f"user {row.id}", role=role)
            return row

        here.database.write_now(create)
    typer.echo(f"{name} may sign in as {role}.", err=True)


@user.command("list")
def list_users(tenant_name: TenantName = None, *, as_json: AsJson = False) -> None:
    """List a tenant's users, and when they were last seen."""
    with session() as here:
        owner = here.tenant(tenant_name)
        rows = [_shown(row) for row in here.database.read_now(users.of_tenant, owner.id)]
    if as_json:
        say_json(rows)
    else:
        heads = ("id", "login", "role", "made", "last seen", "disabled")
        say_table(heads, [list(row.values()) for row in rows])


@user.command("password")
def change_password(name: Login, tenant_name: TenantName = None) -> None:
    """Give a user another password, and sign them out everywhere."""
    from paceline.engine.signing_in import hashed

    password = hashed(_asked())
    _change(name, tenant_name, "user.password", password=password)
    typer.echo(f"{name} has another password.", err=True)


@user.command("disable")
def disable_user(name: Login, tenant_name: TenantName = None) -> None:
    """Let a user sign in no more, and sign them out everywhere."""
    from paceline.storage.database import now

    def disable(connection: Connection) -> dict[str, Any]:
        return {"disabled_at": now(connection)}

    _change(name, tenant_name, "user.disable", disable)
    typer.echo(f"{name} is disabled.", err=True)


def _change(
    name: str, tenant_name: str | None, action: str, made: Any = None, **given: Any
) -> None:
    with session() as here:
        owner = here.tenant(tenant_name)

        def change(connection: Connection) -> None:
            found = {row.login: row.id for row in users.of_tenant(connection, owner.id)}
            if name not in found:
                raise NotFoundError("user", f"“{name}” of {owner.name}")
            values = made(connection) if made else given
            users.change(connection, owner.id, found[name], values)
            _log(connection, owner.id, action, f"user {found[name]}")

        here.database.write_now(change)


def _log(connection: Connection, tenant_id: int, action: str, subject: str, **detail: Any) -> None:
    audit_log.write(
        connection,
        tenant_id=tenant_id,
        actor=operator(),
        action=action,
        subject=subject,
        **detail,
    )


def _here(host: str, port: int) -> str:
    """Where a browser on this machine finds the dashboard."""
    name = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, host)  # noqa: S104 - everywhere
    return f"http://{name}:{port}"


def _asked() -> str:
    import sys

    if sys.stdin.isatty():
        return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True))
    return sys.stdin.readline().rstrip("\n")


def _shown(row: Any) -> dict[str, Any]:
    moments = ("created_at", "last_seen_at", "disabled_at")
    return {name: values(row)[name] for name in ("id", "login", "role")} | {
        name: None if values(row)[name] is None else iso(values(row)[name]) for name in moments
    }


COMMANDS = {"login": login, "user": user}
