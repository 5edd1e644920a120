"""The judge finds what it is there to find: each of these breaks the product in one place, and some
seed shows it. (Many more, against the whole suite: `python -m tests.planted`.)
"""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

import pytest

from paceline.domain import limits, verdict
from paceline.domain.verdict import Fail, Retry
from paceline.engine.chores import Chores
from paceline.providers.http import HttpCall
from paceline.simulation import play
from paceline.simulation.scenario import Rates, Scenario, draw
from paceline.storage import counters, frequency, intents, outcomes

SEEDS = 40
DEDUPLICATES = {"deduplicates": True}


def first_violation(rates: Rates, *, options: dict[str, Any] | None = None, **settings: str) -> str:
    """What the judge says of the first seed that fails, in scenarios with this trouble.

    Args:
        rates: what goes wrong.
        options: of every account, at a provider that takes references; None: as drawn.
        settings: that differ from those drawn.
    """
    for seed in range(SEEDS):
        scenario = replace(scenario_of(seed), rates=rates)
        scenario = replace(scenario, settings=scenario.settings | settings)
        if options is not None:
            accounts = [
                replace(each, provider="simulator", options=options) for each in scenario.accounts
            ]
            scenario = replace(scenario, accounts=tuple(accounts))
        if violations := play(scenario, seed).violations:
            return str(violations[0])
    return "nothing"


def scenario_of(seed: int) -> Scenario:
    return next(
        scenario
        for n in range(seed, seed + 1000)
        if not (scenario := draw(Random(f"{n}/scenario"))).calm
    )


def test_a_timeout_that_is_taken_for_a_no(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verdict, "_may_have_been_accepted", lambda *_: False)
    assert first_violation(Rates(answer_lost=0.2)).startswith("1 never twice")


def test_a_lease_that_runs_out_and_queues_its_call_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outcomes, "judge_silence", lambda error, *_: Retry(0, error))
    assert first_violation(Rates(deaths_per_s=1)).startswith("1 never twice")


def test_a_cap_that_holds_nobody_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frequency, "had_enough", lambda *_: [])
    assert first_violation(Rates()).startswith("the frequency cap")


def test_a_retry_under_another_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    judged = verdict._try_again

    def renamed(*args: Any, **kwargs: Any) -> Any:
        again = judged(*args, **kwargs)
        return replace(again, new_generation=True) if isinstance(again, Retry) else again

    monkeypatch.setattr(verdict, "_try_again", renamed)
    trouble = Rates(answer_lost=0.2)
    assert first_violation(trouble, options=DEDUPLICATES).startswith("1 never twice")


def test_doubt_that_is_forgotten_with_the_last_try(monkeypatch: pytest.MonkeyPatch) -> None:
    judged = verdict._try_again

    def forgetful(error: str, reason: Any, *args: Any, **kwargs: Any) -> Any:
        again = judged(error, reason, *args, **kwargs)
        return again if isinstance(again, Retry) else Fail(reason, error)

    monkeypatch.setattr(verdict, "_try_again", forgetful)
    found = first_violation(Rates(answer_lost=0.4), options=DEDUPLICATES, QUEUE_ATTEMPTS="2")
    assert found.startswith("4 numbers that are true")


def test_a_limit_that_is_not_widened_by_the_margin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits.Limit, "span_ms", property(lambda limit: limit.window_ms))
    assert first_violation(Rates()).startswith("3 never over the limit")


def test_a_permit_that_is_used_late(monkeypatch: pytest.MonkeyPatch) -> None:
    submit = HttpCall.submit

    async def late(call: Any, send_by: float, **kwargs: Any) -> Any:
        return await submit(call, send_by + 1, **kwargs)

    monkeypatch.setattr(HttpCall, "submit", late)
    assert first_violation(Rates(slow_commit=0.5)).startswith("3 never over the limit")


def test_an_opt_out_that_the_gate_does_not_look_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intents, "newly_suppressed", lambda *_: [])
    assert first_violation(Rates(orders_per_s=8)).startswith("6 nobody who opted out")


def test_a_counter_that_forgets_what_was_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counters.Tally, "write", lambda *_: None)
    assert first_violation(Rates()).startswith("4 numbers that are true")


def test_a_lease_that_nobody_looks_after(monkeypatch: pytest.MonkeyPatch) -> None:
    async def nothing(_chores: Chores) -> None:
        pass

    monkeypatch.setattr(Chores, "take_back_expired", nothing)
    assert first_violation(Rates(deaths_per_s=1)).startswith("2 never lost")
