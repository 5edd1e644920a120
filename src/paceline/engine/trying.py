"""A campaign's text to a number of one's own, before everybody gets it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection

from paceline.domain import phone
from paceline.domain.errors import InvalidInputError
from paceline.engine.orders import Orders
from paceline.storage import audit_log, campaigns, idempotency, launches, messages
from paceline.storage.database import AnyRow
from paceline.storage.idempotency import Once

_PAGE = 500


async def send_test(
    orders: Orders,
    tenant_id: int,
    campaign_id: int,
    *,
    to: str,
    contact_id: int | None = None,
    actor: str,
    once: Once | None = None,
) -> AnyRow:
    """Send one message to a number, as the campaign would send it to a contact; return its row as
    ``messages.get`` gives it. The campaign and its counters have no part in it.

    Args:
        orders: what checks and wakes.
        tenant_id: whose it is.
        campaign_id: in any state.
        to: the number, which may not be suppressed.
        contact_id: with whose merge values; None: the first recipient's, or nobody's if there is
            none.
        actor: who tries, for the audit log.
        once: to be carried out once.

    Raises:
        NotFoundError: this tenant has no such campaign or contact.
        InvalidInputError: the number cannot be read, is suppressed, or was erased.
        SimulatorOnlyError: these are a test's orders, and the campaign is none.
    """
    campaign = await orders.database.read(campaigns.get, tenant_id, campaign_id)
    try:
        number = phone.parse(to, orders.settings.default_country)
    except phone.PhoneError as error:
        raise InvalidInputError.of("to", error.reason) from None
    merge_values = await orders.database.read(_values, campaign, contact_id)

    def queue(connection: Connection) -> AnyRow:
        orders.may_touch(connection, tenant_id, campaign_id)
        orders.erased_numbers.refuse(connection, tenant_id, number, where="to")
        message_id = messages.add_single(
            connection,
            tenant_id,
            to=number,
            text=campaign.text,
            sender=campaign.sender,
            account_id=campaign.account_id,
            merge_values=merge_values,
        )
        audit_log.write(
            connection,
            tenant_id=tenant_id,
            actor=actor,
            action="campaign.test",
            subject=f"campaign {campaign_id}",
            message_id=message_id,
        )
        return messages.get(connection, tenant_id, message_id)

    message = await orders.database.write(idempotency.run, tenant_id, once, queue)
    orders.wake()
    return message


def _values(connection: Connection, campaign: Any, contact_id: int | None) -> str | None:
    """The merge values to try with, as JSON text."""
    if contact_id is not None:
        return _text(launches.person(connection, campaign, contact_id))
    after, more = 0, True
    while more:
        rows, after, more = launches.people(connection, campaign, after=after, limit=_PAGE)
        if rows:
            return _text(rows[0])
    return None


def _text(row: AnyRow) -> str | None:
    values: str | None = row.merge_values
    return values
