"""Audience segments: filters that a tenant has given a name."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import Connection, Table, delete, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from paceline.domain import segment_json
from paceline.domain.campaign import CampaignStatus
from paceline.domain.errors import ConflictError, InvalidInputError, NotFoundError, Problem
from paceline.domain.segment import Filter, campaigns_in, lists_in
from paceline.storage.database import AnyRow, now
from paceline.storage.schema import campaigns, lists, segments

_WAITING = (CampaignStatus.DRAFT, CampaignStatus.SCHEDULED)


def create(connection: Connection, tenant_id: int, *, name: str, wanted: Filter) -> AnyRow:
    """Make a segment.

    Raises:
        InvalidInputError: the filter names lists or campaigns that this tenant does not have.
        ConflictError: the tenant has a segment of this name.
    """
    hold_lists(connection, tenant_id, wanted)
    at = now(connection)
    values = {
        "tenant_id": tenant_id,
        "name": name,
        "filter": segment_json.write(wanted),
        "created_at": at,
        "updated_at": at,
    }
    try:
        made = connection.execute(insert(segments).returning(segments.c.id), values).scalar_one()
    except IntegrityError as error:
        raise _taken(name) from error
    return get(connection, tenant_id, made)


def get(connection: Connection, tenant_id: int, segment_id: int) -> AnyRow:
    """One segment of this tenant.

    Raises:
        NotFoundError: this tenant has none with this id.
    """
    row = connection.execute(select(segments).where(*_of(tenant_id, segment_id))).first()
    if row is None:
        raise NotFoundError("segment", segment_id)
    return row


def page(
    connection: Connection, tenant_id: int, *, after: int = 0, limit: int = 100
) -> list[AnyRow]:
    """Segments by id, from the one behind ``after`` on."""
    query = select(segments).where(segments.c.tenant_id == tenant_id, segments.c.id > after)
    return list(connection.execute(query.order_by(segments.c.id).limit(limit)))


def change(
    connection: Connection,
    tenant_id: int,
    segment_id: int,
    *,
    name: str | None = None,
    wanted: Filter | None = None,
) -> AnyRow:
    """Change a segment's name or filter; None leaves it as it is. Campaigns that have started keep
    the filter that they started with.

    Raises:
        NotFoundError: this tenant has none with this id.
        InvalidInputError: the filter names lists or campaigns that this tenant does not have.
        ConflictError: the tenant has another segment of this name.
    """
    get(connection, tenant_id, segment_id)
    values: dict[str, Any] = {"updated_at": now(connection)}
    if name is not None:
        values["name"] = name
    if wanted is not None:
        hold_lists(connection, tenant_id, wanted)
        values["filter"] = segment_json.write(wanted)
    try:
        connection.execute(update(segments).where(*_of(tenant_id, segment_id)).values(**values))
    except IntegrityError as error:
        raise _taken(values["name"]) from error
    return get(connection, tenant_id, segment_id)


def remove(connection: Connection, tenant_id: int, segment_id: int) -> None:
    """Delete a segment. Campaigns that have started have its filter in their own row.

    Raises:
        NotFoundError: this tenant has none with this id.
        ConflictError: a campaign that has not started has it as its audience.
    """
    lock = select(segments.c.id).where(*_of(tenant_id, segment_id)).with_for_update()
    if connection.execute(lock).first() is None:
        raise NotFoundError("segment", segment_id)
    user = connection.execute(_needs(tenant_id, segment_id)).first()
    if user is not None:
        raise ConflictError(
            f"The segment is the audience of campaign {user.id} “{user.name}” ({user.status}): "
            "cancel that one first."
        )
    connection.execute(delete(segments).where(*_of(tenant_id, segment_id)))


def hold(connection: Connection, tenant_id: int, segment_id: int) -> None:
    """Keep a segment from being deleted until the transaction ends.

    Raises:
        NotFoundError: this tenant has none with this id.
    """
    lock = select(segments.c.id).where(*_of(tenant_id, segment_id))
    found = connection.execute(lock.with_for_update(read=True, key_share=True)).first()
    if found is None:
        raise NotFoundError("segment", segment_id)


def hold_lists(connection: Connection, tenant_id: int, wanted: Filter) -> None:
    """Keep the lists that a filter names from being deleted until the transaction ends.

    Raises:
        InvalidInputError: with each list and campaign that there is not.
    """
    if named := sorted(lists_in(wanted)):
        lock = select(lists.c.id).where(lists.c.tenant_id == tenant_id, lists.c.id.in_(named))
        connection.execute(
            lock.order_by(lists.c.id).with_for_update(read=True, key_share=True)
        ).all()
    refuse_unknown(connection, tenant_id, wanted)


def refuse_unknown(connection: Connection, tenant_id: int, wanted: Filter) -> None:
    """Say no to a filter that names what the tenant does not have.

    Raises:
        InvalidInputError: with each list and campaign that there is not.
    """
    if problems := unknown_in(connection, tenant_id, wanted):
        raise InvalidInputError(segment_json.UNUSABLE, tuple(problems))


def unknown_in(connection: Connection, tenant_id: int, wanted: Filter) -> list[Problem]:
    """The lists and campaigns of a filter that the tenant does not have."""
    return [
        Problem("filter", f"there is no {kind} {each}")
        for kind, table, named in (
            ("list", lists, lists_in(wanted)),
            ("campaign", campaigns, campaigns_in(wanted)),
        )
        for each in unknown(connection, tenant_id, table, named)
    ]


def unknown(
    connection: Connection, tenant_id: int, table: Table, ids: Collection[int]
) -> list[int]:
    """Which of these ids are none of this tenant's rows of a table."""
    if not ids:
        return []
    found = select(table.c.id).where(table.c.tenant_id == tenant_id, table.c.id.in_(sorted(ids)))
    return sorted(set(ids) - set(connection.execute(found).scalars()))


def refuse_loss(connection: Connection, tenant_id: int, list_id: int) -> None:
    """Say no to deleting a list that a filter names: "not in list 3" would be everybody.

    Raises:
        ConflictError: a segment, or a campaign that is not fully launched, names it.
    """
    named = select(segments.c.name, segments.c.filter).where(segments.c.tenant_id == tenant_id)
    for row in connection.execute(named.order_by(segments.c.id)):
        if list_id in lists_in(segment_json.read(row.filter)):
            raise ConflictError(
                f"The segment “{row.name}” names the list: change or delete that one first."
            )
    waiting = select(campaigns.c.id, campaigns.c.name, campaigns.c.filter).where(
        campaigns.c.tenant_id == tenant_id,
        or_(campaigns.c.status.in_(_WAITING), campaigns.c.launching),
    )
    for user in connection.execute(waiting.order_by(campaigns.c.id)):
        if user.filter is not None and list_id in lists_in(segment_json.read(user.filter)):
            raise ConflictError(
                f"The filter of campaign {user.id} “{user.name}” names the list: cancel that one "
                "first."
            )


def _of(tenant_id: int, segment_id: int) -> tuple[Any, Any]:
    return segments.c.tenant_id == tenant_id, segments.c.id == segment_id


def _needs(tenant_id: int, segment_id: int) -> Any:
    """A campaign that has yet to read the segment."""
    return (
        select(campaigns.c.id, campaigns.c.name, campaigns.c.status)
        .where(
            campaigns.c.tenant_id == tenant_id,
            campaigns.c.segment_id == segment_id,
            campaigns.c.status.in_(_WAITING),
        )
        .order_by(campaigns.c.id)
        .limit(1)
    )


def _taken(name: str) -> ConflictError:
    return ConflictError(f"There is a segment named “{name}” already.")
