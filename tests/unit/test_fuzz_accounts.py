"""Addresses of providers as people type them: an adapter comes of each, or it is refused."""

from __future__ import annotations

import contextlib

from hypothesis import example, given
from hypothesis import strategies as st

from paceline import providers
from paceline.domain.errors import InvalidInputError
from paceline.providers.base import Account

SCRAPS = [
    "http://",
    "https://",
    "xn--a",
    "xn--",
    "[",
    "]",
    "::1",
    ":99999",
    "@",
    "%",
    "/",
    ".",
    "é",
]
urls = st.lists(st.one_of(st.sampled_from(SCRAPS), st.text(max_size=4)), max_size=6).map("".join)


@given(st.sampled_from(providers.names()), urls)
@example("mitto", "http://xn--a/")
@example("mitto", "http://[]@")
def test_any_address_is_usable_or_refused(provider, url):
    with contextlib.suppress(InvalidInputError):
        providers.create(Account(provider, url, "key", "acc-1"))
