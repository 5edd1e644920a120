"""Replies: kept once, for whom they are, and done in the same transaction."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from paceline.domain.errors import InvalidInputError
from paceline.engine.drafts import NewCampaign, campaign_values
from paceline.engine.rendering import exact_text, opt_out_tokens, render
from paceline.engine.replies import ReplyRules, Taken, take
from paceline.providers.base import Reply
from paceline.settings import load
from paceline.storage import inbound_numbers, inbox, replies, suppressions, tenants
from paceline.storage import receipts as folding
from paceline.storage.batches import Attempt
from paceline.storage.inbox import InboxRow
from paceline.storage.schema import audit_log, inbound_messages
from paceline.storage.schema import suppressions as suppressions_table
from paceline.storage.sealing import Sealer
from paceline.storage.suppressions import Source
from paceline.storage.wishes import Stale
from tests.storage.world import World

RULES = ReplyRules.of(load({}))
PHONE = "+306900000000"
NUMBER = "447400000001"
HOUR_MS = 3_600_000


class Line:
    """An account of acme's, and what people write to it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.account = world.account("line", provider="mitto", tenant_id=world.acme)
        self.ids = 0

    def says(self, text: str, *, phone: str = PHONE, number: str = NUMBER) -> Taken:
        self.ids += 1
        return self.brings(Reply(f"in-{self.ids}", phone, number, text))

    def brings(self, *arrived: Reply, body: bytes = b"{}", account: int | None = None) -> Taken:
        return self.world.write(take, account or self.account, arrived, body, RULES)

    def answers(self) -> list[str]:
        return [row.text for row in self.world.messages(campaign_id=None)]

    def sources(self) -> dict[str, str]:
        return {row.phone: row.source for row in self.world.rows(suppressions_table)}

    def audited(self) -> list[tuple[str, str]]:
        return [
            (row.actor, row.action)
            for row in self.world.rows(audit_log)
            if row.action.startswith("suppression.")
        ]


@pytest.fixture
def line(world: World) -> Line:
    return Line(world)


# --- STOP


def test_a_stop_suppresses_the_number_and_is_confirmed_once_to_who_sent_it(line, world):
    taken = line.says(" Stop! ", phone="306900000000")
    assert (taken.answers, taken.nobodys) == (1, 0)
    assert line.sources() == {PHONE: "stop"}
    (confirmation,) = world.messages()
    assert (confirmation.phone, confirmation.sender) == (PHONE, NUMBER)
    assert confirmation.text == "You will get no more messages from acme."
    assert world.batch(confirmation.batch_id).account_id == line.account
    assert line.audited() == [("recipient", "suppression.add")]
    assert PHONE not in str(world.rows(audit_log))


def test_no_intent_after_a_stop_has_the_number_but_that_of_its_confirmation(line, world):
    phones = world.contacts(3)
    campaign = world.start(world.draft(account=line.account), batch_size=3)
    waiting = world.reserve()
    line.says("STOP", phone=phones[1])
    assert isinstance(world.intend(waiting), Stale)
    confirmation = world.reservation().batches[0]
    assert [row.phone for row in world.load(confirmation).recipients] == [phones[1]]
    assert isinstance(world.intend(confirmation, size=1), Attempt)
    later = world.start(world.draft(account=line.account), batch_size=3)
    assert phones[1] not in {row.phone for row in world.messages(campaign_id=later)}
    assert world.counters(campaign) == {"total": 3, "queued": 3}
    with pytest.raises(InvalidInputError):
        world.single(phones[1])


def test_a_confirmation_does_not_get_past_a_later_opt_out(line, world):
    line.says("STOP")
    line.says("START")
    world.write(suppressions.add, world.acme, [PHONE], "by telephone")
    stopped, started = (world.reserve(), world.reserve())
    assert isinstance(world.intend(stopped, size=1), Stale)
    assert isinstance(world.intend(started, size=1), Stale)


def test_who_is_suppressed_already_gets_no_confirmation(line, world):
    world.write(suppressions.add, world.acme, [PHONE], "by telephone")
    line.says("STOP")
    assert line.answers() == []
    assert line.sources() == {PHONE: "operator"}


def test_a_tenants_own_text_is_sent_and_an_empty_one_is_none(line, world):
    world.tenant("acme", stop_reply="Bye.", start_reply="", help_reply="Call 210.")
    for text in ("STOP", "START", "HELP"):
        line.says(text)
    assert line.answers() == ["Bye.", "Call 210."]


@pytest.mark.parametrize("text", ["{{first_name}}", "}}", "x" * 2000])
def test_a_text_that_cannot_be_sent_does_not_keep_the_stop_from_being_done(line, world, text):
    world.tenant("acme", stop_reply=text)
    taken = line.says("STOP")
    assert (taken.answers, [each[0] for each in taken.unusable]) == (0, [world.acme])
    assert line.sources() == {PHONE: "stop"}
    assert world.messages() == []


def test_a_number_that_cannot_be_a_sender_gives_way_to_the_accounts(line, world):
    line.says("STOP", number="no sender at all")
    assert [row.sender for row in world.messages()] == ["ACME"]


# --- START


def test_a_start_ends_a_stop_and_nothing_else(line, world):
    for number, source in enumerate(Source):
        world.write(suppressions.add, world.acme, [f"{PHONE[:-1]}{number}"], "x", source=source)
    for number in range(len(Source)):
        line.says("start", phone=f"{PHONE[:-1]}{number}")
    assert Source.STOP not in line.sources().values()
    assert len(line.sources()) == len(Source) - 1
    assert line.answers() == ["You will get messages from acme again."]
    assert line.audited()[-1] == ("recipient", "suppression.remove")


def test_a_start_does_not_end_what_an_operator_said_after_the_stop(line, world):
    line.says("STOP")
    assert world.write(suppressions.add, world.acme, [PHONE], "again", actor="key 1 (ci)") == 0
    line.says("START")
    assert line.sources() == {PHONE: "operator"}
    (row,) = world.rows(suppressions_table)
    assert row.reason == "replied STOP"
    assert line.audited()[-1] == ("key 1 (ci)", "suppression.add")


# --- HELP, and storms


def test_help_names_the_tenant_and_is_answered_once_an_hour_to_each_number(line, world):
    for _ in range(3):
        line.says("HELP")
    line.says("info", phone="+306900000001")
    answer = "These messages are from acme. To get no more of them, reply STOP."
    assert line.answers() == [answer, answer]
    world.pass_time(HOUR_MS + 1)
    line.says("HELP")
    assert len(line.answers()) == 3


def test_help_is_not_answered_to_who_opted_out(line):
    line.says("STOP")
    line.says("HELP")
    assert len(line.answers()) == 1


def test_stop_and_start_in_turns_are_done_each_time_and_answered_once_an_hour(line):
    for _ in range(3):
        line.says("STOP")
        assert line.sources() == {PHONE: "stop"}
        line.says("START")
        assert line.sources() == {}
    assert len(line.answers()) == 2


# --- kept once, for whom it is


def test_any_reply_is_kept_and_only_keywords_do_something(line, world):
    line.says("What is this?")
    line.says("STOP", phone="Vodafone")
    line.says("STOP", phone="54321")
    kept = [(row.phone, row.text, row.keyword) for row in world.rows(inbound_messages)]
    assert kept == [
        (PHONE, "What is this?", None),
        ("Vodafone", "STOP", None),
        ("54321", "STOP", None),
    ]
    assert (line.sources(), line.answers()) == ({}, [])


def test_a_repeated_webhook_changes_nothing(line, world):
    for _ in range(2):
        line.brings(Reply("same", PHONE, NUMBER, "STOP"))
        line.brings(Reply("", PHONE, NUMBER, "HELP"), Reply("", "x", NUMBER, "x"), body=b"a")
    assert len(world.rows(inbound_messages)) == 3
    assert len(line.answers()) == 1
    line.says("START")
    line.brings(Reply("same", PHONE, NUMBER, "STOP"))
    assert line.sources() == {}


def test_two_replies_without_an_id_are_told_apart_by_what_they_came_in(line, world):
    for body in (b'{"at": 1}', b'{"at": 2}'):
        line.brings(Reply("", PHONE, NUMBER, "Yes, gladly"), body=body)
    assert len(world.rows(inbound_messages)) == 2


def test_a_stop_that_nothing_tells_from_an_earlier_one_still_counts(line):
    for text in ("STOP", "START", "STOP"):
        line.brings(Reply("", PHONE, NUMBER, text), body=text.encode())
    assert line.sources() == {PHONE: "stop"}


def test_what_the_columns_cannot_hold_is_cut(line, world):
    line.brings(Reply("i\0" * 300, "9" * 40, "n\0" * 40, "a\0\ud800b"))
    (row,) = world.rows(inbound_messages)
    assert (row.phone, row.number, row.text) == ("9" * 16, "n" * 32, "a?b")
    assert row.provider_message_id == "i" * 255


def test_a_reply_is_for_the_tenant_of_its_number_and_for_nobody_else(line, world):
    rival = world.tenant("rival")
    shared = world.account("shared", provider="mitto")
    world.write(inbound_numbers.add, shared, "+44 7400 000001", rival)
    taken = line.brings(
        Reply("1", PHONE, NUMBER, "STOP"), Reply("2", PHONE, "other", "STOP"), account=shared
    )
    assert taken.nobodys == 1
    assert [(row.tenant_id, row.phone) for row in world.rows(suppressions_table)] == [
        (rival, PHONE)
    ]
    assert Counter(row.tenant_id for row in world.rows(inbound_messages)) == {rival: 1, None: 1}
    assert [row.tenant_id for row in world.messages()] == [rival]
    assert line.brings(Reply("2", PHONE, "other", "STOP"), account=shared).nobodys == 0
    assert [row.provider_message_id for row in world.read(replies.page, rival)] == ["1"]
    assert world.read(replies.page, world.acme) == []


def test_replies_are_paged_newest_first(line, world):
    for number in range(4):
        line.says(f"reply {number}")
    newest = world.read(replies.page, world.acme, limit=2)
    assert [row.text for row in newest] == ["reply 3", "reply 2"]
    rest = world.read(replies.page, world.acme, before=newest[-1].id)
    assert [row.text for row in rest] == ["reply 1", "reply 0"]


# --- blocks of the provider


def test_a_provider_blocks_a_number_once_for_the_tenant_it_refused(line, world):
    assert world.write(suppressions.block, world.acme, [PHONE, PHONE]) == 1
    assert world.write(suppressions.block, world.acme, [PHONE]) == 0
    assert line.sources() == {PHONE: "provider"}
    assert line.audited() == [("provider", "suppression.add")]


def test_a_receipt_that_says_the_person_opted_out_suppresses_the_number(line, world):
    world.sending(3)
    call = world.send()
    rows = [
        InboxRow(f"p{call.ids[0]}", "", "undelivered", folding.BLOCKED, None),
        InboxRow(f"p{call.ids[1]}", "", "undelivered", "30003", None),
    ]
    world.write(inbox.put, world.main, rows)
    world.write(folding.fold)
    blocked = world.messages(id=call.ids[0])[0]
    assert line.sources() == {blocked.phone: "provider"}
    assert blocked.status == "failed"


# --- opt-out links


URL = "https://sms.example.com/a"
SEALER = Sealer("a secret of some length")


def values_of(
    line: Line, text: str, *, max_parts: int = 10, public_url: str | None = URL
) -> dict[str, Any]:
    new = NewCampaign(name="spring", text=text, traffic_account_id=line.account)
    return line.world.read(
        campaign_values, line.world.acme, new, max_parts=max_parts, public_url=public_url
    )


def test_a_link_is_rendered_for_each_message_and_shown_as_it_was_sent(line, world):
    text = values_of(line, "Hi! {{ unsubscribe_url }} {{unsubscribe_url|x}}.")["text"]
    world.sending(3, text=text, account=line.account)
    batch = world.reserve()
    (rendered,) = world.read(render, [batch], sealer=SEALER)
    for message_id, outgoing in zip(rendered.message_ids, rendered.outgoing, strict=True):
        link = f"{URL}/u/{opt_out_tokens(SEALER).of(message_id)}"
        assert outgoing.text == f"Hi! {link} {link}."
        assert exact_text(text, None, message_id, sealer=SEALER) == outgoing.text
    with pytest.raises(ValueError, match="opt-out link"):
        world.read(render, [batch])


def test_a_link_without_a_public_address_is_a_fault_of_the_text(line):
    with pytest.raises(InvalidInputError) as raised:
        values_of(line, "{{unsubscribe_url}}", public_url=None)
    (problem,) = raised.value.problems
    assert problem.where == "text"
    assert "PACELINE_PUBLIC_URL" in problem.reason


def test_parts_are_counted_with_the_whole_link(line):
    room = 160 - len(f"{URL}/u/") - 19
    assert values_of(line, "x" * room + "{{unsubscribe_url}}", max_parts=1)
    with pytest.raises(InvalidInputError, match="cannot be made"):
        values_of(line, "x" * (room + 1) + "{{unsubscribe_url}}", max_parts=1)


def test_a_mistyped_link_tag_is_named(line):
    with pytest.raises(InvalidInputError) as raised:
        values_of(line, "{{unsubscribe_uri}}")
    assert "{{unsubscribe_url}}" in raised.value.problems[0].reason


def test_a_tenants_texts_are_changed_by_the_names_of_their_columns(world):
    row = world.write(tenants.change, world.acme, {"stop_reply": "Bye.", "help_reply": None})
    assert (row.stop_reply, row.start_reply, row.help_reply) == ("Bye.", None, None)
