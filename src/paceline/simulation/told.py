"""Transactions in a few words, for the trace: only those that did something."""

from __future__ import annotations

from typing import Any

from paceline.storage import intents
from paceline.storage.batches import ReservedBatch
from paceline.storage.conclusion import Recorded
from paceline.storage.outcomes import Result
from paceline.storage.receipts import Folded
from paceline.storage.turns import Reservation
from paceline.storage.wishes import Gone, Untimely, Wait, Wish


def told_of(function: Any, args: Any, result: Any) -> str:
    """What a committed transaction did; empty if it only looked."""
    name = getattr(function, "__qualname__", str(function)).rsplit(".", 1)[-1].strip("_")
    match result:
        case None | False | 0 | [] | Folded(taken=0) | Reservation(batches=[]):
            return ""
        case Reservation(batches=batches):
            what = f"reserves {', '.join(map(_batch, batches))}"
        case Folded():
            what = f"folds {result.taken} receipts, {result.matched} matched, {result.changed} new"
        case [Recorded(), *_]:
            what = f"{name}: {_results(args[0], result)}"
        case Recorded():
            what = f"{name}: {_recorded(result)}"
        case _ if function is intents.intend:
            what = f"asks for permits: {_intents(args[0], result)}"
        case _:
            what = f"{name}({', '.join(map(_short, args))})"
    return what


def _intents(wishes: list[Wish], intended: list[Any]) -> str:
    return ", ".join(
        f"{_batch(wish.batch)} {_intent(intent)}"
        for wish, intent in zip(wishes, intended, strict=True)
    )


def _results(results: list[Result], recorded: list[Recorded]) -> str:
    return ", ".join(
        f"{_batch(result.attempt.batch)} {result.outcome.kind} → {_recorded(each)}"
        for result, each in zip(results, recorded, strict=True)
    )


def _recorded(recorded: Recorded) -> str:
    verdict = type(recorded.verdict).__name__ if recorded.verdict else "evidence only"
    return f"{verdict} (sent {recorded.sent}, failed {recorded.failed})"


def _intent(intent: Any) -> str:
    match intent:
        case Wait():
            return f"has to wait {intent.for_ms} ms"
        case Untimely():
            return f"waits for {intent.waits_for} until {intent.until}"
        case Gone():
            return f"is gone: {intent.why}"
    return type(intent).__name__


def _batch(batch: ReservedBatch) -> str:
    return f"batch {batch.id}#{batch.fence}"


def _short(argument: Any) -> str:
    if isinstance(argument, ReservedBatch):
        return _batch(argument)
    text = str(argument)
    return text if len(text) <= _LONGEST else type(argument).__name__


_LONGEST = 40
