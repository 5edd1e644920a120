"""A campaign is made on one page: to whom, what, when, then a look at all of it. Without a script:
what a browser sends by itself.
"""

from __future__ import annotations

import io
import re
from collections.abc import AsyncIterator
from html import unescape
from typing import Any

import aiohttp
import pytest

from paceline.domain import segment_text
from paceline.domain.message import Reason
from paceline.domain.role import Role
from paceline.engine.drafts import NewCampaign
from paceline.engine.resending import Resend, resend
from paceline.storage import campaigns, lists, segments, suppressions, tenants
from paceline.storage.campaigns import get
from tests.web.forms import fields_of
from tests.web.test_pages import started, words
from tests.web.visiting import House, Looked, Reader, house

FORM = {
    "audience": "all",
    "name": "Summer",
    "text": "Hello {{first_name}}",
    "when": "now",
    "do": "review",
}
FILE = b"phone,first_name\n+447911123401,Ana\n+447911123402,Bob\nnonsense,Eve\n+447911123401,Ana\n"
HTMX = {"HX_Request": "true"}


@pytest.fixture
async def home(database_url: str) -> AsyncIterator[House]:
    async with house(database_url, PACELINE_PUBLIC_URL="http://sms.example.com") as running:
        yield running


async def compose(reader: Reader, **changed: str) -> Looked:
    return await reader.post("/campaigns/compose", FORM | changed)


async def upload(
    reader: Reader, content: bytes, filename: str = "customers.csv", **changed: str
) -> Looked:
    """Send the form with a file."""
    form = aiohttp.FormData()
    form.add_field("csrf", (await reader.get("/")).csrf)
    for field, value in (FORM | {"audience": "file"} | changed).items():
        form.add_field(field, value)
    form.add_field("file", io.BytesIO(content), filename=filename)
    async with reader.session.post(f"{reader.base}/campaigns/compose", data=form) as answer:
        return Looked(answer.status, answer.headers, await answer.text(), answer.url.path)


async def all_of(home: House, reader: Reader) -> list[Any]:
    return await home.database.read(campaigns.page, reader.tenant_id)


async def row_of(home: House, reader: Reader, campaign_id: int) -> Any:
    return await home.database.read(get, reader.tenant_id, campaign_id)


def described(row: Any) -> dict[str, Any]:
    return {name: value for name, value in row._mapping.items() if name != "updated_at"}


async def test_a_review_keeps_a_draft_under_its_own_address_and_sends_nothing(
    home: House,
) -> None:
    async with home.reader(role=Role.SENDER) as ana:
        await started(home, ana.tenant_id)
        reviewed = await compose(ana)
        draft = (await all_of(home, ana))[0]
        assert (reviewed.status, reviewed.path) == (200, f"/campaigns/{draft.id}/edit")
        assert (draft.name, draft.status, draft.total) == ("Summer", "draft", 0)
        page = words(reviewed.text)
        assert "Send now to 3 people" in page
        assert "Hello Ana0" in page
        assert "3 people have numbers without a price" in page
        sent = await ana.post(f"/campaigns/{draft.id}/start")
        assert sent.path == f"/campaigns/{draft.id}"
        assert (await row_of(home, ana, draft.id)).status == "sending"


async def test_what_a_colleague_has_changed_meanwhile_is_not_sent_but_shown(home: House) -> None:
    async with home.reader() as ana, home.reader() as bob:
        await started(home, ana.tenant_id)
        seen = await compose(ana)
        draft = (await all_of(home, ana))[0]
        path = f"/campaigns/{draft.id}"
        beside, theirs = await ana.get(path), await bob.get(f"{path}/edit")
        await bob.post("/campaigns/compose", fields_of(theirs.text, "draft") | {"text": "Boo"})
        [review] = re.findall(r'hx-get="(/campaigns/\d+/review[^"]+)"', beside.text)
        late = await ana.get(unescape(review), **HTMX)
        orders = [
            ("start", fields_of(seen.text, f"{path}/start")),
            ("schedule", fields_of(seen.text, f"{path}/schedule") | {"at": "2099-07-01T09:00"}),
            ("schedule", fields_of(late.text, f"{path}/schedule") | {"at": "2099-07-01T09:00"}),
        ]
        for verb, form in orders:
            shown = await ana.post(f"{path}/{verb}", form)
            assert shown.path == f"{path}/edit"
            page = words(shown.text)
            assert "Nothing was done. Somebody has changed this campaign" in page
            assert fields_of(shown.text, "draft")["text"] == "Boo"
            assert (await row_of(home, ana, draft.id)).status == "draft"
        assert ("Schedule for Wed 1 Jul 2099, 09:00" in page) == (verb == "schedule")
        await ana.post(f"{path}/start", fields_of(shown.text, f"{path}/start"))
        assert (await row_of(home, ana, draft.id)).status == "sending"
        gone = await ana.post(f"{path}/start", fields_of(seen.text, f"{path}/start"))
        assert gone.status == 409
        assert "this one is sending" in gone.text


async def test_the_page_of_a_draft_changes_that_draft_and_makes_no_second(home: House) -> None:
    async with home.reader() as ana:
        first = await compose(ana)
        form = fields_of(first.text, "draft") | {"text": "Other words", "name": "Autumn"}
        again = await ana.post("/campaigns/compose", form)
        assert again.path == first.path
        [draft] = await all_of(home, ana)
        assert (draft.name, draft.text) == ("Autumn", "Other words")


async def test_one_page_sent_twice_is_one_draft(home: House) -> None:
    async with home.reader() as ana:
        page = await ana.get("/campaigns/new")
        form = fields_of(page.text, "draft") | FORM
        await ana.post("/campaigns/compose", form)
        await ana.post("/campaigns/compose", form | {"name": "Second thoughts"})
        assert [each.name for each in await all_of(home, ana)] == ["Second thoughts"]
        await compose(ana)  # of another page
        assert len(await all_of(home, ana)) == 2


async def test_a_script_gets_the_part_and_the_address_that_it_belongs_under(home: House) -> None:
    async with home.reader() as ana:
        reviewed = await ana.post(
            "/campaigns/compose",
            FORM | {"when": "at", "at": "2099-01-01T10:00"},
            **HTMX,
        )
        draft = (await all_of(home, ana))[0]
        assert reviewed.status == 200
        assert "<html" not in reviewed.text
        where = f"/campaigns/{draft.id}/edit?at=2099-01-01T10%3A00"
        assert reviewed.headers["HX-Replace-Url"] == where
        assert f'hx-get="/campaigns/{draft.id}/review?compose=1' in reviewed.text
        review = await ana.get(
            f"/campaigns/{draft.id}/review?compose=1&at=2099-01-01T10:00", **{"HX-Request": "true"}
        )
        assert "Schedule for Thu 1 Jan 2099, 10:00" in words(review.text)
        # whoever goes back to the address later finds the time there as well
        page = await ana.get(where)
        assert fields_of(page.text, "draft")["at"] == "2099-01-01T10:00"


FAULTS = [
    ({"name": " "}, "name", "is empty"),
    ({"text": ""}, "text", "is empty"),
    ({"text": "Hi {{frist_name}}"}, "text", "did you mean {{first_name}}"),
    ({"audience": "list"}, "list", "choose one"),
    ({"audience": "list", "list": "99"}, "list", "there is no list 99"),
    ({"audience": "segment"}, "segment", "choose one"),
    ({"audience": "segment", "segment": "99"}, "segment", "there is no segment 99"),
    ({"audience": "file"}, "file", "choose a CSV"),
    ({"audience": ""}, "audience", "say to whom"),
    ({"exclude:99": "on"}, "excluded", "there is no campaign 99"),
    ({"account": "99"}, "account", "there is no traffic account 99"),
    ({"sender": "way too long a sender"}, "sender", "11"),
    ({"when": "at"}, "at", "choose a date and a time"),
    ({"when": "at", "at": "2020-01-01T10:00"}, "at", "is in the past"),
    ({"when": "at", "at": "soon"}, "at", "ISO 8601"),
    ({"start_by": "2020-01-01T10:00"}, "start_by", "is in the past"),
    ({"from": "09:00"}, "until", "must be a time of the day"),
    ({"from": "09:00", "until": "09:00"}, "from", "begins and ends at the same time"),
    ({"rate_max": "many"}, "rate_max", "must be a whole number"),
    ({"rate_max": "0"}, "rate_max", "must be 1 to 1000000"),
    ({"rate_max": "5", "rate_window": "999999999"}, "rate_window", "must be 1 to 86400000"),
]


async def test_a_fault_is_told_beside_its_field_and_what_was_typed_stays(home: House) -> None:
    async with home.reader() as ana:
        for changed, field, reason in FAULTS:
            refused = await compose(ana, **changed)
            assert refused.status == 422, changed
            beside = re.search(rf'id="fault-{field}">([^<]+)<', refused.text)
            assert beside is not None, changed
            assert reason in words(beside[1]), changed
            if field not in {"audience", "excluded"}:  # of several controls
                assert f'aria-describedby="fault-{field}"' in refused.text
            kept = fields_of(refused.text, "draft")
            for name, typed in (FORM | changed).items():
                if name in kept and typed != "99":  # what cannot be chosen is not
                    assert kept[name] == typed, (changed, name)
        assert await all_of(home, ana) == []


async def test_all_faults_are_told_at_once(home: House) -> None:
    async with home.reader() as ana:
        refused = await compose(
            ana, name="", text="{{nobody}}", rate_max="x", when="at", audience="list"
        )
    told = set(re.findall(r'id="fault-(\w+)"', refused.text))
    assert told == {"name", "text", "rate_max", "at", "list"}


async def test_what_a_script_sends_in_vain_stays_in_the_page(home: House) -> None:
    async with home.reader() as ana:
        refused = await ana.post("/campaigns/compose", FORM | {"name": ""}, **HTMX)
    assert refused.status == 422
    assert "<html" not in refused.text
    assert 'id="fault-name"' in refused.text
    assert "HX-Replace-Url" not in refused.headers


# --- a file


async def test_a_file_becomes_a_list_that_is_chosen_and_it_is_said_what_was_taken(
    home: House,
) -> None:
    async with home.reader(role=Role.MANAGER) as ana:
        imported = await upload(ana, FILE, do="import", name="", text="")
        assert imported.status == 200, words(imported.text)
        page = words(imported.text)
        assert "Imported onto the list “customers”" in page
        assert "2 new, 0 brought up to date, 1 repeated, 1 not taken" in page
        assert "Row 4, phone: not a number" in page
        link = re.search(r'href="(/contacts/imports/\d+/rejected)"', imported.text)
        assert link is not None
        assert "nonsense" in (await ana.get(link[1])).text
        form = fields_of(imported.text, "draft")
        [made] = await home.database.read(lists.page, ana.tenant_id)
        assert (form["audience"], form["list"]) == ("list", str(made.id))
        assert await all_of(home, ana) == []
        counted = words((await ana.post("/campaigns/compose/audience", form)).text)
        assert "Would get it 2" in counted
        assert "Not valid: rows of the file 1" in counted
        await ana.post("/campaigns/compose", FORM | form | {"name": "For them", "text": "Hi"})
        [draft] = await all_of(home, ana)
        assert draft.list_id == made.id


async def test_a_file_that_comes_with_the_review_is_imported_first(home: House) -> None:
    async with home.reader() as ana:
        reviewed = await upload(ana, FILE, list_name="Guests")
        [draft] = await all_of(home, ana)
        [made] = await home.database.read(lists.page, ana.tenant_id)
        assert reviewed.path == f"/campaigns/{draft.id}/edit"
        assert (made.name, made.contacts, draft.list_id) == ("Guests", 2, made.id)
        assert "Send now to 2 people" in words(reviewed.text)


async def test_a_file_is_not_imported_again_because_something_else_is_wrong(home: House) -> None:
    async with home.reader() as ana:
        refused = await upload(ana, FILE, name="")
        assert refused.status == 422
        form = fields_of(refused.text, "draft") | {"name": "Mended", "do": "review"}
        mended = await ana.post("/campaigns/compose", form)
        assert mended.status == 200, words(mended.text)
        [made] = await home.database.read(lists.page, ana.tenant_id)
        assert (await all_of(home, ana))[0].list_id == made.id


async def test_lists_that_are_named_after_files_do_not_clash(home: House) -> None:
    async with home.reader() as ana:
        for _ in range(2):
            await upload(ana, FILE, do="import")
        known = await home.database.read(lists.page, ana.tenant_id)
        assert [each.name for each in known] == ["customers", "customers 2"]
        refused = await upload(ana, FILE, do="import", list_name="customers")
        assert refused.status == 422
        assert "give another one, or choose that list" in words(refused.text)
        assert 'id="fault-list_name"' in refused.text


@pytest.mark.parametrize(
    ("content", "changed", "field"),
    [
        (b"name,city\nAna,Athens\n", {}, "file"),
        (b"", {}, "file"),
        (b"\x00\x01\x02", {}, "file"),
        (FILE, {"country": "XX"}, "country"),
    ],
)
async def test_of_a_file_that_cannot_be_used_nothing_is_left(
    home: House, content: bytes, changed: dict[str, str], field: str
) -> None:
    async with home.reader() as ana:
        refused = await upload(ana, content, do="import", **changed)
        assert refused.status == 422
        assert f'id="fault-{field}"' in refused.text
        assert await home.database.read(lists.page, ana.tenant_id) == []
        assert fields_of(refused.text, "draft")["name"] == "Summer"


async def test_only_who_may_change_contacts_imports_a_file(home: House) -> None:
    async with home.reader(role=Role.SENDER) as ana:
        assert 'type="file"' not in (await ana.get("/campaigns/new")).text
        refused = await upload(ana, FILE)
        assert refused.status == 422
        assert "needs the role of a manager" in words(refused.text)
        assert await home.database.read(lists.page, ana.tenant_id) == []


async def test_a_file_may_be_larger_than_other_forms(home: House) -> None:
    rows = b"".join(b"+4479111%05d,%s\n" % (number, b"n" * 100) for number in range(20_000, 32_000))
    assert len(rows) > 1024 * 1024
    async with home.reader() as ana:
        imported = await upload(ana, b"phone,first_name\n" + rows, do="import")
        assert imported.status == 200
        assert "12,000 new" in words(imported.text)


# --- whom it reaches, and how it reads


async def counted(reader: Reader, **form: str) -> str:
    return words((await reader.post("/campaigns/compose/audience", form)).text)


async def test_the_audience_is_counted_as_it_is_chosen(home: House) -> None:
    async with home.reader() as ana:
        tenant_id = ana.tenant_id
        campaign = await started(home, tenant_id)
        await home.database.write(suppressions.add, tenant_id, ["+306900000000"], "asked")
        few = await home.database.write(lists.create, tenant_id, name="few")
        await home.database.write(lists.add, tenant_id, few.id, [1, 2])
        some = await home.database.write(
            segments.create,
            tenant_id,
            name="some",
            wanted=segment_text.parse('first_name is "Ana1"'),
        )
        assert "Would get it 2 Have opted out 1" in await counted(ana, audience="all")
        on_list = await counted(ana, audience="list", list=str(few.id))
        assert "Would get it 1 Have opted out 1" in on_list
        of_segment = {"audience": "segment", "segment": str(some.id)}
        assert "Would get it 1" in await counted(ana, **of_segment, of=str(few.id))
        left_out = await counted(ana, **{"audience": "all", f"exclude:{campaign}": "on"})
        assert "Would get it 0" in left_out
        assert "Left out: got another one 2" in left_out
        assert "Nobody would get it" in left_out
        assert "Choose to whom it goes" in await counted(ana, audience="list", list="")


async def test_a_text_is_shown_to_somebody_of_the_chosen_and_its_faults_are_told(
    home: House,
) -> None:
    async with home.reader() as ana:
        await started(home, ana.tenant_id)
        few = await home.database.write(lists.create, ana.tenant_id, name="few")
        await home.database.write(lists.add, ana.tenant_id, few.id, [2])
        form = {"audience": "list", "list": str(few.id), "text": "Hi {{first_name}} “now”"}
        page = words((await ana.post("/campaigns/compose/text", form)).text)
        assert "To +306900000001 Hi Ana1 “now”" in page
        assert "1 part" in page
        assert "Use plain ones instead" in page
        wrong = await ana.post("/campaigns/compose/text", form | {"text": "Hi {{frist_name}}"})
        assert wrong.status == 200
        assert "did you mean {{first_name}}" in words(wrong.text)
        nothing = await ana.post("/campaigns/compose/text", form | {"text": " "})
        assert "Write a text" in words(nothing.text)


# --- a draft that exists


async def kinds_of_drafts(home: House, reader: Reader) -> list[int]:
    """Drafts with everything that one can have, in every kind of audience."""
    orders, tenant_id = home.context.orders, reader.tenant_id
    parent = await started(home, tenant_id)
    await orders.cancel(tenant_id, parent)
    few = await home.database.write(lists.create, tenant_id, name="few")
    some = await home.database.write(
        segments.create, tenant_id, name="some", wanted=segment_text.parse('city is "Rome"')
    )
    how: Any = {
        "start_by": "2099-12-01T09:00",
        "timezone": "Europe/Athens",
        "send_window": {"from": "21:00", "until": "08:30"},
        "rate_max": 7,
        "rate_window_ms": 1500,
        "exclude_campaign_ids": [parent],
        "sender": "Shop",
    }
    text = "\nHi {{first_name|there}} & <you>\n\nStop: {{unsubscribe_url}}"
    audiences: list[Any] = [
        {},
        {"list_id": few.id},
        {"segment_id": some.id},
        {"segment_id": some.id, "list_id": few.id},
        {"filter": 'city is "Athens"'},
        {"filter": 'city is "Athens"', "list_id": few.id},
    ]
    made = [
        await orders.create_campaign(tenant_id, NewCampaign(name='A "b"', text=text, **how, **each))
        for each in audiences
    ]
    made.append(
        await orders.create_campaign(tenant_id, NewCampaign(name="Plain", text="Hi", rate_max=1))
    )
    made.append(await resend(orders, tenant_id, parent, Resend(reasons=[Reason.CANCELLED])))
    return [each.campaign.id for each in made]


async def test_a_draft_that_is_reviewed_without_a_change_is_not_changed(home: House) -> None:
    async with home.reader() as ana:
        athens = {"timezone": "Europe/Athens"}
        await home.database.write(tenants.change, ana.tenant_id, athens)
        for campaign_id in await kinds_of_drafts(home, ana):
            before = described(await row_of(home, ana, campaign_id))
            page = await ana.get(f"/campaigns/{campaign_id}/edit")
            assert page.status == 200
            form = fields_of(page.text, "draft")
            reviewed = await ana.post("/campaigns/compose", form)
            assert reviewed.path == f"/campaigns/{campaign_id}/edit", reviewed.text
            after = described(await row_of(home, ana, campaign_id))
            if before["rate_window_ms"] is None and before["rate_max"]:
                assert after["rate_window_ms"] == 1000  # said in words what it was before
                after["rate_window_ms"] = None
            assert after == before


async def test_what_is_no_draft_any_more_is_not_edited_and_it_is_said_what_to_do(
    home: House,
) -> None:
    async with home.reader() as ana:
        reviewed = await compose(ana)
        form = fields_of(reviewed.text, "draft") | {"text": "Typed in vain"}
        draft = (await all_of(home, ana))[0]
        await home.context.orders.schedule(ana.tenant_id, draft.id, "2099-01-01T09:00Z")
        opened = await ana.get(f"/campaigns/{draft.id}/edit")
        assert opened.status == 409
        assert "take it off the schedule first" in opened.text
        refused = await ana.post("/campaigns/compose", form)
        assert refused.status == 409
        assert "take it off the schedule first" in refused.text
        assert fields_of(refused.text, "draft")["text"] == "Typed in vain"
        assert (await row_of(home, ana, draft.id)).text == FORM["text"]


async def test_it_is_scheduled_on_the_tenants_clock_and_keeps_by_when_it_has_to_start(
    home: House,
) -> None:
    async with home.reader() as ana:
        athens = {"timezone": "Europe/Athens"}
        await home.database.write(tenants.change, ana.tenant_id, athens)
        reviewed = await compose(ana, when="at", at="2099-07-01T09:00", start_by="2099-07-01T12:00")
        draft = (await all_of(home, ana))[0]
        assert draft.status == "draft"
        assert "Schedule for Wed 1 Jul 2099, 09:00" in words(reviewed.text)
        late = await ana.post(f"/campaigns/{draft.id}/schedule", {"at": "2099-07-02T09:00"})
        assert late.status == 422
        assert "is before scheduled_at" in words(late.text)
        past = await ana.post(f"/campaigns/{draft.id}/schedule", {"at": "2020-07-01T09:00"})
        assert past.status == 422
        assert 'id="fault-at"' in past.text
        assert fields_of(past.text, "draft")["at"] == "2020-07-01T09:00"
        done = await ana.post(f"/campaigns/{draft.id}/schedule", {"at": "2099-07-01T09:00"})
        assert done.path == f"/campaigns/{draft.id}"
        row = await row_of(home, ana, draft.id)
        assert row.status == "scheduled"
        assert row.start_by - row.scheduled_at == 3 * 3_600_000
        assert row.scheduled_at % 86_400_000 == 6 * 3_600_000  # 09:00 in Athens, in summer


async def test_a_test_goes_to_a_number_of_ones_own_without_leaving_the_page(home: House) -> None:
    async with home.reader() as ana:
        await compose(ana, text="Hello")
        draft = (await all_of(home, ana))[0]
        tried = await ana.post(f"/campaigns/{draft.id}/test", {"to": "07911 123456"}, **HTMX)
        assert "On its way to +447911123456" in words(tried.text)
        wrong = await ana.post(f"/campaigns/{draft.id}/test", {"to": "me"}, **HTMX)
        assert wrong.status == 422
        assert "not a number" in wrong.text
        plain = await ana.post(f"/campaigns/{draft.id}/test", {"to": "07911 123456"})
        assert re.fullmatch(r"/messages/\d+", plain.path)


# --- who may


async def test_a_viewer_makes_and_edits_nothing(home: House) -> None:
    async with home.reader(role=Role.VIEWER) as viewer:
        campaign = await started(home, viewer.tenant_id)
        await home.context.orders.cancel(viewer.tenant_id, campaign)
        for path in ("/campaigns/new", f"/campaigns/{campaign}/edit"):
            assert (await viewer.get(path)).status == 403, path
        resend_path = f"/campaigns/{campaign}/resend"
        for path in ("compose", "compose/audience", "compose/text"):
            assert (await viewer.post(f"/campaigns/{path}", FORM)).status == 403, path
        assert (await viewer.get(resend_path)).status == 403
        assert (await viewer.post(resend_path, {"reason:cancelled": "on"})).status == 403
        assert len(await all_of(home, viewer)) == 1
        assert resend_path not in (await viewer.get(f"/campaigns/{campaign}")).text


async def test_nothing_of_another_tenant_is_chosen_edited_or_sent_again(home: House) -> None:
    async with home.reader("acme") as ana, home.reader("rival", role=Role.SENDER) as eve:
        campaign = await started(home, ana.tenant_id)
        await home.context.orders.cancel(ana.tenant_id, campaign)
        theirs = await home.database.write(lists.create, ana.tenant_id, name="theirs")
        await compose(ana)
        draft = (await all_of(home, ana))[0]
        before = described(draft)
        for path in (f"/campaigns/{draft.id}/edit", f"/campaigns/{campaign}/resend"):
            assert (await eve.get(path)).status == 404, path
        assert (await compose(eve, draft=str(draft.id))).status == 404
        assert (await compose(eve, audience="list", list=str(theirs.id))).status == 422
        refused = await compose(eve, **{f"exclude:{campaign}": "on"})
        assert refused.status == 422
        assert "theirs" not in refused.text
        assert "Spring" not in refused.text
        audience = {"audience": "list", "list": str(theirs.id)}
        assert (await eve.post("/campaigns/compose/audience", audience)).status == 404
        again = {"reason:cancelled": "on"}
        assert (await eve.post(f"/campaigns/{campaign}/resend", again)).status == 404
        assert await all_of(home, eve) == []
        assert described(await row_of(home, ana, draft.id)) == before


async def test_a_form_of_another_session_is_not_kept(home: House) -> None:
    async with home.reader() as ana:
        forged = await ana.post("/campaigns/compose", FORM, csrf="0" * 64)
        assert forged.status == 403
        assert await all_of(home, ana) == []
