"""A process that sends from SQLite is the only one, and knows not for how long it was away."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from paceline.domain.limits import Window
from paceline.engine.process import SecondSenderError, open_database, working
from paceline.settings import Settings, load
from paceline.storage import tenants
from paceline.storage.database import Database, now

HOUR_MS = 3_600_000


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    url = f"sqlite:///{tmp_path}/paceline.db"
    return load({"DATABASE_URL": url, "PACELINE_DATA_DIR": str(tmp_path)})


@pytest.fixture
def database(settings: Settings) -> Iterator[Database]:
    with open_database(settings) as database:
        yield database


async def test_every_recorded_permit_counts_as_used_just_now_when_it_starts(
    settings: Settings, database: Database
) -> None:
    tenant_id = database.write_now(tenants.keep, "acme").id
    long_ago = database.read_now(now) - HOUR_MS
    database.write_now(tenants.change, tenant_id, {"grants": f"[{long_ago},7]"})
    started_at = database.read_now(now)
    async with working(database, settings):
        window = Window.decode(database.read_now(tenants.get, tenant_id).grants)
    ((at, permits),) = window.grants
    assert permits == 7
    assert at >= started_at


async def test_a_second_sender_is_refused_until_the_first_has_ended(
    settings: Settings, database: Database
) -> None:
    async with working(database, settings):
        with open_database(settings) as other, pytest.raises(SecondSenderError):
            async with working(other, settings):
                pass
    async with working(database, settings):
        pass
