"""The exact sliding window: how many submissions a limit still permits, and when the next one.

A grant made at `t` counts until `t + span`; at exactly `t + span` it no longer does. Times are
integers, milliseconds since 1970, and always an argument. A window is a value: granting returns
a new one, which the caller stores in the transaction that spends the permits.

Why not GCRA or a token bucket: with a burst equal to the limit both let through twice the limit
in one window, and a provider counts windows.

**Size.** Up to `MAX_EXACT` permits every grant is kept at its own time. Beyond that time is cut
into a fixed grid of `MAX_EXACT` cells per span, and a grant in the same cell as the one before
it joins that one, at the *later* of the two times. So a count only ever moves to a later time,
which is safe, and by less than a cell, which costs at most 1/256 of the limit. (Joining nearest
neighbours instead would let the newest two join for ever: one clump that never grows old.)

**Changes at run time.** `max` may change in any direction between two calls: below what is in
the window nothing is free until enough has left it. A *longer* span knows only the grants that
the shorter one had kept: it is exact from one span after the change.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import accumulate
from typing import ClassVar, Literal, TypeAlias

MAX_EXACT = 256
"""The largest limit whose grants are all kept at their own time; cells per span beyond it."""


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `max` permits in any `window_ms`, widened by `margin_ms` for network delay."""

    max: int
    window_ms: int
    margin_ms: int

    def __post_init__(self) -> None:
        if self.max < 1 or self.window_ms < 1 or self.margin_ms < 0:
            raise ValueError(f"a limit permits something in some time: {self}")

    @property
    def span_ms(self) -> int:
        """How long a grant counts."""
        return self.window_ms + self.margin_ms


@dataclass(frozen=True, slots=True)
class Window:
    """What was granted, as `(time_ms, permits)`, oldest first; nobody but this module makes one."""

    grants: tuple[tuple[int, int], ...] = ()

    EMPTY: ClassVar[Window]

    @classmethod
    def decode(cls, text: str) -> Window:
        """Read what `encode` wrote; "" is an empty window too.

        Raises:
            ValueError: the text is anything else, since a limit fails closed.

        """
        if not text:
            return cls.EMPTY
        flat = json.loads(text)
        return cls(tuple(zip(accumulate(flat[::2]), flat[1::2], strict=True)))

    def encode(self) -> str:
        """Write a JSON list of integers: the step in time from the grant before, its permits, …"""
        flat = []
        previous = 0
        for time, permits in self.grants:
            flat += [time - previous, permits]
            previous = time
        return json.dumps(flat, separators=(",", ":"))


Window.EMPTY = Window()

Usage: TypeAlias = tuple[Window, Limit]
"""What a tenant or a traffic account has used, and what it may."""


@dataclass(frozen=True, slots=True)
class Granted:
    """`permits` of those wanted, at least one; both windows, with them in, are to be stored."""

    permits: int
    tenant: Window
    account: Window


@dataclass(frozen=True, slots=True)
class Denied:
    """No permit before `open_at`, which the window of `held_by` decides (the later of the two).

    `tenant` and `account` are the very windows that were given, unless the clock was set back:
    then they are the restamped ones and have to be stored, or the wait starts anew at each try.
    """

    open_at: int
    held_by: Literal["tenant", "account"]
    tenant_remaining: int
    account_remaining: int
    tenant: Window
    account: Window


def take(tenant: Usage, account: Usage, wanted: int, now: int) -> Granted | Denied:
    """Grant up to `wanted` (at least 1) permits from both windows, or leave both as they are."""
    tenant_window, account_window = restamped(tenant[0], now), restamped(account[0], now)
    tenant_limit, account_limit = tenant[1], account[1]
    tenant_free = free(tenant_window, tenant_limit, now)
    account_free = free(account_window, account_limit, now)
    permits = min(wanted, tenant_free, account_free)
    if permits > 0:
        return Granted(
            permits,
            tenant=grant(tenant_window, tenant_limit, permits, now),
            account=grant(account_window, account_limit, permits, now),
        )
    tenant_opens = open_at(tenant_window, tenant_limit, now)
    account_opens = open_at(account_window, account_limit, now)
    return Denied(
        open_at=max(tenant_opens, account_opens),
        held_by="tenant" if tenant_opens >= account_opens else "account",
        tenant_remaining=tenant_free,
        account_remaining=account_free,
        tenant=tenant_window,
        account=account_window,
    )


def free(window: Window, limit: Limit, now: int) -> int:
    """How many permits could be granted now; 0 when `max` was lowered below what is used."""
    expired = now - limit.span_ms
    return max(0, limit.max - sum([permits for time, permits in window.grants if time > expired]))


def open_at(window: Window, limit: Limit, now: int) -> int:
    """`now` if a permit is free, else the first time at which one will be."""
    excess = sum([permits for _, permits in window.grants]) - limit.max
    opens = now
    for time, permits in restamped(window, now).grants:
        if excess < 0:
            break
        excess -= permits
        opens = time + limit.span_ms
    return max(now, opens)


def grant(window: Window, limit: Limit, permits: int, now: int) -> Window:
    """Return the window with `permits` (no more than are free) in and what has expired out."""
    expired = now - limit.span_ms
    grants = [entry for entry in restamped(window, now).grants if entry[0] > expired]
    if grants and _shares_entry(grants[-1][0], now, limit):
        permits += grants.pop()[1]
    grants.append((now, permits))
    return Window(tuple(grants))


def restamped(window: Window, now: int) -> Window:
    """Stamp grants from the future `now`: the clock was set back, and they lie in the past.

    That is later than they were made, so they count longer than they need, never shorter.
    """
    if not window.grants or window.grants[-1][0] <= now:
        return window
    past = tuple(entry for entry in window.grants if entry[0] <= now)
    return Window((*past, (now, sum(permits for time, permits in window.grants if time > now))))


def just_used(window: Window, now: int) -> Window:
    """Count every recorded grant as made now.

    After a restart on SQLite nobody knows how far the clock has moved in between.
    """
    if not window.grants:
        return window
    return Window(((now, sum(permits for _, permits in window.grants)),))


def _shares_entry(earlier: int, now: int, limit: Limit) -> bool:
    """Whether a grant made `now` may join one made `earlier`: same time, or same cell."""
    if earlier == now or limit.max <= MAX_EXACT:
        return earlier == now
    return earlier * MAX_EXACT // limit.span_ms == now * MAX_EXACT // limit.span_ms
