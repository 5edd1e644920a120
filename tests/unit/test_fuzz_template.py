"""Merge tags: any text is compiled or refused quickly, and renders to what its parts say."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paceline.domain.template import MAX_TAGS, TemplateError, compile_text, unknown_fields

PARTS = [
    "{{first_name}}",
    "{{ city | there }}",
    "{{",
    "}}",
    "{",
    "}",
    "|",
    "{{x",
    "{{1}}",
    "🙂",
    "\0",
]
texts = st.lists(st.one_of(st.sampled_from(PARTS), st.text(max_size=5)), max_size=12).map("".join)
values = st.dictionaries(st.sampled_from(["first_name", "city"]), st.one_of(st.none(), st.text()))


@settings(max_examples=200)
@given(texts, values)
def test_any_text_renders_to_itself_with_values_for_tags(text, given_values):
    with contextlib.suppress(TemplateError):
        template = compile_text(text)
        assert template.render(given_values) == rendered(text, given_values)


def rendered(text: str, given_values: Mapping[str, str | None]) -> str:
    """What a text that compiles renders to, in another way."""

    def value(tag: re.Match[str]) -> str:
        return given_values.get(tag[1].strip()) or (tag[2] or "").strip()

    return re.sub(r"\{\{(.*?)(?:\|(.*?))?\}\}", value, text, flags=re.DOTALL)


def test_a_text_has_no_more_tags_than_any_message_has_room_for():
    assert len(compile_text("{{a}}" * MAX_TAGS).gaps) == MAX_TAGS
    with pytest.raises(TemplateError, match=r"^\{\{b\}\} at character 502: .* at most 100"):
        compile_text("{{a}}" * MAX_TAGS + ".{{b}}")


@pytest.mark.parametrize(
    "text", ["{" * 1_000_000, "{{a" + " " * 1_000_000, "{{a|" * 250_000, "{{a}}" * 200_000]
)
def test_a_million_characters_are_refused_like_a_few(text):
    with pytest.raises(TemplateError):
        compile_text(text)


def test_any_field_is_known_or_not():
    template = compile_text("{{" + "a" * 1_000_000 + "}}")
    [unknown] = unknown_fields(template, ["first_name", "last_name"])
    assert unknown.meant is None
