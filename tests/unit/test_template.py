"""Merge tags: what they render to, and what a broken one is told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paceline.domain.template import TemplateError, UnknownField, compile_text, unknown_fields

NAMES = "a field's name is small letters, digits and _"

names = st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True)
literals = st.text(max_size=20).map(lambda text: text.replace("{", "(").replace("}", ")"))


def render(text: str, **values: str | None) -> str:
    return compile_text(text).render(values)


def refusal(text: str) -> TemplateError | None:
    try:
        compile_text(text)
    except TemplateError as error:
        return error
    return None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hi {{first_name}}!", "Hi Maria!"),
        ("{{first_name}}{{first_name}}", "MariaMaria"),
        ("{{ first_name }}, {{\tlast_name | dear friend }}", "Maria, dear friend"),
        ("Hi {{last_name}}!", "Hi !"),
        ("Hi {{empty|there}} {{none|you}} {{missing|all}}", "Hi there you all"),
        ("{{last_name|}}", ""),
        ("{{first_name|there}}", "Maria"),
        ("100% of {this} \\ $x {0} %s", "100% of {this} \\ $x {0} %s"),
        ("two\n{{first_name}}\nlines", "two\nMaria\nlines"),
        ("{{missing|a.b(c)[d] 'e'}}", "a.b(c)[d] 'e'"),
        ("", ""),
    ],
)
def test_rendering(text, expected):
    assert render(text, first_name="Maria", empty="", none=None) == expected


def test_a_value_is_put_in_as_it_is_and_never_read_as_a_template():
    assert render("{{a}} {{b}}", a="{{b}}", b="{x} %s \\1") == "{{b}} {x} %s \\1"


def test_a_template_renders_many_times_without_memory_of_the_last():
    template = compile_text("{{a|x}}-{{b}}")
    assert [template.render(row) for row in ({"a": "1", "b": "2"}, {}, {"b": "3"})] == [
        "1-2",
        "x-",
        "x-3",
    ]


def test_fields_are_named_once_in_the_order_of_the_text():
    assert compile_text("{{b}} {{a|x}} {{b|y}}").fields == ("b", "a")
    assert compile_text("none").fields == ()


@given(st.lists(st.tuples(literals, names, literals.map(lambda s: s.replace("|", "/")))), literals)
def test_what_is_between_tags_stays_and_each_tag_gives_its_value_or_default(tags, end):
    text = "".join(f"{before}{{{{{name}|{default}}}}}" for before, name, default in tags) + end
    template = compile_text(text)
    values = {name: f"<{name}>" for name in template.fields}
    assert template.render(values) == "".join(b + f"<{n}>" for b, n, _ in tags) + end
    assert template.render({}) == "".join(b + d.strip() for b, _, d in tags) + end


@given(st.text("{}|_ab.1 \n", max_size=40))
def test_a_text_compiles_or_is_refused_at_a_brace_of_its_own(text):
    error = refusal(text)
    if error:
        start = error.position - 1
        assert text[start : start + len(error.tag)] == error.tag
        assert error.tag[:2] in ("{{", "}}")
    else:
        assert "{{" not in render(text)
        assert "}}" not in "".join(compile_text(text).pieces)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Hi {{", "{{ at character 4: is never closed; write a field as {{first_name}}"),
        ("Hi {{first_name", "{{ at character 4: is never closed; write a field as {{first_name}}"),
        ("{{a {{b}}", "{{ at character 1: is never closed; write a field as {{first_name}}"),
        ("{{a|{{b}}}}", "{{ at character 1: is never closed; write a field as {{first_name}}"),
        ("Hi {a}}", "}} at character 6: closes no tag; write a field as {{first_name}}"),
        (
            "Hi {{First Name}}",
            f"{{{{First Name}}}} at character 4: {NAMES}; write {{{{first_name}}}}",
        ),
        (
            "{{a.b}}",
            f"{{{{a.b}}}} at character 1: {NAMES}; write {{{{a_b}}}}",
        ),
        (
            "ok {{a}}\n{{}}",
            f"{{{{}}}} at character 10: {NAMES}; write {{{{first_name}}}}",
        ),
        (
            "{{{a}}}",
            f"{{{{{{a}}}} at character 1: {NAMES}; write {{{{a}}}}",
        ),
        (
            "{{a|upper|there}}",
            "{{a|upper|there}} at character 1: a default may not contain |",
        ),
        ("{{a|{b}}", "{{a|{b}} at character 1: a default may not contain {"),
    ],
)
def test_a_malformed_tag_is_named_with_its_place_and_how_to_mend_it(text, message):
    with pytest.raises(TemplateError) as caught:
        compile_text(text)
    assert str(caught.value) == message


def test_the_error_carries_its_parts():
    with pytest.raises(TemplateError) as caught:
        compile_text("Hi {{Last}}")
    assert (caught.value.tag, caught.value.position) == ("{{Last}}", 4)
    assert caught.value.advice.endswith("write {{last}}")


def test_the_advice_keeps_digits_that_may_stay():
    error = refusal("{{2nd Address 2}}")
    assert error
    assert error.advice.endswith("write {{nd_address_2}}")


def test_unknown_fields_come_with_the_known_one_that_was_probably_meant():
    template = compile_text("{{first_name}} {{frist_name|x}} {{zzz}}")
    unknown = unknown_fields(template, ("first_name", "last_name"))
    assert unknown == (UnknownField("frist_name", "first_name"), UnknownField("zzz", None))
    assert [str(field) for field in unknown] == [
        "unknown field {{frist_name}}; did you mean {{first_name}}?",
        "unknown field {{zzz}}",
    ]
