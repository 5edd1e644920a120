"""What a campaign is before it starts: as it is described, and as columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Required, TypedDict

from sqlalchemy import Connection, select

from paceline.domain import segment_json
from paceline.domain.campaign import CampaignStatus
from paceline.domain.errors import NotFoundError
from paceline.domain.segment import Filter
from paceline.storage import segments
from paceline.storage.schema import lists


class Described(TypedDict, total=False):
    """A campaign, checked. From ``start_by`` on as ``campaigns.set_pace``."""

    account_id: Required[int]
    """What it is sent on."""
    name: Required[str]
    """What people call it."""
    text: Required[str]
    """With merge tags."""
    sender: Required[str]
    """Whom it comes from."""
    list_id: int | None
    """Only to contacts on this list."""
    segment_id: int | None
    """Only to whom this segment means when the campaign starts."""
    wanted: Filter | None
    """Only to whom this filter means."""
    exclude_campaign_ids: Sequence[int]
    """To nobody who has a message of these."""
    scheduled_at: int | None
    """When it starts by itself."""
    timezone: str | None
    """In which that was said."""
    start_by: int | None
    """It starts by then or not at all."""
    window_from: int | None
    """The minute of the tenant's day from which on it is sent."""
    window_until: int | None
    """The one at which that ends."""
    rate_max: int | None
    """Calls of its own in a window."""
    rate_window_ms: int | None
    """That window."""


_AS_THEY_ARE = (
    "account_id",
    "name",
    "text",
    "sender",
    "list_id",
    "segment_id",
    "scheduled_at",
    "timezone",
    "start_by",
    "window_from",
    "window_until",
    "rate_max",
    "rate_window_ms",
)


def columns_of(connection: Connection, tenant_id: int, described: Described) -> dict[str, Any]:
    """The columns of a campaign that has not started: a draft, or scheduled when it has a time. Its
    list, its segment and the lists of its filter are kept from being deleted until the transaction
    ends.

    Raises:
        NotFoundError: this tenant has no such list or segment.
        InvalidInputError: the filter names lists or campaigns that this tenant does not have.
    """
    given: dict[str, Any] = {**described}
    list_id, segment_id = given.get("list_id"), given.get("segment_id")
    wanted: Filter | None = given.get("wanted")
    if list_id is not None:
        _hold_list(connection, tenant_id, list_id)
    if segment_id is not None:
        segments.hold(connection, tenant_id, segment_id)
    if wanted is not None:
        segments.hold_lists(connection, tenant_id, wanted)
    timed = given.get("scheduled_at") is not None
    return {
        **{name: given.get(name) for name in _AS_THEY_ARE},
        "filter": None if wanted is None else segment_json.write(wanted),
        "excluded_campaigns": sorted(set(given.get("exclude_campaign_ids", ()))) or None,
        "status": CampaignStatus.SCHEDULED if timed else CampaignStatus.DRAFT,
    }


def _hold_list(connection: Connection, tenant_id: int, list_id: int) -> None:
    found = select(lists.c.id).where(lists.c.id == list_id, lists.c.tenant_id == tenant_id)
    held = found.with_for_update(read=True, key_share=True)  # it is not deleted meanwhile
    if connection.execute(held).first() is None:
        raise NotFoundError("list", list_id)
