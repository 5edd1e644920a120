"""A draft's text comes back as somebody wrote it, whatever the public address was then."""

from __future__ import annotations

import pytest

from paceline.engine.drafts import as_written


@pytest.mark.parametrize(
    ("frozen", "written"),
    [
        ("Bye: https://old.example/x/u/{{unsubscribe_token}}", "Bye: {{unsubscribe_url}}"),
        ("Bye: /u/{{unsubscribe_token}}.", "Bye: {{unsubscribe_url}}."),
        (
            "See https://shop.example/u/ {{first_name}}",
            "See https://shop.example/u/ {{first_name}}",
        ),
    ],
)
def test_the_link_that_was_frozen_is_a_tag_again(frozen: str, written: str) -> None:
    assert as_written(frozen) == written
