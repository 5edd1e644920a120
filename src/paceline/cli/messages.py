"""Messages from the command line."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer

from paceline.api.messages import Message
from paceline.cli.output import say_facts, say_json, say_table
from paceline.cli.session import AsJson, TenantName, group, session
from paceline.domain import parts as counter
from paceline.domain.message import MessageStatus, Reason
from paceline.storage import campaigns, messages

message = group("List and show messages.")
_COLUMNS = ("id", "to", "status", "reason", "delivery", "retry_count", "text")


@message.command("list")
def list_messages(
    campaign_id: Annotated[int | None, typer.Option("--campaign", help="Else single ones.")] = None,
    status: Annotated[MessageStatus | None, typer.Option(help="Only these.")] = None,
    reason: Annotated[Reason | None, typer.Option(help="Only failed ones, for this.")] = None,
    after: Annotated[int, typer.Option(help="Only ids above this one.")] = 0,
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = 100,
    tenant_name: TenantName = None,
    *,
    in_doubt: Annotated[bool, typer.Option("--unconfirmed", help="Only these.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the messages of a campaign, by id."""
    with session() as here:
        tenant = here.tenant(tenant_name)
        if campaign_id is not None:
            here.database.read_now(campaigns.get, tenant.id, campaign_id)
        rows = here.database.read_now(
            messages.page,
            tenant.id,
            campaign_id=campaign_id,
            after=after,
            limit=limit,
            status=status,
            reason=reason,
            in_doubt=True if in_doubt else None,
        )
    documents = [Message.of(row).model_dump(mode="json") for row in rows]
    if as_json:
        say_json(documents)
    else:
        say_table(_COLUMNS, [[document[name] for name in _COLUMNS] for document in documents])


@message.command("show")
def show_message(
    message_id: int, tenant_name: TenantName = None, *, as_json: AsJson = False
) -> None:
    """Show one message with its exact text."""
    with session() as here:
        tenant = here.tenant(tenant_name)
        row = here.database.read_now(messages.get, tenant.id, message_id)
    _show(Message.of(row).model_dump(mode="json"), as_json=as_json)


def send(
    to: Annotated[str, typer.Argument(help="The number, best as +30…")],
    text: Annotated[str, typer.Argument(help="The exact text.")],
    sender: Annotated[str | None, typer.Option(help="Else the account's.")] = None,
    account: Annotated[int | None, typer.Option(help="A traffic account's id.")] = None,
    tenant_name: TenantName = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Queue one message without a campaign; a running worker sends it at once."""
    with session() as here:
        tenant = here.tenant(tenant_name)
        row = here.order(
            lambda orders: orders.send(
                tenant.id, to=to, text=text, sender=sender, traffic_account_id=account
            )
        )
    _show(Message.of(row).model_dump(mode="json"), as_json=as_json)


def parts(text: str, *, as_json: AsJson = False) -> None:
    """Count the parts of a text and say what makes it Unicode."""
    facts: dict[str, Any] = asdict(counter.count(text))
    facts["encoding"] = str(facts["encoding"])
    facts["unicode_characters"] = list(counter.unicode_characters(text))
    if as_json:
        say_json(facts)
    else:
        say_facts({**facts, "unicode_characters": " ".join(facts["unicode_characters"])})


def _show(document: dict[str, Any], *, as_json: bool) -> None:
    say_json(document) if as_json else say_facts(document)


COMMANDS = {"message": message, "send": send, "parts": parts}
