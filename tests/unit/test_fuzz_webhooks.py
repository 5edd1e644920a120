"""Whatever a provider's webhook holds is read, or said to be unreadable."""

from __future__ import annotations

import contextlib
from dataclasses import asdict

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from paceline.providers.base import Receipt, Reply, UnreadableError
from paceline.providers.moments import read_moment
from tests.altered import altered
from tests.providers.subjects import SUBJECTS

LAST_MOMENT_MS = 10**14

subjects = pytest.mark.parametrize("subject", SUBJECTS, ids=str)


@subjects
@settings(max_examples=100)
@given(data=st.data(), query=st.dictionaries(st.sampled_from(["reference", "x"]), st.text()))
def test_a_receipt_is_read_or_unreadable(subject, data, query):
    body = data.draw(altered([body for body, *_ in subject.receipts]))
    with contextlib.suppress(UnreadableError):
        for receipt in subject.provider().read_receipts(body, {}, query):
            assert receipt.provider_message_id or receipt.reference
            assert receipt.occurred_at is None or 0 <= receipt.occurred_at < LAST_MOMENT_MS
            assert_storable(receipt)


@subjects
@settings(max_examples=100)
@given(data=st.data())
def test_a_reply_is_read_or_unreadable(subject, data):
    body = data.draw(altered([body for body, *_ in subject.replies]))
    with contextlib.suppress(UnreadableError):
        for reply in subject.provider().read_replies(body, {}):
            assert reply.phone
            assert_storable(reply)


def assert_storable(read: Receipt | Reply) -> None:
    for text in asdict(read).values():
        if isinstance(text, str):
            text.encode()  # no half of a surrogate pair


@given(st.one_of(st.none(), st.text(), st.integers(), st.floats()))
@example(10**400)
@example(-(10**400))
@example("0001-01-01T00:00:00+23:59")
@example("9999-12-31T23:59:59-23:59")
def test_any_moment_is_one_of_ours_or_none(written):
    moment = read_moment(written)
    assert moment is None or 0 <= moment < LAST_MOMENT_MS
