"""Prices: what a part costs, by how the number begins; replaced as a whole by a file."""

from __future__ import annotations

import asyncio

from starlette.datastructures import UploadFile
from starlette.responses import Response
from starlette.routing import BaseRoute

from paceline.domain import cost
from paceline.domain.errors import InvalidInputError
from paceline.domain.role import Role
from paceline.engine.csv_prices import read_prices
from paceline.storage import prices
from paceline.web.pages import fields
from paceline.web.site import Site, status_of
from paceline.web.visits import Visit

_PAGE = 100


def routes(site: Site) -> list[BaseRoute]:
    admin = Role.ADMIN
    return [
        site.route("/settings/prices", _all_of_them, least=admin),
        site.route("/settings/prices", _replace, least=admin, method="POST"),
    ]


async def _all_of_them(visit: Visit) -> Response:
    return await _page(visit)


async def _page(visit: Visit, error: InvalidInputError | None = None) -> Response:
    after = fields.printable(visit.request.query_params.get("after", ""))
    found = await visit.database.read(
        prices.page, visit.who.tenant_id, after=after, limit=_PAGE + 1
    )
    shown = found[:_PAGE]
    return visit.page(
        "prices_part.html" if visit.is_partial else "prices.html",
        status_of(error),
        prices=[(each, cost.decimal_text(each.millionths)) for each in shown],
        more=shown[-1].prefix if len(found) > _PAGE else None,
        error=error,
    )


async def _replace(visit: Visit) -> Response:
    """Replace the table; if any row cannot be used, nothing changes."""
    await visit.form()
    upload = (await visit.request.form()).get("file")
    if not isinstance(upload, UploadFile) or not upload.filename:
        return await _page(visit, InvalidInputError.of("file", "choose a CSV file"))
    try:
        table = await asyncio.to_thread(read_prices, await upload.read())
    except InvalidInputError as error:
        return await _page(visit, error)
    await visit.database.write(prices.replace, visit.who.tenant_id, table, actor=visit.who.actor)
    return visit.to("/settings/prices")
