"""Launch: an audience becomes messages and batches, chunk by chunk.

A chunk is one transaction: it has happened whole or not at all, and any worker can do the next one.
Sending begins with the first chunk.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    String,
    Subquery,
    bindparam,
    cast,
    delete,
    func,
    insert,
    literal,
    literal_column,
    not_,
    null,
    select,
    update,
)
from sqlalchemy import Text as TextType
from sqlalchemy.exc import IntegrityError

from paceline.clock import iso
from paceline.domain.campaign import CampaignStatus, CampaignVerb
from paceline.domain.errors import EmptyAudienceError, NotFoundError, TooLateError
from paceline.domain.message import BatchStatus, MessageStatus
from paceline.domain.template import compile_text
from paceline.domain.webhook_event import EventType
from paceline.storage import audience, audit_log, by_region, counters, resends, webhook_events
from paceline.storage.audience import Rule
from paceline.storage.batches import BLOCK, new_block, open_lane
from paceline.storage.campaigns import lock_for, log
from paceline.storage.database import AnyRow, insert_new, is_postgres, now
from paceline.storage.schema import (
    batches,
    campaigns,
    contacts,
    launches,
    list_members,
    messages,
    tenants,
)
from paceline.storage.suppressions import SUPPRESSED
from paceline.storage.timing import is_quiet_sometimes

CHUNK = 5_000
"""Contacts a transaction takes. Small, so that the commits of those who send beside it do not wait
behind megabytes of its log; in any case below ``BLOCK`` batches."""

_NO_END = 2**63 - 1
_REACH = 8
"""Chunks that one looks through where a filter leaves people out: a few of each would make small
batches, and a batch costs a permit whatever its size."""

CONTACT_FIELDS = ("first_name", "last_name", "phone")
"""Merge tags that every contact has; all others are attributes."""


@dataclass(frozen=True, slots=True)
class Launched:
    """What one chunk wrote."""

    created: int
    batches: int
    finished: bool


def start(
    connection: Connection,
    tenant_id: int | None,
    campaign_id: int,
    *,
    batch_size: int,
    chunk: int | None = None,
    actor: str = audit_log.SYSTEM,
    by: int | None = None,
) -> Launched:
    """Start a campaign: its status changes and its first chunk is written, or neither.

    Args:
        connection: of a write transaction.
        tenant_id: whose it must be; None: the engine starts it on schedule.
        campaign_id: a draft or scheduled campaign.
        batch_size: messages per batch.
        chunk: contacts in it; None: ``CHUNK``.
        actor: who starts it, for the audit log.
        by: the moment after which it must not start, beside its own ``start_by``.

    Raises:
        NotFoundError: this tenant has no such campaign.
        WrongStateError: it is neither draft nor scheduled.
        EmptyAudienceError: nobody may be sent to; the campaign stays as it was.
        TooLateError: the time by which it has to start has passed; it stays as it was.
    """
    campaign = lock_to_start(connection, tenant_id, campaign_id)
    _refuse_late(connection, campaign.start_by, by)
    at = now(connection)
    rule = audience.rule_of(connection, campaign, at)
    eligible = _eligible(connection, campaign, rule, after=0, until=None).subquery()
    expected, until = connection.execute(
        select(func.count(), func.max(eligible.c.id)).select_from(eligible)
    ).one()
    if not expected:
        raise EmptyAudienceError(_nobody(rule))
    frozen = {} if rule.document is None else {"filter": rule.document}
    connection.execute(
        update(campaigns)
        .where(campaigns.c.id == campaign.id)
        .values(
            status=CampaignStatus.SENDING,
            audience=expected,
            launching=True,
            started_at=at,
            updated_at=at,
            **frozen,
        )
    )
    connection.execute(
        insert(launches),
        {"campaign_id": campaign.id, "cursor": 0, "until": until, "batch_size": batch_size},
    )
    open_lane(connection, campaign.account_id, campaign.tenant_id)
    launched = write_chunk(connection, campaign.id, chunk=chunk)
    assert launched is not None  # noqa: S101 - its row was inserted above
    log(connection, campaign.tenant_id, campaign.id, CampaignVerb.START, actor, audience=expected)
    webhook_events.campaign(connection, campaign.id, EventType.CAMPAIGN_STARTED)
    return launched


def lock_to_start(connection: Connection, tenant_id: int | None, campaign_id: int) -> AnyRow:
    """Lock a draft or scheduled campaign and, before it, its family. From here on nobody gives it
    another account, or another text.

    Raises:
        NotFoundError: there is none, or it is another tenant's.
        WrongStateError: it is neither draft nor scheduled.
    """
    resends.lock_family(connection, campaign_id)
    return lock_for(connection, tenant_id, campaign_id, CampaignVerb.START)


def _refuse_late(connection: Connection, *latest: int | None) -> None:
    at = now(connection)
    for moment in latest:
        if moment is not None and at > moment:
            raise TooLateError(f"It had to start by {iso(moment)}, and now it is {iso(at)}.")


def write_chunk(
    connection: Connection, campaign_id: int, *, chunk: int | None = None
) -> Launched | None:
    """Write the next chunk; None when somebody else is at it or nothing is left to do.

    The campaign's row is locked only for its counters at the end: sending goes on meanwhile.
    """
    launch = connection.execute(
        select(launches)
        .where(launches.c.campaign_id == campaign_id)
        .with_for_update(skip_locked=True)
    ).first()
    if launch is None:
        return None
    campaign = connection.execute(select(campaigns).where(campaigns.c.id == campaign_id)).one()
    if campaign.status == CampaignStatus.CANCELLED:
        _advance(connection, campaign_id, None, finished=True)
        return None
    if campaign.parent_id is not None:
        resends.lock_family(connection, campaign_id)
    tenant = connection.execute(_TENANT, {"tenant": campaign.tenant_id}).one()
    # From here on every statement sees at least the suppressions that `opt_outs` counts.
    chunk = CHUNK if chunk is None else chunk
    rule = audience.rule_of(connection, campaign, campaign.started_at)
    cursor, finished = _next_contacts(connection, campaign, rule, launch, chunk)
    first = new_block(connection)
    at = now(connection)
    people = _eligible(connection, campaign, rule, after=launch.cursor, until=cursor).subquery()
    quiet = is_quiet_sometimes(tenant)
    region = by_region.only_one(connection, people) if quiet else None
    sorted_out = quiet and region is None
    in_batches = by_region.in_batches if sorted_out else _in_batches
    created = _insert_messages(
        connection, campaign, in_batches(people, first, launch.batch_size), at
    )
    if region is not None and by_region.only_one(connection, people) != region:
        region = None  # a number was changed meanwhile: it is looked at again at the gate
    written = _insert_batches(connection, campaign, first, tenant.opt_outs, region, at)
    if sorted_out:
        by_region.label(connection, first, first + BLOCK - 1)
    _advance(connection, campaign_id, cursor, finished=finished)
    if counters.lock(connection, campaign_id) == CampaignStatus.CANCELLED:
        raise LaunchStoppedError(campaign_id)
    counters.add(connection, campaign_id, at=at, total=created, queued=created)
    if finished:
        connection.execute(
            update(campaigns).where(campaigns.c.id == campaign_id).values(launching=False)
        )
        counters.complete_if_done(connection, campaign_id, at)
    return Launched(created, written, finished)


class LaunchStoppedError(Exception):
    """The campaign was cancelled while the chunk was written: undo the chunk."""


def people(
    connection: Connection, campaign: Any, *, after: int, limit: int
) -> tuple[Sequence[AnyRow], int, bool]:
    """Whom the campaign would be sent to if it started now, page by page: the rows of a page
    (``contact_id``, ``phone``, ``merge_values``), where the next one begins, and whether there is
    one.

    Args:
        connection: of a read.
        campaign: a campaign's row, or what has its columns.
        after: 0 for the first page.
        limit: contacts that a page looks at.
    """
    everybody = SimpleNamespace(cursor=after, until=_NO_END)
    rule = audience.rule_of(connection, campaign, now(connection))
    last, finished = _next_contacts(connection, campaign, rule, everybody, limit)
    eligible = _eligible(connection, campaign, rule, after=after, until=last)
    return connection.execute(eligible).all(), last, not finished


def person(connection: Connection, campaign: Any, contact_id: int) -> AnyRow:
    """One contact of the campaign's tenant as a row of ``people``, whether or not the campaign is
    for them.

    Raises:
        NotFoundError: this tenant has none with this id.
    """
    merge_values = snapshot(connection, compile_text(campaign.text).fields).label("merge_values")
    row = connection.execute(
        select(contacts.c.id, contacts.c.phone, merge_values).where(
            contacts.c.tenant_id == campaign.tenant_id, contacts.c.id == contact_id
        )
    ).first()
    if row is None:
        raise NotFoundError("contact", contact_id)
    return row


def under_way(connection: Connection) -> list[int]:
    """Campaigns whose launch has chunks left."""
    return list(connection.execute(_UNDER_WAY).scalars())


def _advance(
    connection: Connection, campaign_id: int, cursor: int | None, *, finished: bool
) -> None:
    of_campaign = launches.c.campaign_id == campaign_id
    if finished:
        connection.execute(delete(launches).where(of_campaign))
    else:
        connection.execute(update(launches).where(of_campaign).values(cursor=cursor))


def _nobody(rule: Rule) -> str:
    if rule.takes_everybody:
        why = "the audience has no contact that is not suppressed"
    else:
        why = "the segment or filter, without the suppressed and the excluded, has no contact"
    return f"There is nobody to send to: {why}."


def _next_contacts(
    connection: Connection, campaign: Any, rule: Rule, launch: Any, chunk: int
) -> tuple[int, bool]:
    """The last contact that the next chunk looks at, and whether it is the last chunk.

    Found by the index alone, whatever the database knows of the tables: with the suppressions in
    the query PostgreSQL may read the whole audience for every chunk. Where a filter leaves people
    out, more of them are looked at, up to as many as are wanted.
    """
    if campaign.parent_id is not None:
        until = launch.until
        count, last = resends.next_people(connection, campaign, launch.cursor, until, chunk)
        return last, count < chunk
    if campaign.list_id is None:
        contact_id, whose = contacts.c.id, contacts.c.tenant_id == campaign.tenant_id
    else:
        contact_id, whose = list_members.c.contact_id, list_members.c.list_id == campaign.list_id
    reach = chunk if rule.takes_everybody else chunk * _REACH
    some = (
        select(contact_id.label("id"))
        .where(whose, contact_id > launch.cursor, contact_id <= launch.until)
        .order_by(contact_id)
        .limit(reach)
        .subquery()
    )
    count, last = connection.execute(select(func.count(), func.max(some.c.id))).one()
    if last is None:
        return launch.cursor, True
    if not rule.takes_everybody:
        wanted = _eligible(connection, campaign, rule, after=launch.cursor, until=last)
        ids = wanted.with_only_columns(contacts.c.id).limit(chunk).subquery()
        taken, furthest = connection.execute(select(func.count(), func.max(ids.c.id))).one()
        if taken == chunk:
            return furthest, False
    return last, count < reach


def _eligible(
    connection: Connection, campaign: Any, rule: Rule, *, after: int, until: int | None
) -> Select[Any]:
    """The campaign's audience without the suppressed: contact ids, numbers and merge values. ``id``
    is what a launch's cursor counts.
    """
    merge_values = snapshot(connection, compile_text(campaign.text).fields)
    if campaign.parent_id is not None:
        return resends.eligible(connection, campaign, merge_values, after=after, until=until)
    query = (
        select(
            contacts.c.id,
            contacts.c.id.label("contact_id"),
            contacts.c.phone,
            merge_values.label("merge_values"),
            contacts.c.region,
        )
        .select_from(audience.members(campaign.list_id))
        .where(
            contacts.c.tenant_id == campaign.tenant_id,
            contacts.c.id > after,
            not_(SUPPRESSED),
            *rule.conditions(connection, campaign.tenant_id),
        )
        .order_by(contacts.c.id)
    )
    return query if until is None else query.where(contacts.c.id <= until)


def snapshot(connection: Connection, fields: Iterable[str]) -> ColumnElement[Any]:
    """The values that the text uses, as JSON text: what the message says stays what it was."""
    pairs: list[Any] = []
    for field in fields:
        column = (
            contacts.c[field]
            if field in CONTACT_FIELDS
            else contacts.c.attributes[field].as_string()
        )
        pairs += [literal_column(f"'{field}'"), column]  # a tag's name is [a-z0-9_] by its grammar
    if not pairs:
        return cast(null(), TextType)
    if is_postgres(connection):
        return cast(func.jsonb_build_object(*pairs), TextType)
    return func.json_object(*pairs)


def _in_batches(people: Subquery, first: int, size: int) -> Subquery:
    """The people with a ``batch_id``, which ``size`` in a row share."""
    number = func.row_number().over(order_by=people.c.id) - 1
    return select(people, (literal(first) + number // literal(size)).label("batch_id")).subquery()


def _insert_messages(connection: Connection, campaign: Any, people: Subquery, at: int) -> int:
    """One message per person, in the batch of their ``batch_id``.

    A number can be there already: it was another contact's when that one's chunk was written. To
    look for that at every row costs PostgreSQL a third of a launch, so it is done where it is so.
    """
    columns = {
        "tenant_id": literal(campaign.tenant_id),
        "campaign_id": literal(campaign.id),
        "batch_id": people.c.batch_id,
        "contact_id": people.c.contact_id,
        "phone": people.c.phone,
        "merge_values": people.c.merge_values,
        "status": literal(str(MessageStatus.QUEUED)),
        "created_at": literal(at),
    }
    rows = select(*columns.values()).select_from(people).order_by(people.c.id)
    try:
        with connection.begin_nested():
            return connection.execute(insert(messages).from_select(list(columns), rows)).rowcount
    except IntegrityError:
        return insert_new(connection, messages, rows, list(columns))


def _insert_batches(
    connection: Connection, campaign: Any, first: int, opt_outs: int, region: str | None, at: int
) -> int:
    """The batches that the new messages name, with as many as they turned out to hold."""
    columns = {
        "id": messages.c.batch_id,
        "tenant_id": literal(campaign.tenant_id),
        "account_id": literal(campaign.account_id),
        "campaign_id": literal(campaign.id),
        "status": literal(str(BatchStatus.QUEUED)),
        "size": func.count(),
        "seen_opt_outs": literal(opt_outs),
        "region": literal(region, String),
        "created_at": literal(at),
        "updated_at": literal(at),
    }
    rows = (
        select(*columns.values())
        .where(messages.c.batch_id.between(first, first + BLOCK - 1))
        .group_by(messages.c.batch_id)
    )
    return connection.execute(insert(batches).from_select(list(columns), rows)).rowcount


_TENANT = select(tenants.c.opt_outs, tenants.c.quiet_from, tenants.c.quiet_until).where(
    tenants.c.id == bindparam("tenant")
)
_UNDER_WAY = select(launches.c.campaign_id)
