"""Somebody opts out in the middle of the transaction that queues a message to them, as they can on
PostgreSQL: the message is queued, but no intent contains it.
"""

from __future__ import annotations

import threading

import pytest

from paceline.storage import launches, suppressions
from paceline.storage.wishes import Stale

pytestmark = pytest.mark.parametrize("database", ["postgres"], indirect=True)


def opt_out(world, phone):
    """In another transaction, by somebody else."""
    run = world.database.write_now
    leaving = threading.Thread(target=run, args=(suppressions.add, world.acme, [phone], "stop"))
    leaving.start()
    leaving.join()


def test_who_opts_out_while_a_chunk_is_written_is_in_no_intent(world, monkeypatch):
    (phone,) = world.contacts(1)
    real = launches._insert_batches

    def insert_batches(*args):
        opt_out(world, phone)
        return real(*args)

    monkeypatch.setattr(launches, "_insert_batches", insert_batches)
    world.start(world.draft())
    assert [message.phone for message in world.messages()] == [phone]
    assert world.intend(world.reserve()) == Stale()


def test_who_opts_out_while_a_single_message_is_queued_is_in_no_intent(world, monkeypatch):
    phone = "+306900000000"
    real = suppressions.refuse

    def refuse(*args):
        real(*args)
        opt_out(world, phone)

    monkeypatch.setattr(suppressions, "refuse", refuse)
    world.single(phone)
    assert world.intend(world.reserve()) == Stale()
