from __future__ import annotations

from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web


class Webhook:
    """A customer's webhook: keeps every post, answers with the statuses it was given first."""

    def __init__(self) -> None:
        self.url = ""
        self.posts: list[Any] = []
        self.refused = 0
        self.statuses: list[int] = []

    async def receive(self, request: web.Request) -> web.Response:
        if self.statuses and (status := self.statuses.pop(0)) >= 300:
            self.refused += 1
            return web.Response(status=status)
        self.posts.append(await request.json())
        return web.Response(status=202)

    @property
    def receipts(self) -> list[dict[str, str]]:
        """Those of all posts."""
        return [receipt for post in self.posts for receipt in post]


@asynccontextmanager
async def listening(hook: Webhook, port: int = 0):
    app = web.Application()
    app.router.add_post("/dlr", hook.receive)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    hook.url = f"http://127.0.0.1:{runner.addresses[0][1]}/dlr"
    try:
        yield hook
    finally:
        await runner.cleanup()
