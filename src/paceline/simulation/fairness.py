"""Promise 5, of runs in which nothing goes wrong: a campaign beside others, and alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias

from paceline.simulation.judge import Violation
from paceline.simulation.network import LONGEST_CALL_MS
from paceline.simulation.scenario import MARGIN_MS, Scenario

Took: TypeAlias = Callable[[Scenario], dict[str, float]]
"""Plays a scenario; how long each tenant's campaign took, in milliseconds."""


def unfair(scenario: Scenario, beside: dict[str, float], alone: Took) -> Violation | None:
    """Whether the last tenant's campaign took longer beside the others than promise 5 allows.

    Args:
        scenario: on one account; the last tenant comes to it when the others are busy.
        beside: what was seen in it.
        alone: plays the scenario with one of its tenants.
    """
    *others, late = scenario.tenants
    window_ms = max(scenario.accounts[0].limits.window_ms, late.limits.window_ms) + MARGIN_MS
    alone_ms = alone(replace(scenario, tenants=(late,)))[late.name]
    bound_ms = (len(others) + 1) * alone_ms + window_ms + LONGEST_CALL_MS
    if beside[late.name] <= bound_ms:
        return None
    return Violation(
        "5 fair",
        f"{late.name} took {beside[late.name]:.0f} ms beside {len(others)}, "
        f"{alone_ms:.0f} ms alone: at most {bound_ms:.0f} ms",
    )
