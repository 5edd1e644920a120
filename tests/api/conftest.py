"""A running API on either database."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.api.serving import Api, Caller, serving


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[Api]:
    async with serving(database_url) as running:
        yield running


@pytest.fixture
async def call(api: Api) -> Caller:
    """A tenant's caller."""
    return await api.caller("acme")
