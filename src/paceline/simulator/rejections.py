"""Which calls and which messages the provider rejects, for good or only for this time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from paceline.simulator.wire import ErrorDetail, Refusal

if TYPE_CHECKING:
    from paceline.simulator.controls import Controls
    from paceline.simulator.seeded import Dice
    from paceline.simulator.wire import Submission

_LISTED = ErrorDetail("REJECTED_DESTINATION", "the destination is on the list of rejected ones")
_DRAWN = ErrorDetail("UNREACHABLE_DESTINATION", "no route to the destination")
_PASSING = ErrorDetail("TEMPORARILY_UNAVAILABLE", "try this message again", retryable=True)


class Rejections:
    """The rejections of one control document; `failures_left` is what no message has consumed yet
    of its `retry_destinations`.
    """

    def __init__(self, dice: Dice, controls: Controls) -> None:
        self._dice = dice
        self._controls = controls
        self.failures_left = dict(controls.retry_destinations)

    def check_whole(self, submission: Submission) -> None:
        """Let a call through that has nothing in it which spoils all of it.

        Raises:
            Refusal: 400, without a word about which message is at fault.
        """
        poison = self._controls.poison_destinations
        if submission.sender in self._controls.reject_senders or (
            poison and not poison.isdisjoint(m.destination for m in submission.messages)
        ):
            raise Refusal(400, "INVALID_REQUEST", "the request cannot be processed")

    def of(self, destination: str, call: int) -> ErrorDetail | None:
        """Why a message is not taken in this call, if it is not.

        A destination is rejected for good always or never, as a number out of reach is.
        """
        controls = self._controls
        if destination in controls.reject_destinations:
            return _LISTED
        if self._drawn(controls.reject_share, "reject", destination):
            return _DRAWN
        if self._fails_once_more(destination):
            return _PASSING
        passing = self._drawn(controls.retryable_share, "retryable", f"{call}/{destination}")
        return _PASSING if passing else None

    def _fails_once_more(self, destination: str) -> bool:
        left = self.failures_left.pop(destination, 0)
        if left > 1:
            self.failures_left[destination] = left - 1
        return left > 0

    def _drawn(self, share: float, purpose: str, subject: str) -> bool:
        return bool(share) and self._dice.roll(purpose, subject) < share
