"""What the provider decides about a call: refuse it, accept it, and what it answers.

No input or output and no waiting happens here, so a call is decided and logged in one step, at
one moment: when its request has been received whole.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import msgspec

from paceline.domain import parts
from paceline.simulator.controls import Controls, StatusFault, patch_controls, read_controls
from paceline.simulator.log import NO_ANSWER, Log
from paceline.simulator.moments import wall_time
from paceline.simulator.receipts import final_status
from paceline.simulator.rejections import Rejections
from paceline.simulator.seeded import Dice, Identifiers
from paceline.simulator.window import NS_PER_MS, StrictWindow
from paceline.simulator.wire import (
    BulkAnswer,
    Entry,
    ErrorAnswer,
    ErrorDetail,
    MessageStatus,
    Refusal,
    encode,
    read_submission,
)

if TYPE_CHECKING:
    from paceline.simulator.controls import Fault, Outage
    from paceline.simulator.log import Acceptance
    from paceline.simulator.wire import Message, Submission

_ACCEPTED = 200
_STATUS_AFTER_ACCEPTING: dict[Fault, int] = {
    "fail_after": 500,
    "drop_after": NO_ANSWER,
    "reset_after": NO_ANSWER,
}
_FAILED = ErrorAnswer(ErrorDetail("INTERNAL_ERROR", "the provider failed"))


class CallAnswer(msgspec.Struct):
    """What to send back, and when.

    `status` NO_ANSWER: close the connection instead, or reset it. `position` is the call's place in
    `log`, whose acceptances are due a receipt; None when nothing was accepted.
    """

    status: int
    body: bytes
    delay_s: float
    log: Log
    retry_after: int | None = None
    position: int | None = None
    reset: bool = False


class Intake:
    """The provider's state: its controls, its log, its limiter and what is left of the script."""

    def __init__(self, *, seed: int, controls: Controls) -> None:
        self.dice = Dice(seed)
        self.identifiers = Identifiers(seed)
        self.log = Log(self.identifiers)
        self._windows: dict[str, StrictWindow] = {}
        self._script: deque[Fault] = deque(controls.next)
        self._controls = controls
        self._rejections = Rejections(self.dice, controls)
        self._outage: Outage | None = None
        self._outage_until_ns = 0

    @property
    def controls(self) -> Controls:
        """The controls in force; what calls consume is as far as no call has consumed it yet."""
        return msgspec.structs.replace(
            self._controls,
            next=tuple(self._script),
            retry_destinations=dict(self._rejections.failures_left),
        )

    def set_controls(self, document: bytes) -> Controls:
        """Replace all controls.

        Raises:
            msgspec.DecodeError: the document is at fault; nothing has changed.
        """
        return self._install(read_controls(document))

    def patch_controls(self, document: bytes) -> Controls:
        """Change the controls that the document names.

        Raises:
            msgspec.DecodeError: the document is at fault; nothing has changed.
        """
        return self._install(patch_controls(self.controls, document))

    def _install(self, controls: Controls) -> Controls:
        if controls.limit != self._controls.limit:
            self._windows.clear()  # a new limit starts to count when it is set
        self._script = deque(controls.next)
        self._controls = controls
        self._rejections = Rejections(self.dice, controls)
        return controls

    def begin(self, outage: Outage, now_ns: int) -> None:
        """Be out of order from now on, in place of any outage that goes on."""
        self._outage = outage
        self._outage_until_ns = now_ns + int(outage.for_ms * NS_PER_MS)

    def clear_log(self) -> None:
        """Forget calls and acceptances; later ids are new ones all the same."""
        self.log = self.log.cleared()

    def submit(self, body: bytes, *, bulk: bool, key: str, now_ns: int) -> CallAnswer:
        """Decide one bulk or single call, received whole at `now_ns` (monotonic), and log it."""
        fault = self._next_fault(now_ns)
        delay_s = self._delay_s(fault)
        submission = None
        try:
            submission = read_submission(body, bulk=bulk)
            self.authorise(key)
            self._admit(submission, fault, now_ns)
        except Refusal as refusal:
            self.log.add(now_ns, submission, refusal.status, fault=_name(fault), bulk=bulk)
            answer = encode(ErrorAnswer(refusal.detail))
            return CallAnswer(
                refusal.status,
                answer,
                delay_s,
                self.log,
                retry_after=refusal.retry_after,
                reset=fault == "reset_before",
            )
        status = _STATUS_AFTER_ACCEPTING.get(fault, _ACCEPTED)
        entries, accepted = self._accept(submission.messages)
        answer = self._answer(entries, bulk=bulk, status=status, short=fault == "short_answer")
        position = self.log.add(now_ns, submission, status, accepted, fault=_name(fault), bulk=bulk)
        return CallAnswer(
            status,
            answer,
            delay_s,
            self.log,
            position=position if accepted else None,
            reset=fault == "reset_after",
        )

    def authorise(self, key: str) -> None:
        """Check an API key: any will do unless `api_keys` names some.

        Raises:
            Refusal: 401.
        """
        known = self._controls.api_keys
        if not key or (known and key not in known):
            raise Refusal(401, "UNAUTHORIZED", "X-Mitto-API-Key is missing or unknown")

    def check_working(self, now_ns: int) -> None:
        """Let a call through that submits nothing, unless there is an outage.

        Raises:
            Refusal: the outage's status; NO_ANSWER when the connection is to be reset.
        """
        outage = self._outage_at(now_ns)
        if outage is not None and outage.kind != "refuse":
            status = outage.status if outage.kind == "status" else NO_ANSWER
            raise Refusal(status, "OUTAGE", "the provider is out of order")

    def message_status(self, message_id: str, now_ns: int) -> MessageStatus:
        """Answer a status call.

        Raises:
            Refusal: 404 when no logged message has this id.
        """
        number = self.identifiers.message_number(message_id)
        acceptance = None if number is None else self.log.find(number)
        return self._status(acceptance, now_ns)

    def look_up(self, reference: str, now_ns: int) -> MessageStatus:
        """Answer a look-up by reference.

        Raises:
            Refusal: 404 when no logged message has this reference; 501 when `lookup` is off, so
                that "cannot tell" is never taken for "not accepted".
        """
        if not self._controls.lookup:
            raise Refusal(501, "NOT_SUPPORTED", "this provider has no look-up by reference")
        return self._status(self.log.find_reference(reference), now_ns)

    def _outage_at(self, now_ns: int) -> Outage | None:
        return self._outage if now_ns < self._outage_until_ns else None

    def _next_fault(self, now_ns: int) -> Fault:
        outage = self._outage_at(now_ns)
        if outage is not None and outage.kind == "status":
            return StatusFault(outage.status)
        if outage is not None and outage.kind == "reset":
            return "reset_after" if outage.accept else "reset_before"
        if self._script:
            return self._script.popleft()
        point = self.dice.roll("fault", self.log.next_call)
        for name, share in self._controls.fault_shares():
            if point < share:
                return name
            point -= share
        return "ok"

    def _delay_s(self, fault: Fault) -> float:
        controls = self._controls
        delay_ms = controls.latency_ms + (controls.slow_ms if fault == "slow" else 0)
        if controls.latency_jitter_ms:
            jitter = self.dice.roll("latency", self.log.next_call)
            delay_ms += jitter * controls.latency_jitter_ms
        return delay_ms / 1000

    def _admit(self, submission: Submission, fault: Fault, now_ns: int) -> None:
        """Let a call through to acceptance, or raise the Refusal it gets.

        The limit comes before the other faults: a call that fails afterwards has used its place.
        """
        count, most = len(submission.messages), self._controls.max_messages
        if fault == "unauthorized":
            raise Refusal(401, "UNAUTHORIZED", "scripted")
        if count > most:
            raise Refusal(413, "TOO_MANY_MESSAGES", f"{count} messages, at most {most} in a call")
        if fault == "throttle" or not self._within_limit(submission.account, now_ns):
            retry_after = self._controls.retry_after
            raise Refusal(429, "THROTTLED", "too many calls", retry_after=retry_after)
        if isinstance(fault, StatusFault):
            raise Refusal(fault.status, "SCRIPTED", "scripted")
        if fault == "fail_before":
            raise Refusal(500, "INTERNAL_ERROR", "the provider failed")
        if fault in {"drop_before", "reset_before"}:
            raise Refusal(NO_ANSWER, "DROPPED", "never sent")
        self._rejections.check_whole(submission)

    def _within_limit(self, account: str, now_ns: int) -> bool:
        limit = self._controls.limit
        if limit is None:
            return True
        window = self._windows.setdefault(account, StrictWindow())
        return window.admit(now_ns, most=limit.max, length=limit.window_ms * NS_PER_MS)

    def _accept(self, messages: list[Message]) -> tuple[list[Entry], list[Message]]:
        """The entry of each message, and those messages that are newly accepted."""
        entries: list[Entry] = []
        accepted: list[Message] = []
        first = self.log.next_acceptance
        numbers: dict[str, int] = {}
        for message in messages:
            account = message.traffic_account_id
            number = self._known(message.reference, numbers)
            if number is None:
                error = self._rejections.of(message.destination, self.log.next_call)
                if error is not None:
                    entries.append(Entry(account, error=error))
                    continue
                number = first + len(accepted)
                accepted.append(message)
                if message.reference is not None:
                    numbers[message.reference] = number
            entries.append(Entry(account, message_id=self.identifiers.message(number)))
        return entries, accepted

    def _known(self, reference: str | None, in_this_call: dict[str, int]) -> int | None:
        """The number under which a deduplicating provider has accepted this reference before."""
        if reference is None or not self._controls.deduplicate:
            return None
        if reference in in_this_call:
            return in_this_call[reference]
        return self.log.number_of_reference(reference)

    def _answer(self, entries: list[Entry], *, bulk: bool, status: int, short: bool) -> bytes:
        if status != _ACCEPTED:
            return encode(_FAILED)
        if short:
            entries.pop()
        if bulk:
            return encode(BulkAnswer(self.identifiers.bulk(self.log.next_call), entries))
        return encode(entries[0]) if entries else b"{}"

    def _status(self, acceptance: Acceptance | None, now_ns: int) -> MessageStatus:
        if acceptance is None:
            raise Refusal(404, "UNKNOWN_MESSAGE", "no such message")
        receipts = self._controls.receipts
        delay_ns = int(receipts.delay_ms * NS_PER_MS) if receipts else 0
        final_ns = acceptance.received_ns + delay_ns
        final = now_ns >= final_ns
        return MessageStatus(
            message_id=acceptance.message_id,
            traffic_account_id=acceptance.account,
            destination=acceptance.destination,
            text=acceptance.text,
            sender=acceptance.sender,
            reference=acceptance.reference,
            created_at=wall_time(acceptance.received_ns),
            updated_at=wall_time(final_ns if final else acceptance.received_ns),
            delivery_status=(
                final_status(self.dice, receipts, acceptance.number) if final else "Sent"
            ),
            message_parts=parts.count(acceptance.text).parts,
        )


def _name(fault: Fault) -> str:
    """What the log calls a fault."""
    return "status" if isinstance(fault, StatusFault) else fault
