"""Odd files, texts, numbers and webhooks over HTTP: taken, or refused by a problem document."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from paceline.domain.errors import InvalidInputError
from paceline.domain.phone import PhoneError, parse
from paceline.domain.template import compile_text
from paceline.engine.contact_rows import read_contacts
from paceline.providers.base import UnreadableError
from tests.altered import altered
from tests.api.problem_documents import fault_of
from tests.api.serving import ACCOUNT
from tests.fire import in_a_thread
from tests.postgres import PostgresServer
from tests.providers.subjects import SUBJECTS
from tests.providers.subjects.subject import API_KEY

PUBLIC = "https://sms.example.com"
few = settings(
    max_examples=40,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@dataclass
class Client:
    """Calls on one connection; every answer that is an error is held against its shape."""

    connection: http.client.HTTPConnection
    key: str

    def __call__(
        self, method: str, path: str, body: Any = None, *, kind: str = "application/json"
    ) -> tuple[int, Any]:
        """The status and the document of an answer."""
        if kind == "application/json" and body is not None:
            body = json.dumps(body)
        status, answer = self.post(method, path, body, {"Content-Type": kind})
        return status, json.loads(answer) if answer else None

    def post(self, method: str, path: str, body: Any, headers: dict[str, str]) -> tuple[int, bytes]:
        headers = {"Authorization": f"Bearer {self.key}", **headers}
        self.connection.request(method, path, body, headers)
        answer = self.connection.getresponse()
        content = answer.read()
        given_headers = {name.lower(): value for name, value in answer.getheaders()}
        fault = fault_of(answer.status, given_headers, content)
        assert fault is None, (method, path, body, fault)
        return answer.status, content


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def call(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Client]:
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('fuzz')}/paceline.db"
    else:
        server: PostgresServer = request.getfixturevalue("postgres_server")
        url = server.create_database()
    with in_a_thread(url, admin=True, PACELINE_PUBLIC_URL=PUBLIC) as (base, key):
        address = urlsplit(base)
        connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=30)
        yield Client(connection, key)
        connection.close()
    if request.param == "postgres":
        server.drop_database(url)


# --- webhooks


@pytest.fixture(scope="module")
def addresses(call: Client) -> dict[str, tuple[str, str]]:
    """Provider → where its receipts and its replies are posted."""
    made = {}
    for subject in SUBJECTS:
        account = {
            **ACCOUNT,
            "name": subject.name,
            "provider": subject.name,
            "api_key": API_KEY,
            "options": dict(subject.options),
        }
        status, added = call("POST", "/api/accounts", account)
        assert status == 201
        made[subject.name] = added["webhook_url"], added["inbound_url"]
    return made


@pytest.mark.parametrize("subject", SUBJECTS, ids=str)
@few
@given(data=st.data())
def test_a_webhook_takes_as_many_as_can_be_read_or_says_it_is_unreadable(
    call, addresses, subject, data
):
    receipts, replies = addresses[subject.name]
    query = {"reference": data.draw(st.text(), label="reference")}
    url = f"{receipts}?{urlencode(query, errors='replace')}"
    body = data.draw(altered([body for body, *_ in subject.receipts]), label="receipt")
    query = dict(parse_qsl(urlsplit(url).query))
    posted(call, url, body, lambda: subject.provider().read_receipts(body, {}, query))
    reply = data.draw(altered([body for body, *_ in subject.replies]), label="reply")
    posted(call, replies, reply, lambda: subject.provider().read_replies(reply, {}))


def posted(call: Client, url: str, body: bytes, read: Any) -> None:
    """Post a body, and hold the answer against what the adapter reads from it."""
    path = url.removeprefix(PUBLIC)
    headers = {"X-Twilio-Signature": signature(url, body)}
    status, content = call.post("POST", path, body, headers)
    try:
        expected = len(read())
    except UnreadableError:
        assert (status, json.loads(content)["code"]) == (400, "unreadable")
    else:
        assert (status, json.loads(content)) == (202, {"ok": True, "updated": expected})


def signature(url: str, body: bytes) -> str:
    """As Twilio signs; the others do not look."""
    fields = sorted(set(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True)))
    signed = url + "".join(name + value for name, value in fields)
    digest = hmac.digest(API_KEY.encode(), signed.encode("utf-8", "replace"), hashlib.sha1)
    return base64.b64encode(digest).decode()


# --- files

SCRAPS = [b'"', b",", b"\n", b"\r\n", b"\r", b"\0", b"\xff", "é\u2028".encode(), b"+447911123456"]
rows = st.lists(
    st.one_of(
        st.sampled_from(SCRAPS),
        st.integers(0, 99_999).map(lambda number: b"+4479111%05d,Ana\n" % number),
        st.binary(max_size=5),
    ),
    max_size=20,
)
starts = st.sampled_from([b"", b"phone,first_name\n", b"phone;note;tag\n", b"\xef\xbb\xbftel\r\n"])


@few
@given(starts, rows, st.sampled_from(["", "?strict=true", "?list_id=1", "?default_country=GR"]))
def test_an_import_counts_every_row_or_is_refused(call, start, pieces, query):
    file = start + b"".join(pieces)
    status, answer = call("POST", f"/api/contacts/import{query}", file, kind="text/csv")
    try:
        read = list(read_contacts([file], "GR" if "GR" in query else "GB").rows)
    except InvalidInputError:
        assert status == 422
        return
    good = sum(row.contact is not None for row in read)
    if status == 422:
        assert (answer["code"], "strict" in query) == ("bad_rows", True)
        return
    assert status == 200
    assert answer["imported"] + answer["updated"] + answer["duplicates"] == good
    assert answer["invalid"] == len(read) - good


@few
@given(
    st.sampled_from(["x", '"x y"', "", "=", "x; charset=utf-8", "{0}", "\xe9"]),
    st.lists(
        st.one_of(
            st.sampled_from(
                [
                    b"--x",
                    b"--",
                    b"\r\n",
                    b'Content-Disposition: form-data; name="file"; filename="{f}"',
                    b"Content-Disposition: form-data",
                    b"Content-Type: {0}",
                    b"phone\n+447911123456",
                ]
            ),
            st.binary(max_size=5),
        ),
        max_size=15,
    ),
)
def test_any_form_is_a_file_or_refused(call, boundary, pieces):
    kind = f"multipart/form-data; boundary={boundary}"
    status, _ = call("POST", "/api/contacts/import", b"".join(pieces), kind=kind)
    assert status in {200, 400, 422}


# --- texts and numbers

VALUES = {"first_name": "Ana", "city": "Bonn"}
TAGS = ["{{first_name}}", "{{ city | x }}", "{{", "}}", "{{nobody}}", "{", "|", "\0", "\ud800", "€"]


@pytest.fixture(scope="module")
def list_id(call: Client) -> int:
    """A list with one contact, who has `VALUES`."""
    person = {
        "phone": "+447400123456",
        "first_name": VALUES["first_name"],
        "attributes": {"city": VALUES["city"]},
    }
    _, contact = call("POST", "/api/contacts", person)
    _, made = call("POST", "/api/lists", {"name": "one"})
    call("POST", f"/api/lists/{made['id']}/contacts", {"contact_ids": [contact["id"]]})
    return int(made["id"])


@few
@given(st.lists(st.one_of(st.sampled_from(TAGS), st.text(max_size=9)), max_size=9).map("".join))
def test_a_campaign_sends_what_its_text_renders_to_or_is_refused(call, list_id, text):
    status, made = call("POST", "/api/campaigns", {"name": "n", "text": text, "list_id": list_id})
    if status != 201:
        assert status == 422
        return
    assert made["text"] == text
    assert call("POST", f"/api/campaigns/{made['id']}/enqueue")[0] == 200
    status, page = call("GET", f"/api/campaigns/{made['id']}/messages")
    assert [each["text"] for each in page["data"]] == [compile_text(text).render(VALUES)]


@few
@given(
    st.one_of(
        st.text(max_size=30),
        st.text("0123456789+() -.\u0663\u200beE", max_size=20),
        st.integers(0, 99_999).map(lambda number: f"07911 1{number:05}"),
    )
)
def test_a_number_is_read_in_a_body_a_query_and_a_path_alike(call, written):
    number = None
    with suppress(PhoneError):
        number = parse(written, "GB")
    status, message = call("POST", "/api/messages", {"to": written, "text": "t"})
    if status == 201:
        assert message["to"] == number
    else:
        assert status == 422
        assert number is None or not written.isprintable()
    asked = quote(written, safe="")
    status, _ = call("GET", f"/api/contacts?phone={asked}")
    assert status == (422 if number is None else 200)
    status, _ = call("DELETE", f"/api/suppressions/{asked}")
    assert status in ({404, 405, 422} if number is None else {404})
