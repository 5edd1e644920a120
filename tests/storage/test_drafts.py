"""Drafts: replaced whole, and campaigns found by name."""

from __future__ import annotations

import pytest

from paceline.domain import segment_text
from paceline.domain.errors import InvalidInputError, NotADraftError, NotFoundError
from paceline.storage import audit_log, campaigns, lists, segments
from paceline.storage.schema import campaigns as campaigns_table

PLAIN = {"name": "spring", "text": "Hello", "sender": "ACME"}


def replace(world, campaign, *, tenant=None, **values):
    return world.write(
        campaigns.replace,
        tenant or world.acme,
        campaign,
        account_id=world.main,
        actor="ana",
        **(PLAIN | values),
    )


def furnished(world):
    """A draft with everything that one can have, and what of it there is to compare."""
    known = world.write(lists.create, world.acme, name="VIPs").id
    other = world.draft()
    return world.draft(
        list_id=known,
        wanted=segment_text.parse('city is "Athens"'),
        exclude_campaign_ids=[other],
        timezone="Europe/Athens",
        start_by=world.now + 10_000,
        window_from=540,
        window_until=1200,
        rate_max=5,
        rate_window_ms=1000,
    )


def described(row):
    changing = {"id", "created_at", "updated_at"}
    return {name: value for name, value in row._mapping.items() if name not in changing}


def test_a_draft_becomes_what_would_have_been_made(world):
    rich, plain = furnished(world), world.draft()
    assert described(world.campaign(rich)) != described(world.campaign(plain))
    assert described(replace(world, rich)) == described(world.campaign(plain))
    # in the database too, where a JSON null would be another thing than none
    null = campaigns_table.c.filter.is_(None) & campaigns_table.c.excluded_campaigns.is_(None)
    query = campaigns_table.select().where(null, campaigns_table.c.id == rich)
    assert world.read(lambda c: c.execute(query).all())


def test_all_of_a_draft_is_replaced(world):
    account, segment = (
        world.account("second"),
        world.write(
            segments.create, world.acme, name="s", wanted=segment_text.parse('city is "Rome"')
        ),
    )
    draft, other = furnished(world), world.draft()
    made = world.write(
        campaigns.replace,
        world.acme,
        draft,
        account_id=account,
        name="Summer",
        text="Hi {{first_name}}",
        sender="Shop",
        segment_id=segment.id,
        exclude_campaign_ids=[other, other],
        scheduled_at=world.now + 5000,
        timezone="UTC",
        start_by=world.now + 6000,
        window_from=60,
        window_until=120,
        rate_max=7,
        rate_window_ms=60_000,
    )
    assert (made.account_id, made.name, made.text) == (account, "Summer", "Hi {{first_name}}")
    assert (made.sender, made.list_id, made.segment_id) == ("Shop", None, segment.id)
    assert (made.filter, made.excluded_campaigns) == (None, [other])
    assert (made.status, made.timezone) == ("scheduled", "UTC")
    assert made.start_by - made.scheduled_at == 1000
    assert (made.window_from, made.window_until) == (60, 120)
    assert (made.rate_max, made.rate_window_ms) == (7, 60_000)


def test_what_is_sent_again_stays_linked(world):
    parent = world.draft()
    child = world.draft(parent_id=parent, parent_reasons=["undelivered"])
    made = replace(world, child, name="once more")
    assert (made.parent_id, made.parent_reasons) == (parent, ["undelivered"])


@pytest.mark.parametrize(
    ("status", "mend"),
    [
        ("scheduled", "take it off the schedule first"),
        ("sending", "make a new campaign"),
        ("cancelled", "make a new campaign"),
    ],
)
def test_only_a_draft_is_replaced_and_it_is_said_what_to_do(world, status, mend):
    world.contacts(1)
    times = {"scheduled_at": world.now + 1000} if status == "scheduled" else {}
    campaign = world.draft(**times)
    if status == "sending":
        world.start(campaign)
    if status == "cancelled":
        world.write(campaigns.cancel, world.acme, campaign)
    before = described(world.campaign(campaign))
    with pytest.raises(NotADraftError, match=f"this campaign is {status}: {mend}"):
        replace(world, campaign, name="late")
    assert described(world.campaign(campaign)) == before


def test_nothing_of_another_tenant_is_replaced_or_referred_to(world):
    rival = world.tenant("rival")
    theirs = world.write(lists.create, rival, name="theirs").id
    draft = world.draft()
    with pytest.raises(NotFoundError, match="no campaign"):
        replace(world, draft, tenant=rival)
    with pytest.raises(NotFoundError, match="no list"):
        replace(world, draft, list_id=theirs)
    with pytest.raises(InvalidInputError):
        replace(world, draft, wanted=segment_text.parse(f"in list {theirs}"))
    assert world.campaign(draft).name == "spring"


def test_the_log_says_who_replaced_what_without_the_text(world):
    draft = world.draft()
    replace(world, draft, name="Summer", text="secret")
    row = world.read(audit_log.page, world.acme)[0]
    assert (row.actor, row.action, row.subject) == ("ana", "campaign.replace", f"campaign {draft}")
    assert row.detail == {"changed": ["name", "text"]}


def test_a_list_that_a_replaced_draft_is_for_is_not_deleted(world):
    known = world.write(lists.create, world.acme, name="VIPs").id
    replace(world, world.draft(), list_id=known)
    with pytest.raises(Exception, match="is the audience of campaign"):
        world.write(lists.remove, world.acme, known)


# --- found by name


def named(world, name, **filters):
    found = world.read(campaigns.page, world.acme, name=name, **filters)
    return [row.name for row in found]


def test_campaigns_are_found_by_a_piece_of_their_name_in_any_case(world):
    for name in ("Spring sale", "SPRINGS", "Summer", "Άνοιξη στην Αθήνα"):
        world.draft(name=name)
    world.draft(tenant=world.tenant("rival"), name="spring of theirs")
    assert named(world, "spring") == ["SPRINGS", "Spring sale"]
    assert named(world, "ΆΝΟΙΞΗ") == ["Άνοιξη στην Αθήνα"]
    assert named(world, "winter") == []
    assert named(world, "spring", limit=1) == ["SPRINGS"]
    assert named(world, "spring", before=2) == ["Spring sale"]
    assert named(world, "spring", status="paused") == []


@pytest.mark.parametrize("name", ["100%", "a_b", "a/b", "a\\b", "[x]", "it's"])
def test_what_is_looked_for_is_meant_to_the_letter(world, name):
    for each in ("100 and more", "axb", "ab", name):
        world.draft(name=each)
    assert named(world, name) == [name]


def test_campaigns_with_recipients_are_those_of_which_somebody_has_a_message(world):
    world.contacts(1)
    first = world.start(world.draft())
    world.draft()
    second = world.start(world.draft())
    rival = world.tenant("rival")
    found = world.read(campaigns.with_recipients, world.acme, limit=5)
    assert [row.id for row in found] == [second, first]
    assert world.read(campaigns.with_recipients, rival, limit=5) == []
