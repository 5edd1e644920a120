"""For which reasons a message is worth sending again."""

from __future__ import annotations

from typing import Final

from paceline.domain.campaign import CampaignStatus
from paceline.domain.message import Reason

USUALLY: Final = (
    Reason.ATTEMPTS_EXHAUSTED,
    Reason.UNDELIVERED,
    Reason.EXPIRED,
    Reason.REJECTED,
    Reason.RATE_LIMIT_EXCEEDED,
    Reason.INTERNAL_ERROR,
)
"""Nothing reached them, and another day or another sender may."""

IF_ASKED: Final = (
    Reason.CANCELLED,
    Reason.FREQUENCY_CAP,
    Reason.INVALID_NUMBER,
    Reason.GIVEN_UP,
)
"""Somebody wanted it so, or it can hardly help. Whose message was given up may have got it."""

ALLOWED: Final = (*USUALLY, *IF_ASKED)
"""All but `opted_out`: they do not want it."""

FROM: Final = (CampaignStatus.COMPLETED, CampaignStatus.CANCELLED)
"""Only a campaign that is over can be sent again: what is queued may still arrive."""
