"""Messages: an explorer, and the whole story of one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import Connection
from starlette.responses import Response
from starlette.routing import BaseRoute

from paceline.domain import parts, phone
from paceline.domain.message import Delivery, MessageStatus, Reason
from paceline.domain.role import Role
from paceline.engine.rendering import exact_text
from paceline.storage import campaigns, messages, watching
from paceline.storage.database import AnyRow
from paceline.web.pages import fields
from paceline.web.site import Site
from paceline.web.visits import Visit

_PAGE = 50
_CAMPAIGNS = 200


def routes(site: Site) -> list[BaseRoute]:
    pages = _Messages(site)
    return [
        site.route("/messages", pages.explorer),
        site.route("/messages/{id:int}", pages.story),
        site.route(
            "/messages/{id:int}/unconfirmed", pages.decide, least=Role.SENDER, method="POST"
        ),
    ]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What somebody looks for."""

    campaign_id: int | None
    status: str
    reason: str
    number: str
    after: int

    @classmethod
    def of(cls, query: Mapping[str, str]) -> Wanted:
        """What is not understood is not looked for."""
        status, reason = query.get("status", ""), query.get("reason", "")
        return cls(
            fields.whole(query.get("campaign")),
            status if status in set(MessageStatus) | {"unconfirmed"} else "",
            reason if reason in set(Reason) else "",
            fields.printable(query.get("number", "")),
            fields.whole(query.get("after")) or 0,
        )

    def filters(self) -> dict[str, Any]:
        """For ``messages.page``."""
        in_doubt = self.status == "unconfirmed"
        return {
            "status": None if in_doubt else self.status or None,
            "reason": self.reason or None,
            "in_doubt": in_doubt or None,
        }


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a message."""

    at: int
    kind: str
    detail: Mapping[str, Any]


class _Messages:
    def __init__(self, site: Site) -> None:
        self._site = site

    async def explorer(self, visit: Visit) -> Response:
        wanted = Wanted.of(visit.request.query_params)
        number, wrong = self._number(wanted.number)
        found, known = await visit.database.read(_found, visit.who.tenant_id, wanted, number)
        shown = [] if wrong else found[:_PAGE]
        more = shown[-1].id if len(found) > _PAGE and shown else None
        template = "messages_part.html" if visit.is_partial else "messages.html"
        return visit.page(
            template,
            messages=shown,
            text_of=self._text,
            campaigns=known,
            wanted=wanted,
            more=more,
            wrong=wrong,
        )

    async def story(self, visit: Visit) -> Response:
        """One message from being queued to its last receipt."""
        message_id = visit.request.path_params["id"]
        message, tries, campaign = await visit.database.read(
            _story, visit.who.tenant_id, message_id
        )
        text = self._text(message)
        return visit.page(
            "message.html",
            message=message,
            text=text,
            parts_counted=parts.count(text),
            campaign=campaign,
            events=sorted(_events(message, tries), key=lambda event: event.at),
        )

    async def decide(self, visit: Visit) -> Response:
        """About a single message that is unconfirmed."""
        decision = fields.decision(await visit.form())
        message_id = visit.request.path_params["id"]
        await visit.orders.decide_single(visit.who.tenant_id, message_id, decision)
        return visit.to(f"/messages/{message_id}")

    def _text(self, row: AnyRow) -> str:
        return exact_text(row.text, row.merge_values, row.id, sealer=self._site.sealer)

    def _number(self, written: str) -> tuple[str | None, str]:
        """The number in E.164, or what is wrong with it."""
        if not written:
            return None, ""
        try:
            return phone.parse(written, self._site.settings.default_country), ""
        except phone.PhoneError as error:
            return None, error.reason


def _found(
    connection: Connection, tenant_id: int, wanted: Wanted, number: str | None
) -> tuple[list[AnyRow], list[AnyRow]]:
    """The messages, and the campaigns to choose from."""
    known = list(campaigns.page(connection, tenant_id, limit=_CAMPAIGNS))
    if wanted.campaign_id is not None and wanted.campaign_id not in {each.id for each in known}:
        known.append(campaigns.get(connection, tenant_id, wanted.campaign_id))
    if number is not None:
        of_number = partial(messages.to_number, connection, tenant_id, number)
        found = of_number(campaign_id=wanted.campaign_id, limit=_PAGE, **wanted.filters())
        return found, known
    found = messages.page(
        connection,
        tenant_id,
        campaign_id=wanted.campaign_id,
        after=wanted.after,
        limit=_PAGE + 1,
        **wanted.filters(),
    )
    return found, known


def _story(
    connection: Connection, tenant_id: int, message_id: int
) -> tuple[AnyRow, list[AnyRow], AnyRow | None]:
    message = messages.get(connection, tenant_id, message_id)
    tries = watching.tries_of(connection, tenant_id, message_id)
    campaign_id = message.campaign_id
    of = None if campaign_id is None else campaigns.get(connection, tenant_id, campaign_id)
    return message, list(tries), of


def _events(message: AnyRow, tries: list[AnyRow]) -> Iterator[Event]:
    yield Event(message.created_at, "queued", {})
    for each in tries:
        yield Event(each.started_at, "try", {"try": each})
        if each.delivery is not None and each.delivery != Delivery.NONE:
            settled = message.delivered_at or message.failed_at or each.finished_at
            yield Event(settled or each.started_at, "receipt", {"delivery": each.delivery})
    if message.sent_at is not None:
        yield Event(message.sent_at, "sent", {})
    if message.failed_at is not None:
        yield Event(message.failed_at, "failed", {"reason": message.reason, "error": message.error})
