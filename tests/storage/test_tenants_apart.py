"""What belongs to another tenant is neither used nor heeded."""

from __future__ import annotations

import pytest

from paceline.domain.errors import InvalidInputError
from paceline.storage import contacts, inbox, lists, opt_outs, receipts
from paceline.storage.inbox import InboxRow
from paceline.storage.wishes import Stale


def test_what_people_said_to_another_tenant_keeps_nobody_from_getting_ours(world):
    """Also when there is an opt-out of ours to look for."""
    world.sending(3)
    first, second, _ = world.messages()
    world.suppress(first.phone, tenant=world.tenant("rival"))
    world.suppress(second.phone)
    batch = world.reserve()
    assert world.intend(batch) == Stale()
    dropped, _ = world.write(opt_outs.drop, batch)
    assert dropped == [second.id]


def test_another_tenants_contact_comes_on_no_list_of_ours(world):
    rival = world.tenant("rival")
    theirs = world.write(contacts.create, rival, phone="+306900000001").id
    ours = world.write(contacts.create, world.acme, phone="+306900000002").id
    list_id = world.write(lists.create, world.acme, name="friends").id
    with pytest.raises(InvalidInputError):
        world.write(lists.add, world.acme, list_id, [ours, theirs])
    assert world.read(lists.get, world.acme, list_id).contacts == 0


def test_a_receipt_through_another_account_settles_nothing_though_it_knows_our_reference(world):
    """Whoever may post receipts of one account has no say about those of another one."""
    campaign = world.sending(3)
    call = world.expired_call()
    reference = world.reference(call.ids[0])
    elsewhere = world.account("elsewhere", tenant_id=world.tenant("rival"))
    told = [InboxRow("forged", reference, "delivered", "", None)]
    world.write(inbox.put, elsewhere, told)
    assert world.write(receipts.fold).matched == 0
    assert world.counters(campaign) == {"total": 3, "queued": 3, "unconfirmed": 3}
    world.receive(("true", "delivered"), reference=reference)
    assert world.counters(campaign)["delivered"] == 1
