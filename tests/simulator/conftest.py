from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import msgspec
import pytest

from paceline.simulator import Controls, Simulator, running

from .customer import Customer


@pytest.fixture
async def start():
    """Start a simulator with these controls; gives a customer of it."""
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(aiohttp.ClientSession())

        async def start(seed: int = 1, backoff: tuple[float, ...] = (0.01, 0.02), **controls: Any):
            simulator = Simulator(
                seed=seed,
                controls=msgspec.convert(controls, Controls),
                backoff_s=backoff,
            )
            url = await stack.enter_async_context(running(simulator))
            return Customer(session, url)

        yield start
