"""Every provider's adapter: receipts and replies."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paceline.providers.base import (
    UnreadableError,
)

from .subjects import SUBJECTS


@pytest.mark.parametrize(
    ("subject", "body", "query", "expected"),
    [(s, *case) for s in SUBJECTS for case in s.receipts],
    ids=str,
)
def test_a_receipt_says_what_became_of_which_message(subject, body, query, expected):
    assert subject.provider().read_receipts(body, {}, query) == expected


@pytest.mark.parametrize(
    ("subject", "body"), [(s, body) for s in SUBJECTS for body in s.no_receipts], ids=str
)
def test_what_is_no_receipt_is_unreadable(subject, body):
    with pytest.raises(UnreadableError):
        subject.provider().read_receipts(body, {}, {})


@pytest.mark.parametrize(
    ("subject", "body", "expected"), [(s, *case) for s in SUBJECTS for case in s.replies], ids=str
)
def test_a_reply_says_who_wrote_what_to_which_number(subject, body, expected):
    assert subject.provider().read_replies(body, {}) == expected


@pytest.mark.parametrize(
    ("subject", "body"), [(s, body) for s in SUBJECTS for body in s.no_replies], ids=str
)
def test_what_is_no_reply_is_unreadable(subject, body):
    with pytest.raises(UnreadableError):
        subject.provider().read_replies(body, {})


@pytest.mark.parametrize("subject", SUBJECTS, ids=str)
@given(body=st.binary(max_size=100))
def test_no_bytes_make_the_reading_of_a_webhook_fail(subject, body):
    with pytest.raises(UnreadableError):
        subject.provider().read_receipts(b"!" + body, {}, {})
    with pytest.raises(UnreadableError):
        subject.provider().read_replies(b"!" + body, {})
