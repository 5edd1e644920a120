"""A campaign's text to a number of one's own. No worker runs: what is sent stays queued."""

from __future__ import annotations

from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest

from tests.api.serving import Api, serving

PUBLIC = "https://sms.example.com"


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[Api]:
    async with serving(database_url, PACELINE_PUBLIC_URL=PUBLIC) as running:
        yield running


async def test_the_opt_out_link_of_a_test_is_one_that_works(api: Api) -> None:
    call = await api.caller("acme")
    draft = {"name": "n", "text": "Hi {{first_name|you}}: {{unsubscribe_url}}"}
    campaign = (await call("POST", "/api/campaigns", draft)).json
    sent = await call("POST", f"/api/campaigns/{campaign['id']}/test", {"to": "07911 123456"})
    assert sent.status == 201, sent.text
    words, _, link = sent.json["text"].partition(": ")
    assert (words, sent.json["to"], sent.json["parts"]) == ("Hi you", "+447911123456", 1)
    assert link.startswith(PUBLIC)
    opened = await api.nobody("POST", urlsplit(link).path)
    assert opened.status == 200, opened.text
    again = await call("POST", f"/api/campaigns/{campaign['id']}/test", {"to": "07911 123456"})
    assert "suppressed" in again.json["errors"][0]["reason"]
    assert api.woken
