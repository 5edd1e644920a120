"""The signature of Standard Webhooks, and the waits between tries."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from paceline.domain.webhook_event import (
    MESSAGE_EVENTS,
    MOST_TRIES,
    SECRET_BYTES,
    WAITS_MS,
    WANTABLE,
    WANTED_BY_DEFAULT,
    EventType,
    secret_of,
    signature,
    wait_ms,
)

DAY_MS = 24 * 3_600_000
GUIDE = Path(__file__).parents[2] / "docs" / "how-to" / "webhooks.md"


def test_the_signature_is_the_published_one() -> None:
    signed = signature(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        b'{"test": 2432232314}',
    )
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_secret_is_as_receivers_know_it_and_signs() -> None:
    secret = secret_of(bytes(range(SECRET_BYTES)))
    assert secret == "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX"
    assert signature(secret, "evt_1", 1, b"{}").startswith("v1,")


def test_a_secret_that_is_none_is_said_to_be_none() -> None:
    with pytest.raises(ValueError, match="whsec_ and base64"):
        signature("whsec_!", "evt_1", 1, b"{}")


def test_tries_go_on_for_five_days_and_end() -> None:
    assert [wait_ms(n) for n in range(1, MOST_TRIES)] == list(WAITS_MS)
    assert WAITS_MS[0] == 5_000
    assert list(WAITS_MS) == sorted(WAITS_MS)
    assert 5 * DAY_MS < sum(WAITS_MS) < 6 * DAY_MS
    assert wait_ms(MOST_TRIES) is None
    assert wait_ms(MOST_TRIES, DAY_MS) is None


def test_a_wait_that_is_asked_for_can_only_be_longer() -> None:
    assert wait_ms(1, 1_000) == 5_000
    assert wait_ms(1, 60_000) == 60_000


def test_what_comes_once_for_each_message_has_to_be_asked_for() -> None:
    assert all(each.startswith("message.") for each in MESSAGE_EVENTS)
    assert {*WANTED_BY_DEFAULT} == {*EventType} - MESSAGE_EVENTS - {EventType.TEST}


def test_the_guide_has_every_type() -> None:
    listed = re.findall(r"^\| `([a-z]+\.[a-z_]+)` \|", GUIDE.read_text(), re.MULTILINE)
    assert listed == list(WANTABLE)
