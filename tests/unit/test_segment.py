"""Filters: the form for programs and the one for people say the same, and say what is wrong."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings

from paceline.domain import segment_json, segment_text
from paceline.domain.errors import InvalidInputError
from paceline.domain.segment import MAX_CONDITIONS, MAX_DEPTH, campaigns_in, lists_in
from tests.filters import filters

READS = {
    'city is "Athens" and not in list 3 and last message more than 30 days ago': {
        "all": [
            {"attribute": "city", "is": "Athens"},
            {"not": {"list": 3}},
            {"field": "last_message", "more_than_days_ago": 30},
        ]
    },
    "a is 1 or b is 2 and c is 3": {
        "any": [
            {"attribute": "a", "is": 1},
            {"all": [{"attribute": "b", "is": 2}, {"attribute": "c", "is": 3}]},
        ]
    },
    "(a is 1 or b is 2) and c is -3.5": {
        "all": [
            {"any": [{"attribute": "a", "is": 1}, {"attribute": "b", "is": 2}]},
            {"attribute": "c", "is": -3.5},
        ]
    },
    'phone starts with "+30"': {"field": "phone", "starts_with": "+30"},
    'city is one of ("Athens", "Πάτρα")': {"attribute": "city", "one_of": ["Athens", "Πάτρα"]},
    "created_at in the last 1 day": {"field": "created_at", "in_last_days": 1},
    "last message from campaign 7": {"field": "last_message", "campaign": 7},
    "last message not delivered": {"field": "last_message", "delivered": False},
    "not last message is missing": {"not": {"field": "last_message", "missing": True}},
    'attribute not contains "a \\"b\\""': {"attribute": "not", "contains": 'a "b"'},
}


@given(filters())
@settings(max_examples=100)
def test_a_filter_comes_back_from_json_and_from_text_as_it_went(wanted):
    document = json.loads(json.dumps(segment_json.write(wanted)))
    assert segment_json.read(document) == wanted
    assert segment_text.parse(segment_text.write(wanted)) == wanted


@pytest.mark.parametrize("text", READS)
def test_a_text_says_what_its_json_says(text):
    wanted = segment_text.parse(text)
    assert segment_json.write(wanted) == READS[text]
    assert segment_text.write(segment_json.read(READS[text])) == text


def test_one_part_alone_is_that_part():
    assert segment_json.read({"all": [{"any": [{"list": 1}]}]}) == segment_json.read({"list": 1})


def test_a_whole_number_is_one_whatever_way_it_is_written():
    assert segment_json.read({"attribute": "a", "is": 5.0}) == segment_text.parse("a is 5")


def test_what_a_filter_names_is_found_wherever_it_is():
    wanted = segment_text.parse(
        "in list 1 and not (in list 2 or not last message from campaign 9) and a is 5"
    )
    assert lists_in(wanted) == frozenset({1, 2})
    assert campaigns_in(wanted) == frozenset({9})


def nested(depth):
    inner: dict[str, Any] = {"list": 1}
    for _ in range(depth):
        inner = {"not": inner}
    return inner


WRONG_JSON = [
    ([], "", "an object such as"),
    ({}, "", "an object such as"),
    ({"all": []}, "all", "list of 1 to"),
    ({"all": {"list": 1}}, "all", "list of 1 to"),
    ({"list": 1, "any": []}, "", "beside list"),
    ({"all": [{"list": 1}, {"attribute": "city", "is": None}]}, "all[1].is", "text or a number"),
    ({"not": {"list": "3"}}, "not.list", "an id"),
    ({"list": True}, "list", "an id"),
    ({"list": 2**63}, "list", "an id"),
    ({"is": "Athens"}, "", "one attribute or one field"),
    ({"attribute": "City", "is": "x"}, "attribute", "small letters"),
    ({"attribute": "phone", "is": "x"}, "attribute", '"field": "phone"'),
    ({"field": "city", "is": "x"}, "field", "first_name"),
    ({"attribute": ["a"], "is": "x"}, "attribute", "a name"),
    ({"attribute": "a"}, "", "asks nothing"),
    ({"attribute": "a", "is": 1, "above": 0}, "", "one operator"),
    ({"attribute": "a", "equals": 1}, "equals", "no operator here"),
    ({"field": "first_name", "above": 1}, "above", "no operator here"),
    ({"field": "first_name", "is": 1}, "is", "must be text"),
    ({"attribute": "a", "is": ""}, "is", '"missing": true'),
    ({"attribute": "a", "is": "x" * 1001}, "is", "1000"),
    ({"attribute": "a", "is": "\x00"}, "is", "control"),
    ({"attribute": "a", "is": "\ud800"}, "is", "surrogate"),
    ({"attribute": "a", "\ud800": "x"}, "?", "no operator here"),
    ({"attribute": "a", "above": "5"}, "above", "a number"),
    ({"attribute": "a", "above": True}, "above", "a number"),
    ({"attribute": "a", "above": float("nan")}, "above", "between"),
    ({"attribute": "a", "above": 10**400}, "above", "between"),
    ({"attribute": "a", "above": 0.00000001}, "above", "decimals"),
    ({"attribute": "a", "one_of": [1, "b"]}, "one_of", "all text or all numbers"),
    ({"attribute": "a", "one_of": ["b", ""]}, "one_of[1]", "empty"),
    ({"attribute": "a", "one_of": []}, "one_of", "1 to 100"),
    ({"attribute": "a", "before": "2026-02-31"}, "before", "2026-12-31"),
    ({"attribute": "a", "before": "31.12.2026"}, "before", "2026-12-31"),
    ({"attribute": "a", "in_last_days": 0}, "in_last_days", "1 to"),
    ({"attribute": "a", "missing": False}, "missing", "a not around it"),
    ({"field": "phone", "starts_with": "69"}, "starts_with", "+30"),
    ({"field": "last_message", "delivered": "yes"}, "delivered", "true or false"),
    (nested(MAX_DEPTH + 1), ".".join(["not"] * MAX_DEPTH), "deep"),
    ({"all": [{"list": 1}] * (MAX_CONDITIONS + 1)}, "all", "1 to"),
    ({"all": [{"any": [{"list": 1}] * 26}] * 2}, "", "52 conditions"),
]


@pytest.mark.parametrize(("document", "place", "words"), WRONG_JSON)
def test_what_is_wrong_with_a_document_is_said_where_it_is(document, place, words):
    with pytest.raises(InvalidInputError) as caught:
        segment_json.read(document)
    (problem,) = caught.value.problems
    assert problem.where.removeprefix("a.") == place
    assert words in problem.reason
    problem.reason.encode()


def test_every_fault_of_a_document_is_named_at_once():
    with pytest.raises(InvalidInputError) as caught:
        segment_json.read({"any": [{"list": 0}, {"all": [{"attribute": "a"}, {"list": 0}]}]})
    places = [each.where for each in caught.value.problems]
    assert places == ["any[0].list", "any[1].all[0]", "any[1].all[1].list"]


WRONG_TEXT = [
    ("", "is empty"),
    ("x" * 10_001, "is longer than"),
    ('city = "Athens"', "at character 6: '= \"Athens\"' cannot stand here"),
    ("city is", "at character 8: something is missing here; expected a number"),
    ('city is "Athens', "at character 9: "),
    ('city is "a" and', "at character 16: something is missing here"),
    ('city is "a" ad in list 1', "at character 13: 'ad in list 1' cannot stand here"),
    ('a is 1 and City is "a"', "at character 12: must be an attribute's name"),
    ('a is "\\q"', "at character 6: has an escape that is none"),
    ('a is 1 and not (b is 2 or phone is "3")', "at character 27: must be a number or its"),
    ("in list 0", "at character 1: must be an id"),
    ("d before 2026-02-31", "at character 1: must be a day"),
    ("not " * 10 + "in list 1", "at character 33: is nested more than 8 deep"),
]


@pytest.mark.parametrize(("text", "words"), WRONG_TEXT)
def test_what_is_wrong_with_a_text_is_said_at_its_character(text, words):
    with pytest.raises(InvalidInputError) as caught:
        segment_text.parse(text)
    assert caught.value.problems[0].reason.startswith(words)


def test_no_depth_of_parentheses_is_too_much_to_answer():
    assert segment_text.parse("(" * 4000 + "in list 1" + ")" * 4000) == segment_text.parse(
        "in list 1"
    )
