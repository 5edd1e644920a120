"""Imports over HTTP: what comes in is a file as people have it."""

from __future__ import annotations

import io

import aiohttp

from tests.api.serving import Api, Caller

GOOD = b"Mobile;First Name;City\n07400 123456;Anna;Athens\n+306912345678;;\n"


async def test_a_file_is_imported_and_put_on_a_list(call: Caller) -> None:
    made = (await call("POST", "/api/lists", {"name": "VIP"})).json
    path = f"/api/contacts/import?list_id={made['id']}"
    answer = await call("POST", path, data=GOOD, headers={"Content-Type": "text/csv"})
    counts = {"imported": 2, "updated": 0, "duplicates": 0, "invalid": 0, "errors": []}
    expected = counts | {"import_id": 1}
    assert (answer.status, answer.json) == (200, expected), answer.text
    again = await call("POST", path, data=GOOD)
    assert again.json == expected | {"imported": 0, "updated": 2, "import_id": 2}
    assert (await call("GET", f"/api/lists/{made['id']}")).json["contacts"] == 2
    anna = (await call("GET", "/api/contacts")).json["data"][0]
    assert (anna["phone"], anna["first_name"], anna["attributes"]) == (
        "+447400123456",
        "Anna",
        {"city": "Athens"},
    )


async def test_a_form_may_carry_the_file(call: Caller) -> None:
    form = aiohttp.FormData()
    form.add_field("file", io.BytesIO(GOOD), filename="people.csv", content_type="text/csv")
    assert (await call("POST", "/api/contacts/import", data=form)).json["imported"] == 2
    empty = aiohttp.FormData({"name": "x"})
    empty.add_field("other", "y", content_type="text/plain")
    refused = await call("POST", "/api/contacts/import", data=empty)
    assert refused.json["errors"] == [{"field": "file", "reason": "the form has no file"}]


async def test_bad_rows_are_named_and_the_rest_is_imported(call: Caller) -> None:
    file = b"phone,name\n+306912345678,a\nnonsense,b\n+306912345678,c\n+306912345679,d,e\n"
    answer = await call("POST", "/api/contacts/import", data=file)
    assert answer.json == {
        "imported": 1,
        "updated": 0,
        "duplicates": 1,
        "invalid": 2,
        "errors": [
            {"row": 3, "column": "phone", "reason": "not a number"},
            {
                "row": 4,
                "column": "phone",
                "reason": "has the same number as row 2, which counts",
            },
            {"row": 5, "column": None, "reason": "has 3 values for 2 columns"},
        ],
        "import_id": 1,
    }


async def test_strict_takes_all_rows_or_none(call: Caller) -> None:
    file = b"phone\n+306912345678\nnonsense\n"
    answer = await call("POST", "/api/contacts/import?strict=true", data=file)
    assert (answer.status, answer.json["code"]) == (422, "bad_rows")
    assert answer.json["errors"] == [{"row": 3, "column": "phone", "reason": "not a number"}]
    assert (await call("GET", "/api/contacts")).json["data"] == []


async def test_an_unusable_file_imports_nothing(call: Caller) -> None:
    for file, words in [
        (b"", "empty"),
        (b"\n", "no header"),
        (b"name,city\na,b\n", "found \u201cname\u201d, \u201ccity\u201d"),
        (b"phone,mobile\n+306912345678,\n", "keep one of them"),
        ("phone,Όνομα\n+306912345678,a\n".encode(), "letters a to z"),
        (b"phone\n+306912345678\n\xe9\n", "line 3 is not UTF-8"),
        ("phone\n+306912345678\n".encode("utf-16"), "UTF-16"),
        (b'phone,name\n+306912345678,"a\n', "opened and not closed"),
        (b"phone\n" + b"1" * 200_000, "longer than"),
    ]:
        answer = await call("POST", "/api/contacts/import", data=file)
        assert answer.status == 422, file[:40]
        assert words in answer.text, answer.text
    assert (await call("GET", "/api/contacts")).json["data"] == []
    bad_country = await call("POST", "/api/contacts/import?default_country=XX", data=GOOD)
    assert bad_country.json["errors"][0]["field"] == "default_country"


async def test_an_import_changes_only_its_own_tenants_contacts(api: Api, call: Caller) -> None:
    other = await api.caller("other")
    await other("POST", "/api/contacts", {"phone": "+306912345678", "first_name": "Zoe"})
    await call("POST", "/api/contacts/import", data=GOOD)
    assert (await other("GET", "/api/contacts")).json["data"][0]["first_name"] == "Zoe"
