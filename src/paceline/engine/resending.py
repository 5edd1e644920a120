"""Sending a campaign again to those whom it failed to reach."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from paceline.domain import again
from paceline.domain.errors import EmptyAudienceError, InvalidInputError, WrongStateError
from paceline.domain.message import Reason
from paceline.engine.drafts import MAX_NAME, NewCampaign, campaign_values
from paceline.engine.orders import Orders, Shown
from paceline.engine.waiting import waiting_for
from paceline.storage import campaigns, idempotency, resends, standings
from paceline.storage.idempotency import Once

_AGAIN = " (again)"
_AS_BEFORE = ("window_from", "window_until", "rate_max", "rate_window_ms")
"""How the new one is sent; only the time by which the first had to start is over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resend:
    """What to send again. No ``reasons``: those of ``again.USUALLY``; what else is left out is as
    in the campaign that is sent again.
    """

    reasons: Sequence[Reason] | None = None
    name: str | None = None
    text: str | None = None
    sender: str | None = None
    traffic_account_id: int | None = None


async def resend(
    orders: Orders, tenant_id: int, campaign_id: int, what: Resend, *, once: Once | None = None
) -> Shown:
    """Make a draft for those whom a campaign failed to reach.

    Raises:
        NotFoundError: this tenant has no such campaign.
        WrongStateError: it is neither completed nor cancelled.
        InvalidInputError: with every fault of what is asked for.
        EmptyAudienceError: nobody failed for these reasons.
        SimulatorOnlyError: these are a test's orders, and the campaign is none.
    """
    await orders.database.read(orders.may_touch, tenant_id, campaign_id)
    parent = await orders.database.read(campaigns.get, tenant_id, campaign_id)
    reasons = _reasons(what.reasons)
    description = NewCampaign(
        name=what.name or f"{parent.name[: MAX_NAME - len(_AGAIN)]}{_AGAIN}",
        text=what.text or parent.text,
        sender=what.sender or parent.sender,
        traffic_account_id=what.traffic_account_id or parent.account_id,
    )
    values = await orders.database.read(
        campaign_values,
        tenant_id,
        description,
        max_parts=orders.settings.max_parts,
        public_url=orders.settings.public_url,
        test=orders.test,
    )
    values |= {name: getattr(parent, name) for name in _AS_BEFORE}
    if parent.status not in again.FROM:
        raise WrongStateError("resend", parent.status, again.FROM)

    def create(connection: Connection) -> Shown:
        if not resends.failed(connection, campaign_id, reasons):
            raise EmptyAudienceError(
                f"There is nobody to send to again: no message failed for {', '.join(reasons)}."
            )
        made = campaigns.create(
            connection,
            tenant_id,
            **values,
            parent_id=campaign_id,
            parent_reasons=reasons,
            actor=orders.actor,
        )
        standing = standings.of(connection, tenant_id, made.id)
        return Shown(standing.campaign, waiting_for(standing, orders.rules.pacing))

    return await orders.database.write(idempotency.run, tenant_id, once, create)


def _reasons(asked_for: Sequence[Reason] | None) -> list[str]:
    """Each reason once, in the order of ``again.ALLOWED``.

    Raises:
        InvalidInputError: there is none, or one for which nothing is sent again.
    """
    if asked_for is None:
        return [str(reason) for reason in again.USUALLY]
    if not asked_for:
        raise InvalidInputError.of("reasons", "is empty: leave it out, or name some")
    if never := sorted(set(asked_for) - set(again.ALLOWED)):
        raise InvalidInputError.of("reasons", f"{', '.join(never)}: for this nothing is sent again")
    return [str(reason) for reason in again.ALLOWED if reason in asked_for]
