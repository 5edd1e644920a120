"""The simulator's adapter and the simulator itself mean the same."""

from __future__ import annotations

import pytest

from paceline.domain.message import Delivery
from paceline.domain.outcome import Answered, NoAnswer
from paceline.providers import create
from paceline.providers.base import Account, LookUpFailedError, Provider
from paceline.simulator import Controls, Simulator, running

from .conformance import in_time
from .subjects.subject import SENDER, messages


def adapter(url: str) -> Provider:
    options = {"looks_up": True, "deduplicates": True, "max_look_ups": 30}
    return create(Account("simulator", url, "any key", "acc-1", options=options))


async def test_what_was_accepted_without_an_answer_is_found_by_its_reference():
    controls = Controls(lookup=True, next=("ok", "drop_after", "drop_before"))
    async with running(Simulator(seed=1, controls=controls)) as url:
        provider = adapter(url)
        answered, lost, never = messages(3)
        outcome = await provider.prepare(SENDER, [answered]).submit(in_time())
        assert isinstance(outcome, Answered)
        for message in (lost, never):
            call = provider.prepare(SENDER, [message])
            assert isinstance(await call.submit(in_time()), NoAnswer)
        known = await provider.look_up([message.reference for message in messages(30)])
        assert known.keys() == {answered.reference, lost.reference}
        assert known[answered.reference].provider_message_id == outcome.provider_ids[0]
        assert known[lost.reference].delivery in {Delivery.NONE, Delivery.DELIVERED}
        await provider.aclose()


async def test_a_simulator_without_look_ups_proves_nothing():
    async with running(Simulator(seed=1, controls=Controls(lookup=False))) as url:
        provider = adapter(url)
        with pytest.raises(LookUpFailedError, match="501"):
            await provider.look_up(["inst-0-0"])
        await provider.aclose()


async def test_a_wrong_address_does_not_prove_that_nothing_was_accepted():
    async with running(Simulator(seed=1, controls=Controls(lookup=True))) as url:
        provider = adapter(f"{url}/elsewhere")
        with pytest.raises(LookUpFailedError):
            await provider.look_up(["inst-0-0"])
        await provider.aclose()
