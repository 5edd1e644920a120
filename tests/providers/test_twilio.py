"""Twilio's own: signatures, and what a call says where receipts cannot reach us."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Any
from urllib.parse import urlencode

import pytest

from paceline.domain.outcome import Answered, Rejected, Rejection
from paceline.providers.base import Account, OutgoingMessage
from paceline.providers.lines import HttpAnswer
from paceline.providers.twilio import Twilio

from .conformance import in_time
from .scripted import answering, scripted
from .subjects.subject import PHONE, SENDER, messages
from .subjects.twilio import TWILIO, error

# Twilio's published examples.
PUBLISHED_TOKEN = "12345"
PUBLISHED_URL = "https://mycompany.com/myapp.php?foo=1&bar=2"
PUBLISHED_FORM = {
    "Digits": "1234",
    "To": "+18005551212",
    "From": "+14158675309",
    "Caller": "+14158675309",
    "CallSid": "CA1234567890ABCDE",
}
PUBLISHED_SIGNATURE = "RSOYDt4T1cUTdK1PDd93/VVr8B8="
FORM_TYPE = "application/x-www-form-urlencoded; charset=UTF-8"


def twilio(token: str = PUBLISHED_TOKEN) -> Twilio:
    return Twilio(Account("twilio", "https://api.twilio.com", token, "AC1"))


def headers(signature: str, content_type: str = FORM_TYPE) -> dict[str, str]:
    return {"X-Twilio-Signature": signature, "Content-Type": content_type}


def signed(text: str, token: str = PUBLISHED_TOKEN) -> str:
    """By the rule as it is written down, independently of the adapter."""
    return base64.b64encode(hmac.new(token.encode(), text.encode(), hashlib.sha1).digest()).decode()


def form(fields: dict[str, str] | list[tuple[str, str]]) -> bytes:
    return urlencode(fields).encode()


def test_the_published_example_is_genuine():
    assert twilio().is_genuine(PUBLISHED_URL, form(PUBLISHED_FORM), headers(PUBLISHED_SIGNATURE))


def test_the_published_example_with_repeated_fields_is_genuine():
    fields = [
        *(("Sid", "CA123"), ("SidAccount", "AC123")),
        *(("Digits", "5678"), ("Digits", "1234"), ("Digits", "1234")),
    ]
    signature = headers("IK+Dwps556ElfBT0I3Rgjkr1wJU=")
    assert twilio().is_genuine(PUBLISHED_URL, form(fields), signature)


def test_the_order_in_which_fields_come_does_not_matter():
    turned = dict(reversed(PUBLISHED_FORM.items()))
    assert twilio().is_genuine(PUBLISHED_URL, form(turned), headers(PUBLISHED_SIGNATURE))


@pytest.mark.parametrize(
    "change",
    [
        {"url": PUBLISHED_URL + "&reference=inst-1-0"},
        {"url": PUBLISHED_URL.replace("mycompany", "theircompany")},
        {"url": PUBLISHED_URL.replace("https", "http")},
        {"body": form(PUBLISHED_FORM | {"Digits": "1235"})},
        {"body": form(PUBLISHED_FORM | {"More": "1"})},
        {"body": form(PUBLISHED_FORM | {"More": ""})},
        {"body": b""},
        {"body": b"\xff"},
        {"headers": {"Content-Type": FORM_TYPE}},
        {"headers": headers("")},
        {"headers": headers(PUBLISHED_SIGNATURE.lower())},
        {"headers": headers(f"{PUBLISHED_SIGNATURE} ")},
        {"headers": headers("ünïcode")},
        {"headers": headers(PUBLISHED_SIGNATURE, "application/json")},
    ],
    ids=str,
)
def test_whatever_is_changed_is_not_genuine(change):
    call: dict[str, Any] = {
        "url": PUBLISHED_URL,
        "body": form(PUBLISHED_FORM),
        "headers": headers(PUBLISHED_SIGNATURE),
    }
    assert twilio().is_genuine(**call) is True
    assert twilio().is_genuine(**call | change) is False


def test_another_token_is_not_genuine():
    genuine = twilio("12346").is_genuine(
        PUBLISHED_URL, form(PUBLISHED_FORM), headers(PUBLISHED_SIGNATURE)
    )
    assert genuine is False


def test_text_in_any_script_is_signed_as_it_is_written():
    fields = {"Body": "τέλος & конец 🙂", "From": PHONE}
    signature = signed(f"{PUBLISHED_URL}Body{fields['Body']}From{PHONE}")
    assert twilio().is_genuine(PUBLISHED_URL, form(fields), headers(signature))


def test_empty_fields_are_signed_with_their_names():
    signature = signed(f"{PUBLISHED_URL}BodyFrom{PHONE}")
    body = form({"From": PHONE, "Body": ""})
    assert twilio().is_genuine(PUBLISHED_URL, body, headers(signature))


@pytest.mark.parametrize(
    ("called", "signed_as"),
    [
        ("https://sms.example.org/dlr?a=b", "https://sms.example.org:443/dlr?a=b"),
        ("https://sms.example.org:8443/dlr?a=b", "https://sms.example.org/dlr?a=b"),
        ("http://sms.example.org/dlr", "http://sms.example.org:80/dlr"),
        ("https://[::1]:8443/dlr", "https://[::1]/dlr"),
    ],
)
def test_the_port_may_be_signed_or_not(called, signed_as):
    assert twilio().is_genuine(called, b"", headers(signed(called)))
    assert twilio().is_genuine(called, b"", headers(signed(signed_as)))


def test_a_json_body_is_signed_by_its_hash_in_the_url():
    body = b'{"property": "value", "boolean": true}'
    # The published hash of the published body.
    digest = "0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620"
    url = f"{PUBLISHED_URL}&bodySHA256={digest}"
    genuine = headers(signed(url), "application/json")
    assert twilio().is_genuine(url, body, genuine) is True
    assert twilio().is_genuine(url, body + b" ", genuine) is False
    without = headers(signed(PUBLISHED_URL), "application/json")
    assert twilio().is_genuine(PUBLISHED_URL, body, without) is False


async def test_without_a_public_address_no_callback_is_asked_for():
    async with scripted(answering(TWILIO.accepted(messages(1)))) as server:
        adapter = Twilio(Account("twilio", server.url, "token", "AC1"))
        await adapter.prepare(SENDER, [OutgoingMessage(PHONE, "Hi", "inst-1-0")]).submit(in_time())
        await adapter.aclose()
        assert server.received.endswith(b"\r\n\r\nTo=%2B306912345678&From=Brand&Body=Hi")


async def test_a_messaging_service_is_named_as_one():
    service = "MG0123456789abcdef0123456789abcdef"
    async with scripted(answering(TWILIO.accepted(messages(1)))) as server:
        adapter = Twilio(Account("twilio", server.url, "token", "AC1"))
        await adapter.prepare(service, [OutgoingMessage(PHONE, "Hi", "inst-1-0")]).submit(in_time())
        await adapter.aclose()
        assert f"&MessagingServiceSid={service}&".encode() in server.received


def read(status: int, body: bytes, text: str = "Hi"):
    call = twilio().prepare(SENDER, [OutgoingMessage(PHONE, text, "inst-1-0")])
    return call._read(HttpAnswer(status, {}, body))


def test_a_code_is_known_even_when_the_text_contains_it():
    assert read(400, error(21610, "no"), text="21610") == Answered(
        [None], {0: Rejection("21610", "no", reason="opted_out")}, status=400
    )


def test_a_code_about_something_else_rejects_the_call_as_its_status_says():
    assert read(400, error(21212, "Invalid From")) == Rejected(
        Rejection("21212", "Invalid From"), 400
    )


@pytest.mark.parametrize("code", [20429, 63017, 21611])
def test_a_429_is_known_not_to_be_processed_whatever_its_code(code):
    assert read(429, error(code, "slow down")).retry_after_ms is None
    assert read(429, error(code, "slow down")).kind == "throttled"


def test_a_5xx_is_no_rejection_whatever_its_code():
    assert read(500, error(21610, "oops")).kind == "server_error"
