"""A campaign's states and the only ways between them."""

from __future__ import annotations

from enum import StrEnum

from paceline.domain.errors import WrongStateError


class CampaignStatus(StrEnum):
    """Where a campaign stands.

    Every change is an UPDATE guarded by the status it starts from, so of two that race one loses.
    """

    DRAFT = "draft"
    """Made, or taken back from the schedule. Left by start, schedule or cancel."""
    SCHEDULED = "scheduled"
    """Waits for ``scheduled_at``. Left by that moment, unschedule, start or cancel."""
    SENDING = "sending"
    """Batches are dispatched. Left by pause, cancel, or when nothing is queued any more."""
    PAUSED = "paused"
    """No new intent is written; calls in flight finish. Left by resume, cancel or completion."""
    COMPLETED = "completed"
    """Every message is sent or failed. Final."""
    CANCELLED = "cancelled"
    """Given up by a person; what was queued is failed with reason ``cancelled``. Final."""
    FAILED = "failed"
    """Nobody to send to when its scheduled time came, or that was noticed after ``start_by``: an
    offer of yesterday must not go out today. Final."""


class CampaignVerb(StrEnum):
    """What can be asked of a campaign. The values read well after "asked to"."""

    SCHEDULE = "schedule"
    UNSCHEDULE = "unschedule"
    START = "start"
    PAUSE = "pause"
    RESUME = "resume"
    CANCEL = "cancel"
    COMPLETE = "complete"
    FAIL = "fail"


_S = CampaignStatus
TRANSITIONS: dict[CampaignVerb, tuple[frozenset[CampaignStatus], CampaignStatus]] = {
    CampaignVerb.SCHEDULE: (frozenset({_S.DRAFT, _S.SCHEDULED}), _S.SCHEDULED),
    CampaignVerb.UNSCHEDULE: (frozenset({_S.SCHEDULED}), _S.DRAFT),
    CampaignVerb.START: (frozenset({_S.DRAFT, _S.SCHEDULED}), _S.SENDING),
    CampaignVerb.PAUSE: (frozenset({_S.SENDING}), _S.PAUSED),
    CampaignVerb.RESUME: (frozenset({_S.PAUSED}), _S.SENDING),
    CampaignVerb.CANCEL: (
        frozenset({_S.DRAFT, _S.SCHEDULED, _S.SENDING, _S.PAUSED}),
        _S.CANCELLED,
    ),
    CampaignVerb.COMPLETE: (frozenset({_S.SENDING, _S.PAUSED}), _S.COMPLETED),
    CampaignVerb.FAIL: (frozenset({_S.SCHEDULED}), _S.FAILED),
}
"""Verb → (statuses it may start from, status it leads to). There are no other transitions."""

FINAL = frozenset({_S.COMPLETED, _S.CANCELLED, _S.FAILED})
MAY_DOUBT = (_S.SENDING, _S.PAUSED, _S.CANCELLED)
"""Where a campaign may have messages in doubt; it is completed only when there are none."""


def allowed_from(verb: CampaignVerb) -> tuple[CampaignStatus, ...]:
    """The statuses ``verb`` may start from, in the order of a campaign's life."""
    return tuple(status for status in CampaignStatus if status in TRANSITIONS[verb][0])


def after(verb: CampaignVerb, status: CampaignStatus) -> CampaignStatus:
    """The status that ``verb`` leads to.

    Raises:
        WrongStateError: ``verb`` may not start from ``status``.
    """
    starts, target = TRANSITIONS[verb]
    if status not in starts:
        raise WrongStateError(verb, status, allowed_from(verb))
    return target
