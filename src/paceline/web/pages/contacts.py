"""Contacts: who is in the book, one of them, and what a person may ask of us."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute

from paceline.domain.errors import InvalidInputError
from paceline.domain.role import Role
from paceline.engine import exporting, personal_data
from paceline.engine.erased_numbers import ErasedNumbers
from paceline.engine.erasing import erase
from paceline.engine.exporting import Format
from paceline.engine.rendering import exact_text
from paceline.storage import contacts, lists, messages, person, suppressions
from paceline.storage.database import AnyRow
from paceline.web.pages import fields
from paceline.web.site import Site
from paceline.web.visits import Visit

_PAGE = 50
_MESSAGES = 20
LISTS = 500
"""Lists that one can choose from."""
_MEDIA = {Format.CSV: "text/csv; charset=utf-8", Format.JSONL: "application/jsonl"}


def routes(site: Site) -> list[BaseRoute]:
    pages = _Contacts(site)
    manager = Role.MANAGER
    return [
        site.route("/contacts", pages.all_of_them),
        site.route("/contacts/export", pages.export),
        site.route("/contacts/person", pages.person, least=manager, method="POST"),
        site.route("/contacts/erase", pages.erase, least=manager, method="POST"),
        site.route("/contacts/{id:int}", pages.one),
    ]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Who is looked for: a number, or how a name begins."""

    written: str
    number: str | None
    wrong: str
    """What is wrong with the number."""
    list_id: int | None
    after: int

    @property
    def by_name(self) -> bool:
        return bool(self.written) and self.number is None and not self.wrong


@dataclass(frozen=True, slots=True)
class Found:
    """Those who were found; ``more``: behind whom others come, or that there are others."""

    contacts: Sequence[AnyRow]
    suppressed: frozenset[str]
    more: int | None


class _Contacts:
    def __init__(self, site: Site) -> None:
        self._site = site
        self._erased = ErasedNumbers(lambda: site.sealer)

    async def all_of_them(self, visit: Visit) -> Response:
        wanted = self._wanted(visit)

        def read(connection: Connection) -> tuple[list[AnyRow], Found]:
            tenant_id = visit.who.tenant_id
            if wanted.list_id is not None:
                lists.get(connection, tenant_id, wanted.list_id)
            known = lists.names(connection, tenant_id, limit=LISTS)
            return known, _found(connection, tenant_id, wanted)

        known, found = await visit.database.read(read)
        template = "contacts_part.html" if visit.is_partial else "contacts.html"
        return visit.page(template, found=found, lists=known, wanted=wanted)

    async def one(self, visit: Visit) -> Response:
        """A contact, what was sent to them lately, and what a manager can do about them."""
        tenant_id, contact_id = visit.who.tenant_id, visit.request.path_params["id"]

        def read(connection: Connection) -> dict[str, Any]:
            row = contacts.get(connection, tenant_id, contact_id)
            blocks = suppressions.among_numbers(connection, tenant_id, [row.phone])
            sent = messages.to_number(connection, tenant_id, row.phone, limit=_MESSAGES)
            return {
                "contact": row,
                "lists": lists.of_contact(connection, tenant_id, contact_id),
                "suppression": next(iter(blocks), None),
                "messages": list(reversed(sent)),
            }

        return visit.page("contact.html", text_of=self._text, **await visit.database.read(read))

    async def export(self, visit: Visit) -> Response:
        """Everybody, or a list, as a file."""
        query = visit.request.query_params
        written = query.get("format", Format.CSV)
        if written not in set(Format):
            raise InvalidInputError.of("format", f"must be one of {', '.join(Format)}")
        kind = Format(written)
        prepared = await visit.database.read(
            exporting.prepare,
            visit.who.tenant_id,
            kind=kind,
            list_id=fields.whole(query.get("list")),
        )
        return StreamingResponse(
            prepared(visit.database).text(),
            media_type=_MEDIA[kind],
            headers={"Content-Disposition": f'attachment; filename="contacts.{kind}"'},
        )

    async def person(self, visit: Visit) -> Response:
        """Everything that is kept about a person, as a file. Their number comes in the form, so
        that no log has it.
        """
        number = fields.number(await visit.form(), self._site.settings)
        kept = await visit.database.read(person.of, visit.who.tenant_id, number)
        file = await asyncio.to_thread(personal_data.as_json, number, kept, self._site.sealer)
        return Response(
            file,
            media_type="application/json",
            headers={"Content-Disposition": 'attachment; filename="person.json"'},
        )

    async def erase(self, visit: Visit) -> Response:
        number = fields.number(await visit.form(), self._site.settings)
        erased = await erase(
            visit.database, visit.who.tenant_id, number, self._erased, actor=visit.who.actor
        )
        return visit.page("contact_erased.html", erased=erased)

    def _wanted(self, visit: Visit) -> Wanted:
        query = visit.request.query_params
        written = fields.printable(query.get("q", ""))
        number, wrong = None, ""
        if written and not any(each.isalpha() for each in written):
            try:
                number = fields.number({"number": written}, self._site.settings)
            except InvalidInputError as error:
                wrong = error.problems[0].reason
        list_id, after = fields.whole(query.get("list")), fields.whole(query.get("after"))
        return Wanted(written, number, wrong, list_id, after or 0)

    def _text(self, row: AnyRow) -> str:
        return exact_text(row.text, row.merge_values, row.id, sealer=self._site.sealer)


def _found(connection: Connection, tenant_id: int, wanted: Wanted) -> Found:
    if wanted.wrong:
        return Found([], frozenset(), None)
    which: dict[str, Any] = {"list_id": wanted.list_id, "limit": _PAGE + 1}
    if wanted.by_name:
        rows = contacts.search(connection, tenant_id, wanted.written, **which)
    else:
        rows = contacts.page(
            connection, tenant_id, after=wanted.after, phone=wanted.number, **which
        )
    shown = rows[:_PAGE]
    numbers = [row.phone for row in shown]
    blocks = suppressions.among_numbers(connection, tenant_id, numbers)
    return Found(
        shown,
        frozenset(each.phone for each in blocks),
        shown[-1].id if len(rows) > _PAGE else None,
    )
