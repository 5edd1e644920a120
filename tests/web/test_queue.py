"""The queue at three in the morning: what is where, who works, and what to do."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from sqlalchemy import Connection, update

from paceline.domain.role import Role
from paceline.storage import accounts, tenants
from paceline.storage.database import now
from paceline.storage.schema import batches as batch_rows
from paceline.storage.schema import campaigns as campaign_rows
from tests.api.serving import ACCOUNT
from tests.web.test_overview import attempt, spoil
from tests.web.test_pages import started, words
from tests.web.visiting import House, Reader, house

HEADINGS = ("What to do", "Batches", "Workers", "Errors of waiting batches")


async def part(reader: Reader, name: str) -> str:
    looked = await reader.get("/queue/now")
    assert looked.status == 200
    found = re.search(rf'<section class="\w+" id="{name}">(.*?)</section>', looked.text, re.DOTALL)
    assert found is not None, looked.text
    return words(found[1])


@pytest.mark.parametrize("role", [Role.VIEWER, Role.ADMIN])
async def test_everybody_sees_the_queue_that_concerns_them(database_url: str, role: Role) -> None:
    """Also where row-level security keeps what is no tenant's from all but administrators."""
    async with house(database_url) as home, home.reader(role=role) as ana:
        rival = await home.database.write(tenants.keep, "rival")
        await started(home, ana.tenant_id)
        await started(home, rival.id)
        looked = await ana.get("/queue")
        places = await part(ana, "places")
    assert looked.status == 200
    for heading in HEADINGS:
        assert f">{heading}</h2>" in looked.text
    if role == Role.ADMIN:
        assert "Ready 2 6 messages" in places
        assert "Of all tenants." in places
        assert "Receipts in the inbox 0" in places
    else:
        assert "Ready 1 3 messages" in places
        assert "Of acme." in places
        assert "Receipts" not in places


async def test_when_all_goes_by_itself_nothing_is_to_be_done(home: House) -> None:
    async with home.reader() as ana:
        await started(home, ana.tenant_id)
        assert "Nothing: what is queued goes out by itself." in await part(ana, "todo")


def make_old(connection: Connection) -> None:
    at = now(connection) - 120_000
    connection.execute(update(batch_rows).values(created_at=at))


async def test_work_that_nobody_takes_is_said_with_what_to_start(home: House) -> None:
    async with home.reader() as ana:
        campaign = await started(home, ana.tenant_id)
        await home.database.write(make_old)
        todo = await part(ana, "todo")
        assert "Batches are due and nobody takes them. Start paceline serve" in todo
        assert "Oldest ready for 2 minutes" in await part(ana, "places")
        assert "Nobody has made a call in the last 5 minutes." in await part(ana, "workers")
        await home.database.write(attempt, ana.tenant_id, campaign, 3)
        assert "nobody takes them" not in await part(ana, "todo")
        assert re.search(r" w 1 0 3 1 second ago", await part(ana, "workers"))


async def test_a_silent_worker_of_this_process_is_told_of(tmp_path: Path) -> None:
    trouble: list[str] = []
    async with (
        house(
            f"sqlite:///{tmp_path}/paceline.db", worker_state=lambda: next(iter(trouble), None)
        ) as home,
        home.reader() as ana,
    ):
        assert "Well The worker of this process looks for work" in await part(ana, "workers")
        trouble.append("The worker is silent for 20 s.")
        assert "Not well The worker is silent for 20 s." in await part(ana, "workers")
        assert "The worker is silent for 20 s. If that lasts" in await part(ana, "todo")


async def test_without_a_worker_here_it_is_said_that_they_are_elsewhere(home: House) -> None:
    async with home.reader() as ana:
        assert "There is no worker in this process" in await part(ana, "workers")


def wait_for_a_retry(connection: Connection) -> None:
    values = {"due_at": now(connection) + 24_000, "tries": 3, "error": "503 from the provider"}
    connection.execute(update(batch_rows).values(**values))


async def test_what_waits_to_be_tried_again_says_until_when_and_why(home: House) -> None:
    async with home.reader() as ana:
        await started(home, ana.tenant_id)
        await home.database.write(wait_for_a_retry)
        assert "1 batch waits to be tried again." in await part(ana, "todo")
        places = await part(ana, "places")
        assert "Waiting to try again 1 3 messages" in places
        assert re.search(r"Next try in 2[34] seconds", places)
        told = await part(ana, "errors")
        assert "1 batch (3 messages, up to 3 tries): 503 from the provider" in told


async def test_doubt_and_a_held_account_lead_to_where_they_are_ended(home: House) -> None:
    async with home.reader() as ana:
        campaign = await started(home, ana.tenant_id)
        await home.database.write(spoil, campaign, doubtful=3, failed=0)
        held = {"held_at": 1, "held_why": "401 from the provider"}
        await home.database.write(accounts.change, home.account.id, held)
        todo = await part(ana, "todo")
        page = (await ana.get("/queue")).text
    assert "3 messages may have been sent." in todo
    assert f'<a href="/campaigns/{campaign}">' in page
    assert "main : held, nothing goes out through it: 401 from the provider" in todo
    assert '<a href="/accounts">Mend it' in page


async def test_many_receipts_that_wait_are_told(
    home: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("paceline.web.pages.queue._MANY_RECEIPTS", -1)
    async with home.reader() as ana:
        assert "0 receipts wait to be counted." in await part(ana, "todo")


async def test_an_administrator_sees_what_is_wrong_with_other_tenants(database_url: str) -> None:
    async with house(database_url) as home, home.reader() as ana:
        rival = await home.database.write(tenants.keep, "rival")
        own = await home.database.write(
            accounts.keep, name="rivals", values=ACCOUNT | {"tenant_id": rival.id}
        )
        await home.database.write(accounts.hold, own.id, "unpaid")
        campaign = await started(home, rival.id)
        todo = await part(ana, "todo")
        assert "rivals" in todo
        await home.database.write(doubtful, campaign)
        todo = await part(ana, "todo")
        assert "they decide about them" in todo
        assert "Single messages" not in todo


def doubtful(connection: Connection, campaign_id: int) -> None:
    connection.execute(
        update(campaign_rows).where(campaign_rows.c.id == campaign_id).values(unconfirmed=1)
    )
