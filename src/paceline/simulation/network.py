"""The network of a run: connections that die, requests that are stuck, answers that are lost.

It stands where TCP stands (``providers.lines``); everything above it is the product's own. What has
been written may still arrive when its writer is dead: bytes on the way know nothing of that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from http import HTTPStatus
from random import Random
from typing import Protocol

from yarl import URL

from paceline.providers.lines import KEEP_ALIVE_S, HttpAnswer
from paceline.simulation.loop import Process
from paceline.simulation.provider import Answering, ProviderModel
from paceline.simulation.scenario import MARGIN_MS, PROVIDER_TIMEOUT_MS, STUCK_FOR_MS, Rates

_SHORTEST_WAY_MS = 4.0
_DELAY_VARIES_MS = MARGIN_MS / 2 - 2
"""Less than half of the margin: more is not promised."""
_LONGEST_ANSWER_MS = 250.0
LONGEST_CALL_MS = _SHORTEST_WAY_MS + _DELAY_VARIES_MS + _LONGEST_ANSWER_MS
"""From the first byte to the answer, unless something is amiss."""


class Witness(Protocol):
    """Who sees what passes through the network."""

    def note(self, who: object, what: str) -> None:
        """Something for the trace."""

    def written(self, process: Process, account: str, request: bytes) -> None:
        """A submission's bytes have been written."""

    def arrived(self, account: str, answering: Answering, *, stuck: bool) -> None:
        """A submission has reached its provider."""


class Internet:
    """All providers, by host, and the lines between them and us."""

    def __init__(
        self, models: dict[str, ProviderModel], dice: Random, rates: Rates, witness: Witness
    ) -> None:
        self.models = models
        self.dice = dice
        self.rates = rates
        self.witness = witness

    def happens(self, share: float) -> bool:
        return share > 0 and self.dice.random() < share


class ProcessNetwork:
    """The network as one process sees it (``providers.lines.Network``)."""

    def __init__(
        self, internet: Internet, process: Process, monotonic: Callable[[], float]
    ) -> None:
        self.internet = internet
        self.process = process
        self._monotonic = monotonic

    def monotonic(self) -> float:
        return self._monotonic()

    def lines_to(self, url: URL, connect_timeout_s: float) -> SimulatedLines:
        assert url.host is not None  # noqa: S101 - checked by who asks
        return SimulatedLines(self, url.host, connect_timeout_s)


class SimulatedLines:
    """The connections of a process to one provider (``providers.lines.Lines``)."""

    def __init__(self, network: ProcessNetwork, host: str, connect_timeout_s: float) -> None:
        self.network = network
        self.model = network.internet.models[host]
        self._connect_timeout_s = connect_timeout_s
        self._idle: list[SimulatedLine] = []

    async def open(self) -> SimulatedLine:
        if self._idle:
            return self._idle.pop()
        internet = self.network.internet
        async with asyncio.timeout(self._connect_timeout_s):
            await asyncio.sleep(internet.dice.uniform(0.5, 8) / 1000)
            if self.model.broken == "hang":
                await asyncio.sleep(self._connect_timeout_s * 2)
        if self.model.broken == "refuse":
            raise ConnectionRefusedError("simulated")
        return SimulatedLine(self)

    def keep(self, line: SimulatedLine) -> None:
        self._idle.append(line)

    async def aclose(self) -> None:
        self._idle.clear()


class SimulatedLine:
    """One connection (``providers.lines.Line``)."""

    def __init__(self, lines: SimulatedLines) -> None:
        self._lines = lines
        self._internet = lines.network.internet
        self._process = lines.network.process
        self._last_use = self._process.loop.time()
        self._proven = False
        self._open = True
        self._answer: asyncio.Future[HttpAnswer] | None = None

    @property
    def died_unused(self) -> bool:
        return not self._proven and not self._expired()

    def _expired(self) -> bool:
        return self._process.loop.time() - self._last_use > KEEP_ALIVE_S

    async def is_usable(self) -> bool:
        if self._internet.happens(self._internet.rates.line_dies):
            self._open = False
        return self._open and not self._expired()

    def expect_answer(self) -> None:
        self._answer = self._process.loop.create_future()

    def write(self, request: bytes) -> None:
        assert self._answer is not None  # noqa: S101 - whoever writes expects an answer
        if not self._process.alive:
            return
        model, internet = self._lines.model, self._internet
        if model.submits(request):
            internet.witness.written(self._process, model.plan.name, request)
        self._process.loop.world.spawn(
            _carry(internet, model, request, self._answer, self._process)
        )

    async def read_answer(self) -> HttpAnswer:
        assert self._answer is not None  # noqa: S101
        answer = await self._answer
        self._last_use = self._process.loop.time()
        self._proven = True
        return answer

    def give_back(self) -> None:
        if self._open:
            self._lines.keep(self)

    def abort(self) -> None:
        self._open = False


async def _carry(
    internet: Internet,
    model: ProviderModel,
    request: bytes,
    answer: asyncio.Future[HttpAnswer],
    process: Process,
) -> None:
    """Bring a request to its provider, and the answer back."""
    dice, rates, witness = internet.dice, internet.rates, internet.witness
    if model.broken in {"refuse", "hang"} or internet.happens(rates.request_lost):
        witness.note("network", f"a request of {process} to {model.plan.name} is lost")
        await _lose(internet, answer, process)
        return
    stuck = internet.happens(rates.request_stuck)
    way_ms = _SHORTEST_WAY_MS + dice.uniform(0, _DELAY_VARIES_MS)
    if stuck:
        way_ms += dice.uniform(MARGIN_MS, STUCK_FOR_MS)
    await asyncio.sleep(way_ms / 1000)
    answering = model.receive(request)
    if model.submits(request):
        witness.arrived(model.plan.name, answering, stuck=stuck)
    if internet.happens(rates.answer_lost):
        witness.note("network", f"an answer of {model.plan.name} to {process} is lost")
        await _lose(internet, answer, process)
        return
    slow = internet.happens(rates.answer_slow)
    await asyncio.sleep(
        dice.uniform(1, 2 * PROVIDER_TIMEOUT_MS if slow else _LONGEST_ANSWER_MS) / 1000
    )
    if answer.done() or not process.alive:
        return
    whole = answering.answer
    if whole.status == HTTPStatus.OK and internet.happens(rates.answer_garbled):
        witness.note("network", f"an answer of {model.plan.name} to {process} is garbled")
        answer.set_result(replace(whole, body=whole.body[: len(whole.body) // 2]))
        return
    answering.arrived()
    answer.set_result(whole)


async def _lose(internet: Internet, answer: asyncio.Future[HttpAnswer], process: Process) -> None:
    """No answer comes; sometimes the caller is told so by a reset."""
    if internet.dice.random() < 0.5:
        await asyncio.sleep(internet.dice.uniform(1, _LONGEST_ANSWER_MS) / 1000)
        if not answer.done() and process.alive:
            answer.set_exception(ConnectionResetError("simulated"))
