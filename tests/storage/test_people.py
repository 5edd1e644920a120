"""Tenants and their keys, suppressions, single messages, and what is listed of messages."""

from __future__ import annotations

import json

import pytest

from paceline.domain.errors import InvalidInputError, NotFoundError
from paceline.domain.outcome import Answered, NotSent, Rejection
from paceline.domain.scope import Scope
from paceline.storage import messages, suppressions, tenants
from paceline.storage.schema import api_keys
from paceline.storage.schema import suppressions as suppressions_table
from paceline.storage.tenants import PresentedKey

# --- keys


def test_a_key_opens_its_tenant_and_its_secret_is_kept_nowhere(world):
    row, secret = world.write(tenants.create_key, world.acme, name="ci", scopes=[Scope.SEND])
    caller = world.read(tenants.authenticate, PresentedKey.of(secret))
    assert caller == tenants.Caller(world.acme, row.id, (Scope.SEND,))
    assert secret not in str(world.rows(api_keys))
    assert secret.startswith(row.hint)


def test_a_wrong_or_revoked_key_opens_nothing(world):
    row, secret = world.write(tenants.create_key, world.acme, name="ci")
    for wrong in (secret[:-1], secret + "x", secret[:11], "", "pl_", row.digest):
        assert world.read(tenants.authenticate, PresentedKey.of(wrong)) is None
    with pytest.raises(NotFoundError):
        world.write(tenants.revoke_key, world.tenant("rival"), row.id)
    assert world.read(tenants.authenticate, PresentedKey.of(secret)) is not None
    world.write(tenants.revoke_key, world.acme, row.id)
    assert world.read(tenants.authenticate, PresentedKey.of(secret)) is None
    with pytest.raises(NotFoundError):
        world.write(tenants.revoke_key, world.acme, row.id)


def test_the_use_of_a_key_is_noted_at_most_once_a_minute(world):
    row, _ = world.write(tenants.create_key, world.acme, name="ci")
    seen = []
    for _ in range(4):
        world.write(tenants.note_use, row.id)
        seen.append(world.read(tenants.keys_of, world.acme)[0].last_used_at - world.now)
        world.pass_time(30_001)
    assert seen == [0, -30_001, 0, -30_001]


def test_a_tenant_is_found_by_its_name_and_made_once(world):
    assert world.tenant("acme") == world.acme
    assert world.read(tenants.by_name, "acme").id == world.acme
    with pytest.raises(NotFoundError, match="“nobody”"):
        world.read(tenants.by_name, "nobody")
    assert [row.name for row in world.read(tenants.all_of_them)] == ["acme"]


# --- suppressions


def test_new_suppressions_are_counted_and_a_known_one_keeps_its_reason(world):
    assert world.suppress("+306900000001", "+306900000002") == 2
    added = world.write(
        suppressions.add, world.acme, ["+306900000002", "+306900000003", "+306900000003"], "import"
    )
    assert added == 1
    assert [(row.phone[-1], row.reason, row.seq) for row in world.rows(suppressions_table)] == [
        ("1", "stop", 1),
        ("2", "stop", 1),
        ("3", "import", 2),
    ]
    assert world.read(tenants.get, world.acme).opt_outs == 2


def test_suppressions_are_paged_by_number_and_removed_once(world):
    phones = [f"+30690000000{n}" for n in range(4)]
    world.suppress(*phones)
    page = world.read(suppressions.page, world.acme, after="", limit=2)
    assert [row.phone for row in page] == phones[:2]
    page = world.read(suppressions.page, world.acme, after=phones[1], limit=9)
    assert [row.phone for row in page] == phones[2:]
    world.write(suppressions.remove, world.acme, phones[0])
    with pytest.raises(NotFoundError):
        world.write(suppressions.remove, world.acme, phones[0])
    with pytest.raises(NotFoundError):
        world.write(suppressions.remove, world.tenant("rival"), phones[1])


# --- single messages and lists of messages


def test_a_single_message_to_a_suppressed_number_is_refused(world):
    world.suppress("+306912345678")
    with pytest.raises(InvalidInputError, match=r"suppressed \(stop\)"):
        world.single("+306912345678")
    assert world.messages() == []


def test_a_single_message_is_loaded_with_its_own_text_and_sender(world):
    message = world.single("+306912345678")
    loaded = world.load(world.reserve())
    assert (loaded.text, loaded.sender) == ("Your code", "ACME")
    assert [(row.id, row.phone) for row in loaded.recipients] == [(message, "+306912345678")]
    assert loaded.account.id == world.main


def test_a_batch_is_loaded_with_its_campaigns_text_and_its_snapshots(world):
    world.contacts(2, first_name="Zoe")
    world.start(world.draft(text="Hi {{first_name}}"))
    loaded = world.load(world.reserve())
    assert (loaded.text, loaded.sender) == ("Hi {{first_name}}", "ACME")
    assert [json.loads(row.merge_values) for row in loaded.recipients] == [
        {"first_name": "Zoe"},
        {"first_name": "Zoe"},
    ]
    assert len(loaded.installation) == 8


def test_messages_are_listed_with_what_a_person_wants_to_know(world):
    campaign = world.sending(4, batch_size=2)
    world.record(world.call(), NotSent("down"))
    world.pass_time(3000)
    call = world.call()
    world.record(call, Answered(["a", None], {1: Rejection("30", "no")}, bulk_id="b1"))
    world.single()
    page = world.read(messages.page, world.acme, campaign_id=campaign)
    assert len(page) == 4
    (sent,) = world.read(messages.page, world.acme, campaign_id=campaign, status="sent")
    assert (sent.provider_message_id, sent.bulk_id, sent.text) == ("a", "b1", "Hello")
    (failed,) = world.read(messages.page, world.acme, campaign_id=campaign, status="failed")
    assert (failed.reason, failed.error, failed.provider_message_id) == (
        "rejected",
        "30: no",
        None,
    )
    assert world.read(messages.page, world.acme, campaign_id=campaign, reason="rejected") == [
        failed
    ]
    assert {row.retry_count for row in page} == {0, 1}
    (single,) = world.read(messages.page, world.acme, campaign_id=None)
    assert (single.campaign_id, single.text) == (None, "Your code")
    assert world.read(messages.get, world.acme, sent.id) == sent


def test_messages_are_paged_by_id_without_gaps_or_repeats(world):
    campaign = world.sending(5)
    ids, after = [], 0
    while page := world.read(messages.page, world.acme, campaign_id=campaign, after=after, limit=2):
        ids += [row.id for row in page]
        after = ids[-1]
    assert ids == [row.id for row in world.messages()]


def test_another_tenants_messages_do_not_exist(world):
    campaign, rival = world.sending(1), world.tenant("rival")
    assert world.read(messages.page, rival, campaign_id=campaign) == []
    with pytest.raises(NotFoundError):
        world.read(messages.get, rival, world.messages()[0].id)
