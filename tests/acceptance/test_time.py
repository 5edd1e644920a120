"""The right time of the day, over HTTP: schedules, quiet hours, windows, speeds, caps, start by."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import select

from paceline.storage import tenants
from paceline.storage.schema import batches
from tests.acceptance.world import PATIENCE_S, World, world

ATHENS = ZoneInfo("Europe/Athens")
HOURS = timedelta(hours=1)
PEOPLE = 12
WAITING = select(batches.c.id).where(batches.c.waits_for == "quiet_hours")


def minute_of_day(zone: Any, shift: timedelta) -> int:
    shown = datetime.now(zone) + shift
    return shown.hour * 60 + shown.minute


def clock(zone: Any, shift: timedelta) -> str:
    return (datetime.now(zone) + shift).strftime("%H:%M")


async def set_tenant(w: World, **values: Any) -> None:
    await w.database.write(tenants.change, w.call.tenant_id, values)
    w.worker.wake()


async def change(w: World, campaign_id: int, **body: Any) -> dict[str, Any]:
    answer = await w.call("PATCH", f"/api/campaigns/{campaign_id}", body)
    assert answer.status == 200, answer.text
    return dict(answer.json)


def waits_for(cause: str) -> Any:
    def holds(status: dict[str, Any]) -> bool:
        waiting = status["campaign"]["waiting_for"]
        return waiting is not None and waiting["cause"] == cause

    return holds


async def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


async def test_quiet_hours_hold_and_let_go_by_themselves_and_nobody_is_called_meanwhile(
    database_url: str,
) -> None:
    async with world(database_url, SMS_BATCH_SIZE="3") as w:
        quiet = {
            "quiet_from": minute_of_day(ATHENS, -2 * HOURS),
            "quiet_until": minute_of_day(ATHENS, 3 * HOURS),
        }
        await set_tenant(w, **quiet)
        abroad = {"phone": "+12025550123"}
        assert (await w.call("POST", "/api/contacts", abroad)).status == 201
        campaign_id = await w.started(PEOPLE)
        status = await w.until(campaign_id, waits_for("quiet_hours"))
        waiting = status["campaign"]["waiting_for"]
        assert "quiet hours" in waiting["detail"]
        ends = datetime.fromisoformat(waiting["until"]).astimezone(ATHENS)
        assert ends.hour * 60 + ends.minute == quiet["quiet_until"]
        assert w.provider_numbers() == {"+12025550123"}  # where it is another time of the day
        assert status["metrics"]["sent"] == 1
        await set_tenant(w, quiet_from=None, quiet_until=None)
        assert (await w.completed(campaign_id))["metrics"]["sent"] == PEOPLE + 1
        assert w.provider().accepted == PEOPLE + 1
        await w.assert_the_numbers_are_true()


async def test_a_single_message_goes_at_any_time_unless_it_says_otherwise(
    database_url: str,
) -> None:
    async with world(database_url) as w:
        await set_tenant(
            w,
            quiet_from=minute_of_day(ATHENS, -2 * HOURS),
            quiet_until=minute_of_day(ATHENS, 3 * HOURS),
        )
        offer = {"to": "+306912345671", "text": "An offer", "respect_quiet_hours": True}
        code = {"to": "+306912345672", "text": "Your code is 123"}
        for body in (offer, code):
            assert (await w.call("POST", "/api/messages", body)).status == 201
        await until(lambda: w.provider_numbers() == {code["to"]})
        await until(lambda: bool(w.database.read_now(lambda c: c.execute(WAITING).all())))
        assert w.provider_numbers() == {code["to"]}
        await set_tenant(w, quiet_from=None, quiet_until=None)
        await until(lambda: w.provider_numbers() == {offer["to"], code["to"]})


async def test_a_send_window_is_kept_and_can_be_changed_while_the_campaign_runs(
    database_url: str,
) -> None:
    async with world(database_url, SMS_BATCH_SIZE="3") as w:
        await set_tenant(w, timezone="Asia/Tokyo")
        await w.audience(PEOPLE)
        tokyo = ZoneInfo("Asia/Tokyo")
        window = {"from": clock(tokyo, 2 * HOURS), "until": clock(tokyo, 5 * HOURS)}
        body = {"name": "Spring", "text": "Hello", "send_window": window}
        made = await w.call("POST", "/api/campaigns", body)
        assert made.status == 201, made.text
        assert made.json["send_window"] == window
        campaign_id = made.json["id"]
        await w.enqueue(campaign_id)
        status = await w.until(campaign_id, waits_for("send_window"))
        assert window["from"] in status["campaign"]["waiting_for"]["detail"]
        assert status["campaign"]["send_window"] == window
        assert w.provider().accepted == 0
        changed = await change(w, campaign_id, send_window=None)
        assert changed["send_window"] is None
        await w.completed(campaign_id)
        await w.assert_the_numbers_are_true()


async def test_a_campaigns_own_speed_is_kept_at_the_provider_and_can_be_raised_while_it_runs(
    database_url: str,
) -> None:
    async with world(database_url, SMS_BATCH_SIZE="3") as w:
        await w.audience(30)
        body = {"name": "Slow", "text": "Hello", "rate_max": 1, "rate_window_ms": 400}
        campaign_id = (await w.call("POST", "/api/campaigns", body)).json["id"]
        await w.enqueue(campaign_id)
        await w.until(campaign_id, lambda status: status["metrics"]["sent"] >= 9)
        assert w.provider(400).max_in_window == 1
        changed = await change(w, campaign_id, rate_max=1000)
        assert changed["rate_max"] == 1000
        await w.completed(campaign_id)
        await w.assert_the_numbers_are_true()


async def test_a_daily_cap_holds_the_rest_until_the_tenants_midnight(database_url: str) -> None:
    async with world(database_url, SMS_BATCH_SIZE="3") as w:
        await set_tenant(w, timezone="Europe/Athens", daily_cap=7)
        campaign_id = await w.started(PEOPLE)
        status = await w.until(campaign_id, waits_for("daily_cap"))
        assert status["metrics"]["sent"] == w.provider().accepted == 7
        ends = datetime.fromisoformat(status["campaign"]["waiting_for"]["until"])
        assert ends.astimezone(ATHENS).strftime("%H:%M") == "00:00"
        assert ends > datetime.now(UTC)
        await set_tenant(w, daily_cap=PEOPLE)
        assert (await w.completed(campaign_id))["metrics"]["sent"] == PEOPLE
        await w.assert_the_numbers_are_true()


async def test_a_schedule_says_its_moment_also_of_a_time_that_the_clocks_leap_over(
    database_url: str,
) -> None:
    async with world(database_url) as w:
        await w.audience(1)
        campaign_id = await w.draft()
        body = {"scheduled_at": "2036-03-30T03:30", "timezone": "Europe/Athens"}
        answer = await w.call("POST", f"/api/campaigns/{campaign_id}/schedule", body)
        assert answer.status == 200, answer.text
        assert answer.json["scheduled_at"] == "2036-03-30T01:30:00.000Z"
        assert answer.json["scheduled_local"] == "2036-03-30T04:30:00+03:00"
        too_early = body | {"start_by": "2036-03-30T02:00"}
        refused = await w.call("POST", f"/api/campaigns/{campaign_id}/schedule", too_early)
        assert refused.status == 422
        assert refused.json["errors"][0]["reason"] == "is before scheduled_at"


async def test_what_comes_too_late_is_not_started(database_url: str) -> None:
    async with world(database_url) as w:
        await w.audience(1)
        campaign_id = await w.draft()
        path = f"/api/campaigns/{campaign_id}/enqueue"
        late = await w.call("POST", path, {"start_by": "2020-01-01T00:00:00Z"})
        assert (late.status, late.json["code"]) == (409, "too_late")
        assert "had to start by 2020-01-01" in late.json["detail"]
        assert (await w.status(campaign_id))["campaign"]["status"] == "draft"
        in_time = await w.call("POST", path, {"start_by": "2099-01-01T00:00:00Z"})
        assert in_time.status == 200, in_time.text
        await w.completed(campaign_id)


async def test_a_change_that_cannot_be_says_where_and_what_and_a_strangers_campaign_is_not_there(
    database_url: str,
) -> None:
    async with world(database_url) as w:
        campaign_id = await w.draft("Hello")
        path = f"/api/campaigns/{campaign_id}"
        bad = await w.call("PATCH", path, {"send_window": {"from": "9 am", "until": "20:00"}})
        assert bad.status == 422
        assert "send_window" in bad.json["errors"][0]["field"]
        bad = await w.call("PATCH", path, {"rate_window_ms": 500})
        assert bad.json["errors"][0]["reason"] == "has no effect without rate_max"
        absent = await w.call("PATCH", "/api/campaigns/999", {"rate_max": 5})
        rival = await w.database.write(tenants.keep, "rival")
        _, key = await w.database.write(tenants.create_key, rival.id, name="theirs")
        w.call.key = key
        strange = await w.call("PATCH", path, {"rate_max": 5})
        assert (strange.status, absent.status) == (404, 404)
        assert strange.text.replace(str(campaign_id), "999") == absent.text
