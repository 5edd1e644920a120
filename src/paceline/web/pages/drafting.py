"""A campaign that is being made: to whom, what, when; then a look at all of it before it is sent.

One page, with or without a script: what is sent with it is kept as a draft, and from then on the
page is that draft's.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from sqlalchemy import Connection
from starlette.datastructures import UploadFile
from starlette.responses import Response
from starlette.routing import BaseRoute

from paceline.domain.campaign import CampaignStatus
from paceline.domain.errors import (
    ChangedSinceError,
    ConflictError,
    InvalidInputError,
    NotADraftError,
    NotFoundError,
    PacelineError,
    Problem,
)
from paceline.domain.role import Role
from paceline.engine.composing import check, compose
from paceline.engine.drafts import LINK
from paceline.engine.erased_numbers import ErasedNumbers
from paceline.engine.file_audience import LIST_NAME, FileAudience, import_as_list
from paceline.engine.imports import Reading
from paceline.engine.previewing import estimate
from paceline.engine.sampling import count_audience, sample
from paceline.engine.schedule import moment
from paceline.engine.trying import send_test
from paceline.storage import accounts, campaigns, contacts, import_history, lists, segments
from paceline.storage.database import AnyRow
from paceline.storage.launches import CONTACT_FIELDS
from paceline.web.pages import draft_form
from paceline.web.pages.draft_form import EXCLUDED, FILE
from paceline.web.pages.fields import whole
from paceline.web.site import Site, status_of
from paceline.web.visits import Visit

_CHOICES = 200
_RECENT = 20
_READ = 64 * 1024
_KEY = re.compile(r"[0-9a-f]{32}")
_WAITS = (CampaignStatus.DRAFT, CampaignStatus.SCHEDULED)
_OF_A_FILE = {LIST_NAME, "default_country"}
_NEW = {"audience": "all", "when": "now"}


def routes(site: Site) -> list[BaseRoute]:
    pages = _Drafting(site)
    sender = Role.SENDER
    return [
        site.route("/campaigns/new", pages.new, least=sender),
        site.route("/campaigns/{id:int}/edit", pages.edit, least=sender),
        site.route("/campaigns/compose", pages.again, least=sender),
        site.route("/campaigns/compose", pages.compose, least=sender, method="POST"),
        site.route("/campaigns/compose/audience", pages.audience, least=sender, method="POST"),
        site.route("/campaigns/compose/text", pages.text, least=sender, method="POST"),
        site.route("/campaigns/{id:int}/review", pages.review),
        site.route("/campaigns/{id:int}/test", pages.test, least=sender, method="POST"),
        site.route("/campaigns/{id:int}/schedule", pages.schedule, least=sender, method="POST"),
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shown:
    """What the page shows beside the form."""

    given: Mapping[str, str]
    """Field → what stands in it."""
    draft: AnyRow | None = None
    error: PacelineError | None = None
    file: FileAudience | None = None
    """That was imported by this very request."""
    reviewed: bool = False
    """Look at all of it at once, not only when a script asks."""
    changed: bool = False
    """By somebody else, since they looked at it last."""
    kept: bool = False
    """By this very request: its review is what is looked at next."""


class _Drafting:
    def __init__(self, site: Site) -> None:
        self._site = site
        self._erased = ErasedNumbers.of(site.settings)

    async def new(self, visit: Visit) -> Response:
        return await self._page(visit, _Shown(given=_NEW))

    async def edit(self, visit: Visit) -> Response:
        """The page of a draft; ``at`` is when somebody wants to start it, ``changed`` that another
        one than they had looked at was not.
        """
        query = visit.request.query_params
        draft = await self._draft(visit, visit.request.path_params["id"])
        given = self._given(visit, draft, query.get("at", ""))
        shown = _Shown(
            given=given, draft=draft, reviewed="review" in query, changed="changed" in query
        )
        return await self._page(visit, shown)

    async def again(self, visit: Visit) -> Response:
        """Where a form was sent to is no place to come back to."""
        return visit.to("/campaigns/new")

    async def compose(self, visit: Visit) -> Response:
        """Keep what the form describes as a draft, or only import its file, and show the page."""
        form = dict(await visit.form())
        draft = await self._draft_of(visit, form)
        file: FileAudience | None = None
        try:
            async with visit.request.form() as sent:
                upload = sent.get(FILE)
                if form.get("audience") == FILE or form.get("do") == "import":
                    file = await self._import(visit, form, upload)
            if form.get("do") != "import":
                draft = await self._keep(visit, form, draft)
        except (InvalidInputError, ConflictError) as error:
            shown = _Shown(given=form, draft=draft, error=error, file=file)
            return await self._page(visit, shown)
        if form.get("do") == "import" or draft is None:
            return await self._page(visit, _Shown(given=form, draft=draft, file=file))
        return await self._kept(visit, form, draft, file)

    async def _keep(self, visit: Visit, form: Mapping[str, str], draft: AnyRow | None) -> AnyRow:
        tenant_id = visit.who.tenant_id
        written = draft_form.read(form, visit.who.timezone, draft)
        campaign_id = None if draft is None else draft.id
        if written.problems:
            problems = written.problems
            try:
                await check(visit.orders, tenant_id, written.new, campaign_id=campaign_id)
            except InvalidInputError as error:
                problems += error.problems
            raise InvalidInputError("", problems)
        key = form.get("key", "")
        shown = await compose(
            visit.orders,
            tenant_id,
            written.new,
            campaign_id=campaign_id,
            key=key if _KEY.fullmatch(key) else None,
        )
        return shown.campaign

    async def _kept(
        self,
        visit: Visit,
        form: Mapping[str, str],
        draft: AnyRow,
        file: FileAudience | None,
    ) -> Response:
        """The page of what is a draft now, under its own address."""
        at = form.get("at", "") if form.get("when") == "at" else ""
        where = f"/campaigns/{draft.id}/edit"
        query = {"at": at} if at else {}
        if not visit.is_partial:
            return visit.to(f"{where}?{urlencode({'review': 1, **query})}#review")
        given = self._given(visit, draft, at)
        given |= {name: form[name] for name in ("import", "imported_list") if name in form}
        response = await self._page(visit, _Shown(given=given, draft=draft, file=file, kept=True))
        response.headers["HX-Reswap"] = "innerHTML show:#review:top"
        response.headers["HX-Replace-Url"] = f"{where}?{urlencode(query)}" if query else where
        return response

    async def _import(self, visit: Visit, form: dict[str, str], upload: Any) -> FileAudience:
        """Import the file that came with a form, whose audience it is from now on."""
        if not visit.may("manager"):
            raise InvalidInputError.of(FILE, "needs the role of a manager: choose a list")
        if not isinstance(upload, UploadFile) or not upload.filename:
            raise InvalidInputError.of(FILE, "choose a CSV, TSV, XLSX or ODS file")
        country = form.get("country", "").strip().upper() or self._site.settings.default_country
        source = upload.file

        def chunks() -> Iterator[bytes]:
            return iter(lambda: source.read(_READ), b"")

        await asyncio.to_thread(source.seek, 0)
        try:
            file = await import_as_list(
                visit.database,
                visit.who.tenant_id,
                chunks(),
                Reading(country or None, name=upload.filename),
                list_name=form.get("list_name", ""),
                erased_numbers=self._erased,
                actor=visit.who.actor,
            )
        except InvalidInputError as error:
            raise InvalidInputError(error.message, tuple(_of_file(error))) from None
        form |= {
            "audience": "list",
            "list": str(file.list_id),
            "import": str(file.imported.id),
            "imported_list": str(file.list_id),
            "list_name": "",
        }
        return file

    async def _page(self, visit: Visit, shown: _Shown) -> Response:
        tenant_id = visit.who.tenant_id
        choices = await visit.database.read(_choices, tenant_id, shown.given, shown.draft)
        problems = shown.error.problems if isinstance(shown.error, InvalidInputError) else ()
        values: dict[str, Any] = {
            "given": defaultdict(str, shown.given),
            "draft": shown.draft,
            "error": shown.error,
            "faults": draft_form.faults_of(problems),
            "file": shown.file,
            "kept": shown.kept,
            "changed": shown.changed,
            "leaves_out": any(name.startswith(EXCLUDED) for name in shown.given),
            "key": shown.given.get("key") or secrets.token_hex(16),
            "country": self._site.settings.default_country or "",
            "tags": [*CONTACT_FIELDS[:2], *([LINK] if self._site.settings.public_url else [])],
            "review": None,
            **choices,
        }
        if shown.reviewed and shown.draft is not None:
            values["review"] = await self._review(visit, shown.draft, shown.given.get("at", ""))
        template = "campaign_form.html" if _is_in_place(visit) else "campaign_compose.html"
        return visit.page(template, status_of(shown.error), **values)

    def _given(self, visit: Visit, draft: AnyRow, at: str) -> dict[str, str]:
        fields = draft_form.fields_of(draft, visit.who.timezone)
        return fields | {"at": at, "when": "at" if at else "now"}

    async def audience(self, visit: Visit) -> Response:
        """How many people it would go to."""
        form = await visit.form()
        draft = await self._draft_of(visit, form)
        if draft_form.undecided(form, draft):
            return visit.page("campaign_audience.html", counted=None, made=None)
        tenant_id = visit.who.tenant_id
        counted = await count_audience(visit.database, tenant_id, draft_form.whom_of(form, draft))
        import_id = whole(form.get("import"))
        made = None
        if import_id and form.get("list") == form.get("imported_list"):
            made = await visit.database.read(import_history.get, tenant_id, import_id)
        return visit.page("campaign_audience.html", counted=counted, made=made)

    async def text(self, visit: Visit) -> Response:
        """How it reads to somebody, and in how many parts."""
        form = await visit.form()
        if not form.get("text", "").strip():
            return visit.page("campaign_text.html", sample=None, problems=())
        draft = await self._draft_of(visit, form)
        written = draft_form.read(form, visit.who.timezone, draft)
        try:
            found = await sample(
                visit.database,
                visit.who.tenant_id,
                written.new.text,
                self._site.settings,
                draft_form.whom_of(form, draft),
            )
        except InvalidInputError as error:
            return visit.page("campaign_text.html", sample=None, problems=error.problems)
        return visit.page("campaign_text.html", sample=found, problems=())

    async def review(self, visit: Visit) -> Response:
        """People, parts, cost and time of a draft or scheduled campaign; with ``compose``, and what
        can be done then, below its form.
        """
        query = visit.request.query_params
        which = visit.which
        campaign = await visit.database.read(campaigns.get, *which)
        composing = "compose" in query
        values = await self._review(
            visit, campaign, query.get("at", ""), looked_at=query.get("looked_at", "")
        )
        return visit.page("campaign_review.html", **values | {"composing": composing})

    async def _review(
        self, visit: Visit, campaign: AnyRow, at: str, *, looked_at: str = ""
    ) -> dict[str, Any]:
        """``looked_at``: which state of it is shown beside the review; none: this one."""
        found = None
        if campaign.status in _WAITS:
            found = await estimate(
                visit.database,
                visit.orders.rules,
                visit.who.tenant_id,
                campaign.id,
                whole=self._site.database,
            )
        starts_at = None
        if at:
            try:
                starts_at = moment(at, visit.who.timezone)
            except InvalidInputError:
                at = ""
        return {
            "campaign": campaign,
            "estimate": found,
            "at": at,
            "starts_at": starts_at,
            "looked_at": looked_at or visit.writing.iso(campaign.updated_at),
            "composing": True,
        }

    async def test(self, visit: Visit) -> Response:
        """Send it to a number of one's own."""
        form = await visit.form()
        message = await send_test(
            visit.orders,
            visit.who.tenant_id,
            visit.request.path_params["id"],
            to=form.get("to", ""),
            actor=visit.who.actor,
        )
        if visit.is_partial:
            return visit.page("campaign_tried.html", message=message)
        return visit.to(f"/messages/{message.id}")

    async def schedule(self, visit: Visit) -> Response:
        """Have it started at a time, and by the latest that it has already."""
        form = await visit.form()
        campaign_id = visit.request.path_params["id"]
        at, tenant_id = form.get("at", ""), visit.who.tenant_id
        campaign = await visit.database.read(campaigns.get, tenant_id, campaign_id)
        start_by = None if campaign.start_by is None else visit.writing.iso(campaign.start_by)
        try:
            await visit.orders.schedule(
                tenant_id,
                campaign_id,
                at,
                visit.who.timezone,
                start_by,
                unchanged_since=form.get("looked_at") or None,
            )
        except ChangedSinceError:
            return await look_again(visit, at)
        except InvalidInputError as error:
            if campaign.status != CampaignStatus.DRAFT:
                raise
            given = self._given(visit, campaign, at) | {"when": "at"}
            return await self._page(visit, _Shown(given=given, draft=campaign, error=error))
        return visit.to(f"/campaigns/{campaign_id}")

    async def _draft_of(self, visit: Visit, form: Mapping[str, str]) -> AnyRow | None:
        """The campaign that a form is about, if it has been kept before."""
        campaign_id = whole(form.get("draft"))
        if campaign_id is None:
            return None
        return await visit.database.read(campaigns.get, visit.who.tenant_id, campaign_id)

    async def _draft(self, visit: Visit, campaign_id: int) -> AnyRow:
        draft = await visit.database.read(campaigns.get, visit.who.tenant_id, campaign_id)
        if draft.status != CampaignStatus.DRAFT:
            raise NotADraftError(draft.status)
        return draft


async def look_again(visit: Visit, at: str = "") -> Response:
    """The campaign as it is now, for whoever ordered the start of what it was before."""
    campaign = await visit.database.read(campaigns.get, *visit.which)
    if campaign.status != CampaignStatus.DRAFT:
        return visit.to(f"/campaigns/{campaign.id}")
    query = {"review": 1, "changed": 1, **({"at": at} if at else {})}
    return visit.to(f"/campaigns/{campaign.id}/edit?{urlencode(query)}#review")


def _is_in_place(visit: Visit) -> bool:
    """Htmx puts it into the page. What it asks for when somebody goes back is a whole page."""
    return visit.is_partial and visit.request.method == "POST"


def _choices(
    connection: Connection, tenant_id: int, given: Mapping[str, str], draft: AnyRow | None
) -> dict[str, Any]:
    """What can be chosen, and what has been, though it is not among the first or the newest."""
    recent = campaigns.with_recipients(connection, tenant_id, limit=_RECENT)
    excluded = [whole(name.removeprefix(EXCLUDED)) for name in given if name.startswith(EXCLUDED)]

    def with_chosen(
        known: list[AnyRow], get: Callable[..., AnyRow], ids: Iterable[int | None]
    ) -> list[AnyRow]:
        missing = sorted({each for each in ids if each} - {row.id for row in known})
        found = (_or_none(get, connection, tenant_id, each) for each in missing)
        return known + [row for row in found if row is not None]

    again = draft.parent_id if draft is not None else None
    return {
        "lists": with_chosen(
            lists.page(connection, tenant_id, limit=_CHOICES),
            lists.get,
            [whole(given.get("list")), whole(given.get("of"))],
        ),
        "segments": with_chosen(
            segments.page(connection, tenant_id, limit=_CHOICES),
            segments.get,
            [whole(given.get("segment"))],
        ),
        "recent": with_chosen(recent, campaigns.get, excluded),
        "accounts": accounts.all_of(connection, tenant_id),
        "attributes": sorted(contacts.attribute_names(connection, tenant_id)),
        "parent": None if again is None else campaigns.get(connection, tenant_id, again),
    }


def _or_none(get: Callable[..., AnyRow], *which: Any) -> AnyRow | None:
    try:
        return get(*which)
    except NotFoundError:
        return None


def _of_file(error: InvalidInputError) -> Iterator[Problem]:
    """The faults of an import, beside the field of the file unless another one is to blame."""
    for each in error.problems or (Problem("", error.message),):
        if each.where in _OF_A_FILE:
            yield each
        else:
            place = f"{each.where}: " if each.where else ""
            yield Problem(FILE, f"{place}{each.reason}", each.row)
