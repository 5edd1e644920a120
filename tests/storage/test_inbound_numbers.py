"""Whose a reply is."""

from __future__ import annotations

import pytest

from paceline.domain.errors import InvalidInputError, NotFoundError
from paceline.storage import inbound_numbers


def test_a_reply_is_the_numbers_tenants_else_the_accounts_else_nobodys(world):
    rival = world.tenant("rival")
    theirs = world.account("theirs", tenant_id=rival)
    world.write(inbound_numbers.add, world.main, "+44 7700 900123", world.acme)
    assert world.read(inbound_numbers.whose, world.main, "+447700900123") == world.acme
    assert world.read(inbound_numbers.whose, world.main, "+447700900999") is None
    assert world.read(inbound_numbers.whose, theirs, "+447700900123") == rival
    assert world.read(inbound_numbers.whose, 999, "+447700900123") is None


@pytest.mark.parametrize("written", ["447700900123", "+44 7700 900 123", "\t+447700900123 "])
def test_a_number_is_the_same_however_it_is_written(world, written):
    world.write(inbound_numbers.add, world.main, "+447700900123", world.acme)
    assert world.read(inbound_numbers.whose, world.main, written) == world.acme


def test_a_name_is_the_same_in_small_letters(world):
    world.write(inbound_numbers.add, world.main, "MyShop", world.acme)
    assert world.read(inbound_numbers.whose, world.main, "MYSHOP") == world.acme


def test_a_number_given_to_another_tenant_is_that_ones(world):
    rival = world.tenant("rival")
    world.write(inbound_numbers.add, world.main, "12345", world.acme)
    world.write(inbound_numbers.add, world.main, "12345", rival)
    (row,) = world.read(inbound_numbers.of_account, world.main)
    assert (row.number, row.tenant_id, row.tenant) == ("12345", rival, "rival")


def test_a_removed_number_is_nobodys(world):
    world.tenant("rival")
    world.write(inbound_numbers.add, world.main, "12345", world.acme)
    assert world.write(inbound_numbers.remove, world.main, "+123 45") == world.acme
    assert world.read(inbound_numbers.whose, world.main, "12345") is None
    with pytest.raises(NotFoundError):
        world.write(inbound_numbers.remove, world.main, "12345")


def test_what_cannot_be_is_refused(world):
    rival = world.tenant("rival")
    theirs = world.account("theirs", tenant_id=rival)
    with pytest.raises(InvalidInputError, match="belongs to"):
        world.write(inbound_numbers.add, theirs, "12345", world.acme)
    for number in (" + ", "9" * 33):
        with pytest.raises(InvalidInputError, match="1 to 32"):
            world.write(inbound_numbers.add, world.main, number, world.acme)
    with pytest.raises(NotFoundError):
        world.write(inbound_numbers.add, 999, "12345", world.acme)
    with pytest.raises(NotFoundError):
        world.write(inbound_numbers.add, world.main, "12345", 999)
