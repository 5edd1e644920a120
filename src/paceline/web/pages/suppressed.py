"""Numbers that nobody may write to."""

from __future__ import annotations

from sqlalchemy import Connection
from starlette.responses import Response
from starlette.routing import BaseRoute

from paceline.domain.errors import InvalidInputError
from paceline.domain.role import Role
from paceline.storage import suppressions
from paceline.storage.database import AnyRow
from paceline.web.pages import fields
from paceline.web.site import Site
from paceline.web.visits import Visit

_PAGE = 50
_REASON = "blocked in the dashboard"


def routes(site: Site) -> list[BaseRoute]:
    pages = _Suppressed(site)
    manager = Role.MANAGER
    return [
        site.route("/contacts/suppressed", pages.all_of_them),
        site.route("/contacts/suppressed", pages.add, least=manager, method="POST"),
        site.route("/contacts/suppressed/end", pages.end, least=manager, method="POST"),
    ]


class _Suppressed:
    def __init__(self, site: Site) -> None:
        self._site = site

    async def all_of_them(self, visit: Visit) -> Response:
        query = visit.request.query_params
        written = fields.printable(query.get("number", ""))
        after = fields.printable(query.get("after", ""))
        number, wrong = None, ""
        if written:
            try:
                number = fields.number({"number": written}, self._site.settings)
            except InvalidInputError as error:
                wrong = error.problems[0].reason

        def read(connection: Connection) -> list[AnyRow]:
            tenant_id = visit.who.tenant_id
            if number is not None:
                return suppressions.among_numbers(connection, tenant_id, [number])
            return suppressions.page(connection, tenant_id, after=after, limit=_PAGE + 1)

        found = [] if wrong else await visit.database.read(read)
        shown = found[:_PAGE]
        return visit.page(
            "suppressed_part.html" if visit.is_partial else "suppressed.html",
            suppressions=shown,
            more=shown[-1].phone if len(found) > _PAGE else None,
            written=written,
            wrong=wrong,
        )

    async def add(self, visit: Visit) -> Response:
        form = await visit.form()
        reason = fields.name(form, "reason") if form.get("reason", "").strip() else _REASON
        await visit.database.write(
            suppressions.add,
            visit.who.tenant_id,
            [fields.number(form, self._site.settings)],
            reason,
            actor=visit.who.actor,
        )
        return visit.to(_back(form.get("contact")))

    async def end(self, visit: Visit) -> Response:
        form = await visit.form()
        await visit.database.write(
            suppressions.remove,
            visit.who.tenant_id,
            fields.number(form, self._site.settings),
            actor=visit.who.actor,
        )
        return visit.to(_back(form.get("contact")))


def _back(contact: str | None) -> str:
    """To the contact from whose page it was done."""
    contact_id = fields.whole(contact)
    return "/contacts/suppressed" if contact_id is None else f"/contacts/{contact_id}"
