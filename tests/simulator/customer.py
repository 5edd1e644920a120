from __future__ import annotations

import asyncio
import io
import json
from typing import TYPE_CHECKING, Any

import aiohttp

if TYPE_CHECKING:
    from collections.abc import Callable

API = "/api/v1.1/Messages"
DROPPED = None


def message(number: int, **changes: Any) -> dict[str, Any]:
    """One Mitto message; `number` makes its destination, text and reference its own."""
    return {
        "trafficAccountId": "acct-1",
        "destination": f"+3069{number:08d}",
        "sms": {"text": f"Hello {number}", "sender": "Paceline"},
        "reference": f"ref-{number}",
        **changes,
    }


class Answer:
    """What came back: a status, or None if the connection was closed instead."""

    def __init__(self, status: int | None, body: Any = None, headers: Any = None) -> None:
        self.status = status
        self.body = body
        self.headers = headers


class Customer:
    """Somebody who sends through the simulator over real HTTP."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self.url = url
        self.headers = {"X-Mitto-API-Key": "key"}

    async def request(self, method: str, path: str, body: Any = None) -> Answer:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        data = None if body is None else io.BytesIO(raw)
        try:
            async with self._session.request(
                method, self.url + path, data=data, headers=self.headers
            ) as response:
                text = await response.text()
                if response.content_type == "application/json":
                    return Answer(response.status, json.loads(text), response.headers)
                return Answer(response.status, text, response.headers)
        except aiohttp.ServerDisconnectedError:
            return Answer(DROPPED)

    async def bulk(self, *messages: dict[str, Any]) -> Answer:
        return await self.request("POST", f"{API}/sendmessagesbulk", {"messages": messages})

    async def single(self, one: dict[str, Any]) -> Answer:
        return await self.request("POST", f"{API}/send", one)

    async def get(self, path: str) -> Any:
        answer = await self.request("GET", path)
        assert answer.status == 200, answer.body
        return answer.body

    async def summary(self, window_ms: int = 1000) -> Any:
        return await self.get(f"/log/summary?window_ms={window_ms}")

    async def lines(self, path: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (await self.get(path)).splitlines()]

    async def accepted(self, query: str = "") -> list[dict[str, Any]]:
        return await self.lines(f"/log{query}")

    async def calls(self, query: str = "") -> list[dict[str, Any]]:
        return await self.lines(f"/log/calls{query}")

    async def patch(self, **controls: Any) -> None:
        answer = await self.request("PATCH", "/control", controls)
        assert answer.status == 200, answer.body

    async def outage(self, **document: Any) -> None:
        answer = await self.request("POST", "/outage", document)
        assert answer.status == 200, answer.body

    async def is_refused(self) -> bool:
        """Whether nobody listens at the provider's port."""
        try:
            await self.request("GET", "/control")
        except aiohttp.ClientConnectorError:
            return True
        return False

    async def receipts_settled(self) -> dict[str, int]:
        """The tally once no receipt waits any more."""
        tally: dict[str, int] = await self.eventually(
            "/log/receipts", lambda tally: not tally["waiting"]
        )
        return tally

    async def eventually(self, path: str, holds: Callable[[Any], bool]) -> Any:
        """Ask until the answer is as it should be."""
        async with asyncio.timeout(20):
            while not holds(answer := await self.get(path)):  # noqa: ASYNC110 -- across HTTP
                await asyncio.sleep(0.005)
        return answer
