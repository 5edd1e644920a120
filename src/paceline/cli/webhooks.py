"""Webhook endpoints from the command line."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import typer

from paceline.cli.output import say, say_facts, say_json, say_table
from paceline.cli.session import AsJson, Session, TenantName, group, operator, session
from paceline.clock import iso
from paceline.domain.errors import InvalidInputError
from paceline.domain.webhook_event import WANTED_BY_DEFAULT, EventType
from paceline.engine.endpoints import Endpoints
from paceline.engine.schedule import moment
from paceline.storage import webhook_endpoints

webhook = group(
    """
    Tell a tenant's own servers what happens.

    Example:
    paceline webhook add https://example.com/hooks
    """
)
EndpointId = Annotated[int, typer.Argument(metavar="ID", help="The endpoint's id.")]


@webhook.command()
def add(
    url: Annotated[str, typer.Argument(metavar="URL", help="Where to; it begins with https://.")],
    events: Annotated[
        list[EventType] | None,
        typer.Option(
            "--event",
            metavar="TYPE",
            help="A type of event; repeat it for several. Without it, all but those that come once "
            "for each message.",
        ),
    ] = None,
    tenant_name: TenantName = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Add an endpoint and print its secret, which is shown only this once."""
    with session() as here:
        added = asyncio.run(
            _endpoints(here, tenant_name).add(
                here.unlocked(), url=url, events=events or WANTED_BY_DEFAULT
            )
        )
    shown = {**_shown(added.endpoint), "secret": added.secret}
    if as_json:
        say_json(shown)
    else:
        say_facts({**shown, "events": ", ".join(shown["events"])})
        typer.echo("Keep the secret: it is shown only this once.", err=True)


@webhook.command("list")
def list_endpoints(tenant_name: TenantName = None, *, as_json: AsJson = False) -> None:
    """List a tenant's endpoints, and which are disabled, and why."""
    with session() as here:
        owner = here.tenant(tenant_name)
        rows = [_shown(row) for row in here.database.read_now(webhook_endpoints.all_of, owner.id)]
    if as_json:
        say_json(rows)
    else:
        columns = ("id", "url", "disabled_at", "disabled_why")
        say_table(columns, [[row[name] for name in columns] for row in rows])


@webhook.command()
def remove(endpoint_id: EndpointId, tenant_name: TenantName = None) -> None:
    """Remove an endpoint, with what is still to be delivered to it."""
    with session() as here:
        asyncio.run(_endpoints(here, tenant_name).remove(endpoint_id))
    typer.echo(f"Webhook endpoint {endpoint_id} is removed.", err=True)


@webhook.command("test")
def try_out(endpoint_id: EndpointId, tenant_name: TenantName = None) -> None:
    """Queue an event for an endpoint, to try it; a worker delivers it."""
    with session() as here:
        delivery_id = asyncio.run(_endpoints(here, tenant_name).test(endpoint_id))
    typer.echo(f"Delivery {delivery_id} is queued.", err=True)


@webhook.command()
def replay(
    endpoint_id: EndpointId,
    since: Annotated[
        str | None,
        typer.Option(help="Deliver again what failed of all events since then (ISO 8601)."),
    ] = None,
    delivery_id: Annotated[
        int | None, typer.Option("--delivery", help="Make this one again, whatever became of it.")
    ] = None,
    tenant_name: TenantName = None,
    *,
    delivered_too: Annotated[
        bool, typer.Option("--delivered-too", help="With --since: what was delivered, as well.")
    ] = False,
) -> None:
    """Deliver again what an endpoint has missed or lost."""
    if (since is None) == (delivery_id is None):
        raise InvalidInputError.of("--since", "give either this or --delivery")
    with session() as here:
        endpoints = _endpoints(here, tenant_name)
        if delivery_id is not None:
            count = asyncio.run(endpoints.replay_one(endpoint_id, delivery_id))
        else:
            at = _moment(since or "")
            count = asyncio.run(
                endpoints.replay_since(endpoint_id, at, delivered_too=delivered_too)
            )
    say(f"{count} queued")


def _moment(since: str) -> int:
    try:
        return moment(since, None)
    except InvalidInputError as error:
        raise InvalidInputError.of("--since", error.problems[0].reason) from None


def _endpoints(here: Session, tenant_name: str | None) -> Endpoints:
    return Endpoints(
        here.database,
        here.tenant(tenant_name).id,
        operator(),
        allow_private=here.settings.webhook_allow_private,
    )


def _shown(row: Any) -> dict[str, Any]:
    """An endpoint without its secret."""
    return {
        "id": row.id,
        "url": row.url,
        "events": row.events,
        "created_at": iso(row.created_at),
        "disabled_at": None if row.disabled_at is None else iso(row.disabled_at),
        "disabled_why": row.disabled_why,
    }


COMMANDS = {"webhook": webhook}
