"""Files of contacts: looked at before they are imported, imported, and taken back."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, BinaryIO

from sqlalchemy import Connection
from starlette.datastructures import UploadFile
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute

from paceline.domain.errors import ConflictError, InvalidInputError, NotFoundError, PacelineError
from paceline.domain.role import Role
from paceline.engine.contact_rows import columns_of
from paceline.engine.erased_numbers import ErasedNumbers
from paceline.engine.exporting import rejected
from paceline.engine.import_preview import Outline, Preview, outline, preview_contacts
from paceline.engine.imports import Imported, Reading, import_contacts
from paceline.engine.new_lists import new_list
from paceline.engine.undoing import undo_import
from paceline.storage import contacts, import_history, lists
from paceline.storage.database import AnyRow
from paceline.storage.undoing import Undone
from paceline.web.pages import fields
from paceline.web.pages.contacts import LISTS
from paceline.web.site import Site, status_of
from paceline.web.visits import Visit

_PAGE = 25
_REJECTS = 20
_READ = 64 * 1024


def routes(site: Site) -> list[BaseRoute]:
    pages = _Imports(site)
    manager = Role.MANAGER
    return [
        site.route("/contacts/import", pages.form, least=manager),
        site.route("/contacts/preview", pages.preview, least=manager, method="POST"),
        site.route("/contacts/import", pages.carry_out, least=manager, method="POST"),
        site.route("/contacts/imports/{id:int}", pages.one, least=manager),
        site.route("/contacts/imports/{id:int}/rejected", pages.rejected, least=manager),
        site.route("/contacts/imports/{id:int}/undo", pages.undo, least=manager, method="POST"),
    ]


@dataclass(frozen=True, slots=True)
class Sent:
    """A file that has come whole, how its form wants it read, and where its people go."""

    file: BinaryIO
    reading: Reading
    list_id: int | None
    new_list: str | None

    def chunks(self) -> Iterator[bytes]:
        self.file.seek(0)
        return iter(lambda: self.file.read(_READ), b"")


class _Imports:
    def __init__(self, site: Site) -> None:
        self._site = site
        self._erased = ErasedNumbers(lambda: site.sealer)

    async def form(self, visit: Visit) -> Response:
        return await self._form(visit)

    async def preview(self, visit: Visit) -> Response:
        """What an import would do; nothing is written."""
        sent = await self._sent(visit)
        try:
            preview = await preview_contacts(
                visit.database,
                visit.who.tenant_id,
                sent.chunks(),
                sent.reading,
                list_id=sent.list_id,
                erased_numbers=self._erased,
            )
        except (InvalidInputError, NotFoundError) as error:
            return await self._form(visit, sent, error=error)
        return await self._form(visit, sent, preview=preview)

    async def carry_out(self, visit: Visit) -> Response:
        sent = await self._sent(visit)
        try:
            imported = await self._import(visit, sent)
        except (InvalidInputError, NotFoundError, ConflictError) as error:
            return await self._form(visit, sent, error=error)
        return visit.to(f"/contacts/imports/{imported.id}")

    async def _import(self, visit: Visit, sent: Sent) -> Imported:
        async def into(list_id: int | None) -> Imported:
            return await import_contacts(
                visit.database,
                visit.who.tenant_id,
                sent.chunks(),
                reading=sent.reading,
                list_id=list_id,
                erased_numbers=self._erased,
                actor=visit.who.actor,
            )

        if sent.new_list is None:
            return await into(sent.list_id)
        async with new_list(visit.database, visit.who.tenant_id, sent.new_list) as list_id:
            return await into(list_id)

    async def one(self, visit: Visit) -> Response:
        return await self._one(visit)

    async def rejected(self, visit: Visit) -> Response:
        """The rows that were not taken, as a file."""
        made = await visit.database.read(import_history.get, *visit.which)
        return StreamingResponse(
            rejected(visit.database, made),
            media_type="text/csv; charset=utf-8",
            headers={"Content-Disposition": f'attachment; filename="rejected-{made.id}.csv"'},
        )

    async def undo(self, visit: Visit) -> Response:
        await visit.form()
        undone = await undo_import(visit.database, *visit.which, actor=visit.who.actor)
        return await self._one(visit, undone)

    async def _one(self, visit: Visit, undone: Undone | None = None) -> Response:
        """What became of a file."""

        def read(connection: Connection) -> tuple[AnyRow, list[AnyRow]]:
            made = import_history.get(connection, *visit.which)
            return made, import_history.rejects(connection, made.id, limit=_REJECTS)

        made, faults = await visit.database.read(read)
        return visit.page("import.html", made=made, faults=faults, undone=undone)

    async def _form(
        self,
        visit: Visit,
        sent: Sent | None = None,
        *,
        preview: Preview | None = None,
        error: PacelineError | None = None,
    ) -> Response:
        """The page; to htmx what stands under the form, which keeps the file that was chosen."""
        looked_at = await _outline(sent) if sent else None
        tenant_id = visit.who.tenant_id
        before = fields.whole(visit.request.query_params.get("before"))

        def read(connection: Connection) -> dict[str, Any]:
            return {
                "lists": lists.names(connection, tenant_id, limit=LISTS),
                "attributes": sorted(contacts.attribute_names(connection, tenant_id)),
                "imports": import_history.page(
                    connection, tenant_id, before=before, limit=_PAGE + 1
                ),
            }

        found = await visit.database.read(read)
        made = found.pop("imports")
        shown = made[:_PAGE]
        return visit.page(
            _template(visit),
            status_of(error),
            **found,
            imports=shown,
            more=shown[-1].id if len(made) > _PAGE else None,
            country=self._site.settings.default_country or "",
            sent=sent,
            outline=looked_at,
            preview=preview,
            error=error,
        )

    async def _sent(self, visit: Visit) -> Sent:
        """What a form has brought.

        Raises:
            InvalidInputError: no file, or a list that cannot be called so.
        """
        given = await visit.form()
        upload = (await visit.request.form()).get("file")
        if not isinstance(upload, UploadFile) or not upload.filename:
            raise InvalidInputError.of("file", "choose a CSV, TSV, XLSX or ODS file")
        new = fields.name(given, "new_list") if given.get("new_list", "").strip() else None
        called, sheet = fields.printable(upload.filename), given.get("sheet") or None
        same_file = given.get("shown_file") == called
        country = given.get("country", "").strip().upper() or None
        reading = Reading(country, None, sheet if same_file else None, called)
        sent = Sent(upload.file, reading, fields.whole(given.get("list")), new)
        if same_file and (given.get("shown_sheet") or None) == sheet:
            mapping = await asyncio.to_thread(_mapping, sent, given)
            return replace(sent, reading=replace(reading, mapping=mapping))
        return sent


def _template(visit: Visit) -> str:
    if not visit.is_partial:
        return "imports.html"
    return "imports_part.html" if visit.request.method == "GET" else "import_preview.html"


async def _outline(sent: Sent) -> Outline | None:
    """The columns and sheets to choose from; None: it is nothing that has any."""
    try:
        return await asyncio.to_thread(outline, sent.chunks, sent.reading)
    except InvalidInputError:
        return None


def _mapping(sent: Sent, given: Mapping[str, str]) -> dict[str, str | None] | None:
    """Header → field, of the columns whose field somebody has chosen; an empty one leaves the
    column out. A form names columns by their places: of names with quotes and line breaks browsers
    make something else.
    """
    try:
        columns = columns_of(sent.chunks(), sheet=sent.reading.sheet)
    except InvalidInputError:
        return None  # what is wrong is said when it is read
    mapped = {
        column.header: given[f"column:{place}"].strip() or None
        for place, column in enumerate(columns)
        if column.header and f"column:{place}" in given
    }
    return mapped or None
