"""The form of a draft: what its fields say, and beside which of them a fault is shown."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from paceline.domain.errors import Problem
from paceline.domain.time_of_day import write_minutes
from paceline.engine.drafts import NewCampaign, as_written
from paceline.engine.file_audience import LIST_NAME
from paceline.engine.sampling import Whom
from paceline.storage.database import AnyRow
from paceline.storage.limits import CAMPAIGN_WINDOW_MS
from paceline.web.pages.fields import whole

FILE = "file"
EXCLUDED = "exclude:"
"""Before the id of a campaign whose recipients are left out, in the name of a field."""
_FIELDS = {
    "list_id": "list",
    "segment_id": "segment",
    "filter": "audience",
    "exclude_campaign_ids": "excluded",
    "traffic_account_id": "account",
    "scheduled_at": "at",
    "timezone": "at",
    "send_window": "from",
    "send_window.from": "from",
    "send_window.until": "until",
    "rate_window_ms": "rate_window",
    "default_country": "country",
    LIST_NAME: "list_name",
}
"""Where a fault is → the field of the form; otherwise they have the same name."""
_UNWRITABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
"""What no keyboard writes and no database takes."""


@dataclass(frozen=True, slots=True)
class Written:
    """What a form describes, and what of it says nothing that could be checked further."""

    new: NewCampaign
    problems: tuple[Problem, ...]


def read(form: Mapping[str, str], timezone: str, draft: AnyRow | None) -> Written:
    """What a form describes; empty fields are left to their defaults.

    Args:
        form: as it was sent.
        timezone: of its times.
        draft: that it is about, if it has been kept before.
    """
    whom = whom_of(form, draft)
    scheduled_at = _line(form, "at") if form.get("when") == "at" else None
    start_by = _line(form, "start_by")
    since, until = form.get("from", ""), form.get("until", "")
    rate = _line(form, "rate_max")
    problems = (*_missing(form, draft), *_numbers(rate))
    new = NewCampaign(
        name=_line(form, "name") or "",
        text=_UNWRITABLE.sub("", form.get("text", "").replace("\r\n", "\n")),
        list_id=whom.list_id,
        segment_id=whom.segment_id,
        filter=whom.filter,
        exclude_campaign_ids=whom.exclude_campaign_ids,
        sender=_line(form, "sender"),
        traffic_account_id=whole(form.get("account")),
        scheduled_at=scheduled_at,
        timezone=timezone if scheduled_at or start_by else None,
        start_by=start_by,
        send_window={"from": since, "until": until} if since or until else None,
        rate_max=whole(rate),
        rate_window_ms=whole(form.get("rate_window")) if whole(rate) else None,
    )
    return Written(new, problems)


def whom_of(form: Mapping[str, str], draft: AnyRow | None) -> Whom:
    """Whom a form's campaign is for. The filter of a draft cannot be written here: it is kept."""
    if draft is not None and draft.parent_id is not None:
        return Whom(again=draft)
    kind = form.get("audience")
    excluded = [whole(name.removeprefix(EXCLUDED)) for name in form if name.startswith(EXCLUDED)]
    exclude_campaign_ids = sorted({each for each in excluded if each})
    if kind == "list":
        return Whom(list_id=whole(form.get("list")), exclude_campaign_ids=exclude_campaign_ids)
    if kind == "segment":
        return Whom(
            list_id=whole(form.get("of")),
            segment_id=whole(form.get("segment")),
            exclude_campaign_ids=exclude_campaign_ids,
        )
    if kind == "filter" and draft is not None:
        return Whom(
            list_id=draft.list_id,
            filter=draft.filter,
            exclude_campaign_ids=exclude_campaign_ids,
        )
    return Whom(exclude_campaign_ids=exclude_campaign_ids)


def undecided(form: Mapping[str, str], draft: AnyRow | None) -> Problem | None:
    """What has to be chosen before one knows whom a form's campaign is for."""
    if draft is not None and draft.parent_id is not None:
        return None
    kind = form.get("audience")
    if kind == "list" and not whole(form.get("list")):
        return Problem("list_id", "choose one")
    if kind == "segment" and not whole(form.get("segment")):
        return Problem("segment_id", "choose one")
    if kind == FILE:
        return Problem(FILE, "choose a CSV, TSV, XLSX or ODS file")
    if kind not in {"all", "list", "segment", "filter"}:
        return Problem("audience", "say to whom")
    return None


def fields_of(draft: AnyRow, timezone: str) -> dict[str, str]:
    """The fields of a draft's form."""
    kinds = (("filter", draft.filter), ("segment", draft.segment_id), ("list", draft.list_id))
    kind = next((name for name, value in kinds if value), "all")
    found: dict[str, object] = {
        "audience": kind,
        "list": draft.list_id if kind == "list" else None,
        "of": draft.list_id if kind == "segment" else None,
        "segment": draft.segment_id,
        "name": draft.name,
        "text": as_written(draft.text),
        "sender": draft.sender,
        "account": draft.account_id,
        "start_by": wall_clock(draft.start_by, timezone),
        "from": _time_of_day(draft.window_from),
        "until": _time_of_day(draft.window_until),
        "rate_max": draft.rate_max,
        "rate_window": draft.rate_window_ms or CAMPAIGN_WINDOW_MS,
    }
    fields = {name: "" if value is None else str(value) for name, value in found.items()}
    return fields | {f"{EXCLUDED}{each}": "on" for each in draft.excluded_campaigns or ()}


def faults_of(problems: Iterable[Problem]) -> dict[str, list[str]]:
    """Field → what is wrong with it."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for each in problems:
        where = "filter" if each.where.startswith("filter.") else each.where
        found[_FIELDS.get(where, where)].append(each.reason)
    return dict(found)


def wall_clock(at: int | None, timezone: str) -> str:
    """A moment as a field for dates and times has it."""
    if at is None:
        return ""
    shown = datetime.fromtimestamp(at / 1000, UTC).astimezone(ZoneInfo(timezone))
    whole = shown.second == 0
    return shown.replace(tzinfo=None).isoformat(timespec="minutes" if whole else "seconds")


def _missing(form: Mapping[str, str], draft: AnyRow | None) -> Iterator[Problem]:
    if undecided_about := undecided(form, draft):
        yield undecided_about
    if form.get("when") == "at" and not form.get("at"):
        yield Problem("scheduled_at", "choose a date and a time")


def _numbers(rate: str | None) -> Iterator[Problem]:
    if rate is not None and whole(rate) is None:
        yield Problem("rate_max", "must be a whole number, or empty")


def _line(form: Mapping[str, str], name: str) -> str | None:
    """What stands in a field of one line; None: nothing."""
    return _UNWRITABLE.sub("", form.get(name, "")).strip() or None


def _time_of_day(minutes: int | None) -> str | None:
    return None if minutes is None else write_minutes(minutes)
