"""A campaign's messages from the first to the last, in pages by id."""

from __future__ import annotations

from sqlalchemy import BindParameter, Connection, bindparam, func, select

from paceline.storage import campaigns, messages
from paceline.storage.database import AnyRow
from paceline.storage.schema import messages as messages_table


def ends(connection: Connection, tenant_id: int, campaign_id: int) -> tuple[int, int]:
    """The ids of a campaign's first and last message; (1, 0): it has none.

    Raises:
        NotFoundError: this tenant has no such campaign.
    """
    campaigns.get(connection, tenant_id, campaign_id)
    first, last = connection.execute(_ENDS, {"campaign": campaign_id}).one()
    return (1, 0) if first is None else (first, last)


def page(
    connection: Connection,
    campaign_id: int,
    *,
    after: int,
    until: int,
    limit: int,
    status: str | None = None,
) -> list[AnyRow]:
    """The next messages of a campaign by id, as ``messages.page`` gives them.

    Args:
        connection: of a read.
        campaign_id: whose it is was checked by ``ends``.
        after: the last id of the page before.
        until: the last id that it goes to.
        limit: at most so many.
        status: only messages in this state.
    """
    chosen = (
        select(messages_table.c.id)
        .where(
            messages_table.c.id > after,
            messages_table.c.id <= until,
            messages_table.c.campaign_id == campaign_id,
        )
        .order_by(messages_table.c.id)
        .limit(limit)
    )
    if status is not None:
        chosen = chosen.where(messages_table.c.status == status)
    return messages.shown(connection, chosen)


_CAMPAIGN: BindParameter[int] = bindparam("campaign")
_ENDS = select(func.min(messages_table.c.id), func.max(messages_table.c.id)).where(
    messages_table.c.campaign_id == _CAMPAIGN
)
