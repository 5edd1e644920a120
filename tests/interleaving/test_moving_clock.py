"""Permits while time goes on between the statements, held against the provider's own window."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator

from paceline.storage import database, intents
from paceline.storage.batches import Attempt
from tests.interleaving import operations as op
from tests.interleaving.driving import Played
from tests.interleaving.exploring import schedules
from tests.interleaving.scenes import RESERVED, Plan, build
from tests.storage.world import PACING

SLOW_MS, QUICK_MS = 350, 5
"""Time that passes before each query and before each other step: a window opens while somebody
waits for a lock, and permits that are written down are committed in time.
"""


def uses(played: Played, committed: dict[int, int], start_ms: int) -> Iterator[tuple[int, int]]:
    """Between when and when each permit can be used: its commit and its ``send_by``."""
    for who, said in enumerate(played.results):
        for attempt in said:
            if isinstance(attempt, Attempt):
                send_by = start_ms + int(attempt.send_by * 1000)
                if committed[who] <= send_by:  # else it is void
                    yield committed[who], send_by


def closest(stage, case: Plan) -> list[int]:
    """Of each schedule: how near to each other the provider may see two calls, at worst."""
    scene = build(stage.new_world(), case)
    stage.save()
    operations = [op.intent("a"), op.intent("b")]
    bodies = [lambda each=each: each.run(scene) for each in operations]
    start_ms = scene.world.now - stage.clock.passed() // 1_000_000
    found: list[int] = []

    def play(pick):
        stage.restore()
        committed: dict[int, int] = {}

        def later(steps):
            who = pick(steps)
            slow = not steps[who].writes
            stage.clock.advance((SLOW_MS if slow else QUICK_MS) / 1000)
            if steps[who].ends and who not in committed:
                committed[who] = scene.world.now
            return who

        played = stage.director.play(later, bodies)
        calls = sorted(uses(played, committed, start_ms))
        found.extend(after[0] - before[1] for before, after in itertools.pairwise(calls))
        return played

    for played in schedules(play, reduce=False):
        assert played.errors == [None, None]
        assert played.undone == []
    return found


def test_the_provider_never_sees_two_calls_of_one_permit_in_a_window(stage):
    """In every interleaving: no step is independent of another while the clock goes on."""
    found = closest(stage, Plan([RESERVED] * 2))
    assert found, "in some schedules the window opens for the second one"
    assert min(found) >= PACING.tenant.window_ms


def test_a_permit_that_is_stamped_before_the_locks_is_seen_too_early(stage, monkeypatch):
    """The planted bug that the moving clock is for."""
    began: dict[int, int] = {}
    real = intents._Passage.of_sending_campaigns

    def of_sending_campaigns(passage, wishes):
        left = real(passage, wishes)
        began[threading.get_ident()] = database.now(passage.connection)
        return left

    monkeypatch.setattr(intents._Passage, "of_sending_campaigns", of_sending_campaigns)
    monkeypatch.setattr(intents, "now", lambda _: began[threading.get_ident()])
    monkeypatch.setattr(intents, "read_at", lambda *_: began[threading.get_ident()])
    assert min(closest(stage, Plan([RESERVED] * 2))) < PACING.tenant.window_ms
