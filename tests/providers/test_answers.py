"""What may be repeated of a provider's words."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from paceline.providers.answers import public_words, secrets_of
from paceline.providers.base import Account

KEY = "key-7f3a9c51d2e84b06"
TEXT = "Dear Eleni, your parcel waits"


def said(words: str, *texts: str) -> str:
    return public_words(words, secrets=[KEY, ""], texts=texts or [TEXT])


def test_whatever_is_neither_text_nor_number_says_nothing():
    assert public_words(21610, secrets=[KEY], texts=[TEXT]) == "21610"
    for nothing in (None, ["a"], {"a": "b"}, 1.5):
        assert public_words(nothing, secrets=[KEY], texts=[TEXT]) == ""


def test_the_token_in_the_address_of_receipts_is_a_secret():
    token = "Jx0v-8dSgE3l_qPz7RbA5w"
    url = f"https://sms.example/webhooks/twilio/{token}/dlr"
    account = Account("twilio", "http://localhost", KEY, "acc-1", receipts_url=url)
    said_of_it = f"StatusCallback {url}?reference=inst-1-0 is not valid, nor is {KEY}"
    assert public_words(said_of_it, secrets=secrets_of(account), texts=[TEXT]) == (
        "StatusCallback https://sms.example/webhooks/twilio/…/dlr?reference=inst-1-0 is not valid, "
        "nor is …"
    )


def test_plain_words_stay_as_they_are():
    assert said("no route to the destination") == "no route to the destination"


def test_a_key_and_phone_numbers_are_blanked():
    assert said(f"bad key {KEY}!") == "bad key …!"
    for number in ("+306912345678", "306912345678", "+30 691 234-5678", "(0044) 7911.123456"):
        assert said(f"bad number {number}").count("…") == 1
        assert not any(digit in said(f"bad number {number}") for digit in "123456789")


def test_short_numbers_stay():
    assert said("2 parts, at most 1600 characters, error 21610") == (
        "2 parts, at most 1600 characters, error 21610"
    )


def test_words_that_repeat_a_message_or_a_piece_of_one_are_withheld():
    for echo in (TEXT, TEXT[3:20], TEXT.replace(" ", "\n ")):
        assert said(f"forbidden: {echo}…") == "withheld, as it repeats the message"
    assert said("forbidden: Hi Bob!", "Hi Bob!") == "withheld, as it repeats the message"


def test_words_become_one_bounded_line():
    assert said("a\r\n\tb\x07c") == "a bc"
    assert len(said("long " * 1000)) == 200


@given(before=st.text(), after=st.text(), cut=st.integers(0, len(TEXT) - 12))
def test_whatever_stands_around_it_nothing_private_is_repeated(before, after, cut):
    words = said(f"{before}{KEY} {TEXT[cut:]} +306912345678{after}")
    assert len(words) <= 200
    assert words.isprintable()
    assert KEY not in words
    assert TEXT[cut:] not in words
    assert "6912345678" not in words
