"""The log in a few figures: what was accepted, how often, and how close together calls came."""

from __future__ import annotations

from array import array
from collections import Counter
from typing import TYPE_CHECKING

import msgspec

from paceline.simulator.log import NO_ANSWER
from paceline.simulator.window import NS_PER_MS, busiest_window

if TYPE_CHECKING:
    from collections.abc import Iterator

    from paceline.simulator.log import Acceptance, Log


class Traffic(msgspec.Struct):
    """`max_in_window` counts submissions, whatever they were answered."""

    calls: int
    max_in_window: int


class AccountTraffic(Traffic):
    senders: dict[str, Traffic]


class Summary(msgspec.Struct):
    """`senders` spans the accounts: a tenant's limit does, and tests give each tenant a sender.

    A duplicate is a text that the destination got before. Calls that could not be read belong to no
    account and no sender; they are in `calls`, `calls_by_status` ("dropped": the connection was
    closed instead of answered) and `calls_by_fault`.
    """

    accepted: int
    distinct: int
    duplicates: int
    calls: int
    calls_by_status: dict[str, int]
    calls_by_fault: dict[str, int]
    accounts: dict[str, AccountTraffic]
    senders: dict[str, Traffic]
    max_in_window: int
    window_ms: int


class Duplicate(msgspec.Struct):
    """A text that one destination got more than once, with the ids of all of them in order."""

    destination: str
    text: str
    message_ids: list[str]
    references: list[str | None]


def duplicates(log: Log) -> Iterator[Duplicate]:
    """What was accepted more than once; goes through the log twice, to remember little of it."""
    times = Counter(hash((each.destination, each.text)) for each in log.acceptances())
    repeated: dict[tuple[str, str], list[Acceptance]] = {}
    for each in log.acceptances():
        if times[hash((each.destination, each.text))] > 1:
            repeated.setdefault((each.destination, each.text), []).append(each)
    for (destination, text), accepted in repeated.items():
        yield Duplicate(
            destination,
            text,
            [each.message_id for each in accepted],
            [each.reference for each in accepted],
        )


def summarise(log: Log, window_ms: int) -> Summary:
    """Count the whole log, with sliding windows of `window_ms`."""
    by_pair: dict[tuple[int, int], array[int]] = {}
    by_account: dict[int, array[int]] = {}
    by_sender: dict[int, array[int]] = {}
    for received, account, sender in zip(log.received, log.accounts, log.senders, strict=True):
        if account:
            by_pair.setdefault((account, sender), array("q")).append(received)
            by_account.setdefault(account, array("q")).append(received)
            by_sender.setdefault(sender, array("q")).append(received)

    def traffic(times: array[int]) -> Traffic:
        return Traffic(len(times), busiest_window(times, window_ms * NS_PER_MS))

    accounts = {
        log.names[account]: AccountTraffic(
            **msgspec.structs.asdict(traffic(times)),
            senders={
                log.names[sender]: traffic(pair_times)
                for (of, sender), pair_times in by_pair.items()
                if of == account
            },
        )
        for account, times in by_account.items()
    }
    return Summary(
        accepted=log.accepted,
        distinct=log.distinct,
        duplicates=log.accepted - log.distinct,
        calls=log.calls,
        calls_by_status={
            "dropped" if status == NO_ANSWER else str(status): count
            for status, count in sorted(Counter(log.statuses).items())
        },
        calls_by_fault={
            log.names[fault]: count for fault, count in sorted(Counter(log.faults).items())
        },
        accounts=accounts,
        senders={log.names[sender]: traffic(times) for sender, times in by_sender.items()},
        max_in_window=max((account.max_in_window for account in accounts.values()), default=0),
        window_ms=window_ms,
    )
