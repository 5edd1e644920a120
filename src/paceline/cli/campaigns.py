"""Campaigns from the command line."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from paceline.api.campaigns import Campaign, StatusDocument
from paceline.cli import campaign_figures
from paceline.cli.failures import ExitCode, complain
from paceline.cli.options import NONE, hours_of
from paceline.cli.output import say, say_facts, say_json, say_table
from paceline.cli.segments import filter_in
from paceline.cli.session import AsJson, Session, TenantName, group, session
from paceline.domain import segment_json
from paceline.domain.campaign import FINAL, CampaignStatus
from paceline.engine.drafts import NewCampaign
from paceline.engine.orders import Orders, Shown
from paceline.engine.waiting import Cause
from paceline.storage import audience
from paceline.storage.doubt import Decision

campaign = group(
    """
    Make, start, watch and decide about campaigns.

    Example:
    paceline campaign create --name Spring --text 'Hello {{first_name|there}}!'
    paceline campaign start 1
    paceline campaign watch 1
    """
)

CampaignId = Annotated[int, typer.Argument(metavar="ID", help="The campaign's id.")]


def _number(written: str) -> int | str:
    if written == NONE:
        return NONE
    if not written.isdecimal():
        raise typer.BadParameter(f"{written!r} is neither a whole number nor {NONE}")
    return int(written)


StartBy = Annotated[
    str | None,
    typer.Option(help="Start by then or not at all: 2027-03-01T12:00Z, or without Z as --at."),
]
SendWindow = Annotated[
    str | None,
    typer.Option(help="Send only in these hours of the tenant's day, such as 09:00-20:00."),
]
RateMax = Annotated[
    Any, typer.Option(parser=_number, metavar="NUMBER", help="Provider requests in a window.")
]
RateWindow = Annotated[
    Any,
    typer.Option(
        parser=_number,
        metavar="NUMBER",
        help="That window's length, in milliseconds; without it, 1000.",
    ),
]
_WATCH_EVERY_S = 0.5
_FACTS = (
    "id",
    "name",
    "status",
    "total",
    "queued",
    "sent",
    "failed",
    "processed",
    "delivered",
    "unconfirmed",
    "scheduled_at",
)


@campaign.command()
def create(
    name: Annotated[str, typer.Option(help="What you call the campaign.")],
    text: Annotated[
        str,
        typer.Option(help="The text, with tags such as {{first_name|there}}; @FILE reads a file."),
    ],
    list_id: Annotated[
        int | None,
        typer.Option("--list", help="The id of a list of contacts; without it, all contacts."),
    ] = None,
    segment: Annotated[
        int | None, typer.Option("--segment", help="The id of a segment: only those it means.")
    ] = None,
    wanted: Annotated[
        str | None,
        typer.Option(
            "--filter", help="Only whom this filter means, as text or JSON; @FILE reads a file."
        ),
    ] = None,
    excluded: Annotated[
        list[int] | None,
        typer.Option(
            "--exclude-campaign",
            help="To nobody who has a message of the campaign with this id; may be repeated.",
        ),
    ] = None,
    sender: Annotated[
        str | None, typer.Option(help="Who it comes from; without it, the account's sender.")
    ] = None,
    account: Annotated[
        int | None, typer.Option(help="The traffic account's id; without it, the default one.")
    ] = None,
    scheduled_at: Annotated[
        str | None,
        typer.Option(
            "--at", help="When to start by itself: 2027-03-01T09:00Z, or without Z in --timezone."
        ),
    ] = None,
    timezone: Annotated[
        str | None, typer.Option(help="The time zone of an --at without Z, such as Europe/Athens.")
    ] = None,
    start_by: StartBy = None,
    send_window: SendWindow = None,
    rate_max: RateMax = None,
    rate_window_ms: RateWindow = None,
    tenant_name: TenantName = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Make a campaign: a draft, or scheduled when it has a time."""
    words = Path(text[1:]).read_text(encoding="utf-8") if text.startswith("@") else text
    new = NewCampaign(
        name=name,
        text=words.rstrip("\n") if text.startswith("@") else words,
        list_id=list_id,
        segment_id=segment,
        filter=None if wanted is None else segment_json.write(filter_in(wanted)),
        exclude_campaign_ids=excluded or (),
        sender=sender,
        traffic_account_id=account,
        scheduled_at=scheduled_at,
        timezone=timezone,
        start_by=start_by,
        send_window=_window(send_window),
        rate_max=None if rate_max == NONE else rate_max,
        rate_window_ms=None if rate_window_ms == NONE else rate_window_ms,
    )
    _order(tenant_name, lambda orders, tenant: orders.create_campaign(tenant, new), as_json)


@campaign.command("list")
def list_campaigns(
    status: Annotated[
        CampaignStatus | None, typer.Option(help="Only campaigns in this state.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many at most.")] = 50,
    tenant_name: TenantName = None,
    *,
    as_json: AsJson = False,
) -> None:
    """List campaigns, the newest first."""
    with session() as here:
        tenant = here.tenant(tenant_name)
        found = here.order(
            lambda orders: orders.campaigns(tenant.id, before=None, limit=limit, status=status)
        )
    documents = [Campaign.of(shown).model_dump(mode="json") for shown in found]
    if as_json:
        say_json(documents)
    else:
        columns = _FACTS[:9]
        say_table(columns, [[document[name] for name in columns] for document in documents])


@campaign.command()
def show(
    campaign_id: CampaignId, tenant_name: TenantName = None, *, as_json: AsJson = False
) -> None:
    """Show one campaign, its numbers and what it waits for."""
    _order(tenant_name, lambda orders, tenant: orders.campaign(tenant, campaign_id), as_json)


@campaign.command("audience")
def show_audience(
    campaign_id: CampaignId, tenant_name: TenantName = None, *, as_json: AsJson = False
) -> None:
    """Count whom a campaign is for: eligible, excluded and suppressed contacts."""
    with session() as here:
        tenant = here.tenant(tenant_name)
        counted = here.database.read_now(audience.count, tenant.id, campaign_id)
    facts = asdict(counted)
    say_json(facts) if as_json else say_facts(facts)


@campaign.command()
def start(
    campaign_id: CampaignId, tenant_name: TenantName = None, *, as_json: AsJson = False
) -> None:
    """Start a draft or scheduled campaign, or let a paused one go on."""
    with session() as here:
        tenant = here.tenant(tenant_name)
        done = here.order(lambda orders: orders.enqueue(tenant.id, campaign_id))
    facts = {
        "ok": True,
        "campaign_id": done.campaign_id,
        "created": done.created,
        "batches": done.batches,
    }
    say_json(facts) if as_json else say_facts(facts)


@campaign.command()
def change(
    campaign_id: CampaignId,
    start_by: StartBy = None,
    send_window: SendWindow = None,
    rate_max: RateMax = None,
    rate_window_ms: RateWindow = None,
    tenant_name: TenantName = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Change by when a campaign starts, in which hours it is sent, and how fast.

    It may be sending; the change counts from the next call on. What is left out
    stays as it is; none takes a value away.

    Example:
    paceline campaign change 1 --send-window 09:00-20:00 --rate-max 5
    paceline campaign change 1 --send-window none
    """
    given = {
        "start_by": start_by,
        "send_window": send_window,
        "rate_max": rate_max,
        "rate_window_ms": rate_window_ms,
    }
    read: dict[str, Callable[[Any], Any]] = {"send_window": _window}
    changes = {
        name: None if value == NONE else read.get(name, _as_it_is)(value)
        for name, value in given.items()
        if value is not None
    }
    if not changes:
        raise typer.BadParameter("say what to change: --send-window, --rate-max, …")
    _order(tenant_name, lambda orders, tenant: orders.change(tenant, campaign_id, changes), as_json)


@campaign.command()
def pause(
    campaign_id: CampaignId, tenant_name: TenantName = None, *, as_json: AsJson = False
) -> None:
    """Pause a campaign; calls that are under way finish."""
    _order(tenant_name, lambda orders, tenant: orders.pause(tenant, campaign_id), as_json)


@campaign.command()
def resume(
    campaign_id: CampaignId, tenant_name: TenantName = None, *, as_json: AsJson = False
) -> None:
    """Let a paused campaign go on."""
    _order(tenant_name, lambda orders, tenant: orders.resume(tenant, campaign_id), as_json)


@campaign.command()
def cancel(
    campaign_id: CampaignId, tenant_name: TenantName = None, *, as_json: AsJson = False
) -> None:
    """Cancel a campaign for good; messages that are queued fail with reason cancelled.

    Messages that may have been sent stay unconfirmed until you decide.
    """
    _order(tenant_name, lambda orders, tenant: orders.cancel(tenant, campaign_id), as_json)


@campaign.command()
def watch(
    campaign_id: CampaignId, tenant_name: TenantName = None, *, as_json: AsJson = False
) -> None:
    """Follow a campaign until it is over, with a line for each change.

    Exit status 0 when it is completed; 1 when it is cancelled or failed, or
    waits for your decision. With --json, each line is a document.
    """
    with session() as here:
        tenant = here.tenant(tenant_name)
        last = here.order(lambda orders: _follow(orders, tenant.id, campaign_id, as_json=as_json))
    if last.campaign.status != CampaignStatus.COMPLETED:
        what = last.waiting_for.detail if last.waiting_for else f"It is {last.campaign.status}."
        complain(what)
        raise typer.Exit(ExitCode.FAILED)


@campaign.command()
def unconfirmed(
    campaign_id: CampaignId,
    tenant_name: TenantName = None,
    *,
    resend: Annotated[
        bool, typer.Option("--resend", help="Send them again, some perhaps twice.")
    ] = False,
    fail: Annotated[bool, typer.Option("--fail", help="Count them as failed.")] = False,
    accept: Annotated[bool, typer.Option("--accept", help="Count them as sent.")] = False,
    as_json: AsJson = False,
) -> None:
    """Decide what becomes of messages that may or may not have been sent.

    A call to the provider was not answered, so nobody knows. Compare with the
    provider's own log, then choose one option.

    Example:
    paceline campaign unconfirmed 1 --accept
    """
    if resend + fail + accept != 1:
        raise typer.BadParameter("choose one of --resend, --fail and --accept")
    decision = Decision.RESEND if resend else Decision.FAIL if fail else Decision.ACCEPT
    with session() as here:
        tenant = here.tenant(tenant_name)
        concerned = here.order(lambda orders: orders.decide(tenant.id, campaign_id, decision))
    facts = {"campaign_id": campaign_id, "action": str(decision), "messages": concerned}
    say_json(facts) if as_json else say_facts(facts)


def _order(
    tenant_name: str | None,
    carry_out: Callable[[Orders, int], Awaitable[Shown]],
    as_json: bool,
) -> None:
    with session() as here:
        _show(here, tenant_name, carry_out, as_json=as_json)


def _show(
    here: Session,
    tenant_name: str | None,
    carry_out: Callable[[Orders, int], Awaitable[Shown]],
    *,
    as_json: bool,
) -> None:
    tenant = here.tenant(tenant_name)
    shown = here.order(lambda orders: carry_out(orders, tenant.id))
    document = Campaign.of(shown).model_dump(mode="json")
    say_json(document) if as_json else say_facts(_facts(document))


def _as_it_is(value: Any) -> Any:
    return value


def _window(written: str | None) -> dict[str, str] | None:
    """Hours as the API has them, of hours such as 09:00-20:00."""
    if written is None or written == NONE:
        return None
    since, until = hours_of(written, "--send-window")
    return {"from": since, "until": until}


def _facts(document: dict[str, Any]) -> dict[str, Any]:
    waiting = document["waiting_for"]
    return {name: document[name] for name in _FACTS} | {
        "waits for": waiting and f"{waiting['detail']} (until {waiting['until'] or 'you act'})"
    }


async def _follow(orders: Orders, tenant_id: int, campaign_id: int, *, as_json: bool) -> Shown:
    """Say each change; the campaign when it is over, or when only a person can move it on."""
    before: dict[str, Any] = {}
    while True:
        shown = await orders.campaign(tenant_id, campaign_id)
        document = StatusDocument.of(shown).model_dump(mode="json")
        if document != before:
            if as_json:
                say_json(document)
            else:
                say("  ".join(f"{name} {value}" for name, value in document["metrics"].items()))
        waits_for_you = shown.waiting_for is not None and shown.waiting_for.cause is Cause.DECISION
        if waits_for_you or (shown.campaign.status in FINAL and not shown.campaign.queued):
            return shown
        before = document
        await asyncio.sleep(_WATCH_EVERY_S)


campaign_figures.add_to(campaign)
COMMANDS = {"campaign": campaign}
