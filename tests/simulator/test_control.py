from __future__ import annotations

import pytest

from .customer import message


async def test_the_document_shows_every_control_with_its_default(start):
    customer = await start()
    document = await customer.get("/control")
    assert document["max_messages"] == 10_000
    assert document["lookup"] is True
    assert document["limit"] is None
    assert {v for k, v in document.items() if k.endswith("_share")} == {0}


async def test_put_replaces_the_whole_document(start):
    customer = await start(deduplicate=True)
    answer = await customer.request("PUT", "/control", {"fail_before_share": 1})
    assert answer.status == 200
    document = await customer.get("/control")
    assert answer.body == document
    assert (document["deduplicate"], document["fail_before_share"]) == (False, 1)
    assert (await customer.single(message(1))).status == 500


async def test_what_was_shown_can_be_put_back(start):
    customer = await start(limit={"max": 2, "window_ms": 5}, next=["ok", {"status": 503}])
    document = await customer.get("/control")
    assert (await customer.request("PUT", "/control", document)).body == document


async def test_patch_changes_only_what_it_names_within_objects_too(start):
    customer = await start(deduplicate=True, receipts={"url": "http://127.0.0.1:9/"})
    await customer.patch(receipts={"delay_ms": 5}, latency_ms=1)
    document = await customer.get("/control")
    assert document["deduplicate"] is True
    assert document["latency_ms"] == 1
    assert document["receipts"]["url"] == "http://127.0.0.1:9/"
    assert document["receipts"]["delay_ms"] == 5
    await customer.patch(receipts=None, deduplicate=None)
    document = await customer.get("/control")
    assert (document["receipts"], document["deduplicate"]) == (None, False)


async def test_the_document_shows_what_is_left_of_the_script(start):
    customer = await start(next=["ok", "throttle"])
    await customer.single(message(1))
    assert (await customer.get("/control"))["next"] == ["throttle"]
    await customer.patch(latency_ms=1)
    assert (await customer.single(message(2))).status == 429
    assert (await customer.get("/control"))["next"] == []


async def test_a_new_limit_starts_to_count_when_it_is_set(start):
    customer = await start(limit={"max": 1, "window_ms": 3_600_000})
    assert (await customer.single(message(1))).status == 200
    assert (await customer.single(message(2))).status == 429
    await customer.patch(limit={"max": 2})
    assert [(await customer.single(message(n))).status for n in (3, 4, 5)] == [200, 200, 429]


@pytest.mark.parametrize(
    ("document", "named"),
    [
        ({"fail_befor_share": 1}, "fail_befor_share"),
        ({"reject_share": 1.5}, "reject_share"),
        ({"latency_ms": -1}, "latency_ms"),
        ({"limit": {"max": 0, "window_ms": 1}}, "limit.max"),
        ({"limit": {"max": 1}}, "window_ms"),
        ({"limit": {"max": 1, "window_ms": 1, "per": "s"}}, "per"),
        ({"next": ["explode"]}, "next[0]"),
        ({"next": [{"status": 200}]}, "next[0].status"),
        ({"receipts": {"delay_ms": 1}}, "url"),
        ({"receipts": {"url": "ftp://x"}}, "receipts.url"),
        ({"fail_before_share": 0.6, "drop_after_share": 0.6}, "drop_after_share"),
        ([], "object"),
        (b"{", "truncated"),
        (b'{"next": ["\xff"]}', "utf-8"),
    ],
)
@pytest.mark.parametrize("method", ["PUT", "PATCH"])
async def test_a_wrong_document_is_400_naming_the_fault_and_changes_nothing(
    start, method, document, named
):
    customer = await start()
    before = await customer.get("/control")
    answer = await customer.request(method, "/control", document)
    assert answer.status == 400
    assert named in answer.body["error"]["description"]
    assert await customer.get("/control") == before
