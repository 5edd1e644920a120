"""STOP replies while their campaign runs: from then on nobody gets it who said so."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, func, select

from paceline.domain.message import MessageStatus
from paceline.domain.outcome import OutcomeKind
from paceline.storage.schema import attempts, messages, suppressions
from tests.faults_world import Report, World, pacing, sample, world

ONE_CALL_MS = 500
"""From an intent, which may just have come before the opt-out, to the provider that has read it."""
_TEXT = "Hello Name"
_CONFIRMED_WITHIN_S = 60.0


def stop(
    database_url: str, *, recipients: int, batch_size: int, calls_per_second: int, stops: int
) -> Report:
    """Let some recipients reply STOP in the course of the campaign."""
    environ = {**pacing(calls_per_second), "SMS_BATCH_SIZE": str(batch_size)}
    with world(database_url, controls={}, environ=environ) as here:
        report = Report({"recipients": recipients, "stops": stops})
        stopping = sample(stops, recipients, seed=1)
        campaign_id = here.start(recipients)
        here.until(campaign_id, lambda m: m["sent"] > 0)
        # Each STOP costs a confirmation, a call as well: so they end when the campaign does.
        rate = calls_per_second * stops / (stops + recipients / batch_size)
        deliveries = _reply_stop(here, stopping, rate)
        sending_s = (stops + recipients / batch_size) / calls_per_second
        over = here.until(campaign_id, lambda m: m["queued"] == 0, within_s=60 + 2 * sending_s)
        report.require("it comes to its end", holds=over)
        confirmed = _until_confirmed(here, stops)
        report.require("each STOP is confirmed", holds=confirmed)
        _judge_log(report, here, deliveries)
        _judge_database(report, here, campaign_id, set(stopping))
        return report


def _reply_stop(here: World, stopping: Sequence[str], rate: float) -> list[dict[str, Any]]:
    replies = [{"from": number, "to": "Paceline", "text": "STOP"} for number in stopping]
    order = {"url": here.webhook("inbound"), "replies": replies, "per_second": rate}
    lines = here.tell_provider("POST", "/inbound/send", order).splitlines()
    return [json.loads(line) for line in lines]


def _until_confirmed(here: World, stops: int) -> bool:
    """Wait until the provider has as many confirmations as there were STOPs."""
    deadline = time.monotonic() + _CONFIRMED_WITHIN_S
    while len(_confirmations(here)) < stops:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.5)
    return True


def _confirmations(here: World) -> list[dict[str, Any]]:
    return [line for line in here.provider_log("/log") if line["text"] != _TEXT]


def _judge_log(report: Report, here: World, deliveries: Sequence[Mapping[str, Any]]) -> None:
    """Hold every call that contained a number against the answer to its STOP."""
    answered = {each["from"]: each["answered_ns"] for each in deliveries if each["delivered"]}
    confirmations = _confirmations(here)
    confirmed_in = {(line["destination"], line["received_ns"]) for line in confirmations}
    lateness_ms = [
        (seen["received_ns"] - answered[seen["destination"]]) / 1e6
        for seen in here.provider_log("/log/sightings")
        if seen["destination"] in answered
        and (seen["destination"], seen["received_ns"]) not in confirmed_in
    ]
    summary = here.summary()
    report.figures |= {
        "taken": len(answered),
        "retried": sum(each["tries"] > 1 for each in deliveries),
        "slowest_answer_ms": round(
            max((each["answered_ns"] - each["posted_ns"]) / 1e6 for each in deliveries), 1
        ),
        "confirmations": len(confirmations),
        "texted_before": sum(late <= 0 for late in lateness_ms),
        "texted_later_than_the_answer": sum(late > 0 for late in lateness_ms),
        "latest_ms": round(max(lateness_ms, default=0), 1),
        "duplicates": summary["duplicates"],
    }
    report.require("every STOP is taken", holds=len(answered) == len(deliveries))
    report.require(
        "no call contains a number that said STOP one call's time before",
        holds=all(late <= ONE_CALL_MS for late in lateness_ms),
    )
    report.require(
        "one confirmation each at most",
        holds=len({line["destination"] for line in confirmations}) == len(confirmations),
    )
    report.require("nobody got anything twice", holds=summary["duplicates"] == 0)


def _judge_database(report: Report, here: World, campaign_id: int, stopping: set[str]) -> None:
    """Hold every intent against the opt-outs that were committed before it."""
    after = here.database.read_now(_intents_after_opt_outs, campaign_id)
    sent = here.installation.numbers(campaign_id, "status=sent")
    opted_out = here.installation.numbers(campaign_id, "status=failed&reason=opted_out")
    report.figures |= {
        "sent": len(sent),
        "opted_out": len(opted_out),
        "intents_after_the_opt_out": after,
    }
    report.require("no intent after the opt-out's commit contains the number", holds=after == 0)
    report.require("only who said STOP is left out", holds=opted_out <= stopping)
    report.require(
        "everybody else got it", holds=len(sent | opted_out) == report.figures["recipients"]
    )


def _intents_after_opt_outs(connection: Connection, campaign_id: int) -> int:
    """How many messages went out by an intent that came after their recipient's opt-out.

    Both moments are read under the tenant's lock, so they are in the order of the commits.
    """
    query = (
        select(func.count())
        .select_from(messages)
        .join(attempts, attempts.c.batch_id == messages.c.batch_id)
        .join(
            suppressions,
            (suppressions.c.tenant_id == messages.c.tenant_id)
            & (suppressions.c.phone == messages.c.phone),
        )
        .where(
            messages.c.campaign_id == campaign_id,
            messages.c.status == MessageStatus.SENT,
            attempts.c.outcome == OutcomeKind.ANSWERED,
            attempts.c.started_at > suppressions.c.created_at,
        )
    )
    return int(connection.execute(query).scalar_one())
