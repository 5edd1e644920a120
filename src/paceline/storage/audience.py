"""Audiences: whom a filter means, and whom a campaign is for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    and_,
    case,
    exists,
    func,
    not_,
    or_,
    select,
)

from paceline.domain import segment_json
from paceline.domain.campaign import CampaignStatus
from paceline.domain.segment import Filter
from paceline.storage import campaigns as campaigns_table
from paceline.storage import resends, segments
from paceline.storage.database import AnyRow, now
from paceline.storage.schema import contacts, list_members, messages
from paceline.storage.segment_sql import condition_of
from paceline.storage.suppressions import SUPPRESSED

EXAMPLES = 10


@dataclass(frozen=True, slots=True)
class Preview:
    """Whom a filter means: how many who are not suppressed, some of these, and how many who are."""

    count: int
    suppressed: int
    examples: list[AnyRow]


@dataclass(frozen=True, slots=True)
class Counted:
    """A campaign's audience. The three add up to all whom its list and its filter mean, or whose
    message in its parent failed and who are still to get one.
    """

    eligible: int
    excluded: int
    """They have a message of a campaign whose recipients get none; not suppressed."""
    suppressed: int


@dataclass(frozen=True, slots=True)
class Rule:
    """Whom a launch takes of a list or of the whole book: the same for all of its chunks."""

    wanted: Filter | None
    """None: everybody."""
    excluded: tuple[int, ...]
    """Campaigns whose recipients get none."""
    at: int
    """The moment that days are counted back from."""

    @property
    def takes_everybody(self) -> bool:
        return self.wanted is None and not self.excluded

    @property
    def document(self) -> Mapping[str, Any] | None:
        """The filter as the launch keeps it."""
        return None if self.wanted is None else segment_json.write(self.wanted)

    def conditions(self, connection: Connection, tenant_id: int) -> list[ColumnElement[bool]]:
        """On ``contacts``."""
        found = []
        if self.wanted is not None:
            found.append(condition_of(connection, tenant_id, self.wanted, self.at))
        if self.excluded:
            found.append(not_(self.has_a_message(tenant_id)))
        return found

    def has_a_message(self, tenant_id: int) -> ColumnElement[bool]:
        """The contact is a recipient of a campaign whose recipients get none."""
        return exists().where(
            messages.c.campaign_id.in_(self.excluded),
            messages.c.phone == contacts.c.phone,
            messages.c.tenant_id == tenant_id,
        )


def rule_of(connection: Connection, campaign: AnyRow, at: int) -> Rule:
    """The rule of a campaign that starts at ``at``, or has started then."""
    document = campaign.filter
    if document is None and campaign.segment_id is not None:
        document = segments.get(connection, campaign.tenant_id, campaign.segment_id).filter
    wanted = None if document is None else segment_json.read(document)
    return Rule(wanted, tuple(campaign.excluded_campaigns or ()), at)


def members(list_id: int | None) -> FromClause:
    """The contacts of a list, or all of them."""
    if list_id is None:
        return contacts
    on_list = and_(list_members.c.contact_id == contacts.c.id, list_members.c.list_id == list_id)
    return contacts.join(list_members, on_list)


def preview(connection: Connection, tenant_id: int, wanted: Filter) -> Preview:
    """Whom a filter means at this moment; the examples are the oldest contacts of these."""
    meant = and_(
        contacts.c.tenant_id == tenant_id,
        condition_of(connection, tenant_id, wanted, now(connection)),
    )
    total, suppressed = connection.execute(
        select(func.count(), func.count(case((SUPPRESSED, 1)))).select_from(contacts).where(meant)
    ).one()
    some = select(contacts).where(meant, not_(SUPPRESSED)).order_by(contacts.c.id).limit(EXAMPLES)
    examples = list(connection.execute(some)) if total > suppressed else []
    return Preview(total - suppressed, suppressed, examples)


def count(connection: Connection, tenant_id: int, campaign_id: int) -> Counted:
    """The audience of a campaign as it would be launched at this moment; of one that has started,
    by the filter that it started with.

    Raises:
        NotFoundError: this tenant has no such campaign.
    """
    campaign = campaigns_table.get(connection, tenant_id, campaign_id)
    waits = campaign.status in {CampaignStatus.DRAFT, CampaignStatus.SCHEDULED}
    at = campaign.started_at if campaign.started_at and not waits else now(connection)
    return count_of(connection, campaign, at)


def count_of(connection: Connection, campaign: Any, at: int) -> Counted:
    """As ``count``, of a campaign's row or what has its columns, launched at a moment."""
    if campaign.parent_id is not None:
        people = resends.whom(connection, campaign).with_only_columns(
            func.count(), func.count(case((SUPPRESSED, 1)))
        )
        total, suppressed = connection.execute(people).one()
        return Counted(total - suppressed, 0, suppressed)
    tenant_id = campaign.tenant_id
    rule = rule_of(connection, campaign, at)
    conditions = [contacts.c.tenant_id == tenant_id]
    if rule.wanted is not None:
        conditions.append(condition_of(connection, tenant_id, rule.wanted, at))
    out = or_(SUPPRESSED, rule.has_a_message(tenant_id)) if rule.excluded else SUPPRESSED
    total, suppressed, left_out = connection.execute(
        select(func.count(), func.count(case((SUPPRESSED, 1))), func.count(case((out, 1))))
        .select_from(members(campaign.list_id))
        .where(*conditions)
    ).one()
    return Counted(total - left_out, left_out - suppressed, suppressed)
