"""Every promise about what went out is tested for each provider, on both event loops."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
import uvloop

from .subjects import SUBJECTS


@pytest.fixture(params=SUBJECTS, ids=str)
def subject(request):
    return request.param


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
