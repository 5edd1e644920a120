"""The providers of a run, as they are seen from outside: they take calls, send texts, know what
they have taken, and post receipts. What they have seen is the judge's evidence.

They speak Mitto's wire (https://docs.mitto.ch), with references and look-ups beside it, as
``providers.simulated`` does.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from http import HTTPStatus
from random import Random
from typing import Any
from urllib.parse import parse_qs, urlsplit

from paceline.providers.lines import HttpAnswer
from paceline.simulation.scenario import VISIBLE_WITHIN_MS, AccountPlan, Rates

_OK = {"Content-Type": "application/json"}
_FINAL = ("Delivered", "Delivered", "Delivered", "Delivered", "Failure", "Expired")


class Said(StrEnum):
    """What a provider's answer proves about a message, once it has arrived."""

    NOTHING = "nothing"
    """No answer has arrived whole."""
    YES = "yes"
    NO = "no"
    ERROR = "error"
    """A 5xx, which proves nothing by itself."""


@dataclass(slots=True)
class Sighting:
    """One message in one call that has reached a provider."""

    account: str
    number: str
    text: str
    reference: str | None
    arrived_ms: float
    accepted: bool = False
    said: Said = Said.NOTHING
    """By the answer that arrived at the caller."""
    says: Said = Said.NOTHING
    """By the answer that is on its way."""
    unknown_told: bool = False
    """A look-up has said, and its answer has arrived, that the reference is not known."""
    resent: bool = False
    """An operator has asked for a resend since."""


@dataclass(slots=True)
class Text:
    """One SMS that a provider has taken."""

    id: str
    number: str
    text: str
    reference: str | None
    accepted_ms: float
    visible_ms: float
    """From when on a look-up knows it."""
    final: str = ""
    """What its last receipt says."""


@dataclass(slots=True)
class Answering:
    """An answer, and what it is about."""

    answer: HttpAnswer
    sightings: list[Sighting] = field(default_factory=list)
    unknown: list[Sighting] = field(default_factory=list)
    """Those of which a look-up says that they are not known."""

    def arrived(self) -> None:
        """The caller has it, whole."""
        for each in self.sightings:
            each.said = each.says
        for each in self.unknown:
            each.unknown_told = True


class ProviderModel:
    """One traffic account's provider.

    Args:
        plan: what it can do.
        dice: its moods.
        rates: how often it has them.
        now_ms: virtual time.
    """

    def __init__(
        self, plan: AccountPlan, dice: Random, rates: Rates, now_ms: Callable[[], float]
    ) -> None:
        self.plan = plan
        self._dice = dice
        self.rates = rates
        self._now_ms = now_ms
        self.sightings: list[Sighting] = []
        self.texts: list[Text] = []
        self._by_reference: dict[str, Text] = {}
        self.broken: str | None = None
        """While an outage lasts: ``refuse``, ``hang`` or ``503``."""
        self.accepted: Callable[[Text], None] = lambda _text: None
        """Told of each text; posts its receipts."""

    def receive(self, request: bytes) -> Answering:
        """Take one request that has arrived; whether its answer arrives is another matter."""
        head, _, body = request.partition(b"\r\n\r\n")
        method, target, _ = head.split(b"\r\n", 1)[0].decode("ascii").split(" ")
        if method == "GET":
            return self._looked_up(target)
        return self._submitted(json.loads(body)["messages"])

    def submits(self, request: bytes) -> bool:
        """Whether a request is a submission, which counts against the limits."""
        return request.startswith(b"POST")

    # --- Submissions ----------------------------------------------------------------------------

    def _submitted(self, messages: list[dict[str, Any]]) -> Answering:
        seen = [
            Sighting(
                self.plan.name,
                each["destination"],
                each["sms"]["text"],
                each.get("reference"),
                self._now_ms(),
            )
            for each in messages
        ]
        self.sightings += seen
        return Answering(self._verdict(seen), seen)

    def _verdict(self, seen: list[Sighting]) -> HttpAnswer:
        if self.broken == "503":
            return _say(seen, Said.ERROR, HTTPStatus.SERVICE_UNAVAILABLE)
        if (refusal := self._refusal(seen)) is not None:
            return refusal
        if self._happens(self.rates.server_error):
            if self._dice.random() < 0.5:
                self._accept_all(seen)
            return _say(seen, Said.ERROR, HTTPStatus.INTERNAL_SERVER_ERROR)
        return self._answered(seen)

    def _refusal(self, seen: list[Sighting]) -> HttpAnswer | None:
        """Why nothing of a call is taken, if so."""
        if len(seen) > self.plan.too_many:
            return _say(seen, Said.NO, HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        if self._happens(self.rates.throttled):
            wait = {"Retry-After": "1"} if self._dice.random() < 0.5 else {}
            return _say(seen, Said.NO, HTTPStatus.TOO_MANY_REQUESTS, **wait)
        if self._happens(self.rates.refused):
            return _say(seen, Said.NO, HTTPStatus.UNAUTHORIZED)
        if any(self._is_poison(each) for each in seen):
            return _say(seen, Said.NO, HTTPStatus.BAD_REQUEST)
        return None

    def _answered(self, seen: list[Sighting]) -> HttpAnswer:
        entries: list[dict[str, Any]] = []
        for each in seen:
            if self._is_new(each) and self._happens(self.rates.message_rejected):
                passing = self._dice.random() < 0.5
                error = {"code": "busy" if passing else "blocked", "retryable": passing}
                entries.append({"error": error})
                each.says = Said.NO
            else:
                entries.append({"messageId": self._accept(each).id})
                each.says = Said.YES
        document = {"bulkId": f"bulk-{len(self.sightings)}", "messages": entries}
        return HttpAnswer(HTTPStatus.OK, _OK, json.dumps(document).encode())

    def _is_poison(self, seen: Sighting) -> bool:
        """Some numbers have every call with them rejected whole; the same ones at every try."""
        share = Random(f"{self.plan.name}/{seen.number}").random()
        return share < self.rates.number_poisons_call

    def _accept_all(self, seen: list[Sighting]) -> None:
        for each in seen:
            self._accept(each)

    def _is_new(self, seen: Sighting) -> bool:
        return not (self.plan.deduplicates and seen.reference in self._by_reference)

    def _accept(self, seen: Sighting) -> Text:
        seen.accepted = True
        if not self._is_new(seen):
            assert seen.reference is not None  # noqa: S101 - or it would be new
            return self._by_reference[seen.reference]
        now_ms = self._now_ms()
        text = Text(
            f"{self.plan.name}-{len(self.texts) + 1}",
            seen.number,
            seen.text,
            seen.reference,
            now_ms,
            now_ms + self._dice.uniform(0, VISIBLE_WITHIN_MS),
            final=self._dice.choice(_FINAL),
        )
        self.texts.append(text)
        if seen.reference is not None:
            self._by_reference.setdefault(seen.reference, text)
        self.accepted(text)
        return text

    # --- Look-ups -------------------------------------------------------------------------------

    def _looked_up(self, target: str) -> Answering:
        reference = parse_qs(urlsplit(target).query)["reference"][0]
        if self.broken == "503" or self._happens(self.rates.server_error):
            return Answering(_plain(HTTPStatus.SERVICE_UNAVAILABLE))
        text = self._by_reference.get(reference)
        if text is None or text.visible_ms > self._now_ms():
            unknown = [each for each in self.sightings if each.reference == reference]
            body = json.dumps({"error": {"code": "UNKNOWN_MESSAGE"}}).encode()
            return Answering(HttpAnswer(HTTPStatus.NOT_FOUND, _OK, body), unknown=unknown)
        status = {"messageId": text.id, "deliveryStatus": "Sent", "reference": reference}
        return Answering(HttpAnswer(HTTPStatus.OK, _OK, json.dumps(status).encode()))

    def _happens(self, share: float) -> bool:
        return share > 0 and self._dice.random() < share


def receipt(text: Text, status: str, *, echo: bool) -> bytes:
    """The body of a receipt."""
    document = {"messageId": text.id, "deliveryStatus": status}
    if echo and text.reference is not None:
        document["reference"] = text.reference
    return json.dumps(document).encode()


def _say(seen: list[Sighting], said: Said, status: HTTPStatus, **headers: str) -> HttpAnswer:
    for each in seen:
        each.says = said
    wanted = {name.replace("_", "-"): value for name, value in headers.items()}
    return _plain(status, **wanted)


def _plain(status: HTTPStatus, **headers: str) -> HttpAnswer:
    body = json.dumps({"error": {"code": status.phrase}}).encode()
    return HttpAnswer(status, _OK | headers, body)
