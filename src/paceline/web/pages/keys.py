"""API keys: made, renewed and ended. A secret is in one answer and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlalchemy import Connection
from starlette.responses import Response
from starlette.routing import BaseRoute

from paceline.domain.errors import InvalidInputError, PacelineError
from paceline.domain.role import Role
from paceline.domain.scope import OF_A_ROLE, Scope, ScopeMissingError
from paceline.engine import keys
from paceline.engine.keys import LONGEST_NAME, Giver, NewKey
from paceline.engine.schedule import moment
from paceline.storage import tenants
from paceline.storage.database import AnyRow, now
from paceline.web.pages import fields
from paceline.web.site import Site, status_of
from paceline.web.visits import Visit

_PAGE = 100
GRACES_S = (86_400, 0, 3_600, 7 * 86_400)
"""For how long a key that is renewed goes on opening; the usual one first."""


def routes(site: Site) -> list[BaseRoute]:
    manager = Role.MANAGER
    return [
        site.route("/settings/keys", _all_of_them, least=manager),
        site.route("/settings/keys", _create, least=manager, method="POST"),
        site.route("/settings/keys/{id:int}/rotate", _rotate, least=manager, method="POST"),
        site.route("/settings/keys/{id:int}/revoke", _revoke, least=manager, method="POST"),
    ]


@dataclass(frozen=True, slots=True)
class Made:
    """A key that was just made, and what nobody is shown again."""

    row: AnyRow
    secret: str = field(repr=False)


async def _all_of_them(visit: Visit) -> Response:
    return await _page(visit)


async def _page(
    visit: Visit,
    *,
    made: Made | None = None,
    error: PacelineError | None = None,
    given: Mapping[str, str] | None = None,
) -> Response:
    """The page; to htmx the list, and what was made or is wrong."""
    after = fields.whole(visit.request.query_params.get("after")) or 0

    def read(connection: Connection) -> tuple[list[AnyRow], int]:
        rows = tenants.key_page(connection, visit.who.tenant_id, after=after, limit=_PAGE + 1)
        return list(rows), now(connection)

    rows, at = await visit.database.read(read)
    shown = rows[:_PAGE]
    lacks_scope = isinstance(error, ScopeMissingError)
    status = 403 if lacks_scope else status_of(error)
    return visit.page(
        "keys_part.html" if visit.is_partial else "keys.html",
        status,
        keys=shown,
        more=shown[-1].id if len(rows) > _PAGE else None,
        at=at,
        made=made,
        error=error,
        lacks_scope=lacks_scope,
        given=given or {},
        scopes=OF_A_ROLE[visit.who.role],
        graces=GRACES_S,
    )


async def _create(visit: Visit) -> Response:
    form = await visit.form()
    try:
        new = _described(form, visit.who.timezone)
        row, secret = await visit.database.write(
            keys.create, visit.who.tenant_id, new, giver=_giver(visit)
        )
    except (InvalidInputError, ScopeMissingError) as error:
        return await _page(visit, error=error, given=form)
    return await _page(visit, made=Made(row, secret))


async def _rotate(visit: Visit) -> Response:
    grace_s = fields.whole((await visit.form()).get("grace"))
    try:
        if grace_s not in GRACES_S:
            raise InvalidInputError.of("grace", "choose one of those that are offered")
        row, secret = await visit.database.write(
            keys.rotate, *visit.which, grace_s=grace_s, giver=_giver(visit)
        )
    except (InvalidInputError, ScopeMissingError) as error:
        return await _page(visit, error=error)
    return await _page(visit, made=Made(row, secret))


async def _revoke(visit: Visit) -> Response:
    await visit.form()
    try:
        await visit.database.write(keys.revoke, *visit.which, giver=_giver(visit))
    except ScopeMissingError as error:
        return await _page(visit, error=error)
    return await _page(visit) if visit.is_partial else visit.to("/settings/keys")


def _described(form: Mapping[str, str], timezone: str) -> NewKey:
    """The key that a form describes; a day ends it when it begins in the tenant's time zone."""
    day = form.get("expires", "").strip()
    return NewKey(
        name=fields.name(form, most=LONGEST_NAME),
        scopes=[scope for scope in Scope if f"scope:{scope}" in form],
        expires_at=moment(f"{day}T00:00", timezone, where="expires") if day else None,
        test="test" in form,
    )


def _giver(visit: Visit) -> Giver:
    return Giver(visit.who.actor, OF_A_ROLE[visit.who.role])
