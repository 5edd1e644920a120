"""The estimate of how long a campaign takes, held against the whole engine under virtual time."""

from __future__ import annotations

from random import Random

import pytest

from paceline.domain import eta
from paceline.domain.eta import Used
from paceline.domain.limits import Limit
from paceline.simulation.run import _alone
from paceline.simulation.scenario import (
    MARGIN_MS,
    AccountPlan,
    CampaignPlan,
    Limits,
    Scenario,
    TenantPlan,
    _calm,
)
from paceline.simulation.world import _LAUNCH_CHUNK

CALL_MS = 140
"""Of a simulated call, on average: 1 to 250 ms for the answer and 4 to 27 for the way."""
SETTINGS = _calm(Random(1)).settings


def scenario(account: Limits, tenant: Limits, people: int, batch: int) -> Scenario:
    """One campaign of one tenant, on an account that nobody else uses."""
    plan = AccountPlan("account-1", "mitto", {}, "retry", account, too_many=1000)
    campaign = CampaignPlan(0, 0.0, scheduled=False)
    return Scenario(
        sole_sender=False,
        workers=1,
        settings=SETTINGS | {"SMS_BATCH_SIZE": str(batch), "WORKER_CONCURRENCY": "4"},
        accounts=(plan,),
        tenants=(TenantPlan("tenant-1", tenant, people, (campaign,), 0),),
        faulty_for_s=0.1,
        calm=True,
    )


@pytest.mark.parametrize("seed", range(8))
def test_alone_on_an_idle_account_it_is_within_a_fifth_of_what_the_engine_takes(seed: int) -> None:
    dice = Random(seed)
    account = Limits(dice.choice((1, 2, 5)), dice.choice((100, 250, 400)))
    tenant = Limits(dice.choice((1, 2, 5)), dice.choice((100, 250, 400)))
    people, batch = dice.randint(30, 50), dice.choice((1, 2, 3))
    took = _alone(scenario(account, tenant, people, batch), seed)["tenant-1"]
    found = eta.estimate(
        eta.Account(Used(_limit(account)), turn=0, at_once=4, call_ms=CALL_MS),
        [eta.Queue(1, 0, Used(_limit(tenant)), ())],
        1,
        eta.calls_for(people, batch, _LAUNCH_CHUNK),
    )
    assert 0.8 * took <= found.ms <= 1.2 * took, (account, tenant, people, batch)


def _limit(limits: Limits) -> Limit:
    return Limit(limits.most, limits.window_ms, MARGIN_MS)
