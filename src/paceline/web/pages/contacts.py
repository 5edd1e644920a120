"""Contacts: who is in the book, whom nobody may write to, and imports."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO

from sqlalchemy import Connection
from starlette.datastructures import UploadFile
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute

from paceline.domain import phone
from paceline.domain.errors import InvalidInputError
from paceline.domain.role import Role
from paceline.engine.erased_numbers import ErasedNumbers
from paceline.engine.exporting import rejected
from paceline.engine.import_preview import preview_contacts
from paceline.engine.imports import Reading, import_contacts
from paceline.engine.undoing import undo_import
from paceline.storage import contacts, import_history, lists, suppressions
from paceline.storage.database import AnyRow
from paceline.web.site import Site
from paceline.web.visits import Visit

_PAGE = 50
_LISTS = 200
_READ = 64 * 1024
_DROPPED = ""
"""What a form says of a column that is left out."""


def routes(site: Site) -> list[BaseRoute]:
    pages = _Contacts(site)
    manager = Role.MANAGER
    return [
        site.route("/contacts", pages.all_of_them),
        site.route("/contacts/import", pages.imports, least=manager),
        site.route("/contacts/preview", pages.preview, least=manager, method="POST"),
        site.route("/contacts/import", pages.carry_out, least=manager, method="POST"),
        site.route("/contacts/imports/{id:int}/rejected", pages.rejected, least=manager),
        site.route("/contacts/imports/{id:int}/undo", pages.undo, least=manager, method="POST"),
        site.route("/contacts/suppressed", pages.suppressed),
        site.route("/contacts/suppressed", pages.suppress, least=manager, method="POST"),
        site.route("/contacts/suppressed/end", pages.end, least=manager, method="POST"),
    ]


@dataclass(frozen=True, slots=True)
class Sent:
    """A file that has come whole, and how its form wants it read."""

    file: BinaryIO
    reading: Reading
    list_id: int | None

    def chunks(self) -> Iterator[bytes]:
        self.file.seek(0)
        return iter(lambda: self.file.read(_READ), b"")


class _Contacts:
    def __init__(self, site: Site) -> None:
        self._site = site
        self._erased = ErasedNumbers.of(site.settings)

    async def all_of_them(self, visit: Visit) -> Response:
        query = visit.request.query_params
        number, wrong = self._number(query.get("number", ""))
        after, list_id = _id(query.get("after")), _id(query.get("list"))
        tenant_id = visit.who.tenant_id

        def read(connection: Connection) -> tuple[list[AnyRow], list[AnyRow], set[str]]:
            known = lists.page(connection, tenant_id, limit=_LISTS)
            found = contacts.page(
                connection,
                tenant_id,
                after=after or 0,
                limit=_PAGE + 1,
                phone=number,
                list_id=list_id,
            )
            numbers = (row.phone for row in found)
            silent = {each for each in numbers if suppressions.exists(connection, tenant_id, each)}
            return known, found, silent

        known, found, silent = await visit.database.read(read)
        shown = [] if wrong else found[:_PAGE]
        return visit.page(
            "contacts_part.html" if visit.is_partial else "contacts.html",
            contacts=shown,
            more=shown[-1].id if len(found) > _PAGE and shown else None,
            suppressed=silent,
            lists=known,
            list_id=list_id,
            number=query.get("number", ""),
            wrong=wrong,
        )

    async def imports(self, visit: Visit) -> Response:
        return await self._imports(visit)

    async def _imports(self, visit: Visit, **said: Any) -> Response:
        tenant_id = visit.who.tenant_id

        def read(connection: Connection) -> tuple[list[AnyRow], list[AnyRow]]:
            known = lists.page(connection, tenant_id, limit=_LISTS)
            return known, import_history.page(connection, tenant_id, limit=_PAGE)

        known, made = await visit.database.read(read)
        values = {"imported": None, "undone": None, "country": self._country} | said
        return visit.page("import.html", lists=known, imports=made, **values)

    @property
    def _country(self) -> str:
        return self._site.settings.default_country or ""

    async def preview(self, visit: Visit) -> Response:
        """What an import would do; nothing is written."""
        async with self._sent(visit) as sent:
            preview = await preview_contacts(
                visit.database,
                visit.who.tenant_id,
                sent.chunks(),
                sent.reading,
                list_id=sent.list_id,
                erased_numbers=self._erased,
            )
        return visit.page("import_preview.html", preview=preview)

    async def carry_out(self, visit: Visit) -> Response:
        async with self._sent(visit) as sent:
            imported = await import_contacts(
                visit.database,
                visit.who.tenant_id,
                sent.chunks(),
                reading=sent.reading,
                list_id=sent.list_id,
                erased_numbers=self._erased,
                actor=visit.who.actor,
            )
        return await self._imports(visit, imported=imported)

    async def rejected(self, visit: Visit) -> Response:
        """The rows that were not taken, as a file."""
        made = await visit.database.read(
            import_history.get, visit.who.tenant_id, visit.request.path_params["id"]
        )
        return StreamingResponse(
            rejected(visit.database, made),
            media_type="text/csv; charset=utf-8",
            headers={"Content-Disposition": f'attachment; filename="rejected-{made.id}.csv"'},
        )

    async def undo(self, visit: Visit) -> Response:
        await visit.form()
        undone = await undo_import(
            visit.database,
            visit.who.tenant_id,
            visit.request.path_params["id"],
            actor=visit.who.actor,
        )
        return await self._imports(visit, undone=undone)

    async def suppressed(self, visit: Visit) -> Response:
        after = visit.request.query_params.get("after", "")
        found = await visit.database.read(
            suppressions.page, visit.who.tenant_id, after=after, limit=_PAGE + 1
        )
        shown = found[:_PAGE]
        return visit.page(
            "suppressed_part.html" if visit.is_partial else "suppressed.html",
            suppressions=shown,
            more=shown[-1].phone if len(found) > _PAGE else None,
        )

    async def suppress(self, visit: Visit) -> Response:
        form = await visit.form()
        number, wrong = self._number(form.get("number", ""))
        if number is None:
            raise InvalidInputError.of("number", wrong or "is missing")
        await visit.database.write(
            suppressions.add,
            visit.who.tenant_id,
            [number],
            form.get("reason", "").strip() or "blocked in the dashboard",
            actor=visit.who.actor,
        )
        return visit.to("/contacts/suppressed")

    async def end(self, visit: Visit) -> Response:
        form = await visit.form()
        await visit.database.write(
            suppressions.remove,
            visit.who.tenant_id,
            form.get("number", ""),
            actor=visit.who.actor,
        )
        return visit.to("/contacts/suppressed")

    @asynccontextmanager
    async def _sent(self, visit: Visit) -> AsyncIterator[Sent]:
        fields = await visit.form()
        async with visit.request.form() as form:
            upload = form.get("file")
            if not isinstance(upload, UploadFile) or not upload.filename:
                raise InvalidInputError.of("file", "choose a CSV, TSV, XLSX or ODS file")
            country = fields.get("country", "").strip().upper() or None
            reading = Reading(
                country, _mapping(fields), fields.get("sheet") or None, upload.filename
            )
            await asyncio.to_thread(upload.file.seek, 0)
            yield Sent(upload.file, reading, _id(fields.get("list")))

    def _number(self, written: str) -> tuple[str | None, str]:
        """The number in E.164, or what is wrong with it."""
        if not written.strip():
            return None, ""
        try:
            return phone.parse(written.strip(), self._site.settings.default_country), ""
        except phone.PhoneError as error:
            return None, error.reason


def _mapping(fields: Mapping[str, str]) -> dict[str, str | None] | None:
    """Header → field, of the columns whose field somebody has chosen (``column:`` and the header,
    as JSON).
    """
    chosen = {
        json.loads(name.removeprefix("column:")): value.strip()
        for name, value in fields.items()
        if name.startswith("column:")
    }
    mapped = {header: None if to == _DROPPED else to for header, to in chosen.items()}
    return mapped or None


def _id(written: str | None) -> int | None:
    return int(written) if written and written.isascii() and written.isdecimal() else None
