"""Before and after sending, over real HTTP; the provider's own log says what was sent."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

from paceline.domain.parts import count
from paceline.storage import audit_log, tenants
from tests.acceptance.world import World, world

PRICES = "prefix,price,currency\n30,0.0500,EUR\n3069,0.04,EUR\n44,0.031,GBP\n"
SMILE = "😀"


async def import_people(w: World, *rows: str) -> None:
    body = "\n".join(["phone,first_name,city", *rows])
    answer = await w.call("POST", "/api/contacts/import", data=body.encode())
    assert (answer.status, answer.json["invalid"]) == (200, 0), answer.text


async def put_prices(w: World, table: str = PRICES) -> None:
    answer = await w.call("PUT", "/api/prices", data=table.encode())
    assert answer.status == 200, answer.text


async def get(w: World, path: str, status: int = 200) -> Any:
    answer = await w.call("GET", path)
    assert answer.status == status, answer.text
    return answer.json


async def post(w: World, path: str, body: Any, status: int = 201, key: str = "") -> Any:
    headers = {"Idempotency-Key": key} if key else {}
    answer = await w.call("POST", path, body, headers=headers)
    assert answer.status == status, answer.text
    return answer.json


def texts(w: World) -> dict[str, str]:
    """Number → the text that the provider accepted for it."""
    return {each.destination: each.text for each in w.simulator.log.acceptances()}


async def test_what_is_previewed_is_what_the_provider_gets_and_what_is_estimated_is_what_it_costs(
    database_url: str,
) -> None:
    async with world(database_url) as w:
        await put_prices(w)
        await import_people(
            w,
            "+306912345678,Ana,Athens",
            f"+302101234567,{SMILE * 80},",
            "+447911123456,,Leeds",
            "+35799123456,Eleni,Nicosia",
        )
        campaign_id = await w.draft("“Hi” {{first_name}}… {{city|here}}")
        found = await get(w, f"/api/campaigns/{campaign_id}/preview")
        text, audience = found["text"], found["audience"]
        assert text["plain"]["text"] == '"Hi" {{first_name}}... {{city|here}}'
        assert text["encoding"] == "ucs-2"
        assert [(each["character"], each["positions"]) for each in text["unicode_characters"]] == [
            ("“", [1]),
            ("”", [4]),
            ("…", [20]),
        ]
        assert found["recipient"]["text"]["text"] == "“Hi” Ana… Athens"
        assert audience["recipients"] == 4
        by_parts = {each["parts"]: each["recipients"] for each in audience["by_parts"]}
        assert by_parts == {1: 3, 3: 1}
        assert audience["worst"]["to"] == "+302101234567"
        assert audience["worst"]["text"]["text"] == f"“Hi” {SMILE * 80}… here"
        assert audience["without_value"] == [{"tag": "first_name", "recipients": 1}]
        cost = [{"currency": "EUR", "amount": "0.19"}, {"currency": "GBP", "amount": "0.031"}]
        assert (audience["cost"], audience["without_price"]) == (cost, 1)
        estimate = await get(w, f"/api/campaigns/{campaign_id}/estimate")
        assert (estimate["cost"], estimate["parts"]) == (cost, 6)
        assert estimate["eta"]["calls"] == 1
        await w.enqueue(campaign_id)
        await w.completed(campaign_id)
        sent = texts(w)
        assert sent["+306912345678"] == "“Hi” Ana… Athens"
        assert sent["+302101234567"] == audience["worst"]["text"]["text"]
        assert sum(count(each).parts for each in sent.values()) == audience["parts"]
        report = await get(w, f"/api/campaigns/{campaign_id}/report")
        assert (report["cost"], report["parts"], report["without_price"]) == (cost, 6, 1)
        await get(w, f"/api/campaigns/{campaign_id}/estimate", status=409)


async def test_a_text_is_previewed_before_there_is_a_campaign_or_its_faults_are_named(
    database_url: str,
) -> None:
    async with world(database_url, PACELINE_PUBLIC_URL="https://s.example.com") as w:
        await import_people(w, "+306912345678,Ana,Athens", "+306912345679,Bo,")
        second = (await get(w, "/api/contacts?phone=%2B306912345679"))["data"][0]["id"]
        await post(w, "/api/suppressions", {"phones": ["+306912345679"]}, status=200)
        path = "/api/campaigns/preview"
        body = {"text": "Hi {{first_name}}: {{unsubscribe_url}}", "contact_id": second}
        found = await post(w, path, body, status=200)
        shown = found["recipient"]["text"]["text"]
        assert shown == f"Hi Bo: https://s.example.com/u/{'0' * 19}"
        assert found["suppressed"] is True
        assert found["audience"]["recipients"] == 1
        wrong = await post(w, path, {"text": "Hi {{nobody}}"}, status=422)
        assert wrong["errors"][0]["field"] == "text"
        await post(w, path, {"text": "Hi", "contact_id": 999}, status=404)
        await post(w, path, {"text": "Hi", "list_id": 999}, status=404)


async def test_a_test_goes_to_ones_own_number_once_and_counts_for_nothing(
    database_url: str,
) -> None:
    async with world(database_url) as w:
        await import_people(w, "+306912345678,{{Ana}},Athens")
        campaign_id = await w.draft("Hi {{first_name}}!")
        path = f"/api/campaigns/{campaign_id}/test"
        sent = await post(w, path, {"to": "+447911123456"}, key="once")
        assert await post(w, path, {"to": "+447911123456"}, key="once") == sent
        assert sent["campaign_id"] is None
        assert sent["text"] == "Hi {{Ana}}!"
        await w.until(campaign_id, lambda _: bool(texts(w)))
        assert texts(w) == {"+447911123456": sent["text"]}
        status = await w.status(campaign_id)
        assert (status["campaign"]["status"], status["campaign"]["total"]) == ("draft", 0)
        await post(w, "/api/suppressions", {"phones": ["+447911123457"]}, status=200)
        refused = await post(w, path, {"to": "+447911123457"}, status=422)
        assert refused["errors"][0]["field"] == "to"
        await post(w, path, {"to": "x"}, status=422)
        await post(w, path, {"to": "+447911123456", "contact_id": 99}, status=404)
        noted = await w.database.read(audit_log.page, w.call.tenant_id)
        [row] = [each for each in noted if each.action == "campaign.test"]
        assert (row.subject, row.detail) == (
            f"campaign {campaign_id}",
            {"message_id": sent["id"]},
        )


async def test_resending_reaches_those_who_failed_and_nobody_a_second_time(
    database_url: str,
) -> None:
    async with world(database_url, SMS_BATCH_SIZE="7") as w:
        rejected = [f"+3069{10_000_000 + n}" for n in range(0, 40, 4)]
        await w.control(reject_destinations=rejected)
        await w.audience(40)
        campaign_id = await w.draft("Hello {{first_name}}")
        paced = {"rate_max": 50, "send_window": {"from": "00:00", "until": "23:59"}}
        assert (await w.call("PATCH", f"/api/campaigns/{campaign_id}", paced)).status == 200
        path = f"/api/campaigns/{campaign_id}/resend"
        early = await post(w, path, {}, status=409)
        assert "completed or cancelled" in early["detail"]
        await w.enqueue(campaign_id)
        await w.completed(campaign_id)
        await post(w, "/api/suppressions", {"phones": rejected[:1]}, status=200)
        await w.control(reject_destinations=[])
        none = await post(w, path, {"reasons": ["expired"]}, status=422)
        assert none["code"] == "empty_audience"
        for reasons in (["opted_out"], ["rejected", "opted_out"], [], ["so"]):
            assert (await post(w, path, {"reasons": reasons}, status=422))["errors"]
        child = await post(w, path, {"name": "Once more"}, key="again")
        assert await post(w, path, {"name": "Once more"}, key="again") == child
        assert (child["parent_id"], child["status"], child["name"]) == (
            campaign_id,
            "draft",
            "Once more",
        )
        assert "rejected" in child["parent_reasons"]
        assert {name: child[name] for name in paced} == paced
        counted = await get(w, f"/api/campaigns/{child['id']}/audience")
        assert (counted["eligible"], counted["suppressed"]) == (9, 1)
        preview = await get(w, f"/api/campaigns/{child['id']}/preview")
        assert preview["audience"]["recipients"] == 9
        await w.enqueue(child["id"])
        done = await w.completed(child["id"])
        assert done["metrics"]["sent"] == 9
        numbers = [each.destination for each in w.simulator.log.acceptances()]
        assert len(numbers) == len(set(numbers)) == 39
        assert set(rejected[1:]) <= set(numbers)
        await post(w, path, {}, status=201)
        await w.assert_the_numbers_are_true()


async def test_a_report_adds_up_to_the_counters_and_an_export_has_every_message(
    database_url: str,
) -> None:
    async with world(database_url, controls={"reject_share": 0.3}, SMS_BATCH_SIZE="10") as w:
        zone = {"timezone": "Asia/Kathmandu"}
        await w.database.write(tenants.change, w.call.tenant_id, zone)
        await import_people(w, *(f"+3069{12_000_000 + n},=cmd{n}," for n in range(200)))
        campaign_id = await w.draft("{{first_name}} says hello")
        await w.enqueue(campaign_id)
        metrics = (await w.completed(campaign_id))["metrics"]
        report = await get(w, f"/api/campaigns/{campaign_id}/report")
        funnel = report["funnel"]
        assert {name: funnel[name] for name in metrics if name in funnel} == {
            name: value for name, value in metrics.items() if name != "processed"
        }
        assert funnel["audience"] == 200
        assert report["reasons"] == [{"reason": "rejected", "messages": metrics["failed"]}]
        for name in ("sent", "failed", "delivered"):
            assert sum(each[name] for each in report["hours"]) == metrics[name]
        assert report["hours"][0]["hour"].endswith(":00:00+05:45")
        assert (report["cost"], report["without_price"]) == ([], metrics["sent"])
        assert report["duration_ms"] > 0
        path = f"/api/campaigns/{campaign_id}/messages/export"
        answer = await w.call("GET", path)
        assert answer.headers["Content-Type"].startswith("text/csv")
        assert f"campaign-{campaign_id}.csv" in answer.headers["Content-Disposition"]
        rows = list(csv.DictReader(io.StringIO(answer.text)))
        assert len({row["id"] for row in rows}) == 200
        assert all(row["text"].startswith("'=cmd") for row in rows)
        assert {row["to"] for row in rows if row["status"] == "sent"} == w.provider_numbers()
        answer = await w.call("GET", f"{path}?format=jsonl&status=failed")
        failed = [json.loads(line) for line in answer.text.splitlines()]
        assert len(failed) == metrics["failed"]
        assert {(each["status"], each["reason"]) for each in failed} == {("failed", "rejected")}
        assert all(each["text"].startswith("=cmd") for each in failed), "JSON is no spreadsheet"
        assert {each["to"] for each in failed}.isdisjoint(w.provider_numbers())


FAULTY: list[tuple[str | bytes, int | None, str]] = [
    ("prefix,price\n30,1\n", 1, "columns"),
    ("", 1, "columns"),
    (f"{PRICES}x,1,EUR\n", 5, "such as 30"),
    (f"{PRICES}357,-1,EUR\n", 5, "without a sign"),
    (f"{PRICES}357,0.1,EURO\n", 5, "such as EUR"),
    (f"{PRICES}+30,0.1,EUR\n", 5, "stands in row 2 already"),
    (f"{PRICES}357,0.1\n", 5, "2 values for 3 columns"),
    (f'{PRICES}357,"0.1\n', 5, "cannot be read"),
    ("prefix,price,currency\n30,é,EUR\n".encode("latin-1"), None, "UTF-8"),
]


async def test_a_price_table_is_taken_whole_or_not_at_all(database_url: str) -> None:
    async with world(database_url) as w:
        await put_prices(w)
        before = await get(w, "/api/prices")
        first = await get(w, "/api/prices?limit=2")
        rest = await get(w, f"/api/prices?limit=2&cursor={first['next_cursor']}")
        assert [*first["data"], *rest["data"]] == before["data"]
        assert before["data"][1] == {"prefix": "3069", "price": "0.04", "currency": "EUR"}
        for table, row, words in FAULTY:
            data = table if isinstance(table, bytes) else table.encode()
            answer = await w.call("PUT", "/api/prices", data=data)
            assert (answer.status, answer.json["code"]) == (422, "bad_rows"), table
            fault = answer.json["errors"][0]
            assert (fault.get("row"), words in fault["reason"]) == (row, True), fault
            assert await get(w, "/api/prices") == before
        await put_prices(w, "\ufeffcurrency;prefix;price\r\neur;+49;0.07\r\n")
        assert await get(w, "/api/prices") == {
            "data": [{"prefix": "49", "price": "0.07", "currency": "EUR"}],
            "next_cursor": None,
        }


async def test_what_is_not_there_is_404(database_url: str) -> None:
    async with world(database_url) as w:
        for what in ("preview", "estimate", "report", "messages/export"):
            answer = await get(w, f"/api/campaigns/7/{what}", status=404)
            assert answer["code"] == "not_found"
        for what, body in (("test", {"to": "+447911123456"}), ("resend", {})):
            await post(w, f"/api/campaigns/7/{what}", body, status=404)
