"""The API over real HTTP: a server in this process, and callers with keys."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import uvicorn

from paceline.api.app import create_app
from paceline.domain.scope import OF_A_TENANT, Scope
from paceline.settings import Settings, load
from paceline.storage import accounts, tenants
from paceline.storage.database import Database
from tests.migrated import opened

ACCOUNT = {
    "provider": "mitto",
    "base_url": "http://127.0.0.1:9",
    "external_id": "acc-1",
    "api_key": "provider-secret",
    "sender": "Paceline",
}


@dataclass
class Answer:
    """An answer, read to its end."""

    status: int
    headers: Any
    text: str
    json: Any


@dataclass
class Caller:
    """Somebody with a key, or without."""

    session: aiohttp.ClientSession
    base: str
    key: str | None
    tenant_id: int = 0

    async def __call__(self, method: str, path: str, body: Any = None, **kwargs: Any) -> Answer:
        headers = kwargs.pop("headers", {})
        if self.key:
            headers = {"Authorization": f"Bearer {self.key}", **headers}
        if body is not None:
            kwargs["json"] = body
        async with self.session.request(
            method, self.base + path, headers=headers, **kwargs
        ) as answer:
            text = await answer.text()
            is_json = answer.content_type.endswith("json")
            return Answer(
                answer.status,
                answer.headers,
                text,
                await answer.json(content_type=None) if is_json else None,
            )


@dataclass
class Api:
    """A running API with two tenants and an admin."""

    base: str
    database: Database
    settings: Settings
    session: aiohttp.ClientSession
    account: Any
    woken: list[int] = field(default_factory=list)
    worker: list[str] = field(default_factory=list)
    """What is wrong with the worker; empty: nothing."""

    async def caller(
        self,
        tenant: str,
        *,
        admin: bool = False,
        scopes: Collection[Scope] = OF_A_TENANT,
        test: bool = False,
    ) -> Caller:
        """Somebody with a key of these scopes, and ``admin`` if so."""
        row = await self.database.write(tenants.keep, tenant)
        _, key = await self.database.write(
            tenants.create_key,
            row.id,
            name="test",
            scopes=[*scopes, *[Scope.ADMIN] * admin],
            test=test,
        )
        return Caller(self.session, self.base, key, row.id)

    @property
    def nobody(self) -> Caller:
        return Caller(self.session, self.base, None)


@asynccontextmanager
async def serving(database_url: str, **environ: str) -> AsyncIterator[Api]:
    database = opened(database_url)
    settings = load(
        {
            "PACELINE_DEFAULT_COUNTRY": "GB",
            "PACELINE_SECRET": "a secret of the API",
            "PACELINE_API_RATE_MAX": "0",
            **environ,
        }
    )
    account = await database.write(accounts.keep, name="main", values=ACCOUNT)
    async with aiohttp.ClientSession() as session:
        api = Api("", database, settings, session, account)
        app = create_app(
            database,
            settings,
            wake=lambda: api.woken.append(1),
            worker_state=lambda: next(iter(api.worker), None),
        )
        async with listening(app) as api.base:
            yield api
    database.close()


@asynccontextmanager
async def listening(app: Any) -> AsyncIterator[str]:
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, lifespan="on"))
    # asyncio sends at once (TCP_NODELAY) only on a socket that says that it is TCP's.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    task = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started:
        if task.done():
            await task
        await asyncio.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        await task
        listener.close()
