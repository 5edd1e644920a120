"""The exact sliding window: how many submissions a limit still permits, and when the next one.

A grant stamped `t` counts until `t + span`; at exactly `t + span` it no longer does. Times are
integers, milliseconds since 1970, and always an argument. A window is a value: granting returns
a new one, which the caller stores in the transaction that spends the permits.

**Stamped ahead.** Whoever cannot use a permit at once has it stamped with the latest moment at
which it may be used, up to `LONGEST_LEAD_MS` ahead, and says afterwards when that was: `moved`
then counts it from there. What is said may come late, in any order, or never.

**The invariant.** For each permit that was given, a window counts one of its own, at or after
the moment of its use (while it is unused: the latest possible one), until that is a span ago. So
whenever the last of any `max` + 1 permits is asked for, all others count, or one of them was used
a whole span before; and no span of actual uses ever holds more than `max`. Counts move only to a
later time, which keeps the invariant, but for two functions:

- `moved` moves one back to its use. It may take another permit's place for its own, but only
  one that comes no later: the other permit is left its own place, which serves it as well.
- `restamped` moves some back when the clock was set back: no further than where they can be used
  at the latest on the new clock, as it says.

`moved` has to know that a permit is still in there. It is not if its stamp is at or before
`forgotten`: such grants have expired or were restamped, and on a clock that was set back others
may have their stamps by now. There nothing is moved. That costs some of the limit, for as long as
the clock was set back, and never breaks it.

Why not GCRA or a token bucket: with a burst equal to the limit both let through twice the limit
in one window, and a provider counts windows.

**Size.** Up to `MAX_EXACT` permits every grant is kept at its own time. Beyond that time is cut
into a fixed grid of `MAX_EXACT` cells per span, and a grant in the same cell as its neighbour
joins that one, at the *later* of the two times. So a count only ever moves to a later time,
which is safe, and by less than a cell, which costs at most 1/256 of the limit. (Joining nearest
neighbours instead would let the newest two join for ever: one clump that never grows old.) What
is stamped ahead has cells too, so a window holds up to twice as many entries.

**Changes at run time.** `max` may change in any direction between two calls: below what is in
the window nothing is free until enough has left it. A *longer* span knows only the grants that
the shorter one had kept: it is exact from one span after the change.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from operator import itemgetter
from typing import ClassVar, Literal, TypeAlias

MAX_EXACT = 256
"""The largest limit whose grants are all kept at their own time; cells per span beyond it."""
LONGEST_LEAD_MS = 250
"""A grant is stamped at most so much later than it is made."""


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
    """What was granted, as `(time_ms, permits)`, by time; nobody but this module makes one."""

    grants: tuple[tuple[int, int], ...] = ()
    forgotten: int = 0
    """Grants stamped up to here may have expired or been restamped; see `moved`."""

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
        entries = tuple(zip(accumulate(flat[::2]), flat[1::2], strict=True))
        if entries and entries[0][1] == 0:
            return cls(entries[1:], forgotten=entries[0][0])
        return cls(entries)

    def encode(self) -> str:
        """Write a JSON list of integers: the step in time from the grant before, its permits, …

        The time `forgotten` comes first, if there is one, as a grant of no permits.
        """
        flat = []
        previous = 0
        forgotten = ((self.forgotten, 0),) if self.forgotten else ()
        for time, permits in (*forgotten, *self.grants):
            flat += [time - previous, permits]
            previous = time
        return json.dumps(flat, separators=(",", ":"))


Window.EMPTY = Window()

Usage: TypeAlias = tuple[Window, Limit]
"""What a tenant, a traffic account or a campaign has used, and what it may."""
Whose: TypeAlias = Literal["tenant", "account", "campaign"]


@dataclass(frozen=True, slots=True)
class Granted:
    """`permits` of those wanted, at least one; all windows, with them in, are to be stored."""

    permits: int
    tenant: Window
    account: Window
    campaign: Window | None = None
    """None: it has no speed of its own."""


@dataclass(frozen=True, slots=True)
class Denied:
    """No permit before `open_at`, which the window of `held_by` decides (the one that opens last).

    The windows are the very ones that were given, unless the clock was set back: then they are
    the restamped ones and have to be stored, or the wait starts anew at each try.
    """

    open_at: int
    held_by: Whose
    tenant_remaining: int
    account_remaining: int
    tenant: Window
    account: Window
    campaign: Window | None = None


def take(
    tenant: Usage,
    account: Usage,
    wanted: int,
    now: int,
    lead: int = 0,
    campaign: Usage | None = None,
) -> Granted | Denied:
    """Grant up to `wanted` (at least 1) permits from all windows, or leave all as they are.

    The campaign's counts only if it has a speed of its own. They are stamped `now + lead`, the
    latest moment at which they may be used.

    Raises:
        ValueError: the lead is not one of 0 to `LONGEST_LEAD_MS`.

    """
    usages: dict[Whose, Usage] = {"tenant": tenant, "account": account}
    if campaign is not None:
        usages["campaign"] = campaign
    windows = {whose: restamped(window, now) for whose, (window, _) in usages.items()}
    left = {whose: free(windows[whose], limit, now) for whose, (_, limit) in usages.items()}
    permits = min(wanted, *left.values())
    if permits > 0:
        for whose, (_, limit) in usages.items():
            windows[whose] = grant(windows[whose], limit, permits, now, lead)
        return Granted(permits, windows["tenant"], windows["account"], windows.get("campaign"))
    opens = {whose: open_at(windows[whose], limit, now) for whose, (_, limit) in usages.items()}
    held_by = max(opens, key=lambda whose: opens[whose])  # of equals the first
    return Denied(
        open_at=opens[held_by],
        held_by=held_by,
        tenant_remaining=left["tenant"],
        account_remaining=left["account"],
        tenant=windows["tenant"],
        account=windows["account"],
        campaign=windows.get("campaign"),
    )


def free(window: Window, limit: Limit, now: int) -> int:
    """How many permits could be granted now; 0 when `max` was lowered below what is used."""
    expired = now - limit.span_ms
    return max(0, limit.max - sum([permits for time, permits in window.grants if time > expired]))


def open_at(window: Window, limit: Limit, now: int, permits: int = 1) -> int:
    """`now` if so many permits (at most `max`) are free, else the first time at which they are."""
    excess = sum([granted for _, granted in window.grants]) - limit.max + permits - 1
    opens = now
    for time, granted in restamped(window, now).grants:
        if excess < 0:
            break
        excess -= granted
        opens = time + limit.span_ms
    return max(now, opens)


def grant(window: Window, limit: Limit, permits: int, now: int, lead: int = 0) -> Window:
    """Return the window with `permits` (no more than are free) in and what has expired out.

    Raises:
        ValueError: the lead is not one of 0 to `LONGEST_LEAD_MS`.

    """
    if not 0 <= lead <= LONGEST_LEAD_MS:
        raise ValueError(f"a grant is stamped 0 to {LONGEST_LEAD_MS} ms ahead, not {lead}")
    unexpired = _without_expired(restamped(window, now), now - limit.span_ms)
    return _with(unexpired, limit, permits, now + lead)


def moved(window: Window, limit: Limit, stamped_at: int, used_at: int) -> Window:
    """Count one permit that was stamped `stamped_at` from `used_at` on, when its use began.

    To be told once of a permit at most: told again, it would move somebody else's. The window
    stays as it is if the use was no earlier than the stamp, or the permit is in there no longer.
    """
    if used_at >= stamped_at or stamped_at <= window.forgotten:
        return window
    grants = window.grants
    # Its own entry, or one before that, in whose stead its own is left to whomever that counts for.
    held = _first_from(grants, stamped_at)
    if held == len(grants) or not _shares_entry(stamped_at, grants[held][0], limit):
        return window
    time, permits = grants[held]
    left = ((time, permits - 1),) if permits > 1 else ()
    rest = replace(window, grants=(*grants[:held], *left, *grants[held + 1 :]))
    return _with(rest, limit, 1, used_at)


def restamped(window: Window, now: int) -> Window:
    """Stamp `now + LONGEST_LEAD_MS` what lies beyond it: the clock was set back.

    On the new clock as well those grants were made by now, and with no longer lead than that. So
    whichever permit is still unused, its latest moment comes before the new stamp, however far
    the clock was set back. A grant that lies ahead by less may be new, and is left as it is: if
    it is old, its moment comes sooner on the new clock, so it only counts longer than it needs.
    """
    latest = now + LONGEST_LEAD_MS
    if not window.grants or window.grants[-1][0] <= latest:
        return window
    beyond = _first_from(window.grants, latest)
    permits = sum(permits for _, permits in window.grants[beyond:])
    return Window(
        (*window.grants[:beyond], (latest, permits)),
        forgotten=max(window.forgotten, window.grants[-1][0]),
    )


def just_used(window: Window, now: int) -> Window:
    """Count every recorded grant as used now, also one that was stamped ahead.

    After a restart on SQLite nobody knows how far the clock has moved in between, and whoever
    could have used a permit or told of its use is gone.
    """
    if not window.grants:
        return window
    return Window(((now, sum(permits for _, permits in window.grants)),))


def _without_expired(window: Window, expired: int) -> Window:
    """Let go of the grants stamped up to `expired`."""
    first = _first_from(window.grants, expired + 1)
    if first == 0:
        return window
    forgotten = max(window.forgotten, window.grants[first - 1][0])
    return Window(window.grants[first:], forgotten)


def _with(window: Window, limit: Limit, permits: int, time: int) -> Window:
    """Put `permits` in at `time`, or later in the same cell, where a neighbour is."""
    grants = list(window.grants)
    later = _first_from(grants, time + 1)
    if later > 0 and _shares_entry(grants[later - 1][0], time, limit):
        grants[later - 1] = (time, grants[later - 1][1] + permits)
    elif later < len(grants) and _shares_entry(time, grants[later][0], limit):
        grants[later] = (grants[later][0], grants[later][1] + permits)
    else:
        grants.insert(later, (time, permits))
    return replace(window, grants=tuple(grants))


def _first_from(grants: Sequence[tuple[int, int]], time: int) -> int:
    """The index of the first grant at or after `time`."""
    return bisect_left(grants, time, key=_TIME)


def _shares_entry(earlier: int, later: int, limit: Limit) -> bool:
    """Whether grants of these times may be one entry: same time, or same cell."""
    if earlier == later or limit.max <= MAX_EXACT:
        return earlier == later
    return earlier * MAX_EXACT // limit.span_ms == later * MAX_EXACT // limit.span_ms


_TIME = itemgetter(0)
