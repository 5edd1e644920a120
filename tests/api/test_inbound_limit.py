"""How many requests a key may make."""

from __future__ import annotations

from typing import Any

import pytest

from paceline.api import inbound_limit
from paceline.api.inbound_limit import InboundLimit, limit_of
from paceline.domain.limits import Limit
from paceline.settings import load
from paceline.storage.tenants import Caller
from tests.api.problem_documents import fault_of
from tests.api.serving import serving


class Gate:
    """The limit under a clock of ours."""

    def __init__(self, limit: Limit | None) -> None:
        self.now_s = 100.0
        self.passed = 0
        self.limit = InboundLimit(self._app, limit=limit, clock=lambda: self.now_s)

    async def _app(self, *_: Any) -> None:
        self.passed += 1

    async def ask(self, key: int = 1, method: str = "POST") -> tuple[int, int]:
        """(0, 0): it passed; else the status and the seconds to wait."""
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "method": method,
            "headers": [],
            "state": {"caller": Caller(1, key, ())},
        }
        await self.limit(scope, None, send)  # type: ignore[arg-type]
        if not sent:
            return 0, 0
        headers = dict(sent[0]["headers"])
        return sent[0]["status"], int(headers[b"retry-after"])


async def test_no_window_holds_more_than_the_limit_and_the_wait_is_told() -> None:
    gate = Gate(Limit(3, 10_000, 0))
    for _ in range(3):
        assert await gate.ask() == (0, 0)
        gate.now_s += 1
    assert await gate.ask() == (429, 7)
    gate.now_s += 6.9
    assert await gate.ask() == (429, 1)
    gate.now_s += 0.1
    assert await gate.ask() == (0, 0)
    assert gate.passed == 4


async def test_who_polls_does_not_starve_who_sends_nor_one_key_another() -> None:
    gate = Gate(Limit(2, 10_000, 0))
    for method in ("GET", "POST"):
        for key in (1, 2):
            assert [await gate.ask(key, method) for _ in range(2)] == [(0, 0)] * 2
            assert (await gate.ask(key, method))[0] == 429


async def test_what_is_refused_does_not_count() -> None:
    gate = Gate(Limit(1, 10_000, 0))
    await gate.ask()
    for _ in range(50):
        assert (await gate.ask())[0] == 429
    gate.now_s += 10
    assert await gate.ask() == (0, 0)


async def test_its_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbound_limit, "MOST_WINDOWS", 5)
    gate = Gate(Limit(1, 10_000, 0))
    for key in range(1, 100):
        await gate.ask(key)
    assert (await gate.ask(99))[0] == 429, "those used last are remembered"
    assert len(gate.limit._windows) == 5


async def test_zero_is_no_limit() -> None:
    gate = Gate(limit_of(load({"PACELINE_API_RATE_MAX": "0"})))
    assert [await gate.ask() for _ in range(10_000)] == [(0, 0)] * 10_000


async def test_by_default_a_dashboard_can_poll() -> None:
    gate = Gate(limit_of(load({})))
    for _ in range(600):  # ten requests a second, for a minute
        assert await gate.ask() == (0, 0)
        gate.now_s += 0.1


async def test_a_refusal_is_a_problem_document_with_retry_after(database_url: str) -> None:
    settings = {"PACELINE_API_RATE_MAX": "2", "PACELINE_API_RATE_WINDOW_MS": "60000"}
    async with serving(database_url, **settings) as api:
        call = await api.caller("acme")
        assert [(await call("GET", "/api/lists")).status for _ in range(2)] == [200, 200]
        refused = await call("GET", "/api/lists")
        assert (refused.status, refused.json["code"]) == (429, "too_many_requests")
        assert 55 <= int(refused.headers["Retry-After"]) <= 60
        headers = {name.lower(): value for name, value in refused.headers.items()}
        assert fault_of(429, headers, refused.text.encode()) is None
        assert (await call("POST", "/api/lists", {"name": "l"})).status == 201
        assert (await (await api.caller("acme"))("GET", "/api/lists")).status == 200
        assert (await api.nobody("GET", "/healthz")).status == 200
