"""A chunk of a launch by the regions of its numbers, for tenants with quiet hours.

A batch of several regions could go only while it is night in none of them. So each region has
batches of its own; an audience of one country has the batches that it would have anyway.
"""

from __future__ import annotations

from collections import defaultdict

from sqlalchemy import Connection, Subquery, bindparam, func, literal, select, update

from paceline.domain import zones
from paceline.domain.phone import region_of
from paceline.storage.among import among
from paceline.storage.schema import batches, contacts, messages


def only_one(connection: Connection, people: Subquery) -> str | None:
    """The region of all people of a launch; None: they have several, or of some none is noted."""
    row = connection.execute(
        select(
            func.count().label("people"),
            func.count(people.c.region).label("noted"),
            func.min(people.c.region).label("first"),
            func.max(people.c.region).label("last"),
        ).select_from(people)
    ).one()
    return row.first if row.noted == row.people and row.first == row.last else None


def in_batches(people: Subquery, first: int, size: int) -> Subquery:
    """The people of a launch with a ``batch_id``, which up to ``size`` of one region share. Batches
    are in the order in which they begin in the audience, so none waits for all of another region.
    """
    number = func.row_number().over(partition_by=people.c.region, order_by=people.c.id) - 1
    numbered = select(people, (number // literal(size)).label("slice")).subquery()
    begins = func.min(numbered.c.id).over(partition_by=(numbered.c.region, numbered.c.slice))
    begun = select(numbered, begins.label("begins")).subquery()
    rank = func.dense_rank().over(order_by=begun.c.begins) - 1
    return select(begun, (literal(first) + rank).label("batch_id")).subquery()


def label(connection: Connection, first: int, last: int) -> None:
    """Note the region of each batch that was made so, with an id from ``first`` to ``last``. Where
    a contact has none noted nobody has looked yet, which is done at the gate.
    """
    of_region: dict[str, list[int]] = defaultdict(list)
    for row in connection.execute(_FIRST_OF_EACH, {"first": first, "last": last}):
        if not row.unnoted:
            of_region[region_of(row.phone) or zones.UNKNOWN].append(row.batch_id)
    for region, ids in of_region.items():
        connection.execute(_OF_REGION, {"country": region, "ids": ids})


_heads = (
    select(func.min(messages.c.id).label("id"))
    .where(messages.c.batch_id.between(bindparam("first"), bindparam("last")))
    .group_by(messages.c.batch_id)
    .subquery()
)
_FIRST_OF_EACH = (
    select(
        messages.c.batch_id,
        messages.c.phone,
        (contacts.c.id.is_not(None) & contacts.c.region.is_(None)).label("unnoted"),
    )
    .join(_heads, _heads.c.id == messages.c.id)
    .outerjoin(contacts, contacts.c.id == messages.c.contact_id)
)
_OF_REGION = update(batches).where(among(batches.c.id, "ids")).values(region=bindparam("country"))
