"""For which reasons a message is worth sending again."""

from __future__ import annotations

from paceline.domain import again
from paceline.domain.message import Reason


def test_each_reason_is_for_sending_again_usually_or_if_asked_or_never() -> None:
    sorted_out = [*again.USUALLY, *again.IF_ASKED, Reason.OPTED_OUT]
    assert sorted(sorted_out) == sorted(Reason)
    assert (*again.USUALLY, *again.IF_ASKED) == again.ALLOWED
