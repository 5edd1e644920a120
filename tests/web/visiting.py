"""The dashboard over real HTTP, and people who look at it."""

from __future__ import annotations

import io
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from paceline.api.app import create_app
from paceline.api.context import Context
from paceline.cli.serving import add_dashboard
from paceline.domain.role import Role
from paceline.engine.signing_in import hashed
from paceline.settings import Settings, load
from paceline.storage import accounts, tenants, users
from paceline.storage.database import Database
from tests.api.serving import ACCOUNT, listening
from tests.migrated import opened

PASSWORD = "correct horse battery"


@dataclass
class Looked:
    """A page as it came."""

    status: int
    headers: Any
    text: str
    path: str

    @property
    def csrf(self) -> str:
        found = re.search(r'name="csrf" value="([0-9a-f]+)"', self.text)
        assert found is not None, self.text[:500]
        return found[1]


@dataclass
class Reader:
    """Somebody with a browser's cookies."""

    session: aiohttp.ClientSession
    base: str
    tenant_id: int

    async def get(self, path: str, **headers: str) -> Looked:
        async with self.session.get(self.base + path, headers=headers) as answer:
            return Looked(answer.status, answer.headers, await answer.text(), answer.url.path)

    async def post(
        self, path: str, form: dict[str, str] | None = None, *, csrf: str | None = None, **more: str
    ) -> Looked:
        """Send a form with the token of the first page, unless another is given."""
        token = (await self.get("/")).csrf if csrf is None else csrf
        fields = {"csrf": token, **(form or {})}
        headers = {name.replace("_", "-"): value for name, value in more.items()}
        async with self.session.post(self.base + path, data=fields, headers=headers) as answer:
            return Looked(answer.status, answer.headers, await answer.text(), answer.url.path)

    async def upload(
        self, path: str, file: bytes, name: str, form: dict[str, str] | None = None, **headers: str
    ) -> Looked:
        """Send a form with a file."""
        data = aiohttp.FormData({"csrf": (await self.get("/")).csrf, **(form or {})})
        data.add_field("file", io.BytesIO(file), filename=name)
        async with self.session.post(self.base + path, data=data, headers=headers) as answer:
            return Looked(answer.status, answer.headers, await answer.text(), answer.url.path)


@dataclass
class House:
    """A running dashboard."""

    base: str
    database: Database
    settings: Settings
    account: Any
    context: Context

    @asynccontextmanager
    async def reader(
        self, tenant: str = "acme", role: Role | None = Role.ADMIN
    ) -> AsyncIterator[Reader]:
        """Somebody who has followed a link from the terminal; without a role: nobody."""
        row = await self.database.write(tenants.keep, tenant)
        jar = aiohttp.CookieJar(unsafe=True)  # cookies of 127.0.0.1
        async with aiohttp.ClientSession(cookie_jar=jar) as session:
            reader = Reader(session, self.base, row.id)
            if role is not None:
                secret = await self.database.write(users.make_link, row.id, role)
                assert (await reader.post(f"/sign-in/{secret}", csrf="")).status == 200
            yield reader

    async def user(self, login: str, role: Role = Role.SENDER, tenant: str = "acme") -> int:
        row = await self.database.write(tenants.keep, tenant)
        made = await self.database.write(
            users.add, row.id, login=login, password=hashed(PASSWORD), role=role
        )
        return int(made.id)


@asynccontextmanager
async def house(
    database_url: str, *, worker_state: Callable[[], str | None] | None = None, **environ: str
) -> AsyncIterator[House]:
    database = opened(database_url)
    settings = load(
        {"PACELINE_DEFAULT_COUNTRY": "GB", "PACELINE_SECRET": "a secret of the house", **environ}
    )
    account = await database.write(accounts.keep, name="main", values=ACCOUNT)
    app = create_app(database, settings, wake=lambda: None, worker_state=worker_state)
    context: Context = app.state.context
    add_dashboard(app)
    async with listening(app) as base:
        yield House(base, database, settings, account, context)
    database.close()
