"""People's files come in and can be taken back; a person can be erased. Over HTTP, for real."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp

from benchmarks import sheet_files
from tests.acceptance.world import World, world

HEADER = ("Mobile", "First Name", "Town", "Notes")
MAPPING = quote(json.dumps({"Mobile": "phone", "town": "city", "NOTES": None}))
ANNA, BERT = "+306912345678", "+306912345679"


async def contacts(w: World) -> dict[str, Any]:
    answer = await w.call("GET", "/api/contacts?limit=500")
    return {each["phone"]: each for each in answer.json["data"]}


async def post(w: World, path: str, body: Any = None, **kwargs: Any) -> Any:
    answer = await w.call("POST", path, body, **kwargs)
    assert answer.status == 200, answer.text
    return answer.json


async def test_a_workbook_is_tried_imported_looked_at_and_undone(
    database_url: str, tmp_path: Path
) -> None:
    rows: list[sheet_files.Row] = [
        HEADER,
        (306912345678, "Anna", "Athens", "tall"),
        ("691 234 5679", "Bert", "Bonn", None),
        ("12", "=Cleo", None, None),
        ("+30 6912345678", "Again", None, None),
    ]
    async with world(database_url) as w:
        await w.call("POST", "/api/contacts", {"phone": ANNA, "first_name": "Annabella"})
        before = await contacts(w)
        for kind in ("xlsx", "ods", "csv", "tsv"):
            file = sheet_files.as_bytes(kind, rows, tmp_path)
            path = f"/api/contacts/import?mapping={MAPPING}"

            tried = await post(w, f"{path}&dry_run=true", data=file)
            assert (tried["imported"], tried["updated"], tried["invalid"]) == (1, 1, 1)
            assert [(each["header"], each["field"]) for each in tried["columns"]] == [
                ("Mobile", "phone"),
                ("First Name", "first_name"),
                ("Town", "city"),
                ("Notes", None),
            ]
            assert [(each["new"], each["first_name"]) for each in tried["contacts"]] == [
                (False, "Anna"),
                (True, "Bert"),
            ]
            assert await contacts(w) == before, "a dry run writes nothing"

            made = await post(w, path, data=file)
            assert (made["imported"], made["updated"]) == (1, 1)
            assert (made["duplicates"], made["invalid"]) == (1, 1)
            bert = (await contacts(w))[BERT]
            assert (bert["first_name"], bert["attributes"]) == ("Bert", {"city": "Bonn"})

            rejected = await w.call("GET", f"/api/imports/{made['import_id']}/rejected")
            assert rejected.headers["Content-Type"].startswith("text/csv")
            header, *bad = csv.reader(io.StringIO(rejected.text))
            assert header == ["row", "column", "reason", *HEADER]
            assert [each[0] for each in bad] == ["4", "5"]
            assert (bad[0][1], bad[0][4]) == ("Mobile", "'=Cleo")
            assert "row 2" in bad[1][2]

            undone = await post(w, f"/api/imports/{made['import_id']}/undo")
            assert undone == {"removed": 1, "restored": 1, "left_alone": 0, "why": {}}
            assert await contacts(w) == before
            again = await w.call("POST", f"/api/imports/{made['import_id']}/undo")
            assert (again.status, again.json["code"]) == (409, "conflict")
        listed = (await w.call("GET", "/api/imports")).json["data"]
        assert len(listed) == 4
        assert all(each["undone_at"] for each in listed)
        shown = (await w.call("GET", f"/api/imports/{listed[0]['id']}")).json
        assert shown == listed[0]


async def test_an_import_that_was_sent_to_is_not_undone_under_the_campaign(
    database_url: str,
) -> None:
    async with world(database_url) as w:
        form = aiohttp.FormData({"mapping": '{"n": "phone"}'})
        people = f"n,first_name\n{ANNA},Anna\n".encode()
        form.add_field("file", io.BytesIO(people), filename="people.csv")
        made = await post(w, "/api/contacts/import", data=form)
        assert (await w.call("GET", "/api/imports")).json["data"][0]["name"] == "people.csv"
        campaign_id = await w.draft()
        await w.enqueue(campaign_id)
        await w.completed(campaign_id)
        undone = await post(w, f"/api/imports/{made['import_id']}/undo")
        assert (undone["removed"], undone["why"]) == (0, {"written_to": 1})
        assert list(await contacts(w)) == [ANNA]


async def test_an_export_comes_back_by_an_import(database_url: str) -> None:
    async with world(database_url) as w:
        values = {"formula": "=1+1", "minus": "-5", "quote": 'a "b", c\nd'}
        await w.call(
            "POST", "/api/contacts", {"phone": ANNA, "first_name": "@Anna", "attributes": values}
        )
        await w.audience(3_000, first=500)
        before = {phone: each["attributes"] for phone, each in (await contacts(w)).items()}
        exported = await w.call("GET", "/api/contacts/export?format=csv")
        assert f"{ANNA},'@Anna,,'=1+1,'-5," in exported.text
        headers = {"Authorization": f"Bearer {w.call.key}"}
        url = f"{w.call.base}/api/contacts/export?format=jsonl"
        async with w.call.session.get(url, headers=headers) as answer:
            lines = (await answer.text()).splitlines()
        assert len(lines) == 3_001
        assert json.loads(lines[0])["attributes"] == values
        again = await post(w, "/api/contacts/import", data=exported.text.encode())
        assert (again["imported"], again["updated"], again["invalid"]) == (0, 3_001, 0)
        after = await contacts(w)
        assert {phone: each["attributes"] for phone, each in after.items()} == before
        assert after[ANNA]["first_name"] == "@Anna"
        assert (await w.call("GET", "/api/contacts/export?list_id=9")).status == 404
        assert (await w.call("GET", "/api/contacts/export?format=xml")).status == 422


async def test_an_erased_person_is_gone_and_is_never_written_to_again(database_url: str) -> None:
    async with world(database_url) as w:
        await post(
            w, "/api/contacts/import", data=f"phone,first_name\n{ANNA},Anna\n{BERT},B\n".encode()
        )
        campaign_id = await w.draft()
        await w.enqueue(campaign_id)
        sent = (await w.completed(campaign_id))["metrics"]
        whom = {"phone": ANNA}
        kept = await post(w, "/api/contacts/person", whom)
        assert kept["contact"]["first_name"] == "Anna"
        assert [each["text"] for each in kept["messages"]] == ["Hello Anna"]

        assert await post(w, "/api/contacts/erase", whom) == {
            "contacts": 1,
            "messages": 1,
            "cancelled": 0,
            "replies": 0,
        }

        assert (await w.status(campaign_id))["metrics"] == sent
        assert {each["to"][0] for each in await w.messages(campaign_id)} == {"#", "+"}
        nothing = await post(w, "/api/contacts/person", whom)
        assert nothing == {
            "phone": ANNA,
            "contact": None,
            "lists": [],
            "suppression": None,
            "messages": [],
            "replies": [],
        }
        assert list(await contacts(w)) == [BERT]
        for path, body in (
            ("/api/contacts", whom),
            ("/api/messages", {"to": ANNA, "text": "Hi"}),
        ):
            refused = await w.call("POST", path, body)
            assert refused.status == 422
            assert "was erased" in refused.json["errors"][0]["reason"]
        bert_id = (await contacts(w))[BERT]["id"]
        assert (await w.call("PATCH", f"/api/contacts/{bert_id}", whom)).status == 422
        again = await post(w, "/api/contacts/import", data=f"phone\n{ANNA}\n".encode())
        assert (again["imported"], again["invalid"]) == (0, 1)
        tried = await post(w, "/api/contacts/import?dry_run=1", data=f"phone\n{ANNA}\n".encode())
        assert (tried["imported"], tried["invalid"]) == (0, 1)
        await w.enqueue(second := await w.draft())
        await w.completed(second)
        assert w.provider().accepted == 3, "to both, and then to Bert alone"
        await w.assert_the_numbers_are_true()
