"""A database that cannot be written to for a while, and what is answered meanwhile."""

from __future__ import annotations

import itertools
import json
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from sqlalchemy import Connection, func, select

from paceline.domain.message import Delivery
from paceline.storage.schema import messages, receipts, traffic_accounts
from tests.crash.installation import Installation, answer_to, readiness
from tests.crash.judge import Report, is_work_left, judge, start_campaign, wait_for_calls

_PROVIDERS_PATIENCE_S = 10.0
"""Who posts a receipt does not wait longer for its answer."""
_GOES_ON_WITHIN_S = 30.0
_FOLDED_WITHIN_S = 30.0
_SHOWS_WITHIN_S = 60.0
"""A disk that has just become full may have some room in files that are there already."""
_OK, _CREATED, _TAKEN, _UNAVAILABLE = 200, 201, 202, 503
_PLAIN = {_CREATED, _TAKEN, _UNAVAILABLE}


@dataclass(frozen=True, slots=True)
class Trouble:
    """What is done to the database, and what has to be seen of it.

    Args:
        lasts: from entering it to leaving it the database cannot be written to.
        says: words that have to be in one line of the log: what is wrong, where, and how to mend
            it.
        unready_after_s: from when on /readyz has to say so.
    """

    lasts: Callable[[], AbstractContextManager[object]]
    says: tuple[str, ...]
    unready_after_s: float


@dataclass
class Seen:
    """What was answered while it lasted, and how often."""

    receipts: Counter[int] = field(default_factory=Counter)
    orders: Counter[int] = field(default_factory=Counter)
    ready: Counter[int] = field(default_factory=Counter)
    """Once the trouble has lasted for so long that it has to be known."""
    taken: set[str] = field(default_factory=set)
    """Numbers whose receipt was answered 2xx."""
    refused: set[str] = field(default_factory=set)
    told: list[str] = field(default_factory=list)
    """What the log said of it."""


def endure(
    report: Report,
    installation: Installation,
    trouble: Trouble,
    *,
    seconds: float,
    recipients: int,
) -> None:
    """Send a campaign through the trouble, posting receipts and giving orders all the time."""
    serving = installation.start("serve")
    campaign_id = start_campaign(installation, recipients)
    wait_for_calls(installation, 10)
    log = installation.provider_log("/log")
    ids = {line["destination"]: line["message_id"] for line in log}
    webhook = _webhook(installation)
    said_before = len(serving.log.read_text())
    with trouble.lasts():
        seen = _look(installation, trouble, webhook, ids, seconds)
        seen.told = serving.log.read_text()[said_before:].splitlines()
    back = time.monotonic()
    goes_on = wait_for_calls(installation, within_s=_GOES_ON_WITHIN_S)
    report.require("it goes on by itself", holds=goes_on and serving.runs())
    report.figures["goes_on_after_s"] = round(time.monotonic() - back, 2)
    report.require("it is ready again", holds=readiness(serving.url)[0] == _OK)
    report.require("work was left", holds=is_work_left(installation, campaign_id))
    again = {number for number in seen.refused if _post(webhook, ids[number]) == _TAKEN}
    report.require("receipts are taken again", holds=again == seen.refused)
    _judge_answers(report, seen, trouble)
    _judge_receipts(report, installation, seen.taken | again)
    judge(report, installation, campaign_id, recipients, disturbed={serving.name: 1})


def _webhook(installation: Installation) -> str:
    query = select(traffic_accounts.c.webhook_token)
    token = installation.read(lambda connection: connection.execute(query).scalar_one())
    return f"{installation.url}/webhooks/mitto/{token}/dlr"


def _post(webhook: str, message_id: str) -> int:
    """Post a receipt; the status of the answer, 0 if none came in time."""
    receipt = {"messageId": message_id, "deliveryStatus": "Delivered"}
    return answer_to(webhook, receipt, timeout_s=_PROVIDERS_PATIENCE_S)[0]


def _look(
    installation: Installation,
    trouble: Trouble,
    webhook: str,
    ids: Mapping[str, str],
    seconds: float,
) -> Seen:
    """Ask all the time, until so many seconds after the first refusal."""
    seen = Seen()
    asking = itertools.cycle(ids)
    unknown_until = time.monotonic() + _SHOWS_WITHIN_S
    began = 0.0
    while time.monotonic() < (began + seconds if began else unknown_until):
        number = next(asking)
        status, order = _post(webhook, ids[number]), _order(installation)
        seen.receipts[status] += 1
        seen.orders[order] += 1
        (seen.taken if status == _TAKEN else seen.refused).add(number)
        if not began and (status, order) != (_TAKEN, _CREATED):
            began = time.monotonic()
        if began:
            ready, _ = readiness(installation.url)
            if time.monotonic() > began + trouble.unready_after_s:
                seen.ready[ready] += 1
        time.sleep(0.1)
    return seen


def _order(installation: Installation) -> int:
    """Ask for a campaign; the status of the answer."""
    url, draft = f"{installation.url}/api/campaigns", {"name": "Later", "text": "Hello"}
    return answer_to(url, draft, key=installation.key, timeout_s=_PROVIDERS_PATIENCE_S)[0]


def _judge_answers(report: Report, seen: Seen, trouble: Trouble) -> None:
    report.figures |= {
        "receipts_answered": dict(seen.receipts),
        "orders_answered": dict(seen.orders),
        "ready_answered": dict(seen.ready),
    }
    refused = seen.receipts[_UNAVAILABLE] + seen.orders[_UNAVAILABLE]
    report.require("something is refused meanwhile", holds=refused > 0)
    report.require("a receipt is taken or refused", holds=set(seen.receipts) <= _PLAIN)
    report.require("an order is carried out or refused", holds=set(seen.orders) <= _PLAIN)
    report.require("it is not ready meanwhile", holds=set(seen.ready) <= {_UNAVAILABLE})
    told = any(all(word in line for word in trouble.says) for line in seen.told)
    report.require("the log says what is wrong, where, and how to mend it", holds=told)
    taken_for_a_bug = Counter(
        json.loads(line)["event"] for line in seen.told if '"exception":' in line
    )
    report.figures["taken_for_a_bug"] = dict(taken_for_a_bug)
    report.require("it is not taken for a bug of ours", holds=not taken_for_a_bug)


def _judge_receipts(report: Report, installation: Installation, taken: set[str]) -> None:
    """What was answered 2xx counts, and nothing else does."""
    deadline = time.monotonic() + _FOLDED_WITHIN_S
    while installation.read(_unfolded) and time.monotonic() < deadline:
        time.sleep(0.1)
    delivered = installation.read(_delivered)
    report.figures |= {"receipts_taken": len(taken), "delivered": len(delivered)}
    report.require("what was taken is delivered", holds=delivered == taken)


def _unfolded(connection: Connection) -> int:
    return int(connection.execute(select(func.count()).select_from(receipts)).scalar_one())


def _delivered(connection: Connection) -> set[str]:
    rows = select(messages.c.phone).where(messages.c.delivery == Delivery.DELIVERED)
    return set(connection.execute(rows).scalars())
