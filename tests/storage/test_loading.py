"""What calls are rendered from, read for several batches at once."""

from __future__ import annotations

from paceline.storage import loading
from paceline.storage.limits import Pacing
from tests.storage.world import PACING


def load(world, batches):
    return world.read(lambda connection: list(loading.load(connection, batches)))


def test_each_batch_gets_its_own_recipients_and_text(world):
    other = world.tenant("other")
    world.pacing = Pacing(PACING.account, PACING.account)
    first = world.sending(5, batch_size=3, text="Hello")
    second = world.sending(2, tenant=other, text="Hi", sender="OTHER")
    single = world.single("+306912345678")
    batches = world.reservation(9).batches
    loaded = load(world, batches)
    assert [each.batch.id for each in loaded] == sorted(batch.id for batch in batches)
    by_campaign = [
        (each.batch.campaign_id, each.text, each.sender, [row.id for row in each.recipients])
        for each in loaded
    ]
    ids = [row.id for row in world.messages(campaign_id=first)]
    assert sorted(by_campaign, key=str) == sorted(
        [
            (first, "Hello", "ACME", ids[:3]),
            (first, "Hello", "ACME", ids[3:]),
            (second, "Hi", "OTHER", [row.id for row in world.messages(campaign_id=second)]),
            (None, "Your code", "ACME", [single]),
        ],
        key=str,
    )
    assert {each.account.external_id for each in loaded} == {"1"}


def test_a_batch_of_which_nothing_is_queued_is_loaded_empty_beside_others(world):
    world.sending(2, batch_size=1)
    done, other = world.reservation(9).batches
    world.send(done)
    loaded = {each.batch.id: len(each.recipients) for each in load(world, [other, done])}
    assert loaded == {done.id: 0, other.id: 1}


def test_nothing_is_loaded_for_nothing(world):
    assert load(world, []) == []
