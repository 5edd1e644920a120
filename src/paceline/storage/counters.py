"""A campaign's counters, status and completion: one UPDATE of one row, always."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, and_, bindparam, case, or_, select, update

from paceline.domain.campaign import TRANSITIONS, CampaignStatus, CampaignVerb
from paceline.storage.among import among
from paceline.storage.schema import campaigns


def lock(connection: Connection, campaign_id: int | None) -> str | None:
    """Lock the campaign, first of all locks; return its status (None: no campaign)."""
    if campaign_id is None:
        return None
    status: str = connection.execute(_LOCK, {"campaign": campaign_id}).scalar_one()
    return status


def lock_all(connection: Connection, campaign_ids: Iterable[int | None]) -> dict[int | None, str]:
    """Lock campaigns by id, first of all locks; return their statuses."""
    ids = sorted({campaign_id for campaign_id in campaign_ids if campaign_id is not None})
    found = connection.execute(_LOCK_ALL, {"ids": ids}) if ids else ()
    return {row.id: row.status for row in found}


class Tally:
    """Changes of several batches, added to the counters at once."""

    def __init__(self) -> None:
        self._changes: dict[int, Counter[str]] = defaultdict(Counter)

    def add(self, campaign_id: int | None, **changes: int) -> None:
        """Count changes as ``counters.add`` names them; without a campaign nothing is counted."""
        if campaign_id is not None:
            self._changes[campaign_id].update({f"d_{name}": n for name, n in changes.items()})

    def write(self, connection: Connection, at: int) -> None:
        changed = [
            {"campaign": campaign_id, "at": at, **_NO_CHANGE, **changes}
            for campaign_id, changes in sorted(self._changes.items())
            if any(changes.values())
        ]
        if changed:
            connection.execute(_ADD, changed)


def add(
    connection: Connection,
    campaign_id: int | None,
    *,
    at: int,
    total: int = 0,
    queued: int = 0,
    sent: int = 0,
    failed: int = 0,
    delivered: int = 0,
    unconfirmed: int = 0,
) -> None:
    """Add these changes to the counters; the last queued message completes the campaign.

    The CHECK constraints refuse changes that do not add up. Without a campaign nothing is counted.
    """
    changes = {
        "d_total": total,
        "d_queued": queued,
        "d_sent": sent,
        "d_failed": failed,
        "d_delivered": delivered,
        "d_unconfirmed": unconfirmed,
    }
    if campaign_id is not None and any(changes.values()):
        connection.execute(_ADD, {"campaign": campaign_id, "at": at, **changes})


def complete_if_done(connection: Connection, campaign_id: int, at: int) -> None:
    """Complete a campaign whose launch has ended and that has nothing queued."""
    connection.execute(_ADD, {"campaign": campaign_id, "at": at, **_NO_CHANGE})


def _plus(name: str) -> Any:
    return campaigns.c[name] + bindparam(f"d_{name}")


_NO_CHANGE = dict.fromkeys(
    ("d_total", "d_queued", "d_sent", "d_failed", "d_delivered", "d_unconfirmed"), 0
)
_MAY_COMPLETE, _COMPLETED = TRANSITIONS[CampaignVerb.COMPLETE]
_DONE = and_(
    _plus("queued") == 0,
    campaigns.c.launching.is_(False),
    or_(*(campaigns.c.status == status for status in sorted(_MAY_COMPLETE))),
)

_LOCK = (
    select(campaigns.c.status)
    .where(campaigns.c.id == bindparam("campaign"))
    .with_for_update(key_share=True)
)
_LOCK_ALL = (
    select(campaigns.c.id, campaigns.c.status)
    .where(among(campaigns.c.id, "ids"))
    .order_by(campaigns.c.id)
    .with_for_update(key_share=True)
)
_ADD = (
    update(campaigns)
    .where(campaigns.c.id == bindparam("campaign"))
    .values(
        total=_plus("total"),
        queued=_plus("queued"),
        sent=_plus("sent"),
        failed=_plus("failed"),
        processed=campaigns.c.processed + bindparam("d_sent") + bindparam("d_failed"),
        delivered=_plus("delivered"),
        unconfirmed=_plus("unconfirmed"),
        status=case((_DONE, str(_COMPLETED)), else_=campaigns.c.status),
        completed_at=case((_DONE, bindparam("at")), else_=campaigns.c.completed_at),
        updated_at=bindparam("at"),
    )
)
assert CampaignStatus.COMPLETED is _COMPLETED  # noqa: S101 - the table's promise, read at import
