"""What a campaign waits for, worked out in one place for everybody who shows it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from paceline.domain import limits
from paceline.domain.campaign import CampaignStatus
from paceline.domain.limits import Window
from paceline.domain.time_of_day import write_minutes
from paceline.storage.limits import Pacing, limit_of, speed_of
from paceline.storage.standings import Standing


class Cause(StrEnum):
    """Why a campaign is not sending this very moment."""

    SCHEDULED = "scheduled"
    PAUSED = "paused"
    ACCOUNT_HELD = "account_held"
    """The provider refused the account; an operator has to release it."""
    ACCOUNT_CLOSED = "account_closed"
    """The provider failed or asked for a pause."""
    RETRY = "retry"
    """Every queued batch waits for its backoff to end."""
    QUIET_HOURS = "quiet_hours"
    """It is night where everybody is to whom it has not been sent yet."""
    SEND_WINDOW = "send_window"
    """It is outside the hours in which it is to be sent."""
    DAILY_CAP = "daily_cap"
    """The tenant has sent as much today as it may."""
    TENANT_LIMIT = "tenant_limit"
    ACCOUNT_LIMIT = "account_limit"
    CAMPAIGN_LIMIT = "campaign_limit"
    """Its own speed."""
    DECISION = "decision"
    """Only unconfirmed messages are left; somebody has to decide about them."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """``until`` is milliseconds since 1970; None when only a person can end it."""

    cause: Cause
    until: int | None
    detail: str


def waiting_for(standing: Standing, pacing: Pacing) -> Waiting | None:
    """What a campaign waits for at the moment of its snapshot; None: for nothing but its turn."""
    campaign = standing.campaign
    match campaign.status:
        case CampaignStatus.SCHEDULED:
            return Waiting(Cause.SCHEDULED, campaign.scheduled_at, "Starts at its scheduled time.")
        case CampaignStatus.PAUSED:
            return Waiting(Cause.PAUSED, None, "Paused; resume it to go on.")
        case CampaignStatus.SENDING:
            return _while_sending(standing, pacing)
        case CampaignStatus.CANCELLED:
            return _decision(standing)
        case _:
            return None


def _while_sending(standing: Standing, pacing: Pacing) -> Waiting | None:
    if standing.due_at is None:
        busy = standing.in_hand or standing.campaign.launching
        return None if busy else _decision(standing)
    return (
        _account_held(standing)
        or _account_closed(standing)
        or _another_time(standing)
        or _retry(standing)
        or _window_full(standing, pacing)
    )


def _decision(standing: Standing) -> Waiting | None:
    unconfirmed = standing.campaign.unconfirmed
    if unconfirmed == 0 or unconfirmed < standing.campaign.queued:
        return None
    detail = f"{unconfirmed} unconfirmed: resend, fail or accept what may have been sent."
    return Waiting(Cause.DECISION, None, detail)


def _account_held(standing: Standing) -> Waiting | None:
    account = standing.account
    if account.held_at is None:
        return None
    detail = f"Traffic account {account.name} is held: {account.held_why}"
    return Waiting(Cause.ACCOUNT_HELD, None, detail)


def _account_closed(standing: Standing) -> Waiting | None:
    account = standing.account
    if account.closed_until is None or account.closed_until <= standing.at:
        return None
    if standing.due_at is not None and standing.due_at > account.closed_until:
        return None  # its own backoff lasts longer
    detail = f"Traffic account {account.name} is closed for a while: {account.closed_why}"
    return Waiting(Cause.ACCOUNT_CLOSED, account.closed_until, detail)


def _another_time(standing: Standing) -> Waiting | None:
    if standing.waits_for is None or not _put_off(standing):
        return None
    cause = Cause(standing.waits_for)
    return Waiting(cause, standing.due_at, _said(cause, standing))


def _said(cause: Cause, standing: Standing) -> str:
    match cause:
        case Cause.QUIET_HOURS:
            return "It is quiet hours where all are who are left; goes on when they end."
        case Cause.SEND_WINDOW:
            campaign = standing.campaign
            since, until = map(write_minutes, (campaign.window_from, campaign.window_until))
            return f"It is sent from {since} to {until} only, on the tenant's clock."
        case _:
            return "The tenant has sent as many messages as it may on one day; goes on the next."


def _put_off(standing: Standing) -> bool:
    """Whether nothing is in hand and the next batch is not due yet."""
    return standing.due_at is not None and standing.due_at > standing.at and not standing.in_hand


def _retry(standing: Standing) -> Waiting | None:
    if not _put_off(standing):
        return None
    return Waiting(Cause.RETRY, standing.due_at, standing.error or "A failed try is repeated.")


def _window_full(standing: Standing, pacing: Pacing) -> Waiting | None:
    opens = {
        cause: limits.open_at(Window.decode(row.grants), limit_of(row, default), standing.at)
        for cause, row, default in (
            (Cause.TENANT_LIMIT, standing.tenant, pacing.tenant),
            (Cause.ACCOUNT_LIMIT, standing.account, pacing.account),
        )
    }
    if (speed := speed_of(standing.campaign, pacing)) is not None:
        own = Window.decode(standing.campaign.grants)
        opens[Cause.CAMPAIGN_LIMIT] = limits.open_at(own, speed, standing.at)
    later = max(opens, key=lambda cause: opens[cause])
    if opens[later] <= standing.at:
        return None
    whose = _WHOSE[later]
    return Waiting(later, opens[later], f"The {whose}'s limit is reached for the moment.")


_WHOSE = {
    Cause.TENANT_LIMIT: "tenant",
    Cause.ACCOUNT_LIMIT: "traffic account",
    Cause.CAMPAIGN_LIMIT: "campaign",
}
