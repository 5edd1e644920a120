"""Everything that looks random in the simulator is a pure function of its seed.

A draw depends on the seed, its purpose and its subject (a call's or a message's number, a
destination), never on earlier draws. So switching one fault on leaves every other draw as it was.
"""

from __future__ import annotations

from hashlib import blake2b

_COUNTER_DIGITS = 12


class Dice:
    def __init__(self, seed: int) -> None:
        self._seed = str(seed)

    def roll(self, purpose: str, subject: int | str) -> float:
        """A number in [0, 1) with 53 random bits, always the same for the same arguments."""
        text = f"{self._seed}/{purpose}/{subject}".encode()
        return (int.from_bytes(blake2b(text, digest_size=8).digest(), "big") >> 11) / 2**53


class Identifiers:
    """Ids shaped like UUIDs: a head that depends on the seed, then a counter in hexadecimal.

    So ids need no memory: a message's id tells its place in the log.
    """

    def __init__(self, seed: int) -> None:
        self._message_head = _head(seed, "message")
        self._bulk_head = _head(seed, "bulk")
        self._reply_head = _head(seed, "reply")

    def message(self, number: int) -> str:
        return f"{self._message_head}{number:012x}"

    def bulk(self, number: int) -> str:
        return f"{self._bulk_head}{number:012x}"

    def reply(self, number: int) -> str:
        return f"{self._reply_head}{number:012x}"

    def message_number(self, message_id: str) -> int | None:
        """The number behind one of our message ids; None if the id is not one of ours."""
        counter = message_id.removeprefix(self._message_head)
        if len(counter) != _COUNTER_DIGITS:
            return None
        try:
            number = int(counter, 16)
        except ValueError:
            return None
        return number if self.message(number) == message_id else None


def _head(seed: int, purpose: str) -> str:
    digits = blake2b(f"{seed}/{purpose}".encode(), digest_size=10).hexdigest()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-"
