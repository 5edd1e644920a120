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
    campaign_id: Annotated[
        int | None,
        typer.Option("--campaign", help="The campaign's id; without it, single messages."),
    ] = None,
    status: Annotated[
        MessageStatus | None, typer.Option(help="Only messages in this state.")
    ] = None,
    reason: Annotated[
        Reason | None, typer.Option(help="Only messages that failed for this reason.")
    ] = None,
    after: Annotated[
        int, typer.Option(help="Only messages with a higher id than this; for the next page.")
    ] = 0,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many at most.")] = 100,
    tenant_name: TenantName = None,
    *,
    in_doubt: Annotated[
        bool, typer.Option("--unconfirmed", help="Only those that may have been sent.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List the messages of a campaign, or single ones, by id."""
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
        sealer = here.unlocked()
    documents = [Message.of(row, sealer).model_dump(mode="json") for row in rows]
    if as_json:
        say_json(documents)
    else:
        say_table(_COLUMNS, [[document[name] for name in _COLUMNS] for document in documents])


@message.command("show")
def show_message(
    message_id: Annotated[int, typer.Argument(metavar="ID", help="The message's id.")],
    tenant_name: TenantName = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Show one message with its exact text."""
    with session() as here:
        tenant = here.tenant(tenant_name)
        row = here.database.read_now(messages.get, tenant.id, message_id)
        sealer = here.unlocked()
    _show(Message.of(row, sealer).model_dump(mode="json"), as_json=as_json)


def send(
    to: Annotated[
        str, typer.Argument(metavar="NUMBER", help="The telephone number, such as +306912345678.")
    ],
    text: Annotated[
        str, typer.Argument(metavar="TEXT", help="The exact text; tags are not replaced.")
    ],
    sender: Annotated[
        str | None, typer.Option(help="Who it comes from; without it, the account's sender.")
    ] = None,
    account: Annotated[
        int | None, typer.Option(help="The traffic account's id; without it, the default one.")
    ] = None,
    tenant_name: TenantName = None,
    *,
    respect_quiet_hours: Annotated[
        bool, typer.Option("--respect-quiet-hours", help="Wait for the end of quiet hours.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Send one message without a campaign, as soon as a worker runs.

    Example:
    paceline send +306912345678 'Your code is 1234'
    """
    with session() as here:
        tenant = here.tenant(tenant_name)
        row = here.order(
            lambda orders: orders.send(
                tenant.id,
                to=to,
                text=text,
                sender=sender,
                traffic_account_id=account,
                respect_quiet_hours=respect_quiet_hours,
            )
        )
        sealer = here.unlocked()
    _show(Message.of(row, sealer).model_dump(mode="json"), as_json=as_json)


def parts(
    text: Annotated[str, typer.Argument(metavar="TEXT", help="The text of a message.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Count the parts that a text is billed as, and what makes it Unicode.

    Example:
    paceline parts 'Καλημέρα'
    """
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
