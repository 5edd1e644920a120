"""Counting over an audience: every recipient's exact text, and nothing but that."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from paceline.domain.cost import Price, PriceTable
from paceline.domain.parts import count
from paceline.domain.reach import Reach
from paceline.domain.template import compile_text

TEXT = "Hi {{name}}, {{city|your town}} {{name|you}}"
PRICES = PriceTable([Price("30", 50_000, "EUR")])
People = list[tuple[str, dict[str, str | None]]]
words = st.one_of(st.none(), st.just(""), st.text("abж{}€", max_size=200))
people = st.lists(
    st.tuples(
        st.sampled_from(["+3069", "+4479"]), st.fixed_dictionaries({"name": words, "city": words})
    ),
    max_size=20,
)


@given(people)
def test_it_counts_what_each_recipient_is_sent(
    audience: People,
) -> None:
    template = compile_text(TEXT)
    reach = Reach(template, PRICES)
    for number, (phone, values) in enumerate(audience):
        reach.add(number, phone, values)
    counted = [count(template.render(values)) for _, values in audience]
    assert reach.recipients == len(audience)
    assert reach.parts == sum(each.parts for each in counted)
    assert sum(parts * people for parts, people in reach.by_parts.items()) == reach.parts
    assert reach.unicode == sum(each.encoding == "ucs-2" for each in counted)
    assert reach.without_value["name"] == sum(not values["name"] for _, values in audience)
    assert reach.without_value["city"] == 0, "it has a default"
    greek = [
        each.parts for each, (phone, _) in zip(counted, audience, strict=True) if phone == "+3069"
    ]
    assert reach.cost.amounts["EUR"] == 50_000 * sum(greek)
    assert reach.cost.unpriced == len(audience) - len(greek)


@given(people)
def test_the_worst_is_nobody_elses_less_than_most(
    audience: People,
) -> None:
    template = compile_text(TEXT)
    reach = Reach(template, PRICES)
    for number, (phone, values) in enumerate(audience):
        reach.add(number, phone, values)
    if not audience:
        assert reach.worst is reach.first is None
        return
    assert reach.worst is not None
    assert reach.first is not None
    assert reach.first.contact_id == 0
    assert reach.worst.text == template.render(audience[reach.worst.contact_id][1])
    assert count(reach.worst.text).parts == max(reach.by_parts)
