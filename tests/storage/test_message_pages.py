"""Pages of messages are what they say, by whichever index each of them is found."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import pytest
from sqlalchemy import Connection, select

from benchmarks.furnishing import OTHERS, SENDING, SINGLE_CALLS, House, furnish
from paceline.domain.message import MessageStatus, Reason
from paceline.settings import sqlalchemy_url
from paceline.storage import messages, migrate, standings, watching
from paceline.storage.database import AnyRow, Database
from paceline.storage.schema import attempts
from paceline.storage.schema import messages as table

CAMPAIGNS = (SENDING, SINGLE_CALLS, OTHERS - OTHERS % 40, OTHERS - 1, None)
PLACES = ("first", "middle")
REASONS = (None, Reason.REJECTED, Reason.EXPIRED, Reason.CANCELLED)
PAGE = 7


@pytest.fixture
def furnished(database_url: str) -> Iterator[tuple[Database, House]]:
    database = Database(sqlalchemy_url(database_url))
    migrate.upgrade(database)
    yield database, database.write_now(furnish, "http://localhost:9", 2_000)
    database.close()


def rows(connection: Connection) -> list[AnyRow]:
    return list(connection.execute(select(table).order_by(table.c.id)))


def test_each_filter_gives_the_first_messages_that_it_means(furnished) -> None:
    database, house = furnished
    everything = database.read_now(rows)
    theirs = database.of_tenant(house.tenant_id)
    statuses = (None, *MessageStatus)
    some = 0
    for campaign, status, reason, doubt, place in product(
        CAMPAIGNS, statuses, REASONS, (None, True, False), PLACES
    ):
        wanted = [
            each.id
            for each in everything
            if each.campaign_id == campaign
            and status in {None, each.status}
            and reason in {None, each.reason}
            and doubt in {None, bool(each.in_doubt)}
        ]
        after = wanted[len(wanted) // 2] if wanted and place == "middle" else 0
        found = theirs.read_now(
            messages.page,
            house.tenant_id,
            campaign_id=campaign,
            after=after,
            limit=PAGE,
            status=status,
            reason=reason,
            in_doubt=doubt,
        )
        expected = [each for each in wanted if each > after][:PAGE]
        assert [each.id for each in found] == expected, (campaign, status, reason, doubt, place)
        some += len(found)
    assert some > 300


def test_a_message_shows_the_attempt_that_it_was_accepted_in(furnished) -> None:
    database, house = furnished
    theirs = database.of_tenant(house.tenant_id)
    found = theirs.read_now(messages.page, house.tenant_id, campaign_id=SENDING, status="sent")
    assert {each.provider_message_id for each in found} == {f"p{each.id}" for each in found}
    tries = theirs.read_now(watching.tries_of, house.tenant_id, found[0].id)
    assert [each.provider_message_id for each in tries] == [f"p{found[0].id}"]
    made = database.read_now(lambda c: c.execute(select(attempts.c.batch_id)).scalars().all())
    assert tries[0].batch_id in made


def test_a_campaign_waits_for_its_first_queued_batch_for_a_tenant_too(furnished) -> None:
    database, house = furnished
    for each in (database, database.of_tenant(house.tenant_id)):
        shown = each.read_now(standings.page, house.tenant_id, limit=500)
        assert [one.campaign.id for one in shown] == sorted(
            (one.campaign.id for one in shown), reverse=True
        )
        waiting = {one.campaign.id for one in shown if one.due_at is not None}
        assert waiting == {SENDING, SINGLE_CALLS}
