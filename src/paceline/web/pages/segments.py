"""Segments: filters with a name, and whom they mean while one writes them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection
from starlette.responses import Response
from starlette.routing import BaseRoute

from paceline.domain import segment_json, segment_text
from paceline.domain.errors import ConflictError, InvalidInputError, PacelineError
from paceline.domain.role import Role
from paceline.domain.segment import Filter
from paceline.engine.audiences import read_filter
from paceline.storage import audience, contacts, lists, segments
from paceline.storage.database import AnyRow
from paceline.web.pages import fields
from paceline.web.pages.contacts import LISTS
from paceline.web.site import Site, status_of
from paceline.web.visits import Visit

_PAGE = 100
_PLACE = re.compile(r"at character (\d+): ")
_AROUND = 40
"""Characters of a filter that are shown before and behind what is wrong."""


def routes(site: Site) -> list[BaseRoute]:
    manager = Role.MANAGER
    return [
        site.route("/contacts/segments", _all_of_them),
        site.route("/contacts/segments/new", _new, least=manager),
        site.route("/contacts/segments/new", _create, least=manager, method="POST"),
        site.route("/contacts/segments/preview", _preview, method="POST"),
        site.route("/contacts/segments/{id:int}", _one),
        site.route("/contacts/segments/{id:int}", _change, least=manager, method="POST"),
        site.route("/contacts/segments/{id:int}/remove", _remove, least=manager, method="POST"),
    ]


@dataclass(frozen=True, slots=True)
class Shown:
    """A segment, and its filter as people write it."""

    id: int
    name: str
    text: str
    updated_at: int

    @classmethod
    def of(cls, row: AnyRow) -> Shown:
        text = segment_text.write(segment_json.read(row.filter))
        return cls(row.id, row.name, text, row.updated_at)


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a filter, and the piece of it where: what is before, and from there on."""

    reason: str
    before: str = ""
    from_there: str = ""


async def _all_of_them(visit: Visit) -> Response:
    after = fields.whole(visit.request.query_params.get("after")) or 0
    found = await visit.database.read(
        segments.page, visit.who.tenant_id, after=after, limit=_PAGE + 1
    )
    shown = [Shown.of(row) for row in found[:_PAGE]]
    return visit.page(
        "segments_part.html" if visit.is_partial else "segments.html",
        segments=shown,
        more=shown[-1].id if len(found) > _PAGE else None,
    )


async def _new(visit: Visit) -> Response:
    return await _form(visit, None, {})


async def _one(visit: Visit) -> Response:
    segment = Shown.of(await visit.database.read(segments.get, *visit.which))
    return await _form(visit, segment, {})


async def _form(
    visit: Visit,
    segment: Shown | None,
    given: Mapping[str, str],
    error: PacelineError | None = None,
) -> Response:
    tenant_id = visit.who.tenant_id

    def read(connection: Connection) -> dict[str, Any]:
        return {
            "lists": lists.names(connection, tenant_id, limit=LISTS),
            "attributes": sorted(contacts.attribute_names(connection, tenant_id)),
        }

    return visit.page(
        "segment.html",
        status_of(error),
        segment=segment,
        name=given.get("name", segment.name if segment else ""),
        text=given.get("filter", segment.text if segment else ""),
        error=error,
        **await visit.database.read(read),
    )


async def _create(visit: Visit) -> Response:
    form = await visit.form()
    try:
        name, wanted = _described(form)
        await visit.database.write(segments.create, visit.who.tenant_id, name=name, wanted=wanted)
    except (InvalidInputError, ConflictError) as error:
        return await _form(visit, None, form, error)
    return visit.to("/contacts/segments")


async def _change(visit: Visit) -> Response:
    form = await visit.form()
    segment = Shown.of(await visit.database.read(segments.get, *visit.which))
    try:
        name, wanted = _described(form)
        await visit.database.write(segments.change, *visit.which, name=name, wanted=wanted)
    except (InvalidInputError, ConflictError) as error:
        return await _form(visit, segment, form, error)
    return visit.to("/contacts/segments")


async def _remove(visit: Visit) -> Response:
    await visit.form()
    segment = Shown.of(await visit.database.read(segments.get, *visit.which))
    try:
        await visit.database.write(segments.remove, *visit.which)
    except ConflictError as error:
        return await _form(visit, segment, {}, error)
    return visit.to("/contacts/segments")


async def _preview(visit: Visit) -> Response:
    """Whom a filter means, or what is wrong with it."""
    text = (await visit.form()).get("filter", "").replace("\r\n", "\n")
    values: dict[str, Any] = {"empty": not text.strip(), "faults": [], "seen": None}
    if values["empty"]:
        return visit.page("segment_preview.html", **values)

    def read(connection: Connection, wanted: Filter) -> audience.Preview:
        segments.refuse_unknown(connection, visit.who.tenant_id, wanted)
        return audience.preview(connection, visit.who.tenant_id, wanted)

    try:
        values["seen"] = await visit.database.read(read, read_filter(text))
    except InvalidInputError as error:
        values["faults"] = [_fault(each.reason, text) for each in error.problems]
    return visit.page("segment_preview.html", **values)


def _described(form: Mapping[str, str]) -> tuple[str, Filter]:
    return fields.name(form), read_filter(form.get("filter", "").replace("\r\n", "\n"))


def _fault(reason: str, text: str) -> Fault:
    """With the place, if the reason names one."""
    place = _PLACE.search(reason)
    if place is None:
        return Fault(reason)
    start = int(place[1]) - 1
    return Fault(reason, text[max(start - _AROUND, 0) : start], text[start : start + _AROUND])
