"""Counting parts, with `smsutil` as the second opinion."""

from __future__ import annotations

import pytest
import smsutil
from hypothesis import given
from hypothesis import strategies as st

from paceline.domain.parts import (
    GSM_BASIC,
    GSM_EXTENSION,
    Encoding,
    Parts,
    count,
    unicode_characters,
)

PER_PART = {"gsm-7": (160, 153), "ucs-2": (70, 67)}

plain = st.sampled_from(GSM_BASIC)
gsm_texts = st.text(st.one_of(plain, plain, st.sampled_from(GSM_EXTENSION)), max_size=700)
unicode_texts = st.text(
    st.one_of(plain, plain, st.characters(), st.sampled_from("яé😀👍")), max_size=400
)


def second_opinion(text: str) -> Parts:
    """What smsutil says, in our words."""
    split = smsutil.split(text)
    encoding: Encoding = "gsm-7" if split.encoding == "gsm0338" else "ucs-2"
    octets = 1 if encoding == "gsm-7" else 2
    per_part = PER_PART[encoding][len(split.parts) > 1]
    return Parts(
        encoding,
        len(split.parts),
        split.total_bytes // octets,
        per_part,
        per_part - split.parts[-1].bytes // octets,
    )


@given(st.one_of(gsm_texts, unicode_texts).filter(lambda text: text and "\x1b" not in text))
def test_smsutil_counts_the_same(text):
    assert count(text) == second_opinion(text)


@pytest.mark.parametrize("sample", ["a", "€", "я", "😀", "a€", "я😀", "😀я"])
@pytest.mark.parametrize(
    "repeats", [1, 33, 34, 35, 67, 70, 71, 76, 77, 80, 81, 134, 153, 160, 161, 306, 307]
)
def test_smsutil_counts_the_same_around_every_boundary(sample, repeats):
    assert count(sample * repeats) == second_opinion(sample * repeats)


def test_an_escape_character_is_no_text_though_smsutil_takes_it_for_gsm():
    """Its table holds the escape code itself, which would swallow the character after it."""
    assert second_opinion("a\x1b").encoding == "gsm-7"
    assert count("a\x1b").encoding == "ucs-2"
    assert unicode_characters("a\x1b") == ("\x1b",)


def test_an_empty_text_has_no_part_though_smsutil_counts_one_in_ucs_2():
    assert second_opinion("").encoding == "ucs-2"
    assert second_opinion("").parts == 1
    assert count("") == Parts("gsm-7", parts=0, units=0, per_part=160, units_left=160)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a" * 160, Parts("gsm-7", 1, 160, 160, 0)),
        ("a" * 161, Parts("gsm-7", 2, 161, 153, 145)),
        ("a" * 306, Parts("gsm-7", 2, 306, 153, 0)),
        ("a" * 307, Parts("gsm-7", 3, 307, 153, 152)),
        ("я" * 70, Parts("ucs-2", 1, 70, 70, 0)),
        ("я" * 71, Parts("ucs-2", 2, 71, 67, 63)),
        ("я" * 134, Parts("ucs-2", 2, 134, 67, 0)),
        ("я" * 135, Parts("ucs-2", 3, 135, 67, 66)),
        ("€" * 80, Parts("gsm-7", 1, 160, 160, 0)),
        ("😀" * 35, Parts("ucs-2", 1, 70, 70, 0)),
    ],
)
def test_sizes_of_parts(text, expected):
    assert count(text) == expected


def test_an_escape_pair_is_not_cut_and_leaves_a_septet_unused():
    assert count("a" * 152 + "€" + "a" * 151) == Parts("gsm-7", 2, 305, 153, 0)
    assert count("a" * 152 + "€" + "a" * 152) == Parts("gsm-7", 3, 306, 153, 152)


def test_a_surrogate_pair_is_not_cut_and_leaves_a_unit_unused():
    assert count("я" * 66 + "😀" + "я" * 65) == Parts("ucs-2", 2, 133, 67, 0)
    assert count("я" * 66 + "😀" + "я" * 66) == Parts("ucs-2", 3, 134, 67, 66)


def test_every_extension_character_costs_two_septets_and_every_basic_one():
    assert {count(c).units for c in GSM_EXTENSION} == {2}
    assert {count(c).units for c in GSM_BASIC} == {1}
    assert (len(set(GSM_EXTENSION)), len(set(GSM_BASIC))) == (10, 127)


@pytest.mark.parametrize(
    "character", ["ç", "`", "\t", "\N{RIGHT SINGLE QUOTATION MARK}", "á", "ё", "\xa0"]
)
def test_characters_often_taken_for_gsm_are_not(character):
    assert count(character).encoding == "ucs-2"


def test_the_characters_that_forced_ucs_2_are_named_once_in_order():
    assert unicode_characters("“It” is 5€ “now” 😀 … “is”") == ("“", "”", "😀", "…")
    assert unicode_characters("Plain {text} €") == ()


@given(st.text(max_size=200))
def test_a_text_is_ucs_2_exactly_when_a_character_forces_it(text):
    assert (count(text).encoding == "ucs-2") == bool(unicode_characters(text))
