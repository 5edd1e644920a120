"""Providers and limits: the traffic accounts, and what is used of every limit now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection
from starlette.responses import Response
from starlette.routing import BaseRoute

from paceline.domain.errors import InvalidInputError
from paceline.domain.role import Role
from paceline.engine import operations
from paceline.providers import capabilities_of
from paceline.providers.explained import explain
from paceline.storage import accounts, tenants
from paceline.storage.database import AnyRow, now
from paceline.web.pages.lanes import Lane, limit_in
from paceline.web.site import Site
from paceline.web.visits import Visit


def routes(site: Site) -> list[BaseRoute]:
    pages = _Accounts(site)
    return [
        site.route("/accounts", pages.all_of_them),
        site.route("/accounts/now", pages.now),
        site.route("/accounts/tenant", pages.limit_tenant, least=Role.ADMIN, method="POST"),
        site.route("/accounts/{id:int}/limit", pages.limit, least=Role.ADMIN, method="POST"),
        site.route("/accounts/{id:int}/release", pages.release, least=Role.ADMIN, method="POST"),
        site.route("/accounts/{id:int}/test", pages.test, least=Role.SENDER, method="POST"),
    ]


@dataclass(frozen=True, slots=True)
class Shown:
    """An account, how full its window is, and what is done about doubt on it."""

    row: AnyRow
    lane: Lane
    closed: bool
    in_doubt: list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Refused:
    """A form that came to nothing: what was written, and what is wrong with it."""

    key: str
    """The form's: ``limit-tenant``, or ``limit-`` and ``test-`` with an account's id."""
    form: Mapping[str, str]
    error: InvalidInputError

    @property
    def problems(self) -> dict[str, str]:
        """By the name of the field."""
        return {each.where: each.reason for each in self.error.problems}


class _Accounts:
    def __init__(self, site: Site) -> None:
        self._site = site

    async def all_of_them(self, visit: Visit) -> Response:
        return await self._page(visit)

    async def _page(self, visit: Visit, refused: Refused | None = None) -> Response:
        status = 200 if refused is None else 422
        return visit.page("accounts.html", status, refused=refused, **await self._read(visit))

    async def now(self, visit: Visit) -> Response:
        """What is used of the limits at this moment."""
        return visit.page("accounts_now.html", **await self._read(visit))

    async def limit_tenant(self, visit: Visit) -> Response:
        form = await visit.form()
        try:
            await visit.database.write(
                operations.change_tenant,
                visit.who.tenant_id,
                _limit_in(form),
                actor=visit.who.actor,
            )
        except InvalidInputError as error:
            return await self._page(visit, Refused("limit-tenant", form, error))
        return self._done(visit)

    async def limit(self, visit: Visit) -> Response:
        form, account_id = await visit.form(), visit.request.path_params["id"]
        try:
            await visit.database.write(
                operations.change_account,
                account_id,
                _limit_in(form),
                sealer=self._site.sealer,
                actor=visit.who.actor,
            )
        except InvalidInputError as error:
            return await self._page(visit, Refused(f"limit-{account_id}", form, error))
        return self._done(visit)

    async def release(self, visit: Visit) -> Response:
        await visit.form()
        await visit.database.write(
            operations.release_account, visit.request.path_params["id"], actor=visit.who.actor
        )
        return self._done(visit)

    async def test(self, visit: Visit) -> Response:
        """Send one message to a number of one's own."""
        form, account_id = await visit.form(), visit.request.path_params["id"]
        try:
            message = await visit.orders.send(
                visit.who.tenant_id,
                to=form.get("to", ""),
                text=form.get("text") or "Paceline: this is a test.",
                traffic_account_id=account_id,
            )
        except InvalidInputError as error:
            if not {each.where for each in error.problems} <= {"to", "text"}:
                raise  # not an account of theirs: there is no such form on their page
            return await self._page(visit, Refused(f"test-{account_id}", form, error))
        return visit.to(f"/messages/{message.id}")

    def _done(self, visit: Visit) -> Response:
        visit.orders.wake()
        return visit.to("/accounts")

    async def _read(self, visit: Visit) -> dict[str, Any]:
        """An administrator sees all accounts, others those that they may use."""
        tenant_id = visit.who.tenant_id
        everybodys = visit.may(Role.ADMIN)

        def read(connection: Connection) -> tuple[AnyRow, list[AnyRow], int]:
            rows = accounts.all_of(connection, None if everybodys else tenant_id)
            return tenants.get(connection, tenant_id), rows, now(connection)

        tenant, rows, at = await visit.database.read(read)
        pacing = visit.orders.rules.pacing
        return {
            "tenant": tenant,
            "tenant_lane": Lane.of(tenant, pacing.tenant, at),
            "accounts": [self._shown(row, at) for row in rows],
            "at": at,
            "pacing": pacing,
        }

    def _shown(self, row: AnyRow, at: int) -> Shown:
        in_doubt = explain(
            capabilities_of(row.provider, row.options),
            server_error=row.server_error,
            unconfirmed=self._site.settings.unconfirmed_policy,
        )
        closed = row.closed_until is not None and row.closed_until > at
        lane = Lane.of(row, self._site.orders.rules.pacing.account, at)
        return Shown(row, lane, closed, list(in_doubt))


def _limit_in(form: Mapping[str, str]) -> dict[str, int | None]:
    """The columns of a limit; an empty field means the installation's default again.

    Raises:
        InvalidInputError: with every fault.
    """
    values, problems = limit_in(form)
    if problems:
        raise InvalidInputError("The limit was not changed.", tuple(problems))
    return values
