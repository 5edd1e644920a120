"""Before and after sending, from the command line: verbs of ``paceline campaign``."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import typer

from paceline.api import previews, reports
from paceline.api.campaigns import Campaign
from paceline.api.messages import Message
from paceline.cli.output import say, say_facts, say_json, say_stream, say_table
from paceline.cli.session import AsJson, TenantName, operator, session
from paceline.domain.message import MessageStatus, Reason
from paceline.engine import previewing, reporting
from paceline.engine.exporting import Format
from paceline.engine.message_exports import export
from paceline.engine.resending import Resend
from paceline.engine.resending import resend as make_resend
from paceline.engine.rules import Rules
from paceline.engine.trying import send_test

CampaignId = Annotated[int, typer.Argument(metavar="ID", help="The campaign's id.")]


def preview(
    campaign_id: CampaignId,
    contact_id: Annotated[
        int | None, typer.Option("--contact", help="Whose text to show; else the first.")
    ] = None,
    tenant_name: TenantName = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Show what a campaign would send: an exact text, and parts and cost of all.

    Says who is sent the most parts, which characters make a text Unicode,
    and what could be written instead.
    """
    with session() as here:
        tenant = here.tenant(tenant_name)
        found = asyncio.run(previewing.preview(here.database, tenant.id, campaign_id, contact_id))
    document = previews.Preview.of(found).model_dump(mode="json")
    if as_json:
        say_json(document)
        return
    audience, recipient = document["audience"], document["recipient"]
    worst = audience["worst"]
    plain = document["text"]["plain"]
    say_facts(
        {
            "to": recipient and recipient["to"],
            "text": recipient and recipient["text"]["text"],
            "parts of it": recipient and recipient["text"]["parts"],
            "recipients": audience["recipients"],
            "parts of all": audience["parts"],
            "most parts": worst and f"{worst['text']['parts']}, to {worst['to']}",
            "sent as Unicode": audience["unicode_recipients"],
            "because of": " ".join(
                each["character"] for each in document["text"]["unicode_characters"]
            ),
            "plain instead": plain and plain["text"],
            "without a value": ", ".join(
                f"{{{{{each['tag']}}}}} {each['recipients']}" for each in audience["without_value"]
            ),
            "cost": _money(audience),
        }
    )


def estimate(
    campaign_id: CampaignId, tenant_name: TenantName = None, *, as_json: AsJson = False
) -> None:
    """Estimate what a draft would cost and how long it would take, starting now."""
    with session() as here:
        tenant = here.tenant(tenant_name)
        rules = Rules.of(here.settings)
        whole = here.database
        found = asyncio.run(previewing.estimate(whole, rules, tenant.id, campaign_id, whole=whole))
    document = previews.Estimate.of(found).model_dump(mode="json")
    if as_json:
        say_json(document)
        return
    eta = document["eta"]
    say_facts(
        {
            "recipients": document["recipients"],
            "parts": document["parts"],
            "cost": _money(document),
            "seconds": eta and eta["duration_ms"] / 1000,
            "done at": eta and eta["done_at"],
            "decided by": eta["bound_by"] if eta else document["held_why"],
        }
    )


def send_to_oneself(
    campaign_id: CampaignId,
    to: Annotated[str, typer.Argument(metavar="NUMBER", help="A telephone number of your own.")],
    contact_id: Annotated[
        int | None, typer.Option("--contact", help="With whose values; else the first one's.")
    ] = None,
    tenant_name: TenantName = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Send one message to a number of your own, as the campaign would send it.

    Example:
    paceline campaign test 1 +306912345678
    """
    with session() as here:
        tenant = here.tenant(tenant_name)
        row = here.order(
            lambda orders: send_test(
                orders, tenant.id, campaign_id, to=to, contact_id=contact_id, actor=operator()
            )
        )
        sealer = here.unlocked()
    document = Message.of(row, sealer).model_dump(mode="json")
    say_json(document) if as_json else say_facts(document)


def resend(
    campaign_id: CampaignId,
    reasons: Annotated[
        list[Reason] | None,
        typer.Option("--reason", help="Why they failed; may be repeated. Else the usual ones."),
    ] = None,
    name: Annotated[str | None, typer.Option(help="What you call the new campaign.")] = None,
    tenant_name: TenantName = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Make a draft for those whom a campaign that is over failed to reach.

    Its audience is found when it starts; whoever was reached meanwhile, or
    has opted out, is left out.

    Example:
    paceline campaign resend 1 --reason undelivered --reason expired
    """
    with session() as here:
        tenant = here.tenant(tenant_name)
        what = Resend(reasons=reasons or None, name=name)
        shown = here.order(lambda orders: make_resend(orders, tenant.id, campaign_id, what))
    document = Campaign.of(shown).model_dump(mode="json")
    facts = ("id", "name", "status", "parent_id")
    reasons_of = {"reasons": ", ".join(document["parent_reasons"])}
    if as_json:
        say_json(document)
    else:
        say_facts({each: document[each] for each in facts} | reasons_of)


def report(
    campaign_id: CampaignId, tenant_name: TenantName = None, *, as_json: AsJson = False
) -> None:
    """Report what became of a campaign: funnel, reasons, hours, cost, duration."""
    with session() as here:
        tenant = here.tenant(tenant_name)
        found = here.database.read_now(reporting.report, tenant.id, campaign_id)
    document = reports.Report.of(found).model_dump(mode="json")
    if as_json:
        say_json(document)
        return
    took = document["duration_ms"]
    say_facts(
        {
            "status": document["status"],
            **document["funnel"],
            **{f"failed: {each['reason']}": each["messages"] for each in document["reasons"]},
            "parts": document["parts"],
            "cost": _money(document),
            "seconds": took and took / 1000,
            "per second": document["per_second"],
        }
    )
    if document["hours"]:
        say("")
        columns = ("hour", "sent", "delivered", "failed")
        say_table(columns, [[each[name] for name in columns] for each in document["hours"]])


def export_messages(
    campaign_id: CampaignId,
    kind: Annotated[Format, typer.Option("--format", help="What to write.")] = Format.CSV,
    status: Annotated[
        MessageStatus | None, typer.Option(help="Only messages in this state.")
    ] = None,
    tenant_name: TenantName = None,
) -> None:
    """Write a campaign's messages to stdout, with their exact texts.

    Example:
    paceline campaign export 1 --status failed >failed.csv
    """
    with session() as here:
        tenant = here.tenant(tenant_name)
        sealer = here.unlocked()

        async def write() -> None:
            begun = await export(here.database, sealer, tenant.id, campaign_id, kind, status)
            await say_stream(chunk.decode() async for chunk in begun.chunks())

        asyncio.run(write())


def _money(document: dict[str, Any]) -> str:
    amounts = [f"{each['amount']} {each['currency']}" for each in document["cost"]]
    if missing := document["without_price"]:
        amounts.append(f"{missing} without a price")
    return ", ".join(amounts)


def add_to(campaign: typer.Typer) -> None:
    """Make these verbs of ``paceline campaign``."""
    campaign.command()(preview)
    campaign.command()(estimate)
    campaign.command("test")(send_to_oneself)
    campaign.command()(resend)
    campaign.command()(report)
    campaign.command("export")(export_messages)
