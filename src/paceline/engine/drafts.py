"""The checks of what is to be sent: every fault is found at once, on one snapshot."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from paceline import providers
from paceline.domain import opt_out_link, parts
from paceline.domain.errors import InvalidInputError, NotFoundError, Problem
from paceline.domain.template import (
    Template,
    TemplateError,
    compile_text,
    unknown_fields,
    written_out,
)
from paceline.engine.audiences import rule_problems
from paceline.engine.pace import FIELDS, too_early, values_of, window_without_rate
from paceline.engine.schedule import moment
from paceline.storage import accounts, contacts, lists, tenants
from paceline.storage.database import AnyRow, now
from paceline.storage.launches import CONTACT_FIELDS

MAX_NAME = 200
LINK = "unsubscribe_url"
"""The tag that becomes a person's opt-out link."""
TOKEN = "unsubscribe_token"  # noqa: S105 - a tag's name
"""What is left of that tag in the frozen text, behind the public address: so what was sent can be
shown when that has changed, and a worker need not know it."""
_SHOWN_CHARACTERS = 5
_NO_TEST = (
    "reaches people, and a test key reaches nobody but the simulator: name an account whose "
    "provider is the simulator"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCampaign:
    """A campaign as somebody describes it. ``scheduled_at`` is ISO 8601; see ``schedule.moment``.
    From ``start_by`` on: see ``pace.FIELDS``.

    No ``list_id``: all the tenant's contacts. ``segment_id`` or ``filter`` (JSON or a text): only
    those of them whom it means. ``exclude_campaign_ids``: nobody who has a message of these. No
    ``sender``: the tenant's, else the account's. No ``traffic_account_id``: the tenant's default.
    """

    name: str
    text: str
    list_id: int | None = None
    segment_id: int | None = None
    filter: Mapping[str, Any] | str | None = None
    exclude_campaign_ids: Sequence[int] = ()
    sender: str | None = None
    traffic_account_id: int | None = None
    scheduled_at: str | None = None
    timezone: str | None = None
    start_by: str | None = None
    send_window: Mapping[str, str] | None = None
    rate_max: int | None = None
    rate_window_ms: int | None = None


def campaign_values(
    connection: Connection,
    tenant_id: int,
    new: NewCampaign,
    *,
    max_parts: int,
    public_url: str | None = None,
    test: bool = False,
) -> dict[str, Any]:
    """The arguments of ``campaigns.create`` for a new campaign.

    Args:
        connection: of a read.
        tenant_id: whose it will be.
        new: the description.
        max_parts: of its text.
        public_url: where opt-out links lead to; without it there can be none.
        test: it may reach nobody but the simulator.

    Raises:
        InvalidInputError: with every fault of the description.
    """
    problems = [
        *_name_problems(new.name),
        *_text_problems(connection, tenant_id, new.text, max_parts, public_url),
    ]
    account, faults = account_for(connection, tenant_id, new.traffic_account_id, test=test)
    problems += faults
    sender = new.sender or sender_of(connection, tenant_id, account)
    if account:
        problems += sender_problems(account.provider, sender)
    if new.list_id is not None:
        problems += _list_problems(connection, tenant_id, new.list_id)
    wanted, faults = rule_problems(
        connection, tenant_id, new.segment_id, new.filter, new.exclude_campaign_ids
    )
    problems += faults
    scheduled_at, faults = _scheduled_at(connection, new)
    problems += faults
    given = {name: getattr(new, name) for name in FIELDS}
    how, faults = values_of(given, new.timezone)
    problems += faults
    problems += window_without_rate(how)
    problems += too_early(connection, how.get("start_by"), scheduled_at)
    if problems or account is None:
        raise InvalidInputError("The campaign cannot be made.", tuple(problems))
    return {
        "account_id": account.id,
        "name": new.name.strip(),
        "text": _frozen(new.text, public_url),
        "sender": sender,
        "list_id": new.list_id,
        "segment_id": new.segment_id,
        "wanted": wanted,
        "exclude_campaign_ids": new.exclude_campaign_ids,
        "scheduled_at": scheduled_at,
        "timezone": new.timezone,
        **how,
    }


def text_for(
    connection: Connection, tenant_id: int, text: str, *, max_parts: int, public_url: str | None
) -> str:
    """The text of a campaign that somebody thinks of making, as it would be frozen.

    Raises:
        InvalidInputError: with every fault.
    """
    problems = tuple(_text_problems(connection, tenant_id, text, max_parts, public_url))
    if problems:
        raise InvalidInputError("The text cannot be sent.", problems)
    return _frozen(text, public_url)


def as_written(text: str) -> str:
    """A frozen text as somebody wrote it, whatever the public address was then."""
    return _FROZEN_LINK.sub(f"{{{{{LINK}}}}}", text)


def account_for(
    connection: Connection, tenant_id: int, account_id: int | None, *, test: bool = False
) -> tuple[AnyRow | None, list[Problem]]:
    """The account that a tenant's messages will use, or why there is none. A ``test`` that names
    none gets one of the simulator's.
    """
    try:
        if test and account_id is None:
            return accounts.simulated(connection, tenant_id), []
        account = accounts.usable(connection, tenant_id, account_id)
    except NotFoundError as error:
        return None, [Problem("traffic_account_id", _clause(error))]
    if test and not accounts.is_simulated(account):
        return None, [Problem("traffic_account_id", _NO_TEST)]
    return account, []


def sender_of(connection: Connection, tenant_id: int, account: AnyRow | None) -> str:
    """Who messages come from that name no sender: as the tenant wants it, else the account's."""
    return tenants.get(connection, tenant_id).sender or (account.sender if account else "")


def single_text_problems(text: str, max_parts: int) -> Iterator[Problem]:
    """What is wrong with the text of a message that has no campaign."""
    template = _compiled(text)
    if isinstance(template, Problem):
        yield template
    elif template.fields:
        yield Problem("text", "a single message has no merge tags: write the values out")
    else:
        yield from _length_problems(text, max_parts)


def sender_problems(provider: str, sender: str) -> Iterator[Problem]:
    """What is wrong with a sender in the eyes of the account's provider."""
    if not sender:
        yield Problem("sender", "is needed: the traffic account has none of its own")
    elif wrong := providers.check_sender(provider, sender):
        yield Problem("sender", wrong)


def refuse_past(connection: Connection, at: int) -> None:
    """Say no to a start in the past.

    Raises:
        InvalidInputError: ``at`` has passed.
    """
    if at <= now(connection):
        raise InvalidInputError.of("scheduled_at", "is in the past")


def _name_problems(name: str) -> Iterator[Problem]:
    if not name.strip():
        yield Problem("name", "is empty")
    elif len(name.strip()) > MAX_NAME:
        yield Problem("name", f"is longer than {MAX_NAME} characters")


def _text_problems(
    connection: Connection, tenant_id: int, text: str, max_parts: int, public_url: str | None
) -> Iterator[Problem]:
    template = _compiled(text)
    if isinstance(template, Problem):
        yield template
        return
    if LINK in template.fields and public_url is None:
        yield Problem("text", f"{{{{{LINK}}}}} needs PACELINE_PUBLIC_URL, which is not set")
    yield from _unknown_tags(connection, tenant_id, template)
    token = "0" * opt_out_link.LENGTH
    filled = template.render({LINK: _link(public_url, token), TOKEN: token})
    yield from _length_problems(filled, max_parts)


def _frozen(text: str, public_url: str | None) -> str:
    return written_out(text, LINK, _link(public_url, f"{{{{{TOKEN}}}}}"))


_FROZEN_LINK = re.compile(
    rf"(?:https?://[^\s{{}}]+?)?{re.escape(opt_out_link.PATH)}\{{\{{{TOKEN}\}}\}}"
)


def _link(public_url: str | None, token: str) -> str:
    return f"{public_url or ''}{opt_out_link.PATH}{token}"


def _compiled(text: str) -> Template | Problem:
    if not text.strip():
        return Problem("text", "is empty")
    try:
        return compile_text(text)
    except TemplateError as error:
        return Problem("text", str(error))


def _unknown_tags(connection: Connection, tenant_id: int, template: Template) -> Iterable[Problem]:
    attributes = set(template.fields) - {*CONTACT_FIELDS, LINK, TOKEN}
    unknown = attributes - contacts.known_attributes(connection, tenant_id, attributes)
    if not unknown:
        return []
    known = {*CONTACT_FIELDS, LINK, TOKEN, *contacts.attribute_names(connection, tenant_id)}
    known |= attributes - unknown
    return [Problem("text", str(each)) for each in unknown_fields(template, sorted(known))]


def _length_problems(text: str, max_parts: int) -> Iterator[Problem]:
    counted = parts.count(text)
    if counted.parts <= max_parts:
        return
    reason = f"has {counted.parts} parts; at most {max_parts} are allowed"
    if counted.encoding == "ucs-2":
        forcing = parts.unicode_characters(text)
        shown = " ".join(forcing[:_SHOWN_CHARACTERS])
        more = " and others" if len(forcing) > _SHOWN_CHARACTERS else ""
        reason += f" (in UCS-2, 67 characters each instead of 153, because of {shown}{more})"
    yield Problem("text", reason)


def _list_problems(connection: Connection, tenant_id: int, list_id: int) -> Iterator[Problem]:
    try:
        lists.get(connection, tenant_id, list_id)
    except NotFoundError as error:
        yield Problem("list_id", _clause(error))


def _scheduled_at(connection: Connection, new: NewCampaign) -> tuple[int | None, list[Problem]]:
    if new.scheduled_at is None:
        unused = Problem("timezone", "has no effect without scheduled_at or start_by")
        return None, [] if new.timezone is None or new.start_by is not None else [unused]
    try:
        at = moment(new.scheduled_at, new.timezone)
        refuse_past(connection, at)
    except InvalidInputError as error:
        return None, list(error.problems)
    return at, []


def _clause(error: NotFoundError) -> str:
    """The error's sentence as the clause behind a field's name."""
    text = str(error)
    return text[0].lower() + text[1:].rstrip(".")
