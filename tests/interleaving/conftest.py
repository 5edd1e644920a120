"""One stage for the session: making it takes longer than most pairs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.interleaving.stage import Stage, prepared_stage
from tests.postgres import PostgresServer


@pytest.fixture(scope="session")
def stage(postgres_server: PostgresServer) -> Iterator[Stage]:
    with prepared_stage(postgres_server) as stage:
        yield stage
