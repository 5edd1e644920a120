"""The provider's side of the truth: every call that came in and every message accepted.

Columns instead of objects, and the texts of one call packed into one byte string, so that a
million acceptances stay far below 400 MB.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from itertools import islice
from typing import TYPE_CHECKING

import msgspec

from paceline.simulator.moments import wall_ms

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from paceline.simulator.seeded import Identifiers
    from paceline.simulator.wire import Message, Submission

NO_ANSWER = 0
"""The status of a call whose connection was closed instead of answered."""

_Packed = tuple[list[str], list[str], list[str | None]]
_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(_Packed).decode
_unpack_missed = msgspec.msgpack.Decoder(list[str]).decode


class Call(msgspec.Struct, gc=False):
    """One submission that reached the provider, whatever it was answered.

    `account` and `sender` are empty when the request could not be read, `status` is null when the
    connection was closed instead of answered. `received_ns` is monotonic. `fault` is the one that
    was drawn, scripted or an outage ("status": with a status of its own), or "ok".
    """

    number: int
    received_ns: int
    account: str
    sender: str
    count: int
    accepted: int
    status: int | None
    fault: str


class Sighting(msgspec.Struct, gc=False):
    """One number in one call. `received_at` is `received_ns` in milliseconds since 1970.

    `accepted`: taken in this call; not when it was rejected, or was known from before by its
    reference.
    """

    call: int
    received_ns: int
    received_at: int
    destination: str
    accepted: bool


class Acceptance(msgspec.Struct, gc=False):
    """One message the provider has accepted; `bulk_id` is null for a single call."""

    number: int
    received_ns: int
    account: str
    sender: str
    destination: str
    text: str
    reference: str | None
    message_id: str
    bulk_id: str | None


class Log:
    """Calls and acceptances, both numbered from 1 and never renumbered, not even by a clear."""

    def __init__(self, identifiers: Identifiers, *, calls_before: int = 0, before: int = 0) -> None:
        self._identifiers = identifiers
        self._calls_before = calls_before
        self._before = before
        self.received = array("q")
        self.accounts = array("I")
        self.senders = array("I")
        self.statuses = array("H")
        self.faults = array("I")
        self._counts = array("I")
        self._bulk = array("B")
        self._firsts = array("q")
        self._packed: list[bytes] = []
        self._packed_missed: list[bytes] = []
        self._total = 0
        self.names = [""]
        self._name_ids = {"": 0}
        # 64-bit hashes: a million pairs collide with a probability of 3 in 100 million.
        self._pairs: set[int] = set()
        self._reference_index: dict[int, int] = {}
        self._indexed = 0
        self._last_unpacked: tuple[int, _Packed] = (-1, ([], [], []))

    def cleared(self) -> Log:
        """An empty log whose numbers, and so whose ids, go on where this one's end."""
        return Log(
            self._identifiers,
            calls_before=self._calls_before + self.calls,
            before=self._before + self._total,
        )

    @property
    def calls(self) -> int:
        return len(self.received)

    @property
    def accepted(self) -> int:
        return self._total

    @property
    def distinct(self) -> int:
        """How many different (destination, text) pairs were accepted."""
        return len(self._pairs)

    @property
    def next_call(self) -> int:
        return self._calls_before + self.calls + 1

    @property
    def next_acceptance(self) -> int:
        return self._before + self._total + 1

    def add(
        self,
        received_ns: int,
        submission: Submission | None,
        status: int,
        accepted: Sequence[Message] = (),
        *,
        fault: str = "ok",
        bulk: bool = False,
    ) -> int:
        """Log one call with those of its messages that were accepted, in their order; returns its
        position in this log.
        """
        self._firsts.append(self.next_acceptance)
        self.received.append(received_ns)
        self.statuses.append(status)
        self.faults.append(self._name_id(fault))
        self._bulk.append(bulk)
        self.accounts.append(self._name_id(submission.account if submission else ""))
        self.senders.append(self._name_id(submission.sender if submission else ""))
        self._counts.append(len(submission.messages) if submission else 0)
        self._packed.append(self._packed_texts(accepted) if accepted else b"")
        self._packed_missed.append(_packed_missed(submission, accepted))
        self._total += len(accepted)
        return self.calls - 1

    def acceptances_of(self, position: int) -> list[Acceptance]:
        """What the call at `position` got accepted, in its order."""
        if not self._packed[position]:
            return []
        number = self._calls_before + position + 1
        bulk_id = self._identifiers.bulk(number) if self._bulk[position] else None
        received_ns = self.received[position]
        account = self.names[self.accounts[position]]
        sender = self.names[self.senders[position]]
        return [
            Acceptance(
                number=number,
                received_ns=received_ns,
                account=account,
                sender=sender,
                destination=destination,
                text=text,
                reference=reference,
                message_id=self._identifiers.message(number),
                bulk_id=bulk_id,
            )
            for number, (destination, text, reference) in enumerate(
                zip(*self._unpacked(position), strict=True), self._firsts[position]
            )
        ]

    def acceptances(self, *, after: int = 0, limit: int | None = None) -> Iterator[Acceptance]:
        """Acceptances in order, of those with a number above `after` at most `limit`."""
        start = max(bisect_right(self._firsts, after + 1) - 1, 0)
        every = (
            acceptance
            for position in range(start, self.calls)
            for acceptance in self.acceptances_of(position)
            if acceptance.number > after
        )
        return islice(every, limit)

    def call_records(self, *, after: int = 0, limit: int | None = None) -> Iterator[Call]:
        """Calls in order, of those with a number above `after` at most `limit`."""
        start = max(after - self._calls_before, 0)
        return islice((self.call_at(position) for position in range(start, self.calls)), limit)

    def find(self, number: int) -> Acceptance | None:
        """The acceptance with this number."""
        nearest = next(self.acceptances(after=number - 1, limit=1), None)
        return nearest if nearest is not None and nearest.number == number else None

    def find_reference(self, reference: str) -> Acceptance | None:
        """The first acceptance under this reference, in the latest call that has one."""
        number = self.number_of_reference(reference)
        return None if number is None else self.find(number)

    def number_of_reference(self, reference: str) -> int | None:
        self._index_references()
        position = self._reference_index.get(hash(reference))
        if position is None:
            return None
        references = self._unpacked(position)[2]
        if reference not in references:  # another reference with the same hash
            return None
        return self._firsts[position] + references.index(reference)

    def _index_references(self) -> None:
        """Catch up: only who asks for references pays memory and time for their index."""
        for position in range(self._indexed, self.calls):
            if self._packed[position]:
                references = filter(None, self._unpacked(position)[2])
                self._reference_index.update(dict.fromkeys(map(hash, references), position))
        self._indexed = self.calls

    def call_at(self, position: int) -> Call:
        following = position + 1
        end = self._firsts[following] if following < self.calls else self.next_acceptance
        return Call(
            number=self._calls_before + following,
            received_ns=self.received[position],
            account=self.names[self.accounts[position]],
            sender=self.names[self.senders[position]],
            count=self._counts[position],
            accepted=end - self._firsts[position],
            status=self.statuses[position] or None,
            fault=self.names[self.faults[position]],
        )

    def sightings(
        self, *, after: int = 0, limit: int | None = None, destination: str | None = None
    ) -> Iterator[Sighting]:
        """Which numbers were in the calls with a number above `after`: those accepted first, then
        the others; at most `limit` of them, of one destination only if it is given.
        """
        every = (
            sighting
            for position in range(max(after - self._calls_before, 0), self.calls)
            for sighting in self._sightings_in(position)
            if destination is None or sighting.destination == destination
        )
        return islice(every, limit)

    def _sightings_in(self, position: int) -> Iterator[Sighting]:
        taken = self._unpacked(position)[0] if self._packed[position] else []
        missed = self._packed_missed[position]
        for destination, accepted in (
            *((each, True) for each in taken),
            *((each, False) for each in (_unpack_missed(missed) if missed else [])),
        ):
            yield Sighting(
                call=self._calls_before + position + 1,
                received_ns=self.received[position],
                received_at=wall_ms(self.received[position]),
                destination=destination,
                accepted=accepted,
            )

    def _packed_texts(self, accepted: Sequence[Message]) -> bytes:
        destinations = [message.destination for message in accepted]
        texts = [message.sms.text for message in accepted]
        self._pairs.update(map(hash, zip(destinations, texts, strict=True)))
        return _pack((destinations, texts, [message.reference for message in accepted]))

    def _unpacked(self, position: int) -> _Packed:
        if self._last_unpacked[0] != position:
            self._last_unpacked = (position, _unpack(self._packed[position]))
        return self._last_unpacked[1]

    def _name_id(self, name: str) -> int:
        if name not in self._name_ids:
            self._name_ids[name] = len(self.names)
            self.names.append(name)
        return self._name_ids[name]


def _packed_missed(submission: Submission | None, accepted: Sequence[Message]) -> bytes:
    """The destinations of a call that were not accepted; mostly there are none."""
    if submission is None or len(accepted) == len(submission.messages):
        return b""
    taken = set(map(id, accepted))
    return _pack([each.destination for each in submission.messages if id(each) not in taken])
