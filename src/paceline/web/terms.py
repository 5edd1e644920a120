"""What the states of things are called on the pages; each is looked up in the catalogue."""

from __future__ import annotations

from collections.abc import Mapping

from paceline.domain.campaign import CampaignStatus
from paceline.domain.eta import Bound
from paceline.domain.message import BatchStatus, Delivery, MessageStatus, Reason
from paceline.domain.role import Role
from paceline.domain.scope import Scope
from paceline.engine.waiting import Cause
from paceline.storage.at_work import Place


def N_(text: str) -> str:  # noqa: N802 - gettext's name for what is translated later
    """Mark a text for the catalogue."""
    return text


CAMPAIGN: Mapping[str, str] = {
    CampaignStatus.DRAFT: N_("Draft"),
    CampaignStatus.SCHEDULED: N_("Scheduled"),
    CampaignStatus.SENDING: N_("Sending"),
    CampaignStatus.PAUSED: N_("Paused"),
    CampaignStatus.COMPLETED: N_("Completed"),
    CampaignStatus.CANCELLED: N_("Cancelled"),
    CampaignStatus.FAILED: N_("Failed"),
}
MESSAGE: Mapping[str, str] = {
    MessageStatus.QUEUED: N_("Queued"),
    MessageStatus.SENT: N_("Sent"),
    MessageStatus.FAILED: N_("Failed"),
}
DELIVERY: Mapping[str, str] = {
    Delivery.NONE: N_("No receipt yet"),
    Delivery.DELIVERED: N_("Delivered"),
    Delivery.UNDELIVERED: N_("Not delivered"),
    Delivery.EXPIRED: N_("Expired"),
}
BATCH: Mapping[str, str] = {
    BatchStatus.QUEUED: N_("Queued"),
    BatchStatus.RESERVED: N_("Ready"),
    BatchStatus.SUBMITTING: N_("Submitting"),
    BatchStatus.UNCONFIRMED: N_("Unconfirmed"),
    BatchStatus.DONE: N_("Done"),
    BatchStatus.CANCELLED: N_("Cancelled"),
}
REASON: Mapping[str, str] = {
    Reason.RATE_LIMIT_EXCEEDED: N_("Our own limit, at every try"),
    Reason.OPTED_OUT: N_("Opted out"),
    Reason.INVALID_NUMBER: N_("Not a valid number"),
    Reason.REJECTED: N_("Rejected by the provider"),
    Reason.UNDELIVERED: N_("Not delivered"),
    Reason.EXPIRED: N_("Expired on the way"),
    Reason.CANCELLED: N_("Cancelled"),
    Reason.ATTEMPTS_EXHAUSTED: N_("Out of tries"),
    Reason.INTERNAL_ERROR: N_("An error of ours"),
    Reason.GIVEN_UP: N_("Given up after doubt"),
    Reason.FREQUENCY_CAP: N_("Has had enough messages lately"),
}
WAITS: Mapping[str, str] = {
    Cause.SCHEDULED: N_("Waiting for its scheduled time"),
    Cause.PAUSED: N_("Paused: resume it to go on"),
    Cause.ACCOUNT_HELD: N_("Its traffic account is held until somebody releases it"),
    Cause.ACCOUNT_CLOSED: N_("Waiting for the provider to recover"),
    Cause.RETRY: N_("Waiting to try again"),
    Cause.QUIET_HOURS: N_("Waiting for the end of quiet hours"),
    Cause.SEND_WINDOW: N_("Waiting for the hours in which it is sent"),
    Cause.DAILY_CAP: N_("Waiting for tomorrow: the cap of today is reached"),
    Cause.CAMPAIGN_LIMIT: N_("Waiting for its own speed"),
    Cause.TENANT_LIMIT: N_("Waiting for the limit of %(tenant)s"),
    Cause.ACCOUNT_LIMIT: N_("Waiting for the limit of the traffic account"),
    Cause.DECISION: N_("Needs a decision about unconfirmed messages"),
}
BOUND: Mapping[str, str] = {
    Bound.TURNS: N_("the turns of others on the traffic account"),
    Bound.TENANT_LIMIT: N_("the limit of %(tenant)s"),
    Bound.ACCOUNT_LIMIT: N_("the limit of the traffic account"),
    Bound.CAMPAIGN_LIMIT: N_("its own speed"),
    Bound.CALLS: N_("how fast the provider answers"),
}
PLACE: Mapping[str, str] = {
    Place.READY: N_("Ready"),
    Place.RETRYING: N_("Waiting to try again"),
    Place.ANOTHER_TIME: N_("Waiting for another time of the day"),
    Place.STOPPED: N_("In paused campaigns"),
    Place.ACCOUNT_SHUT: N_("Account held or closed"),
    Place.IN_HAND: N_("Reserved by a worker"),
    Place.SUBMITTING: N_("Submitting"),
    Place.UNCONFIRMED: N_("Unconfirmed"),
}
ROLE: Mapping[str, str] = {
    Role.VIEWER: N_("Viewer"),
    Role.SENDER: N_("Sender"),
    Role.MANAGER: N_("Manager"),
    Role.ADMIN: N_("Administrator"),
}
SCOPE: Mapping[str, str] = {
    Scope.READ: N_("See everything of the tenant"),
    Scope.SEND: N_("Make, start and stop campaigns, and send messages"),
    Scope.MANAGE: N_("Change contacts, lists, suppressions, webhooks and keys"),
    Scope.ADMIN: N_("Change tenants and traffic accounts of the installation"),
}
OUTCOME: Mapping[str, str] = {
    "answered": N_("Answered"),
    "rejected": N_("Rejected whole"),
    "refused": N_("Account refused"),
    "not_sent": N_("Not sent"),
    "throttled": N_("Asked to slow down"),
    "server_error": N_("Server error"),
    "no_answer": N_("No answer"),
    "void": N_("Permit ran out, nothing sent"),
}
ALL: Mapping[str, Mapping[str, str]] = {
    "campaign": CAMPAIGN,
    "message": MESSAGE,
    "delivery": DELIVERY,
    "batch": BATCH,
    "reason": REASON,
    "waits": WAITS,
    "bound": BOUND,
    "place": PLACE,
    "role": ROLE,
    "scope": SCOPE,
    "outcome": OUTCOME,
}
