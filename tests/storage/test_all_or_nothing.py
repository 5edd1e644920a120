"""A storage function is the body of one transaction: interrupted at its very end, it has done
nothing. So a counter never tells of rows that are not there, however a process ends.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Connection

from paceline.domain.message import Delivery
from paceline.domain.outcome import Answered, Known, NoAnswer, Rejected, Rejection
from paceline.domain.verdict import Policy
from paceline.storage import (
    campaigns,
    confirmations,
    doubt,
    frequency,
    inbox,
    intents,
    launches,
    opt_outs,
    outcomes,
    receipts,
    restart,
    suppressions,
    tenants,
    turns,
)
from paceline.storage.inbox import InboxRow
from paceline.storage.schema import metadata
from paceline.storage.wishes import Wish
from tests.storage.world import LEASE_MS, PACING, World

ASKS = Policy(looks_up=True)
NO = Rejection("30", "no")
Step = Callable[[Connection], Any]


class InterruptedHereError(Exception):
    """Something goes wrong after the last statement and before the commit."""


def interrupt(world: World, step: Step) -> None:
    def run(connection: Connection) -> None:
        step(connection)
        raise InterruptedHereError

    with pytest.raises(InterruptedHereError):
        world.database.write_now(run)


def everything(world: World) -> dict[str, list[Any]]:
    return {table.name: world.rows(table) for table in metadata.sorted_tables}


# --- steps: each makes the world that it needs, and gives what is to be interrupted


def a_start(world: World) -> Step:
    world.contacts(3)
    campaign = world.draft()
    return lambda c: launches.start(c, None, campaign, batch_size=3)


def a_reservation(world: World) -> Step:
    world.sending(3)
    return lambda c: turns.reserve(c, want=1, lease_ms=LEASE_MS, pacing=world.pacing)


def an_answer(world: World) -> Step:
    world.sending(3)
    call = world.call()
    answer = Answered(["a", None, "c"], {1: NO})
    return lambda c: outcomes.record(c, [world.result(call, answer)])


def an_answer_that_takes_all(world: World) -> Step:
    world.sending(3)
    call = world.call()
    return lambda c: outcomes.record(c, [world.result(call, call.accepted())])


def no_answer(world: World) -> Step:
    world.sending(3)
    call = world.call()
    return lambda c: outcomes.record(c, [world.result(call, NoAnswer("timed out"))])


def a_rejected_call(world: World) -> Step:
    world.sending(3)
    call = world.call()
    return lambda c: outcomes.record(c, [world.result(call, Rejected(NO))])


def a_void_permit(world: World) -> Step:
    world.sending(3)
    call = world.call()
    return lambda c: outcomes.void(c, call.attempt, LEASE_MS)


def an_expired_lease(world: World) -> Step:
    world.sending(3)
    call = world.call()
    world.pass_time(LEASE_MS)
    return lambda c: outcomes.expire(c, call.attempt.batch.id, lambda _: Policy())


def an_opt_out(world: World) -> Step:
    world.sending(3)
    phone = world.messages()[0].phone
    return lambda c: suppressions.add(c, world.acme, [phone], "stop")


def a_drop(world: World) -> Step:
    world.sending(3)
    batch = world.reserve()
    world.suppress(world.messages()[0].phone)
    return lambda c: opt_outs.drop(c, batch)


def a_capped_intent(world: World) -> Step:
    world.write(tenants.change, world.acme, {"frequency_max": 1, "frequency_days": 7})
    world.sending(3)
    batch = world.reserve()
    return lambda c: intents.intend(
        c,
        [Wish(batch, 3)],
        pacing=PACING,
        lease_ms=LEASE_MS,
        worker="tester",
        monotonic=world.clock.monotonic,
    )


def a_drop_of_who_had_enough(world: World) -> Step:
    world.write(tenants.change, world.acme, {"frequency_max": 1, "frequency_days": 7})
    world.sending(3)
    world.send()
    world.start(world.draft())
    batch = world.reserve()
    return lambda c: frequency.drop(c, batch)


def a_fold(world: World) -> Step:
    world.sending(3)
    world.send()
    told = [InboxRow(f"p{m.id}", "", Delivery.DELIVERED, "", None) for m in world.messages()]
    world.write(inbox.put, world.main, told)
    return receipts.fold


def a_look_up(world: World) -> Step:
    world.sending(3)
    world.record(world.call(), NoAnswer("timed out"), ASKS)
    world.pass_time(60_000)
    (found,) = world.write(confirmations.claim, limit=1, lease_ms=LEASE_MS)
    known = {next(iter(found.references)): Known("p")}
    return lambda c: confirmations.record(c, found, known, ASKS)


def a_decision(world: World) -> Step:
    world.sending(3)
    batch = world.expired_call().attempt.batch
    return lambda c: doubt.decide(
        c, batch.id, doubt.Decision.ACCEPT, actor="tester", policy_of=lambda _: Policy()
    )


def a_cancellation(world: World) -> Step:
    campaign = world.sending(3)

    def cancel(connection: Connection) -> None:
        campaigns.cancel(connection, world.acme, campaign)
        campaigns.sweep_cancelled(connection, campaign)

    return cancel


def a_restore(world: World) -> Step:
    world.sending(6)
    world.call()
    return restart.after_restore


STEPS = (
    a_start,
    a_reservation,
    an_answer,
    an_answer_that_takes_all,
    no_answer,
    a_rejected_call,
    a_void_permit,
    an_expired_lease,
    an_opt_out,
    a_drop,
    a_capped_intent,
    a_drop_of_who_had_enough,
    a_fold,
    a_look_up,
    a_decision,
    a_cancellation,
    a_restore,
)


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.__name__)
def test_what_is_interrupted_before_its_commit_has_done_nothing(world, step):
    interrupted = step(world)
    before = everything(world)
    interrupt(world, interrupted)
    assert everything(world) == before
    world.write(interrupted)
    assert everything(world) != before, "it does something when nothing interrupts it"
