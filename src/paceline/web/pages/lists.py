"""Lists: named sets of contacts."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.responses import Response
from starlette.routing import BaseRoute

from paceline.domain.errors import ConflictError, InvalidInputError, PacelineError
from paceline.domain.role import Role
from paceline.storage import lists
from paceline.web.pages import fields
from paceline.web.site import Site, status_of
from paceline.web.visits import Visit

_PAGE = 100


def routes(site: Site) -> list[BaseRoute]:
    manager = Role.MANAGER
    return [
        site.route("/contacts/lists", _all_of_them),
        site.route("/contacts/lists", _create, least=manager, method="POST"),
        site.route("/contacts/lists/{id:int}", _rename, least=manager, method="POST"),
        site.route("/contacts/lists/{id:int}/remove", _remove, least=manager, method="POST"),
    ]


async def _all_of_them(visit: Visit) -> Response:
    return await _page(visit)


async def _page(
    visit: Visit, error: PacelineError | None = None, given: Mapping[str, str] | None = None
) -> Response:
    after = fields.whole(visit.request.query_params.get("after")) or 0
    found = await visit.database.read(lists.page, visit.who.tenant_id, after=after, limit=_PAGE + 1)
    shown = found[:_PAGE]
    return visit.page(
        "lists_part.html" if visit.is_partial else "lists.html",
        status_of(error),
        lists=shown,
        more=shown[-1].id if len(found) > _PAGE else None,
        error=error,
        given=given or {},
    )


async def _create(visit: Visit) -> Response:
    form = await visit.form()
    try:
        await visit.database.write(lists.create, visit.who.tenant_id, name=fields.name(form))
    except (InvalidInputError, ConflictError) as error:
        return await _page(visit, error, form)
    return visit.to("/contacts/lists")


async def _rename(visit: Visit) -> Response:
    form = await visit.form()
    try:
        await visit.database.write(lists.rename, *visit.which, name=fields.name(form))
    except (InvalidInputError, ConflictError) as error:
        return await _page(visit, error)
    return visit.to("/contacts/lists")


async def _remove(visit: Visit) -> Response:
    await visit.form()
    try:
        await visit.database.write(lists.remove, *visit.which)
    except ConflictError as error:
        return await _page(visit, error)
    return visit.to("/contacts/lists")
