"""What the calls of reserved batches are rendered from: a few statements, however many batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, Select, bindparam, null, select, true

from paceline.domain.message import MessageStatus
from paceline.storage.among import among
from paceline.storage.batches import ReservedBatch
from paceline.storage.database import AnyRow
from paceline.storage.schema import campaigns, installation, messages, tenants, traffic_accounts


@dataclass(frozen=True, slots=True)
class LoadedBatch:
    """All that a call is rendered from, of one snapshot."""

    batch: ReservedBatch
    recipients: list[Any]
    """Rows of (id, phone, merge_values: JSON text or None), by id."""
    text: str
    sender: str
    opt_outs: int
    account: AnyRow
    """Has the columns of the traffic account, and others."""
    installation: str


def load(connection: Connection, reserved: Sequence[ReservedBatch]) -> Iterator[LoadedBatch]:
    """Read what is needed to render reserved batches, one after another in the order of their ids.

    Args:
        connection: of a read; it is used until the last one was taken.
        reserved: of one traffic account.
    """
    if not reserved:
        return
    common = _common(connection, reserved)
    singles = _singles(connection, [each.id for each in reserved if each.campaign_id is None])
    found = connection.execute(_RECIPIENTS, {"ids": sorted(each.id for each in reserved)})
    recipients = groupby(found, key=lambda row: row.batch_id)
    batch_id, rows = next(recipients, _END)
    before: int | None = None
    of_batch: list[Any] = []
    for batch in sorted(reserved, key=lambda each: each.id):
        if batch.id != before:  # who has lost a batch may come beside who has it now
            before, of_batch = batch.id, []
            if batch_id == batch.id:
                of_batch = list(rows)
                batch_id, rows = next(recipients, _END)
        shared = common[batch.tenant_id, batch.campaign_id]
        said = singles.get(batch.id, shared)
        yield LoadedBatch(
            batch,
            of_batch,
            said.text or "",
            said.sender or "",
            shared.opt_outs,
            shared,
            shared.prefix,
        )


_END: tuple[int | None, Iterator[Any]] = (None, iter(()))


def _common(
    connection: Connection, reserved: Sequence[ReservedBatch]
) -> dict[tuple[int, int | None], AnyRow]:
    """What the messages of a batch have in common, by tenant and campaign."""
    of_campaigns = {each.campaign_id for each in reserved if each.campaign_id is not None}
    of_tenants = {each.tenant_id for each in reserved if each.campaign_id is None}
    account = reserved[0].account_id
    rows: list[AnyRow] = []
    for statement, ids in ((_OF_CAMPAIGNS, of_campaigns), (_OF_TENANTS, of_tenants)):
        if ids:
            rows += connection.execute(statement, {"account": account, "ids": sorted(ids)})
    return {(row.tenant_id, row.campaign_id): row for row in rows}


def _singles(connection: Connection, batch_ids: Sequence[int]) -> dict[int, AnyRow]:
    """Text and sender of messages without a campaign, by batch."""
    if not batch_ids:
        return {}
    return {row.batch_id: row for row in connection.execute(_SINGLES, {"ids": sorted(batch_ids)})}


_RECIPIENTS = (
    select(messages.c.id, messages.c.phone, messages.c.merge_values, messages.c.batch_id)
    .where(among(messages.c.batch_id, "ids"), messages.c.status == MessageStatus.QUEUED)
    .order_by(messages.c.batch_id, messages.c.id)
)
_SINGLES = select(messages.c.batch_id, messages.c.text, messages.c.sender).where(
    among(messages.c.batch_id, "ids")
)


def _with_account(*more: Any) -> Select[Any]:
    """Tenants and, in each row, the account."""
    return (
        select(
            traffic_accounts.c.id,
            traffic_accounts.c.provider,
            traffic_accounts.c.base_url,
            traffic_accounts.c.external_id,
            traffic_accounts.c.api_key,
            traffic_accounts.c.options,
            traffic_accounts.c.server_error,
            traffic_accounts.c.webhook_token,
            traffic_accounts.c.rate_max,
            traffic_accounts.c.rate_window_ms,
            tenants.c.id.label("tenant_id"),
            tenants.c.opt_outs,
            installation.c.prefix,
            *more,
        )
        .join_from(tenants, traffic_accounts, traffic_accounts.c.id == bindparam("account"))
        .join(installation, true())
    )


_OF_CAMPAIGNS = (
    _with_account(campaigns.c.id.label("campaign_id"), campaigns.c.text, campaigns.c.sender)
    .join(campaigns, campaigns.c.tenant_id == tenants.c.id)
    .where(among(campaigns.c.id, "ids"))
)
_OF_TENANTS = _with_account(
    null().label("campaign_id"), null().label("text"), null().label("sender")
).where(among(tenants.c.id, "ids"))
