"""What a scout tells of the rest of its call: only its own words are about the call."""

from __future__ import annotations

from paceline.domain.outcome import Rejected, Rejection
from paceline.storage import scouts

OF_THE_CALL = Rejection("400", "one of them cannot be read")
OF_ITS_OWN = Rejection("21211", "not a number")


def test_scouts_that_are_rejected_for_faults_of_their_own_condemn_nobody_else(world):
    campaign = world.sending(9, batch_size=9)
    world.record(world.call(), Rejected(OF_THE_CALL))
    while reserved := world.reservation().batches:
        call = world.call(reserved[0])
        alone = len(call.ids) == 1
        recorded = world.record(call, Rejected(OF_ITS_OWN) if alone else call.accepted())
        if recorded.was_scout:
            world.write(scouts.after_scout, call.attempt.batch.id)
    assert world.counters(campaign) == {"total": 9, "sent": 8, "failed": 1}
    (failed,) = world.messages(status="failed")
    assert failed.error == str(OF_ITS_OWN)
