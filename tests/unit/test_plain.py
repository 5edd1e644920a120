"""What makes a text Unicode, and what could be written instead."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paceline.domain.parts import count
from paceline.domain.plain import SHOWN_POSITIONS, plain_alternative, unicode_characters
from paceline.domain.template import TemplateError, compile_text

MENDABLE = "“”‘’„«»–—…\u00a0\u200bçáőłŁ€№™ﬁ½ΑΒΕΆé{}|"
texts = st.text(st.one_of(st.sampled_from(MENDABLE + "{} |ab"), st.characters()), max_size=60)


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("“Hello” – it’s…", '"Hello" - it\'s...'),
        ("Don\u00a0t\u200b break", "Don t break"),
        ("Ça coûte 5 €, Łódź", "Ça coute 5 €, Lodz"),
        ("ΚΑΛΗΜΕΡΑ ΣΑΣ, ΆΝΝΑ", "KAΛHMEPA ΣAΣ, ANNA"),
        ("№ 5 ﬁne ½ Ⅷ", "No 5 fine 1/2 VIII"),
        ("“{{first_name|friend}}”", '"{{first_name|friend}}"'),
    ],
)
def test_typography_and_accents_have_a_plain_alternative(text: str, plain: str) -> None:
    assert plain_alternative(text) == plain
    assert count(plain).encoding == "gsm-7"


@pytest.mark.parametrize("text", ["", "Hello", "Grüße, 5 €", "“Hi” 😀", "Привет", "καλημέρα", "中"])
def test_a_text_that_is_plain_or_cannot_be_has_none(text: str) -> None:
    assert plain_alternative(text) is None


def test_each_character_is_named_with_its_places_and_its_replacement() -> None:
    quote, smile = unicode_characters("a“b“😀")
    assert (quote.character, quote.name) == ("“", "LEFT DOUBLE QUOTATION MARK")
    assert (quote.count, quote.positions, quote.replacement) == (2, (2, 4), '"')
    assert (smile.character, smile.positions, smile.replacement) == ("😀", (5,), None)


def test_of_many_places_the_first_are_shown_and_all_are_counted() -> None:
    (dash,) = unicode_characters("–" * 500)
    assert dash.count == 500
    assert dash.positions == tuple(range(1, SHOWN_POSITIONS + 1))


@given(texts)
def test_an_alternative_is_gsm_and_exists_where_everything_has_a_replacement(text: str) -> None:
    found = unicode_characters(text)
    plain = plain_alternative(text)
    assert bool(found) == (count(text).encoding == "ucs-2")
    if not found or any(each.replacement is None for each in found):
        assert plain is None
        return
    assert plain is not None
    assert count(plain).encoding == "gsm-7"
    expected = text
    for each in found:
        assert each.replacement is not None
        expected = expected.replace(each.character, each.replacement)
    assert plain == expected
    assert plain_alternative(plain) is None


@given(texts)
def test_an_alternative_has_the_tags_of_the_text(text: str) -> None:
    plain = plain_alternative(text)
    if plain is None:
        return
    try:
        fields = compile_text(text).fields
    except TemplateError:
        with pytest.raises(TemplateError):
            compile_text(plain)
    else:
        assert compile_text(plain).fields == fields
