"""Audiences over HTTP: who is meant gets it, and nobody else, by the provider's own log."""

from __future__ import annotations

from typing import Any

from paceline.storage import tenants
from tests.acceptance.world import World, world
from tests.api.serving import Answer, Caller

ATHENS = {"attribute": "city", "is": "Athens"}
PEOPLE = {
    "+306910000000": "Athens",
    "+306910000001": "Athens",
    "+306910000002": "Athens",
    "+306910000003": "Patras",
    "+306910000004": "",
}


async def made(answer: Any) -> Any:
    got: Answer = await answer
    assert got.status < 300, got.text
    return got.json


async def people(w: World) -> None:
    rows = "\n".join(f"{phone},{city}" for phone, city in PEOPLE.items())
    body = f"phone,city\n{rows}\n".encode()
    assert (await made(w.call("POST", "/api/contacts/import", data=body)))["imported"] == 5


async def campaign(w: World, **values: Any) -> int:
    words = {"name": "Spring", "text": "Hello"}
    return int((await made(w.call("POST", "/api/campaigns", {**words, **values})))["id"])


async def sent_to(w: World, campaign_id: int) -> set[str]:
    """Run a campaign to its end: whom the provider has accepted a message for by it."""
    before = w.simulator.log.acceptances()
    known = len(list(before))
    await w.enqueue(campaign_id)
    await w.completed(campaign_id)
    return {each.destination for each in list(w.simulator.log.acceptances())[known:]}


def of(*numbers: int) -> set[str]:
    return {f"+30691000000{n}" for n in numbers}


async def test_a_segment_is_made_previewed_and_sent_to_without_who_was_written_to(
    database_url: str,
) -> None:
    async with world(database_url) as w:
        await people(w)
        segment = await made(
            w.call("POST", "/api/segments", {"name": "Athens", "filter": 'city is "Athens"'})
        )
        assert (segment["filter"], segment["text"]) == (ATHENS, 'city is "Athens"')
        path = f"/api/segments/{segment['id']}"
        suppressed = "+306910000002"
        await made(w.call("POST", "/api/suppressions", {"phones": [suppressed]}))
        seen = await made(w.call("GET", f"{path}/preview"))
        assert (seen["count"], seen["suppressed"]) == (2, 1)
        assert {each["phone"] for each in seen["examples"]} == of(0, 1)
        asked = {"filter": {"not": ATHENS}}
        assert (await made(w.call("POST", "/api/segments/preview", asked)))["count"] == 2

        first = await campaign(w, segment_id=segment["id"])
        shown = await made(w.call("GET", f"/api/campaigns/{first}"))
        assert (shown["segment_id"], shown["filter"]) == (segment["id"], None)
        assert await sent_to(w, first) == of(0, 1)
        assert (await made(w.call("GET", f"/api/campaigns/{first}")))["filter"] == ATHENS

        rest = await campaign(w, exclude_campaign_ids=[first])
        audience = await made(w.call("GET", f"/api/campaigns/{rest}/audience"))
        assert audience == {"eligible": 2, "excluded": 2, "suppressed": 1}
        assert (await made(w.call("GET", f"/api/campaigns/{rest}")))["exclude_campaign_ids"] == [
            first
        ]
        assert await sent_to(w, rest) == of(3, 4)
        new = await campaign(w, filter=f"last message from campaign {rest}")
        assert await sent_to(w, new) == of(3, 4)
        await w.assert_the_numbers_are_true()


async def test_a_segment_follows_its_changes_until_a_campaign_starts_and_is_kept_for_one_that_waits(
    database_url: str,
) -> None:
    async with world(database_url) as w:
        await people(w)
        body = {"name": "s", "filter": ATHENS}
        segment = await made(w.call("POST", "/api/segments", body))
        path = f"/api/segments/{segment['id']}"
        assert (await w.call("POST", "/api/segments", body)).status == 409
        waits = await campaign(w, segment_id=segment["id"], scheduled_at="2099-01-01T09:00Z")
        refused = await w.call("DELETE", path)
        assert refused.status == 409
        assert f"campaign {waits}" in refused.json["detail"]
        changed = await made(w.call("PATCH", path, {"filter": "city is missing"}))
        assert changed["name"] == "s"
        assert await sent_to(w, waits) == of(4)
        assert (await w.call("DELETE", path)).status == 204
        assert (await w.call("GET", path)).status == 404
        empty = await campaign(w, filter='city is "Volos"')
        answer = await w.call("POST", f"/api/campaigns/{empty}/enqueue")
        assert (answer.status, answer.json["code"]) == (422, "empty_audience")
        assert "filter" in answer.json["detail"]


async def test_what_is_wrong_with_a_filter_is_said_at_its_place(database_url: str) -> None:
    async with world(database_url) as w:

        async def faults(given: Any, path: str = "/api/segments/preview") -> list[tuple[str, str]]:
            body = {"filter": given}
            if path == "/api/campaigns":
                body |= {"name": "n", "text": "t", "segment_id": 7, "exclude_campaign_ids": [8]}
            answer = await w.call("POST", path, body)
            assert answer.status == 422, answer.text
            return [(each["field"], each["reason"]) for each in answer.json["errors"]]

        [(field, reason)] = await faults({"all": [ATHENS, {"attribute": "city", "is": None}]})
        assert (field, reason) == ("filter.all[1].is", "must be text or a number")
        [(field, reason)] = await faults('city = "Athens"')
        assert field == "filter"
        assert reason.startswith("at character 6: ")
        assert await faults("in list 7") == [("filter", "there is no list 7")]
        assert [field for field, _ in await faults("in list 7", "/api/campaigns")] == [
            "filter",
            "segment_id",
            "filter",
            "exclude_campaign_ids",
        ]
        deep: dict[str, Any] = {"list": 1}
        for _ in range(400):
            deep = {"not": deep}
        assert "deep" in (await faults(deep, "/api/campaigns"))[2][1]


async def test_another_tenants_things_in_a_filter_are_as_if_they_were_not_there(
    database_url: str,
) -> None:
    async with world(database_url) as w:
        await people(w)
        rival = await w.database.write(tenants.keep, "rival")
        _, key = await w.database.write(tenants.create_key, rival.id, name="test")
        call = Caller(w.call.session, w.call.base, key, rival.id)
        theirs = await made(w.call("POST", "/api/lists", {"name": "ours"}))
        ours = await campaign(w)
        await w.enqueue(ours)
        await w.completed(ours)
        for text, number in (
            ("in list {}", theirs["id"]),
            ("last message from campaign {}", ours),
        ):
            there, nowhere = [
                await call("POST", "/api/segments/preview", {"filter": text.format(each)})
                for each in (number, 9_999)
            ]
            assert there.status == nowhere.status == 422
            assert there.text == nowhere.text.replace("9999", str(number))
        everybody = {"filter": "not last message is missing or city is missing"}
        assert (await made(call("POST", "/api/segments/preview", everybody)))["count"] == 0


async def test_under_a_cap_who_was_written_to_enough_is_held_back_and_the_rest_goes(
    database_url: str,
) -> None:
    async with world(database_url, SMS_BATCH_SIZE="2") as w:
        await people(w)
        cap = {"frequency_max": 1, "frequency_days": 7}
        await w.database.write(tenants.change, w.call.tenant_id, cap)
        first = await campaign(w, filter=ATHENS)
        assert await sent_to(w, first) == of(0, 1, 2)
        second = await campaign(w)
        assert await sent_to(w, second) == of(3, 4)
        held = await w.messages(second, reason="frequency_cap")
        assert {(each["to"], each["status"]) for each in held} == {
            (phone, "failed") for phone in of(0, 1, 2)
        }
        metrics = (await w.status(second))["metrics"]
        assert (metrics["sent"], metrics["failed"], metrics["queued"]) == (2, 3, 0)
        third = await campaign(w)
        assert await sent_to(w, third) == set()
        assert w.provider().accepted == 5
        await w.assert_the_numbers_are_true()
